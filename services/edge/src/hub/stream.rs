//! One channel's stream as a shard sees it: what to deliver, what is missing, what newcomers need. No I/O.
//!
//! A stream is live, or it holds messages back: before the backplane has confirmed the subscription, and while a hole is
//! read from the store. Holding is bounded; what does not fit is forgotten, since the store has it: the newest position
//! seen says that it must be read again.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tickwire_backplane::{History, LATEST_KEYS_MAX, Snapshot, Tail, TailAction};
use tickwire_protocol::{DeliveryClass, Position, Publication, event::ResetReason};

/// Messages held back at most.
const HELD_MAX: usize = 4_096;
/// Messages remembered for newcomers while the store is read for them.
pub(crate) const RECENT_MAX: usize = 4_096;
/// The same otherwise, in a channel with many subscribers: they are likely to come back together.
pub(crate) const RECENT_BUSY_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// The backplane has not confirmed the subscription.
    Joining,
    /// Messages are delivered as they come.
    Live,
    /// A read of the store is under way.
    Repairing,
}

/// What to do with a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Deliver the message.
    Deliver,
    /// Nothing.
    Nothing,
    /// Read the store: [`Stream::query_since`] onwards, or the snapshot of a `latest` channel.
    Repair,
}

/// What a read of the store gave.
#[derive(Debug)]
pub(crate) enum Stored {
    History(History),
    Snapshot(Snapshot),
}

/// What follows from it.
#[derive(Debug, Default)]
pub(crate) struct Repaired {
    /// Tell subscribers first.
    pub(crate) reset: Option<(Position, ResetReason)>,
    /// Then deliver these, in order.
    pub(crate) deliver: Vec<Arc<Publication>>,
    /// Read again.
    pub(crate) again: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Stream {
    class: DeliveryClass,
    pub(crate) status: Status,
    tail: Tail,
    /// Newest position heard of.
    top: Position,
    held: Vec<Arc<Publication>>,
    /// The newest delivered messages, without holes, up to the tail.
    recent: VecDeque<Arc<Publication>>,
    recent_max: usize,
    /// Current values of a `latest` channel.
    values: HashMap<Box<str>, Arc<Publication>, ahash::RandomState>,
}

impl Stream {
    pub(crate) fn new(class: DeliveryClass) -> Self {
        let start = Position::new(0, 0);
        Self {
            class,
            status: Status::Joining,
            tail: Tail::new(start),
            top: start,
            held: Vec::new(),
            recent: VecDeque::new(),
            recent_max: 0,
            values: HashMap::default(),
        }
    }

    /// Everything up to here is delivered.
    pub(crate) fn position(&self) -> Position {
        self.tail.position()
    }

    /// Where a repair reads from.
    pub(crate) fn query_since(&self) -> Position {
        self.tail.position()
    }

    /// How many delivered messages to remember.
    pub(crate) fn remember(&mut self, recent_max: usize) {
        self.recent_max = recent_max;
        while self.recent.len() > recent_max {
            self.recent.pop_front();
        }
        if recent_max == 0 {
            self.recent = VecDeque::new();
        }
    }

    /// A message came.
    pub(crate) fn on_publication(&mut self, publication: &Arc<Publication>) -> Next {
        if self.status != Status::Live {
            self.hold(publication);
            return Next::Nothing;
        }
        let Some(position) = publication.position else { return Next::Deliver };
        match self.tail.on_publication(position) {
            TailAction::Deliver => {
                self.delivered(publication);
                Next::Deliver
            }
            TailAction::Ignore => Next::Nothing,
            TailAction::Gap | TailAction::Reset if self.class == DeliveryClass::Volatile => {
                self.recent.clear();
                self.tail.move_to(position);
                self.delivered(publication);
                Next::Deliver
            }
            TailAction::Gap | TailAction::Reset => {
                self.hold(publication);
                self.status = Status::Repairing;
                Next::Repair
            }
        }
    }

