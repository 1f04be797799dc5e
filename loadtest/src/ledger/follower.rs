//! One client in one channel.

use std::{collections::VecDeque, ops::RangeInclusive};

use tickwire_protocol::{DeliveryClass, Position};

use super::{Log, Ranges};
use crate::record::Totals;

/// Acknowledged critical messages remembered, to notice one that comes again.
const CONFIRMED_MAX: usize = 256;

/// A message as a client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The sender's number.
    pub number: u64,
    /// The sender's number of its key; 0 in channels without keys.
    pub key: u32,
    /// Where it stands, in classes that tell.
    pub position: Option<Position>,
    /// To be acknowledged.
    pub critical: bool,
    /// How it came.
    pub origin: Origin,
}

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// As a `message` of its own.
    Live,
    /// Inside a `subscribed` reply.
    Replay,
}

/// What an arrival is to its follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Seen for the first time; `missed` numbers just before it were skipped without a word.
    New {
        /// How many numbers were skipped.
        missed: u64,
    },
    /// From before the client joined: the state that a newcomer gets.
    Backlog,
    /// It had been counted as lost, and came after a later one.
    Late,
    /// Seen before.
    Duplicate,
    /// A critical message seen before and not yet confirmed as acknowledged.
    Redelivered,
    /// A critical message that came again after its acknowledgement was confirmed.
    AcknowledgedAgain,
    /// `latest`: older than what the client has.
    Stale,
}

/// Where a follower begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// With whatever comes first.
    Any,
    /// With the first message after this position.
    After(Position),
    /// With this number.
    Number(u64),
}

/// What one client has seen of one channel.
#[derive(Debug, Clone)]
pub struct Follower {
    class: DeliveryClass,
    next: Next,
    position: Option<Position>,
    /// What this connection gave as `since`.
    since: Option<Position>,
    /// The client was told that something is missing: the next hole is no fault.
    told: bool,
    rare: Option<Box<Rare>>,
}

/// What most followers never need.
#[derive(Debug, Clone, Default)]
struct Rare {
    missing: Ranges,
    /// Acknowledgements confirmed.
    confirmed: VecDeque<u64>,
    /// `latest`: the last number of each key but 0, which is in `next`.
    keys: Vec<(u32, u64)>,
}

impl Follower {
    /// A client that will subscribe. Until [`Follower::joined`] says where, it begins with what comes first.
    pub fn new(class: DeliveryClass) -> Self {
        Self { class, next: Next::Any, position: None, since: None, told: false, rare: None }
    }

    /// A client that is owed the channel from its first message on.
    pub fn from_the_first(class: DeliveryClass) -> Self {
        Self { next: Next::Number(1), ..Self::new(class) }
    }

    /// The class it was made with.
    pub fn class(&self) -> DeliveryClass {
        self.class
    }

    /// The position to give as `since`.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// A connection or a poll begins that gives [`Follower::position`] as `since`: what comes from before it is no double.
    pub fn resumes(&mut self) {
        self.since = self.position;
    }

    /// A `subscribed` reply came; call it before its messages are observed. `asked` says that `since` was given.
    /// Returns whether this is a failed recovery.
    pub fn joined(&mut self, position: Option<Position>, asked: bool, recovered: bool, totals: &mut Totals) -> bool {
        if !asked {
            if let (Next::Any, Some(position)) = (self.next, position) {
                self.next = Next::After(position);
            }
            // Subscribing anew after messages were seen gives up what came between; a value never gets older by it.
            self.told |= self.position.is_some() && self.recovers();
            self.position = self.position.max(position);
            return false;
        }
        totals.recoveries += 1;
        if recovered || !self.recovers() {
            return false;
        }
        totals.recoveries_failed += 1;
        self.told = true;
        // Live delivery goes on from here; a number from a later epoch is none of the old one.
        self.position = position.or(self.position);
        true
    }

    /// Whether to give `since` when subscribing again.
    pub fn recovers(&self) -> bool {
        matches!(self.class, DeliveryClass::Reliable | DeliveryClass::Inbox)
    }

