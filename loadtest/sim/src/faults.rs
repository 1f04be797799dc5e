//! What breaks in a storm.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};

use crate::{
    cluster::{Cluster, EDGES, EMITTERS, REDIS},
    journal::Journal,
    oracle::Event,
    redis::Survival,
};

/// Something that breaks and is repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A process dies and is started again.
    Crash(&'static str),
    /// The same, but its peers are not told: its machine went away.
    Vanish(&'static str),
    /// An edge is asked to end (as in a rolling deploy) and is started again.
    Drain(usize),
    /// The store dies and comes back with less.
    Store(Survival),
    /// Nothing passes between two hosts.
    Partition(&'static str, &'static str),
    /// Nothing passes from one to the other.
    PartitionOneWay(&'static str, &'static str),
    /// What is sent between two hosts waits.
    Hold(&'static str, &'static str),
}

/// A fault and when it happens.
#[derive(Debug, Clone)]
pub struct Planned {
    /// From the storm's begin.
    pub at: Duration,
    /// How long until it is repaired.
    pub lasts: Duration,
    /// What.
    pub fault: Fault,
}

/// Draws a storm: faults one after the other, some at once.
pub fn plan(chance: &mut StdRng, storm: Duration, readers: &[&'static str]) -> Vec<Planned> {
    let mut planned = Vec::new();
    let mut at = Duration::from_millis(500);
    while at < storm {
        let lasts = Duration::from_millis(chance.random_range(100..4_000));
        planned.push(Planned { at, lasts, fault: draw(chance, readers) });
        at += Duration::from_millis(chance.random_range(200..3_500));
    }
    // Else every other storm would pass without a store that forgets what it has told already.
    if chance.random() {
        let lost = Survival::Until { ago_ms: chance.random_range(300..1_000) };
        let lasts = Duration::from_millis(chance.random_range(50..500));
        let at = storm.mul_f64(chance.random_range(0.5..0.8));
        planned.push(Planned { at, lasts, fault: Fault::Store(lost) });
        planned.sort_by_key(|planned| planned.at);
    }
    planned
}

fn draw(chance: &mut StdRng, readers: &[&'static str]) -> Fault {
    let backends: Vec<&'static str> = EDGES.into_iter().chain(EMITTERS).collect();
    let backend = *backends.choose(chance).unwrap_or(&REDIS);
    let link = match (chance.random_ratio(2, 3), readers.choose(chance)) {
        (false, Some(reader)) => (*reader, EDGES[chance.random_range(0..EDGES.len())]),
        _ => (backend, REDIS),
    };
    let link = if chance.random() { link } else { (link.1, link.0) };
    match chance.random_range(0..12) {
        0 | 1 => Fault::Crash(EDGES[chance.random_range(0..EDGES.len())]),
        2 => Fault::Vanish(backend),
        3 => Fault::Crash(EMITTERS[chance.random_range(0..EMITTERS.len())]),
        4 => Fault::Drain(chance.random_range(0..EDGES.len())),
        5 | 6 => Fault::Store(match chance.random_range(0..10) {
            0..4 => Survival::All,
            4..9 => Survival::Until { ago_ms: chance.random_range(0..1_000) },
            _ => Survival::Nothing,
        }),
        7 | 8 => Fault::Partition(link.0, link.1),
        9 => Fault::PartitionOneWay(link.0, link.1),
        _ => Fault::Hold(link.0, link.1),
    }
}

impl Fault {
    /// Two faults of one place would repair each other.
    pub fn touches(&self, other: &Self) -> bool {
        let places = |fault: &Self| match fault {
            Self::Crash(host) | Self::Vanish(host) => vec![*host],
            Self::Drain(edge) => vec![EDGES[*edge]],
            Self::Store(_) => vec![REDIS, "store"],
            Self::Partition(a, b) | Self::PartitionOneWay(a, b) | Self::Hold(a, b) => vec![*a, *b],
        };
        let is_store = |fault: &Self| matches!(fault, Self::Store(_));
        let others = places(other);
        // A store that is down does not keep links to it from breaking.
        is_store(self) == is_store(other) && places(self).iter().any(|place| *place != REDIS && others.contains(place))
    }

    /// Breaks it.
    pub fn begin(&self, sim: &mut turmoil::Sim<'static>, cluster: &Cluster, journal: &Journal) {
        journal.tell(Event::Fault(format!("{self:?}")));
        if matches!(self, Self::Crash(host) | Self::Vanish(host) if EMITTERS.contains(host)) {
            journal.tell(Event::PublisherDied);
        }
        match *self {
            Self::Crash(host) => sim.crash(host),
            Self::Vanish(host) => {
                isolate(sim, host, |sim, host, peer| sim.partition(host, peer));
                sim.crash(host);
            }
            Self::Drain(edge) => cluster.drains[edge].borrow().cancel(),
            Self::Store(survival) => {
                let now_ms = u64::try_from(sim.elapsed().as_millis()).unwrap_or(u64::MAX);
                sim.crash(REDIS);
                let written_until_ms = cluster.disk.borrow_mut().crash(survival, now_ms);
                journal.tell(match survival {
                    Survival::All => Event::StoreRestarted,
                    _ => Event::StoreLost { written_until_ms },
                });
            }
            Self::Partition(a, b) => sim.partition(a, b),
            Self::PartitionOneWay(a, b) => sim.partition_oneway(a, b),
            Self::Hold(a, b) => sim.hold(a, b),
        }
    }

    /// Repairs it.
    pub fn end(&self, sim: &mut turmoil::Sim<'static>, journal: &Journal) {
        journal.tell(Event::Fault(format!("repaired: {self:?}")));
        match *self {
            Self::Crash(host) => sim.bounce(host),
            Self::Vanish(host) => {
                isolate(sim, host, |sim, host, peer| sim.repair(host, peer));
                sim.bounce(host);
            }
            Self::Drain(edge) => sim.bounce(EDGES[edge]),
            Self::Store(_) => sim.bounce(REDIS),
            Self::Partition(a, b) => sim.repair(a, b),
            Self::PartitionOneWay(a, b) => sim.repair_oneway(a, b),
            Self::Hold(a, b) => sim.release(a, b),
        }
    }
}

fn isolate(sim: &turmoil::Sim<'static>, host: &str, cut: impl Fn(&turmoil::Sim<'static>, &str, &str)) {
    for peer in crate::scenario::HOSTS.iter().filter(|peer| **peer != host) {
        cut(sim, host, peer);
    }
}
