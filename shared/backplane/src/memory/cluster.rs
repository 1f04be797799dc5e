//! What nodes tell each other: reports and sticky orders.

use std::collections::HashMap;

use super::millis;
use crate::{BackplaneError, Control, NODE_LEASE, NodeReport};

/// Sticky orders kept at once. At the bound a new one is refused: a lost revocation would be a hole.
const CONTROLS_MAX: usize = 100_000;
/// Nodes with a lease at once.
const NODES_MAX: usize = 10_000;

/// Sticky orders by what they are about; a newer one about the same replaces the older.
#[derive(Debug, Default)]
pub(super) struct Controls(HashMap<String, Control>);

impl Controls {
    pub(super) fn keep(&mut self, control: &Control, now_ms: u64) -> Result<(), BackplaneError> {
        let subject = match control {
            Control::Disconnect { .. } => return Ok(()),
            Control::RevokeToken { jti, .. } => format!("token {jti}"),
            Control::RevokeUser { user, issued_until_s, .. } => format!("user {user} {issued_until_s}"),
            Control::Ban { offender, .. } => format!("ban {offender}"),
        };
        if self.0.len() >= CONTROLS_MAX && !self.0.contains_key(&subject) {
            self.prune(now_ms);
            if self.0.len() >= CONTROLS_MAX {
                return Err(BackplaneError::Full);
            }
        }
        self.0.insert(subject, control.clone());
        Ok(())
    }

    pub(super) fn in_force(&mut self, now_ms: u64) -> Vec<Control> {
        self.prune(now_ms);
        self.0.values().cloned().collect()
    }

    fn prune(&mut self, now_ms: u64) {
        self.0.retain(|_, control| control.sticky_until_ms().is_some_and(|until_ms| now_ms < until_ms));
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