    /// The reply's messages were observed: the client now stands at the reply's position.
    pub fn caught_up(&mut self, position: Option<Position>) {
        self.position = self.position.max(position);
    }

    /// A `reset` came: what follows counts from `position`.
    pub fn reset(&mut self, position: Option<Position>, totals: &mut Totals) {
        totals.resets += 1;
        self.told = true;
        self.position = position.or(self.position);
    }

    /// The acknowledgement of message `number` was confirmed.
    pub fn confirmed(&mut self, number: u64, totals: &mut Totals) {
        totals.acknowledged += 1;
        let confirmed = &mut self.rare().confirmed;
        if confirmed.len() == CONFIRMED_MAX {
            confirmed.pop_front();
        }
        confirmed.push_back(number);
    }

    /// Judges a message and counts it.
    pub fn observe(&mut self, arrival: Arrival, totals: &mut Totals) -> Verdict {
        totals.delivered += 1;
        let verdict = match self.class {
            DeliveryClass::Latest => self.observe_latest(arrival, totals),
            DeliveryClass::Volatile => self.observe_volatile(arrival, totals),
            DeliveryClass::Reliable | DeliveryClass::Inbox => self.observe_reliable(arrival, totals),
        };
        self.position = self.position.max(arrival.position);
        verdict
    }

    fn observe_reliable(&mut self, arrival: Arrival, totals: &mut Totals) -> Verdict {
        let number = arrival.number;
        let expected = match self.next {
            Next::Number(expected) => expected,
            Next::Any => number,
            Next::After(joined) => match arrival.position {
                Some(position) if position <= joined && arrival.origin == Origin::Replay => return Verdict::Backlog,
                // Offsets are dense, so they say how many numbers stand between.
                Some(position) if position.epoch == joined.epoch => {
                    number.saturating_sub(position.offset.saturating_sub(joined.offset + 1)).max(1)
                }
                _ => number,
            },
        };
        if number < expected {
            return self.observe_again(arrival, totals);
        }
        let missed = number - expected;
        self.next = Next::Number(number + 1);
        totals.expected += 1;
        if missed > 0 && self.told {
            totals.excused += missed;
            self.told = false;
            return Verdict::New { missed: 0 };
        }
        self.told = false;
        if missed > 0 {
            totals.lost += missed;
            totals.expected += missed;
            self.rare().missing.append(expected..=number - 1);
        }
        Verdict::New { missed }
    }

    /// A number at or below the last one.
    fn observe_again(&mut self, arrival: Arrival, totals: &mut Totals) -> Verdict {
        let number = arrival.number;
        if self.rare.as_mut().is_some_and(|rare| rare.missing.remove(number)) {
            totals.lost -= 1;
            totals.disordered += 1;
            return Verdict::Late;
        }
        if arrival.position.is_some_and(|position| Some(position) <= self.since) && !arrival.critical {
            totals.repeated += 1;
            return Verdict::Backlog;
        }
        if !arrival.critical {
            totals.duplicated += 1;
            return Verdict::Duplicate;
        }
        if self.rare.as_ref().is_some_and(|rare| rare.confirmed.contains(&number)) {
            totals.acknowledged_again += 1;
            return Verdict::AcknowledgedAgain;
        }
        totals.redelivered += 1;
        Verdict::Redelivered
    }

    fn observe_latest(&mut self, arrival: Arrival, totals: &mut Totals) -> Verdict {
        let last = self.last_of(arrival.key);
        let verdict = match last {
            None => Verdict::New { missed: 0 },
            Some(last) if arrival.number > last => {
                totals.conflated += arrival.number - last - 1;
                Verdict::New { missed: 0 }
            }
            Some(_) if self.told => Verdict::New { missed: 0 },
            // A newcomer's state may be what the client has already.
            Some(last) if arrival.number == last && arrival.origin == Origin::Replay => return Verdict::Backlog,
            Some(last) if arrival.number == last => {
                totals.duplicated += 1;
                return Verdict::Duplicate;
            }
            Some(_) => {
                totals.stale += 1;
                return Verdict::Stale;
            }
        };
        self.told = false;
        self.set_last(arrival.key, arrival.number);
        verdict
    }

