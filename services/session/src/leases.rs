//! Which sessions this instance writes: those of the partitions whose leases it holds.
//!
//! Of several instances each takes what is free, a few partitions a round from a place of its own on, so that those that start
//! together share. One that dies is replaced after [`TERM`] and a [`ROUND`]; one that stops gives its leases back. The holder's
//! name is its address: other instances pass commands on to it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::distr::{Alphanumeric, SampleString};
use tickwire_backplane::{Backplane, Fence, Taken};
use tickwire_protocol::ChannelName;
use tickwire_trading::SessionId;
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Partitions of the sessions.
pub(crate) const PARTITIONS: usize = 16;
/// How long a lease lasts unless it is prolonged.
const TERM: Duration = Duration::from_secs(3);
/// How often leases are prolonged and tried for.
const ROUND: Duration = Duration::from_millis(700);
/// Free partitions taken in one round.
const TAKEN_MAX: usize = 6;
/// How much sooner than its lease a writer stops: an append that is under way is refused by the fence, not by this.
const MARGIN: Duration = Duration::from_millis(200);

/// Leases of all partitions, as this instance knows them.
#[derive(Debug)]
pub(crate) struct Leases {
    address: String,
    holder: String,
    places: Mutex<Vec<Place>>,
    changed: Notify,
    metrics: Metrics,
}

#[derive(Debug, Clone)]
enum Place {
    Unknown,
    Held { fence: Fence, until: Instant },
    Elsewhere { address: String },
}

/// Who writes a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Writer {
    /// This instance, under this fence.
    Here(Fence),
    /// The instance at this address.
    At(String),
    /// Nobody that this instance knows of.
    Unknown,
}

impl Leases {
    pub(crate) fn new(address: String, metrics: Metrics) -> Arc<Self> {
        let holder = format!("{address} {}", Alphanumeric.sample_string(&mut rand::rng(), 8));
        let places = Mutex::new(vec![Place::Unknown; PARTITIONS]);
        Arc::new(Self { address, holder, places, changed: Notify::new(), metrics })
    }

    /// The partition of a session: FNV-1a of its id, stable over versions.
    pub(crate) fn partition(id: &SessionId) -> usize {
        let hash = id
            .as_str()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        usize::try_from((hash ^ (hash >> 32)) % PARTITIONS as u64).unwrap_or(0)
    }

    pub(crate) fn writer(&self, id: &SessionId) -> Writer {
        match &self.places()[Self::partition(id)] {
            Place::Held { fence, until } if Instant::now() + MARGIN < *until => Writer::Here(*fence),
            Place::Elsewhere { address } if *address != self.address => Writer::At(address.clone()),
            _ => Writer::Unknown,
        }
    }

    /// The same, after waiting for a while where nobody is known.
    pub(crate) async fn known_writer(&self, id: &SessionId, patience: Duration) -> Writer {
        let deadline = Instant::now() + patience;
        loop {
            let changed = self.changed.notified();
            match self.writer(id) {
                Writer::Unknown if Instant::now() < deadline => {
                    // Either way the next look tells.
                    let _late = tokio::time::timeout_at(deadline, changed).await;
                }
                writer => return writer,
            }
        }
    }

    /// What is held, by partition.
    pub(crate) fn held(&self) -> Vec<(usize, Fence)> {
        let now = Instant::now();
        let places = self.places();
        let held = places.iter().enumerate().filter_map(|(at, place)| match place {
            Place::Held { fence, until } if now + MARGIN < *until => Some((at, *fence)),
            _ => None,
        });
        held.collect()
    }

    /// A newer writer was met: what is held of this partition is not.
    pub(crate) fn lost(&self, id: &SessionId) {
        self.places()[Self::partition(id)] = Place::Unknown;
        self.metrics.leases_lost.inc();
    }

