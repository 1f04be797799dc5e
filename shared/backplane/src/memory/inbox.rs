//! What one inbox owes its user.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use tickwire_protocol::{Position, Priority, Publication};

use super::log::{Log, is_alive};
use crate::{BackplaneError, INBOX_CRITICAL_MAX, INBOX_ORDINARY_MAX};

/// Kept beside the channel's log, whose trimming and epochs do not touch it.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    cursor: Option<Position>,
    /// After the cursor, in order.
    ordinary: VecDeque<(Position, Arc<Publication>)>,
    /// Not acknowledged.
    critical: BTreeMap<Position, Arc<Publication>>,
}

impl Inbox {
    /// Makes sure that a message of `priority` fits.
    pub(super) fn admit(&mut self, priority: Priority, now_ms: u64) -> Result<(), BackplaneError> {
        if priority == Priority::Critical && self.critical.len() >= INBOX_CRITICAL_MAX {
            self.prune(now_ms);
            if self.critical.len() >= INBOX_CRITICAL_MAX {
                return Err(BackplaneError::InboxFull);
            }
        }
        Ok(())
    }

    pub(super) fn add(&mut self, position: Position, publication: Arc<Publication>) {
        if publication.priority == Priority::Critical {
            self.critical.insert(position, publication);
            return;
        }
        self.ordinary.push_back((position, publication));
        if self.ordinary.len() > INBOX_ORDINARY_MAX {
            self.ordinary.pop_front();
        }
    }

    /// Acknowledges; returns every message this settled. `log` tells ordinary from critical where the inbox itself has
    /// forgotten a message, so that acknowledging a critical one twice does not move the cursor.
    pub(super) fn acknowledge(&mut self, positions: &[Position], log: &Log) -> Vec<Position> {
        let mut settled = Vec::new();
        for &position in positions {
            if self.critical.remove(&position).is_some() {
                settled.push(position);
            } else if self.cursor < Some(position) && self.is_ordinary(position, log) {
                self.cursor = Some(position);
            }
        }
        while let Some((position, _)) = self.ordinary.front().filter(|(position, _)| Some(*position) <= self.cursor) {
            settled.push(*position);
            self.ordinary.pop_front();
        }
        settled
    }

    fn is_ordinary(&self, position: Position, log: &Log) -> bool {
        self.ordinary.iter().any(|(other, _)| *other == position)
            || log.get(position).is_some_and(|publication| publication.priority != Priority::Critical)
    }

    pub(super) fn cursor(&self) -> Option<Position> {
        self.cursor
    }

    pub(super) fn owed(&self, now_ms: u64) -> Vec<Arc<Publication>> {
        let ordinary = self.ordinary.iter().map(|(_, publication)| publication);
        let mut owed: Vec<_> = ordinary
            .chain(self.critical.values())
            .filter(|publication| is_alive(publication, now_ms))
            .cloned()
            .collect();
        owed.sort_by_key(|publication| publication.position);
        owed
    }

    /// Forgets what expired.
    pub(super) fn prune(&mut self, now_ms: u64) {
        self.critical.retain(|_, publication| is_alive(publication, now_ms));
    }

    pub(super) fn owes_critical(&self) -> bool {
        !self.critical.is_empty()
    }
}
