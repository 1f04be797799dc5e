//! Which subscriber of this process wants which channel, and the bounded queues to them.
//!
//! Both backplanes deliver through one [`FanIn`]. It knows nothing of stores or sockets: it tells its caller when a channel
//! gains its first and loses its last subscriber, and the caller tells the store.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use tickwire_protocol::ChannelName;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::{Count, Signal, Subscriber, SubscriberId};

/// The registry of a process's subscribers. All methods are short, synchronous and callable from any thread.
#[derive(Debug, Default)]
pub struct FanIn {
    seats: RwLock<Seats>,
    ids: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
    lagged: AtomicU64,
}

/// What [`FanIn::add`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// Nobody wanted the channel before: the store must be asked for it.
    First,
    /// Others want it already, or the same subscriber does.
    Joined,
    /// No such subscriber, or its receiving end was dropped.
    UnknownSubscriber,
}

/// Counters and sizes, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FanInStats {
    /// Receiving ends.
    pub subscribers: u64,
    /// Channels with at least one subscriber.
    pub channels: u64,
    /// Signals queued since start.
    pub delivered: u64,
    /// Signals dropped at a full queue since start.
    pub dropped: u64,
    /// [`Signal::Lagged`] queued since start.
    pub lagged: u64,
}

impl FanInStats {
    /// Those that only grow.
    pub fn counts(&self) -> [Count; 3] {
        let count = |name, help, value| Count { name, help, class: None, value };
        [
            count("signals", "Signals queued for shards", self.delivered),
            count("signals_dropped", "Signals dropped at a shard's full queue", self.dropped),
            count("signal_overflows", "Overflows of a shard's queue, each announced to it", self.lagged),
        ]
    }
}

#[derive(Debug, Default)]
struct Seats {
    by_id: HashMap<SubscriberId, Arc<Seat>>,
    /// Few subscribers (one per core) share many channels: a list is scanned faster than a set is hashed.
    by_channel: HashMap<ChannelName, Vec<Arc<Seat>>, ahash::RandomState>,
}

/// The sending end of one subscriber.
#[derive(Debug)]
struct Seat {
    id: SubscriberId,
    sender: mpsc::Sender<Signal>,
    /// A slot of the queue held back for [`Signal::Lagged`], so that it stands exactly where signals are missing and needs
    /// no later delivery to push it. `None` from its use until two slots are free, one for the next signal and one to hold
    /// back. Until then nothing is queued behind the `Lagged`, so it is still unread and speaks for what is dropped too.
    reserve: Mutex<Option<mpsc::OwnedPermit<Signal>>>,
}

#[derive(Clone, Copy)]
enum Outcome {
    Queued,
    Dropped,
    DroppedFirst,
    Closed,
}

impl FanIn {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new receiving end with room for `capacity` signals (at least 1), subscribed to nothing.
    pub fn subscriber(&self, capacity: usize) -> Subscriber {
        let id = SubscriberId(self.ids.fetch_add(1, Ordering::Relaxed) + 1);
        let (sender, signals) = mpsc::channel(capacity.max(1) + 1);
        let reserve = Mutex::new(sender.clone().try_reserve_owned().ok());
        self.write().by_id.insert(id, Arc::new(Seat { id, sender, reserve }));
        Subscriber { id, signals }
    }

    /// From now on `subscriber` receives what is delivered to `channel`.
    pub fn add(&self, subscriber: SubscriberId, channel: &ChannelName) -> Added {
        let mut seats = self.write();
        let Some(seat) = seats.by_id.get(&subscriber).filter(|seat| !seat.sender.is_closed()).cloned() else {
            return Added::UnknownSubscriber;
        };
        let Some(present) = seats.by_channel.get_mut(channel.as_str()) else {
            seats.by_channel.insert(channel.clone(), vec![seat]);
            return Added::First;
        };
        if !present.iter().any(|other| other.id == subscriber) {
            present.push(seat);
        }
        Added::Joined
    }

    /// Whether `subscriber` receives what is delivered to `channel`.
    pub fn has(&self, subscriber: SubscriberId, channel: &str) -> bool {
        let seats = self.read();
        seats.by_channel.get(channel).is_some_and(|present| present.iter().any(|seat| seat.id == subscriber))
    }

    /// Ends it; true if nobody wants `channel` any more (and somebody did).
    pub fn remove(&self, subscriber: SubscriberId, channel: &ChannelName) -> bool {
        let mut seats = self.write();
        let Some(present) = seats.by_channel.get_mut(channel.as_str()) else { return false };
        present.retain(|seat| seat.id != subscriber);
        let last = present.is_empty();
        if last {
            seats.by_channel.remove(channel.as_str());
        }
        last
    }

    /// Queues `signal` for every subscriber of `channel`; never waits.
    pub fn deliver(&self, channel: &str, signal: &Signal) {
        if let Some(present) = self.read().by_channel.get(channel) {
            for seat in present {
                self.count(seat.offer(signal));
            }
        }
    }