    /// Waits until something is held that was not, or is not any more.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes and prolongs until `shutdown`, then gives back.
    pub(crate) async fn keep(self: Arc<Self>, backplane: Arc<dyn Backplane>, shutdown: CancellationToken) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let first = rand::random_range(0..PARTITIONS);
        while shutdown.run_until_cancelled(rounds.tick()).await.is_some() {
            self.prolong(backplane.as_ref()).await;
            self.take(backplane.as_ref(), first).await;
            self.metrics.partitions.set(i64::try_from(self.held().len()).unwrap_or(0));
        }
        let held: Vec<_> = self.held().into_iter().filter_map(|(at, fence)| Some((name(at)?, fence))).collect();
        self.places().fill(Place::Unknown);
        if let Err(error) = backplane.release_leases(&held).await {
            tracing::debug!(%error, "leases end by themselves");
        }
    }

    async fn prolong(&self, backplane: &dyn Backplane) {
        let held: Vec<(usize, ChannelName, Fence)> = {
            let places = self.places();
            let held = places.iter().enumerate().filter_map(|(at, place)| match place {
                Place::Held { fence, .. } => Some((at, name(at)?, *fence)),
                _ => None,
            });
            held.collect()
        };
        if held.is_empty() {
            return;
        }
        // The term counts from before the call: the answer may be late, the store's clock is not.
        let until = Instant::now() + TERM;
        let leases: Vec<_> = held.iter().map(|(_, name, fence)| (name.clone(), *fence)).collect();
        for ((at, _, fence), answer) in held.iter().zip(backplane.renew_leases(&leases, TERM).await) {
            match answer {
                Ok(true) => self.places()[*at] = Place::Held { fence: *fence, until },
                Ok(false) => {
                    self.places()[*at] = Place::Unknown;
                    self.metrics.leases_lost.inc();
                    self.changed.notify_waiters();
                }
                // The term runs out by itself if this goes on.
                Err(error) => tracing::debug!(%error, "a lease was not prolonged"),
            }
        }
    }

    async fn take(&self, backplane: &dyn Backplane, first: usize) {
        let wanted: Vec<(usize, ChannelName)> = {
            let places = self.places();
            let free = (0..PARTITIONS).map(|step| (first + step) % PARTITIONS);
            free.filter(|&at| !matches!(places[at], Place::Held { .. }))
                .filter_map(|at| Some((at, name(at)?)))
                .collect()
        };
        for batch in wanted.chunks(TAKEN_MAX) {
            let until = Instant::now() + TERM;
            let names: Vec<_> = batch.iter().map(|(_, name)| name.clone()).collect();
            let answers = backplane.take_leases(&names, &self.holder, TERM).await;
            let mut is_news = false;
            for ((at, _), answer) in batch.iter().zip(answers) {
                match answer {
                    Ok(Taken::Held(fence)) => {
                        self.places()[*at] = Place::Held { fence, until };
                        is_news = true;
                    }
                    Ok(Taken::Elsewhere { holder, .. }) => {
                        let address = holder.split(' ').next().unwrap_or_default().to_owned();
                        self.places()[*at] = Place::Elsewhere { address };
                    }
                    Err(error) => tracing::debug!(%error, "a lease was not taken"),
                }
            }
            self.changed.notify_waiters();
            if is_news {
                // The others may take the next ones.
                return;
            }
        }
    }

    fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(partition: usize) -> Option<ChannelName> {
    ChannelName::new(&format!("session-writer:{partition}")).ok()
}

#[cfg(test)]
mod tests {
    use tickwire_backplane::memory::MemoryBackplane;

    use super::*;

    #[tokio::test]
    async fn instances_share_the_partitions_and_one_that_stops_is_replaced_at_once() {
        let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
        let start = |address: &str| {
            let leases = Leases::new(address.to_owned(), Metrics::default());
            let stop = CancellationToken::new();
            let task = tokio::spawn(Arc::clone(&leases).keep(Arc::clone(&backplane), stop.clone()));
            (leases, stop, task)
        };
        let (one, stop, task) = start("http://one");
        let (two, _stop, _task) = start("http://two");
        let deadline = Instant::now() + Duration::from_secs(30);
        while one.held().len() + two.held().len() < PARTITIONS {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(!one.held().is_empty() && !two.held().is_empty());
        let ids = (0..64).filter_map(|number| SessionId::new(&format!("s{number}")).ok());
        for id in ids {
            let writers = [one.known_writer(&id, TERM).await, two.known_writer(&id, TERM).await];
            assert!(writers.iter().filter(|writer| matches!(writer, Writer::Here(_))).count() == 1, "{writers:?}");
        }
        stop.cancel();
        task.await.unwrap();
        while two.held().len() < PARTITIONS {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