    /// The newest position is `top`.
    pub(crate) fn on_top(&mut self, top: Position) -> Next {
        self.top = self.top.max(top);
        match self.tail.on_top(top) {
            TailAction::Gap | TailAction::Reset if self.status == Status::Live => {
                if self.class == DeliveryClass::Volatile {
                    self.recent.clear();
                    self.tail.move_to(top);
                    return Next::Nothing;
                }
                self.status = Status::Repairing;
                Next::Repair
            }
            _ => Next::Nothing,
        }
    }

    /// The backplane has confirmed the subscription; `position` was the newest then. A `latest` channel still needs its
    /// values, all others are live: what they held back comes out.
    pub(crate) fn on_subscribed(&mut self, position: Position) -> Repaired {
        self.tail.move_to(position);
        if self.class == DeliveryClass::Latest {
            self.status = Status::Repairing;
            return Repaired { again: true, ..Repaired::default() };
        }
        let mut repaired = Repaired::default();
        self.release(&mut repaired);
        repaired
    }

    /// A read of the store came back.
    pub(crate) fn on_stored(&mut self, stored: Stored) -> Repaired {
        let mut repaired = Repaired::default();
        match stored {
            Stored::History(history) => {
                if !self.take_history(history, &mut repaired) {
                    return Repaired { again: true, ..repaired };
                }
            }
            Stored::Snapshot(snapshot) => {
                if !self.take_snapshot(snapshot, &mut repaired) {
                    return Repaired { again: true, ..repaired };
                }
            }
        }
        self.release(&mut repaired);
        repaired
    }

    /// Whether the read settles what was missing; if not, it must be repeated.
    fn take_history(&mut self, history: History, repaired: &mut Repaired) -> bool {
        let at = self.tail.position();
        if history.top.epoch != at.epoch {
            // An older epoch comes from a store that is behind; a newer one begins at its offset 0 and is read from there.
            if history.top.epoch > at.epoch {
                let start = Position::new(history.top.epoch, 0);
                self.begin_epoch(start, repaired);
                return history.top == start;
            }
            return false;
        }
        let missing = |publication: &&Arc<Publication>| publication.position.is_some_and(|position| position > at);
        let first = history.publications.iter().find(missing).and_then(|publication| publication.position);
        if !history.complete && history.top > at {
            let before = first.map_or(history.top, |first| Position::new(first.epoch, first.offset - 1));
            if before > at {
                repaired.reset = Some((before, ResetReason::HistoryTrimmed));
                self.recent.clear();
            }
        }
        for publication in history.publications {
            let Some(position) = publication.position.filter(|&position| position > self.tail.position()) else {
                continue;
            };
            self.tail.move_to(position);
            self.delivered(&publication);
            repaired.deliver.push(publication);
        }
        self.tail.move_to(self.tail.position().max(history.top));
        true
    }

    fn take_snapshot(&mut self, snapshot: Snapshot, repaired: &mut Repaired) -> bool {
        let at = self.tail.position();
        if snapshot.top.epoch < at.epoch {
            return false;
        }
        if snapshot.top.epoch > at.epoch {
            self.begin_epoch(Position::new(snapshot.top.epoch, 0), repaired);
        }
        let at = self.tail.position();
        for publication in snapshot.publications {
            let is_new = publication.position.is_some_and(|position| position > at);
            self.set_value(&publication);
            if is_new {
                repaired.deliver.push(publication);
            }
        }
        self.tail.move_to(at.max(snapshot.top));
        true
    }

    fn begin_epoch(&mut self, start: Position, repaired: &mut Repaired) {
        self.tail.move_to(start);
        self.recent.clear();
        self.values.clear();
        repaired.reset = Some((start, ResetReason::HistoryLost));
    }

    /// Goes live and runs what was held back; a further hole begins a further repair.
    fn release(&mut self, repaired: &mut Repaired) {
        self.status = Status::Live;
        for publication in std::mem::take(&mut self.held) {
            match self.on_publication(&publication) {
                Next::Deliver => repaired.deliver.push(publication),
                Next::Repair => repaired.again = true,
                Next::Nothing => {}
            }
        }
        if self.status == Status::Live && self.on_top(self.top) == Next::Repair {
            repaired.again = true;
        }
    }

