//! What nodes tell each other: reports and sticky orders.

use std::collections::HashMap;

use super::millis;
use crate::{BackplaneError, Control, ControlsMark, NODE_LEASE, NodeReport};

/// Sticky orders kept at once. At the bound a new one is refused: a lost revocation would be a hole.
const CONTROLS_MAX: usize = 100_000;
/// Nodes with a lease at once.
const NODES_MAX: usize = 10_000;

/// Sticky orders by what they are about; a newer one about the same replaces the older.
#[derive(Debug, Default)]
pub(super) struct Controls {
    by_subject: HashMap<String, (u64, Control)>,
    newest: u64,
}

impl Controls {
    pub(super) fn keep(&mut self, control: &Control, now_ms: u64) -> Result<(), BackplaneError> {
        let subject = match control {
            Control::Disconnect { .. } => return Ok(()),
            Control::RevokeToken { jti, .. } => format!("token {jti}"),
            Control::RevokeUser { user, issued_until_s, .. } => format!("user {user} {issued_until_s}"),
            Control::Ban { offender, .. } => format!("ban {offender}"),
        };
        if self.by_subject.len() >= CONTROLS_MAX && !self.by_subject.contains_key(&subject) {
            self.prune(now_ms);
            if self.by_subject.len() >= CONTROLS_MAX {
                return Err(BackplaneError::Full);
            }
        }
        self.newest += 1;
        self.by_subject.insert(subject, (self.newest, control.clone()));
        Ok(())
    }

    pub(super) fn in_force(&mut self, now_ms: u64) -> Vec<Control> {
        self.prune(now_ms);
        self.by_subject.values().map(|(_, control)| control.clone()).collect()
    }

    /// Those that came since `mark`, and where that leads.
    pub(super) fn since(&mut self, mark: &ControlsMark, now_ms: u64) -> (Vec<Control>, ControlsMark) {
        let known = mark.0.parse().unwrap_or(0);
        self.prune(now_ms);
        let new = self.by_subject.values().filter(|(number, _)| *number > known);
        (new.map(|(_, control)| control.clone()).collect(), ControlsMark(self.newest.to_string()))
    }

    fn prune(&mut self, now_ms: u64) {
        self.by_subject.retain(|_, (_, control)| control.sticky_until_ms().is_some_and(|until_ms| now_ms < until_ms));
    }
}

/// Reports with the end of their lease.
#[derive(Debug, Default)]
pub(super) struct Nodes(HashMap<String, (u64, NodeReport)>);

impl Nodes {
    pub(super) fn keep(&mut self, report: NodeReport, now_ms: u64) -> Result<(), BackplaneError> {
        if self.0.len() >= NODES_MAX && !self.0.contains_key(&report.node) {
            self.prune(now_ms);
            if self.0.len() >= NODES_MAX {
                return Err(BackplaneError::Full);
            }
        }
        self.0.insert(report.node.clone(), (now_ms + millis(NODE_LEASE), report));
        Ok(())
    }

    pub(super) fn live(&mut self, now_ms: u64) -> Vec<NodeReport> {
        self.prune(now_ms);
        self.0.values().map(|(_, report)| report.clone()).collect()
    }

    fn prune(&mut self, now_ms: u64) {
        self.0.retain(|_, (until_ms, _)| now_ms < *until_ms);
    }
}
