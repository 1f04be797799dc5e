//! What was acknowledged, and what each client saw: plain data, judged when the run is over.

use std::collections::{BTreeSet, HashMap};

use tickwire_protocol::Position;

/// Entries of one reader; more than a run of an hour makes. A reader beyond it is reported, not judged.
const SIGHTS_MAX: usize = 50_000;

/// An acknowledged publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ack {
    /// What the message says: its number in the channel.
    pub(crate) number: u64,
    pub(crate) position: Position,
    /// The emitter knew its idempotency key.
    pub(crate) is_duplicate: bool,
    /// When the answer came, Unix ms.
    pub(crate) at_ms: u64,
}

/// A `reliable` channel.
#[derive(Debug, Default)]
pub(crate) struct ChannelLedger {
    pub(crate) name: String,
    pub(crate) acks: Vec<Ack>,
    /// What was delivered under each position, by whoever got it first.
    pub(crate) contents: HashMap<Position, u64>,
    /// Positions under which somebody got something else.
    pub(crate) conflicts: Vec<Position>,
}

impl ChannelLedger {
    /// Somebody got `number` at `position`.
    pub(crate) fn delivered(&mut self, position: Position, number: u64) {
        if *self.contents.entry(position).or_insert(number) != number && self.conflicts.len() < 100 {
            self.conflicts.push(position);
        }
    }

    /// The last position acknowledged.
    pub(crate) fn top(&self) -> Option<Position> {
        self.acks.iter().map(|ack| ack.position).max()
    }
}

/// What one client saw of a lossless channel, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The answer to a subscribe.
    Joined { at_ms: u64, position: Position, recovered: bool },
    /// Messages with dense positions.
    Run { epoch: u64, first: u64, last: u64 },
    /// The server said that history is gone.
    Reset { at_ms: u64, position: Position },
    /// The connection ended.
    Left,
}

/// One client's view of a `reliable` channel.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReaderLog {
    /// Who, for people.
    pub(crate) name: String,
    /// Index of the channel.
    pub(crate) channel: usize,
    pub(crate) sights: Vec<Sight>,
    /// It was to be there at the end.
    pub(crate) stays: bool,
    /// Not everything fitted.
    pub(crate) overflowed: bool,
    /// The longest that a message took from its publish, ms.
    pub(crate) longest_ms: u64,
}

impl ReaderLog {
    pub(crate) fn see(&mut self, sight: Sight) {
        if self.sights.len() < SIGHTS_MAX {
            self.sights.push(sight);
        } else {
            self.overflowed = true;
        }
    }

    /// A message came.
    pub(crate) fn message(&mut self, position: Position) {
        if let Some(Sight::Run { epoch, last, .. }) = self.sights.last_mut()
            && *epoch == position.epoch
            && *last + 1 == position.offset
        {
            *last = position.offset;
            return;
        }
        self.see(Sight::Run { epoch: position.epoch, first: position.offset, last: position.offset });
    }

    /// The newest position seen or told, as far as one can say before the end.
    pub(crate) fn reached(&self) -> Option<Position> {
        let position = |sight: &Sight| match *sight {
            Sight::Joined { position, recovered: false, .. } | Sight::Reset { position, .. } => Some(position),
            Sight::Run { epoch, last, .. } => Some(Position::new(epoch, last)),
            Sight::Joined { .. } | Sight::Left => None,
        };
        self.sights.iter().rev().find_map(position)
    }
}

/// One client's view of a `latest` channel.
#[derive(Debug, Clone, Default)]
pub(crate) struct LatestLog {
    pub(crate) name: String,
    /// The newest value of each key.
    pub(crate) values: HashMap<String, u64>,
    /// Values that were older than one that had come before, on whichever connection, without a new epoch between.
    pub(crate) older: u64,
    pub(crate) count: u64,
    pub(crate) stays: bool,
    pub(crate) epoch: Option<u64>,
}

impl LatestLog {
    /// The answer to a subscribe: a new epoch forgets what was before it.
    pub(crate) fn joined(&mut self, position: Option<Position>) {
        let epoch = position.map(|position| position.epoch);
        if self.epoch != epoch {
            self.values.clear();
            self.epoch = epoch;
        }
    }

    /// A new epoch under the live subscription.
    pub(crate) fn reset(&mut self, position: Position) {
        self.joined(Some(position));
    }

    pub(crate) fn value(&mut self, key: &str, number: u64) {
        self.count += 1;
        let known = self.values.get(key).copied().unwrap_or(0);
        self.older += u64::from(number < known);
        self.values.insert(key.to_owned(), number);
    }
}

/// A critical notification that was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alert {
    pub(crate) user: usize,
    pub(crate) number: u64,
    /// When the emitter acknowledged it; `None` if it never did, though it was asked again and again.
    pub(crate) accepted_ms: Option<u64>,
}

/// An alert that the escalation's receiver took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Escalated {
    /// When it came first.
    pub(crate) at_ms: u64,
    /// Until when it should have been acknowledged.
    pub(crate) deadline_ms: u64,
    /// How often it came.
    pub(crate) times: u64,
    /// Each time its signature was right, and its key was its id.
    pub(crate) is_genuine: bool,
}