    fn hold(&mut self, publication: &Arc<Publication>) {
        if self.held.len() >= HELD_MAX {
            self.held = Vec::new();
        }
        if let Some(position) = publication.position {
            self.top = self.top.max(position);
        }
        self.held.push(publication.clone());
    }

    fn delivered(&mut self, publication: &Arc<Publication>) {
        if self.class == DeliveryClass::Latest {
            self.set_value(publication);
        } else if self.recent_max > 0 {
            if self.recent.len() >= self.recent_max {
                self.recent.pop_front();
            }
            self.recent.push_back(publication.clone());
        }
    }

    fn set_value(&mut self, publication: &Arc<Publication>) {
        let key = publication.key.as_deref().unwrap_or_default();
        if let Some(value) = self.values.get_mut(key) {
            if value.position <= publication.position {
                *value = publication.clone();
            }
        } else if self.values.len() < LATEST_KEYS_MAX {
            self.values.insert(key.into(), publication.clone());
        }
    }

    /// The current value of `key` in a `latest` channel.
    pub(crate) fn value(&self, key: Option<&str>) -> Option<&Arc<Publication>> {
        self.values.get(key.unwrap_or_default())
    }

    /// Current values, oldest change first.
    pub(crate) fn values(&self, now_ms: u64) -> Vec<Arc<Publication>> {
        let mut values: Vec<_> = self.values.values().filter(|value| !is_expired(value, now_ms)).cloned().collect();
        values.sort_unstable_by_key(|value| value.position);
        values
    }

    /// Every message after `since` up to the tail, if they are remembered.
    pub(crate) fn recent_since(&self, since: Position, now_ms: u64) -> Option<Vec<Arc<Publication>>> {
        let at = self.tail.position();
        if since == at {
            return Some(Vec::new());
        }
        if since.epoch != at.epoch || since > at {
            return None;
        }
        let first = self.recent.front()?.position?;
        if first > since.next() {
            return None;
        }
        let wanted = |publication: &&Arc<Publication>| {
            publication.position.is_some_and(|position| position > since) && !is_expired(publication, now_ms)
        };
        Some(self.recent.iter().filter(wanted).cloned().collect())
    }

    /// Joins what a read of the store gave to what was delivered since: every message after `since` up to the tail, and
    /// whether none is missing. `None`: the read is too old to be joined, or of another epoch, or the newcomer has seen what
    /// the stream has not (another node was faster), so that a part of it would come to them again; read again.
    pub(crate) fn splice(
        &self,
        since: Option<Position>,
        history: &History,
        now_ms: u64,
    ) -> Option<(Vec<Arc<Publication>>, bool)> {
        let at = self.tail.position();
        let is_ahead = since.is_some_and(|since| since.epoch == at.epoch && since > at && since <= history.top);
        if history.top.epoch != at.epoch || is_ahead {
            return None;
        }
        let in_range = |publication: &&Arc<Publication>| {
            publication.position.is_some_and(|position| since.is_none_or(|since| position > since) && position <= at)
        };
        let mut messages: Vec<_> = history.publications.iter().filter(in_range).cloned().collect();
        if history.top < at {
            messages.extend(self.recent_since(history.top, now_ms)?);
        }
        let recovered = since.is_some_and(|since| {
            let oldest = history.publications.first().and_then(|publication| publication.position);
            since.epoch == history.top.epoch
                && since <= at.max(history.top)
                && (history.complete || oldest.is_some_and(|oldest| oldest <= since.next()))
        });
        Some((messages, recovered))
    }
}

/// Whether a message must not be delivered any more.
pub(crate) fn is_expired(publication: &Publication, now_ms: u64) -> bool {
    publication.expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= now_ms)
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
