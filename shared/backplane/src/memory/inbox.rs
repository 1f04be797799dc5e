//! What one inbox owes its user.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use tickwire_protocol::{DeviceId, Position, Priority, Publication};

use super::log::{Log, is_alive};
use crate::{BackplaneError, DEVICES_MAX, INBOX_CRITICAL_MAX, INBOX_ORDINARY_MAX};

/// Kept beside the channel's log, whose trimming and epochs do not touch it.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Up to where the user has read on any device.
    cursor: Option<Position>,
    /// Up to where each device has read, the one that read longest ago first.
    devices: VecDeque<(DeviceId, Position)>,
    /// The newest, in order.
    ordinary: VecDeque<(Position, Arc<Publication>)>,
    /// Not acknowledged.
    critical: BTreeMap<Position, Arc<Publication>>,
}

/// What an acknowledgement did.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Messages whose alerts are acknowledged by it.
    pub(super) settled: Vec<Position>,
    /// What all devices shall know of.
    pub(super) told: Vec<Position>,
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

    /// Acknowledges. `log` tells ordinary from critical where the inbox itself has forgotten a message, so that acknowledging
    /// a critical one twice does not move the cursor.
    pub(super) fn acknowledge(&mut self, device: Option<&DeviceId>, positions: &[Position], log: &Log) -> Settled {
        let mut settled = Settled::default();
        let before = self.cursor(device);
        let mut after = before;
        for &position in positions {
            if self.critical.remove(&position).is_some() {
                settled.settled.push(position);
                settled.told.push(position);
            } else if after < Some(position) && self.is_ordinary(position, log) {
                after = Some(position);
            }
        }
        let Some(moved_to) = after.filter(|_| after != before) else { return settled };
        let read = self.ordinary.iter().map(|(position, _)| *position);
        settled.settled.extend(read.filter(|&position| before < Some(position) && position <= moved_to));
        if let Some(device) = device {
            self.move_device(device, moved_to);
        } else {
            self.cursor = after;
            settled.told.push(moved_to);
        }
        settled
    }

    fn move_device(&mut self, device: &DeviceId, position: Position) {
        self.devices.retain(|(known, _)| known != device);
        if self.devices.len() >= DEVICES_MAX {
            self.devices.pop_front();
        }
        self.devices.push_back((device.clone(), position));
    }

    fn is_ordinary(&self, position: Position, log: &Log) -> bool {
        self.ordinary.iter().any(|(other, _)| *other == position)
            || log.get(position).is_some_and(|publication| publication.priority != Priority::Critical)
    }

    /// Up to where `device` has read: never behind the user.
    pub(super) fn cursor(&self, device: Option<&DeviceId>) -> Option<Position> {
        let own = self.devices.iter().find(|(known, _)| Some(known) == device).map(|(_, position)| *position);
        own.max(self.cursor)
    }

    pub(super) fn owed(&self, device: Option<&DeviceId>, now_ms: u64) -> Vec<Arc<Publication>> {
        let cursor = self.cursor(device);
        let unread = self.ordinary.iter().filter(|(position, _)| cursor < Some(*position));
        let ordinary = unread.map(|(_, publication)| publication);
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
