//! Calls that wait for their answer.

use std::{collections::BTreeMap, time::Duration};

use tickwire_protocol::{Command, Position, RawJson, Request, codec::ServerEvent};
use tokio::time::Instant;

use crate::{History, Presence, Published};

/// Names a call towards the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CallId(pub(crate) u64);

/// A call's answer.
#[derive(Debug)]
pub(crate) enum Reply {
    Published(Published),
    History(History),
    Presence(Presence),
    Acked(Position),
    Preferences(RawJson),
    Pong(u64),
}

/// Every call has the same timeout, so the oldest id is the first to expire.
#[derive(Debug)]
pub(crate) struct Calls {
    waiting: BTreeMap<i64, Call>,
    capacity: usize,
    timeout: Duration,
}

#[derive(Debug)]
struct Call {
    to: CallId,
    command: Command,
    deadline: Instant,
}

impl Calls {
    pub(crate) fn new(capacity: usize, timeout: Duration) -> Self {
        Self { waiting: BTreeMap::new(), capacity, timeout }
    }

    /// Keeps a call and gives what to send; `None` when too many wait.
    pub(crate) fn add(&mut self, now: Instant, id: i64, to: CallId, command: Command) -> Option<Request> {
        if self.waiting.len() >= self.capacity {
            return None;
        }
        self.waiting.insert(id, Call { to, command: command.clone(), deadline: now + self.timeout });
        Some(Request { id: Some(id), command })
    }

    /// Everything to send again on a new link.
    pub(crate) fn unanswered(&self) -> Vec<Request> {
        self.waiting.iter().map(|(id, call)| Request { id: Some(*id), command: call.command.clone() }).collect()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(_, call)| call.deadline)
    }

    /// Takes out what waited too long.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<CallId> {
        let mut expired = Vec::new();
        while let Some(entry) = self.waiting.first_entry() {
            if entry.get().deadline > now {
                break;
            }
            expired.push(entry.remove().to);
        }
        expired
    }

    /// Takes out one call.
    pub(crate) fn take(&mut self, id: i64) -> Option<(CallId, Command)> {
        self.waiting.remove(&id).map(|call| (call.to, call.command))
    }

    /// Takes out every call.
    pub(crate) fn drain(&mut self) -> Vec<CallId> {
        std::mem::take(&mut self.waiting).into_values().map(|call| call.to).collect()
    }

    /// Matches a reply with its call. One that answers none (a repeated call answered twice) is left alone.
    pub(crate) fn answer(&mut self, reply: ServerEvent) -> Option<(CallId, Command, Reply)> {
        let (id, reply) = match reply {
            ServerEvent::Published { id, channel, position, duplicate } => {
                (id, Reply::Published(Published { channel, position, duplicate }))
            }
            ServerEvent::History(history) => (
                history.id,
                Reply::History(History {
                    position: history.position,
                    messages: history.messages,
                    complete: history.complete,
                }),
            ),
            ServerEvent::PresenceList { id, users, count, .. } => (id, Reply::Presence(Presence { users, count })),
            ServerEvent::Acked { id, position, .. } => (id, Reply::Acked(position)),
            ServerEvent::Preferences { id, preferences } => (id, Reply::Preferences(preferences)),
            ServerEvent::Pong { id, time_ms } => (id, Reply::Pong(time_ms)),
            _ => return None,
        };
        let (to, command) = self.take(id?)?;
        Some((to, command, reply))
    }
}
