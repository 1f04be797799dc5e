//! Who is where, by node.

use std::collections::{BTreeMap, HashMap};

use tickwire_protocol::{ChannelName, UserId};

use super::millis;
use crate::{NODE_LEASE, PRESENCE_EVENTS_MAX, PRESENCE_USERS_MAX, Presence, PresenceChange};

/// How long a silent node's entries are kept, unseen, in case that it was only slow.
const GRACE_MS: u64 = 60_000;

/// Connections per channel, user and node. A user is present while a node with a lease counts a connection.
#[derive(Debug, Default)]
pub(super) struct PresenceTable {
    rooms: HashMap<ChannelName, Room>,
    leases: HashMap<Box<str>, Lease>,
}

#[derive(Debug, Default)]
struct Room {
    users: BTreeMap<UserId, HashMap<Box<str>, u32>>,
    /// How many of them are visible.
    present: usize,
}

impl Room {
    /// Counts a user who became visible or ceased to be; true if others should hear of it.
    fn note(&mut self, joined: bool) -> bool {
        let before = self.present;
        self.present = if joined { before + 1 } else { before.saturating_sub(1) };
        before.max(self.present) <= PRESENCE_EVENTS_MAX
    }
}

#[derive(Debug)]
struct Lease {
    until_ms: u64,
    /// Cleared when the lapse was noticed and its leaves were told.
    is_live: bool,
}

impl PresenceTable {
    /// A sign of life of `node`. Returns the joins to tell of those who become visible again with it.
    pub(super) fn renew(&mut self, node: &str, now_ms: u64) -> Vec<PresenceChange> {
        let until_ms = now_ms + millis(NODE_LEASE);
        let lease = self.leases.entry(node.into()).or_insert(Lease { until_ms, is_live: true });
        lease.until_ms = until_ms;
        if lease.is_live {
            return Vec::new();
        }
        let joins = self.only_through(node, true);
        self.leases.entry(node.into()).and_modify(|lease| lease.is_live = true);
        joins
    }

    /// Notices lapsed leases; returns the leaves to tell of those who were only there.
    pub(super) fn lapse(&mut self, now_ms: u64) -> Vec<PresenceChange> {
        let lapsed: Vec<Box<str>> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.is_live && lease.until_ms <= now_ms)
            .map(|(node, _)| node.clone())
            .collect();
        let mut leaves = Vec::new();
        for node in lapsed {
            self.leases.entry(node.clone()).and_modify(|lease| lease.is_live = false);
            leaves.extend(self.only_through(&node, false));
        }
        let gone: Vec<Box<str>> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.until_ms + GRACE_MS <= now_ms)
            .map(|(node, _)| node.clone())
            .collect();
        for node in gone {
            self.forget(&node);
        }
        leaves
    }

    /// Applies one change; true if it is the first join or the last leave of the user in the cluster, and to be told.
    pub(super) fn apply(&mut self, node: &str, change: &PresenceChange) -> bool {
        let leases = &self.leases;
        let room = self.rooms.entry(change.channel.clone()).or_default();
        let nodes = room.users.entry(change.user.clone()).or_default();
        let was_visible = is_visible(nodes, leases);
        if change.joined {
            *nodes.entry(node.into()).or_default() += 1;
        } else if let Some(count) = nodes.get_mut(node) {
            *count -= 1;
            if *count == 0 {
                nodes.remove(node);
            }
        }
        let now_visible = is_visible(nodes, leases);
        if nodes.is_empty() {
            room.users.remove(&change.user);
        }
        let is_told = was_visible != now_visible && room.note(now_visible);
        if room.users.is_empty() {
            self.rooms.remove(change.channel.as_str());
        }
        is_told
    }

    pub(super) fn list(&self, channel: &ChannelName) -> Presence {
        let Some(room) = self.rooms.get(channel.as_str()) else {
            return Presence { users: Vec::new(), count: 0 };
        };
        let present = room.users.iter().filter(|(_, nodes)| is_visible(nodes, &self.leases)).map(|(user, _)| user);
        Presence { users: present.take(PRESENCE_USERS_MAX).cloned().collect(), count: room.present as u64 }
    }

    /// Counts everyone who has a connection on `node` and on no other live node, and returns the changes to tell.
    fn only_through(&mut self, node: &str, joined: bool) -> Vec<PresenceChange> {
        let mut changes = Vec::new();
        for (channel, room) in &mut self.rooms {
            let alone = |nodes: &HashMap<Box<str>, u32>| {
                nodes.contains_key(node) && !nodes.keys().any(|other| **other != *node && is_live(other, &self.leases))
            };
            let users: Vec<UserId> =
                room.users.iter().filter(|(_, nodes)| alone(nodes)).map(|(user, _)| user.clone()).collect();
            for user in users {
                if room.note(joined) {
                    changes.push(PresenceChange { channel: channel.clone(), user, joined });
                }
            }
        }
        changes
    }

    fn forget(&mut self, node: &str) {
        self.leases.remove(node);
        self.rooms.retain(|_, room| {
            room.users.retain(|_, nodes| {
                nodes.remove(node);
                !nodes.is_empty()
            });
            !room.users.is_empty()
        });
    }
}

fn is_live(node: &str, leases: &HashMap<Box<str>, Lease>) -> bool {
    leases.get(node).is_some_and(|lease| lease.is_live)
}

fn is_visible(nodes: &HashMap<Box<str>, u32>, leases: &HashMap<Box<str>, Lease>) -> bool {
    nodes.keys().any(|node| is_live(node, leases))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(joined: bool) -> PresenceChange {
        PresenceChange { channel: ChannelName::new("room:1").unwrap(), user: UserId::new("7").unwrap(), joined }
    }

    #[test]
    fn a_crashed_nodes_users_leave_and_come_back_with_it() {
        let mut table = PresenceTable::default();
        assert_eq!(table.renew("a", 0), []);
        assert!(table.apply("a", &change(true)));
        assert_eq!(table.lapse(4_999), []);
        assert_eq!(table.lapse(5_000), [change(false)]);
        assert_eq!(table.list(&change(true).channel).count, 0);
        assert_eq!(table.renew("a", 6_000), [change(true)]);
        assert_eq!(table.list(&change(true).channel).count, 1);
    }

    #[test]
    fn a_user_on_two_nodes_survives_the_crash_of_one() {
        let mut table = PresenceTable::default();
        table.renew("a", 0);
        table.renew("b", 2_000);
        assert!(table.apply("a", &change(true)));
        assert!(!table.apply("b", &change(true)));
        assert_eq!(table.lapse(6_000), []);
        assert_eq!(table.lapse(7_000), [change(false)]);
    }

    #[test]
    fn a_node_that_stays_away_is_forgotten() {
        let mut table = PresenceTable::default();
        table.renew("a", 0);
        table.apply("a", &change(true));
        table.lapse(5_000 + GRACE_MS);
        assert!(table.rooms.is_empty());
        assert!(table.leases.is_empty());
    }
}