    fn observe_volatile(&mut self, arrival: Arrival, totals: &mut Totals) -> Verdict {
        let expected = match self.next {
            Next::Number(expected) => expected,
            Next::Any | Next::After(_) => arrival.number,
        };
        if arrival.number >= expected {
            totals.dropped += arrival.number - expected;
            self.next = Next::Number(arrival.number + 1);
            return Verdict::New { missed: 0 };
        }
        // What was dropped is not remembered, so only the last number is surely a double.
        if arrival.number + 1 == expected {
            totals.duplicated += 1;
            Verdict::Duplicate
        } else {
            totals.disordered += 1;
            Verdict::Late
        }
    }

    /// Whether something that was published has not come yet, as far as the log can say before the audit.
    pub fn is_behind(&self, log: &Log) -> bool {
        match self.class {
            DeliveryClass::Volatile => false,
            DeliveryClass::Latest => {
                log.last_by_key().any(|(key, last)| self.last_of(key).is_none_or(|seen| seen < last))
            }
            DeliveryClass::Reliable | DeliveryClass::Inbox => match self.next {
                Next::Number(expected) => expected <= log.last(),
                Next::After(joined) => log.position().is_some_and(|position| position > joined),
                Next::Any => false,
            },
        }
    }

    /// Compares with what was published, once all should have come. Call it for clients that are connected; it may be called
    /// once. Returns the numbers still missing, as ranges, those of which the log is uncertain left out of the count only.
    pub fn audit(&mut self, log: &Log, totals: &mut Totals) -> Vec<RangeInclusive<u64>> {
        match self.class {
            DeliveryClass::Volatile => Vec::new(),
            DeliveryClass::Latest => self.audit_latest(log, totals),
            DeliveryClass::Reliable | DeliveryClass::Inbox => self.audit_reliable(log, totals),
        }
    }

    fn audit_latest(&self, log: &Log, totals: &mut Totals) -> Vec<RangeInclusive<u64>> {
        let mut missing = Vec::new();
        for (key, last) in log.last_by_key() {
            totals.expected += 1;
            if self.last_of(key).is_none_or(|seen| seen < last) && !self.told {
                totals.lost += 1;
                missing.push(last..=last);
            }
        }
        missing
    }

    fn audit_reliable(&mut self, log: &Log, totals: &mut Totals) -> Vec<RangeInclusive<u64>> {
        let last = log.last();
        let tail_from = match self.next {
            Next::Any => last + 1,
            Next::Number(expected) => expected,
            Next::After(joined) => match log.position() {
                Some(position) if position.epoch == joined.epoch => {
                    (last + 1).saturating_sub(position.offset.saturating_sub(joined.offset)).max(1)
                }
                _ => last + 1,
            },
        };
        let tail = (last + 1).saturating_sub(tail_from);
        if tail > 0 {
            totals.expected += tail;
            if self.told {
                totals.excused += tail;
                totals.expected -= tail;
            } else {
                totals.lost += tail;
                self.rare().missing.append(tail_from..=last);
            }
        }
        let Some(rare) = &self.rare else { return Vec::new() };
        let pardoned = rare.missing.common(log.uncertainties());
        totals.lost -= pardoned;
        totals.expected -= pardoned;
        let is_certain =
            |range: &&RangeInclusive<u64>| log.uncertainties().count_in(range) < range.end() - range.start() + 1;
        rare.missing.iter().filter(is_certain).cloned().collect()
    }

    fn last_of(&self, key: u32) -> Option<u64> {
        match (key, self.next) {
            (0, Next::Number(next)) => Some(next - 1).filter(|&last| last > 0),
            (0, _) => None,
            _ => {
                let keys = &self.rare.as_ref()?.keys;
                keys.iter().find(|(known, _)| *known == key).map(|&(_, last)| last)
            }
        }
    }

    fn set_last(&mut self, key: u32, number: u64) {
        if key == 0 {
            self.next = Next::Number(number + 1);
            return;
        }
        let keys = &mut self.rare().keys;
        match keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, last)) => *last = number,
            None => keys.push((key, number)),
        }
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}