/// What an inbox brought on one subscribe.
#[derive(Debug, Clone)]
pub(crate) struct InboxJoin {
    pub(crate) asked_ms: u64,
    pub(crate) at_ms: u64,
    pub(crate) alerts: BTreeSet<u64>,
}

/// An inbox as one of its user's devices saw it.
#[derive(Debug, Clone, Default)]
pub(crate) struct InboxLog {
    pub(crate) user: usize,
    /// The first device acknowledges, the others only look.
    pub(crate) device: usize,
    /// Its newest position, to subscribe with.
    pub(crate) top: Option<Position>,
    pub(crate) joins: Vec<InboxJoin>,
    /// Number → when it came last.
    pub(crate) came: HashMap<u64, u64>,
    /// Number → when the acknowledgement was sent.
    pub(crate) acks_sent: HashMap<u64, u64>,
    /// Number → when it was confirmed.
    pub(crate) acks_confirmed: HashMap<u64, u64>,
}

/// A revocation, and what its user got after it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Revoked {
    pub(crate) user: String,
    /// Messages delivered that were published more than a second after the confirmation.
    pub(crate) late: u64,
    /// The revoked token opened a connection again.
    pub(crate) came_back: bool,
}

/// Attempts on channels without a grant.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Intrusion {
    pub(crate) refused: u64,
    /// Answers or messages that should not have come.
    pub(crate) admitted: u64,
}

/// Clients that stopped reading.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stuck {
    pub(crate) edge: usize,
    pub(crate) readers: u64,
    /// Of these, those that the edge closed as too slow.
    pub(crate) closed: u64,
    /// What was published to each of them.
    pub(crate) published_bytes: u64,
    pub(crate) before_bytes: u64,
    pub(crate) peak_bytes: u64,
    /// What the configuration lets them cost.
    pub(crate) allowed_bytes: u64,
}

/// A drained edge.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Drained {
    pub(crate) edge: usize,
    /// Exit code, if it ended in time.
    pub(crate) code: Option<i32>,
    pub(crate) took_ms: u64,
    /// Connections of ours on it at the time of the signal.
    pub(crate) connections: u64,
    /// Of these, those that ended without a `reconnect` frame or close code 1001 before.
    pub(crate) unannounced: u64,
    /// A fault of another kind hit the edge or its links meanwhile, so `unannounced` says nothing.
    pub(crate) disturbed: bool,
}

/// Presence compared with the connections that there are.
#[derive(Debug, Clone, Default)]
pub(crate) struct PresenceCheck {
    pub(crate) round: usize,
    /// An edge had been killed or frozen in the storm before.
    pub(crate) after_crash: bool,
    /// How long it took until they were equal, if they were in time.
    pub(crate) equal_after_ms: Option<u64>,
    pub(crate) ghosts: Vec<String>,
    pub(crate) missing: Vec<String>,
}

/// A critical message behind a queue of others on one connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Overtake {
    /// Ordinary messages published before it.
    pub(crate) ordinary: u64,
    /// Of these, those that came after it.
    pub(crate) overtaken: u64,
    pub(crate) critical_came: bool,
}

/// Everything that verdicts are made of.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) channels: Vec<ChannelLedger>,
    pub(crate) readers: Vec<ReaderLog>,
    pub(crate) latest: Vec<LatestLog>,
    /// Last acknowledged value of each key.
    pub(crate) latest_acked: HashMap<String, u64>,
    pub(crate) alerts: Vec<Alert>,
    /// What the emitter acknowledged was on replicas by then.
    pub(crate) alerts_are_replicated: bool,
    /// By the alert's number.
    pub(crate) escalated: HashMap<u64, Escalated>,
    /// When the receiver was looked at last.
    pub(crate) escalations_until_ms: u64,
    pub(crate) inboxes: Vec<InboxLog>,
    pub(crate) revoked: Vec<Revoked>,
    pub(crate) intrusion: Intrusion,
    pub(crate) stuck: Vec<Stuck>,
    pub(crate) drained: Vec<Drained>,
    pub(crate) presence: Vec<PresenceCheck>,
    pub(crate) overtakes: Vec<Overtake>,
    /// Times at which Redis may have begun a new epoch: server faults.
    pub(crate) redis_faults: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_messages_are_one_run() {
        let mut log = ReaderLog::default();
        for (epoch, offset) in [(1, 4), (1, 5), (1, 6), (2, 7), (2, 9)] {
            log.message(Position::new(epoch, offset));
        }
        let runs = [(1, 4, 6), (2, 7, 7), (2, 9, 9)].map(|(epoch, first, last)| Sight::Run { epoch, first, last });
        assert_eq!(log.sights, runs);
        assert_eq!(log.reached(), Some(Position::new(2, 9)));
    }

    #[test]
    fn an_older_value_is_older_only_within_its_epoch() {
        let mut log = LatestLog::default();
        log.joined(Some(Position::new(1, 1)));
        log.value("a", 5);
        log.value("a", 4);
        assert_eq!(log.older, 1);
        log.joined(Some(Position::new(1, 9)));
        log.value("a", 3);
        assert_eq!(log.older, 2, "over a reconnect too");
        log.joined(Some(Position::new(2, 0)));
        log.value("a", 1);
        assert_eq!(log.older, 2);
    }
}