    /// Queues `signal` for every subscriber of this process, whatever it subscribed to; never waits.
    pub fn deliver_to_all(&self, signal: &Signal) {
        for seat in self.read().by_id.values() {
            self.count(seat.offer(signal));
        }
    }

    /// Whether anyone wants `channel`: look before decoding a message for nobody.
    pub fn is_wanted(&self, channel: &str) -> bool {
        self.read().by_channel.contains_key(channel)
    }

    /// All channels with a subscriber, in no order: what a new connection to the store has to ask for.
    pub fn channels(&self) -> Vec<ChannelName> {
        self.read().by_channel.keys().cloned().collect()
    }

    /// Forgets subscribers whose receiving end was dropped. Returns the channels that nobody wants any more. Call it now and
    /// then: until the next call a dropped subscriber costs its map entries, nothing else.
    pub fn sweep(&self) -> Vec<ChannelName> {
        if !self.read().by_id.values().any(|seat| seat.sender.is_closed()) {
            return Vec::new();
        }
        let mut orphaned = Vec::new();
        let mut seats = self.write();
        seats.by_id.retain(|_, seat| !seat.sender.is_closed());
        seats.by_channel.retain(|channel, present| {
            present.retain(|seat| !seat.sender.is_closed());
            if present.is_empty() {
                orphaned.push(channel.clone());
            }
            !present.is_empty()
        });
        orphaned
    }

    /// Counters and sizes now.
    pub fn stats(&self) -> FanInStats {
        let seats = self.read();
        FanInStats {
            subscribers: seats.by_id.len() as u64,
            channels: seats.by_channel.len() as u64,
            delivered: self.delivered.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            lagged: self.lagged.load(Ordering::Relaxed),
        }
    }

    fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Queued => &self.delivered,
            Outcome::Dropped => &self.dropped,
            Outcome::DroppedFirst => {
                self.lagged.fetch_add(1, Ordering::Relaxed);
                &self.dropped
            }
            Outcome::Closed => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    // No code panics while it holds the lock, and every state between two statements is a valid one.
    fn read(&self) -> RwLockReadGuard<'_, Seats> {
        self.seats.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Seats> {
        self.seats.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn offer(&self, signal: &Signal) -> Outcome {
        let mut reserve = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        if reserve.is_none() {
            if self.sender.capacity() < 2 && !self.sender.is_closed() {
                return Outcome::Dropped;
            }
            match self.sender.clone().try_reserve_owned() {
                Ok(permit) => *reserve = Some(permit),
                Err(TrySendError::Full(_)) => return Outcome::Dropped,
                Err(TrySendError::Closed(_)) => return Outcome::Closed,
            }
        }
        match self.sender.try_reserve() {
            Ok(permit) => {
                permit.send(signal.clone());
                Outcome::Queued
            }
            Err(TrySendError::Closed(())) => Outcome::Closed,
            Err(TrySendError::Full(())) => {
                if let Some(permit) = reserve.take() {
                    permit.send(Signal::Lagged);
                }
                Outcome::DroppedFirst
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::Position;

    fn channel(name: &str) -> ChannelName {
        ChannelName::new(name).unwrap()
    }

    fn top(offset: u64) -> Signal {
        Signal::Top { channel: channel("a"), position: Position::new(1, offset) }
    }

    fn drain(subscriber: &mut Subscriber) -> Vec<Option<u64>> {
        let mut offsets = Vec::new();
        while let Ok(signal) = subscriber.signals.try_recv() {
            offsets.push(match signal {
                Signal::Top { position, .. } => Some(position.offset),
                _ => None,
            });
        }
        offsets
    }

    #[test]
    fn first_and_last_interest_are_reported_once() {
        let fan_in = FanIn::new();
        let (one, two) = (fan_in.subscriber(4), fan_in.subscriber(4));
        assert_eq!(fan_in.add(one.id, &channel("a")), Added::First);
        assert_eq!(fan_in.add(one.id, &channel("a")), Added::Joined);
        assert_eq!(fan_in.add(two.id, &channel("a")), Added::Joined);
        assert!(!fan_in.remove(one.id, &channel("a")));
        assert!(!fan_in.remove(one.id, &channel("a")));
        assert!(fan_in.remove(two.id, &channel("a")));
        assert!(!fan_in.remove(two.id, &channel("a")));
        assert!(!fan_in.is_wanted("a"));
    }

    #[test]
    fn only_subscribers_of_the_channel_receive() {
        let fan_in = FanIn::new();
        let (mut one, mut two) = (fan_in.subscriber(4), fan_in.subscriber(4));
        fan_in.add(one.id, &channel("a"));
        fan_in.add(two.id, &channel("b"));
        fan_in.deliver("a", &top(1));
        assert_eq!(drain(&mut one), [Some(1)]);
        assert_eq!(drain(&mut two), []);
        fan_in.deliver_to_all(&top(2));
        assert_eq!(drain(&mut one), [Some(2)]);
        assert_eq!(drain(&mut two), [Some(2)]);
    }

    #[test]
    fn one_lagged_stands_where_signals_are_missing() {
        let fan_in = FanIn::new();
        let mut slow = fan_in.subscriber(2);
        fan_in.add(slow.id, &channel("a"));
        for offset in 1..=5 {
            fan_in.deliver("a", &top(offset));
        }
        assert_eq!(drain(&mut slow), [Some(1), Some(2), None]);
        assert_eq!(fan_in.stats().dropped, 3);
        assert_eq!(fan_in.stats().lagged, 1);
        fan_in.deliver("a", &top(6));
        assert_eq!(drain(&mut slow), [Some(6)]);
    }

    #[test]
    fn a_second_overflow_gets_its_own_lagged() {
        let fan_in = FanIn::new();
        let mut slow = fan_in.subscriber(1);
        fan_in.add(slow.id, &channel("a"));
        for round in 0..3 {
            fan_in.deliver("a", &top(round));
            fan_in.deliver("a", &top(99));
            fan_in.deliver("a", &top(99));
            assert_eq!(drain(&mut slow), [Some(round), None]);
        }
        assert_eq!(fan_in.stats().lagged, 3);
    }

    #[test]
    fn an_unread_lagged_speaks_for_later_losses_too() {
        let fan_in = FanIn::new();
        let mut slow = fan_in.subscriber(2);
        fan_in.add(slow.id, &channel("a"));
        for offset in 1..=4 {
            fan_in.deliver("a", &top(offset));
        }
        assert!(slow.signals.try_recv().is_ok());
        fan_in.deliver("a", &top(5));
        assert!(slow.signals.try_recv().is_ok());
        fan_in.deliver("a", &top(6));
        fan_in.deliver("a", &top(7));
        assert_eq!(drain(&mut slow), [None, Some(6), None]);
    }

    #[test]
    fn a_dropped_subscriber_is_swept_with_its_channels() {
        let fan_in = FanIn::new();
        let (one, mut two) = (fan_in.subscriber(4), fan_in.subscriber(4));
        fan_in.add(one.id, &channel("a"));
        fan_in.add(one.id, &channel("b"));
        fan_in.add(two.id, &channel("b"));
        assert_eq!(fan_in.sweep(), []);
        let id = one.id;
        drop(one);
        fan_in.deliver("b", &top(1));
        assert_eq!(drain(&mut two), [Some(1)]);
        assert_eq!(fan_in.add(id, &channel("c")), Added::UnknownSubscriber);
        assert_eq!(fan_in.sweep(), [channel("a")]);
        assert_eq!(fan_in.channels(), [channel("b")]);
        assert_eq!(fan_in.stats().subscribers, 1);
    }

    /// Several publishers against a reader that falls behind: wherever one's signals have a hole, a `Lagged` stands in it.
    #[test]
    fn no_loss_is_unannounced_however_publishers_and_reader_race() {
        const PUBLISHERS: u64 = 4;
        const SIGNALS: u64 = 5_000;
        let fan_in = FanIn::new();
        let mut reader = fan_in.subscriber(3);
        fan_in.add(reader.id, &channel("a"));
        let mut seen = HashMap::new();
        std::thread::scope(|scope| {
            for publisher in 0..PUBLISHERS {
                let fan_in = &fan_in;
                scope.spawn(move || {
                    for offset in 1..=SIGNALS {
                        let position = Position::new(publisher, offset);
                        fan_in.deliver("a", &Signal::Top { channel: channel("a"), position });
                    }
                });
            }
            // More is published than fits, so this comes; without it a fast reader may never fall behind.
            while fan_in.stats().dropped == 0 {
                std::hint::spin_loop();
            }
            let (mut ended, mut lags) = (false, 0_u64);
            while !ended {
                ended = fan_in.stats().delivered + fan_in.stats().dropped == PUBLISHERS * SIGNALS;
                while let Ok(signal) = reader.signals.try_recv() {
                    match signal {
                        Signal::Lagged => lags += 1,
                        Signal::Top { position, .. } => {
                            let (last, lags_then) =
                                seen.insert(position.epoch, (position.offset, lags)).unwrap_or((0, 0));
                            assert!(position.offset > last);
                            if position.offset > last + 1 {
                                assert!(lags > lags_then, "after {last} of publisher {}", position.epoch);
                            }
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
            for (last, lags_then) in seen.values() {
                assert!(*last == SIGNALS || lags > *lags_then, "a loss at the end");
            }
        });
        let stats = fan_in.stats();
        assert_eq!(stats.delivered + stats.dropped, PUBLISHERS * SIGNALS);
    }
}
