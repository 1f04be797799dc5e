//! What breaks, when, for how long: decided by a seed before anything starts.
//!
//! A run is rounds. A round is a storm, in which faults overlap, and a quiet phase, in which everything is mended and the
//! cluster must come back by itself. Kinds of faults are dealt from a shuffled deck, so that each comes up before one comes
//! again; of the faults that touch Redis itself there is one a storm, since two at once may be more than Redis survives.

use std::{fmt, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde::{Serialize, Serializer};

use super::proxy::{Cut, Flow};

/// From the start to the first fault: the load is steady by then.
const LEAD: Duration = Duration::from_secs(5);
/// How long a storm lasts, the mending of its last fault apart.
const STORM: Duration = Duration::from_secs(22);
/// How long a quiet phase lasts: three times what presence may take.
const QUIET: Duration = Duration::from_secs(16);
/// Faults of a storm: two storms deal all that touch no Redis server.
const FAULTS_A_STORM: usize = 8;
/// Shortest and longest fault, ms.
const FAULT_MS: std::ops::Range<u64> = 1_500..6_000;

/// What stands where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// One primary, two replicas, three Sentinels.
    Sentinel,
    /// A Redis Cluster of three masters.
    Cluster,
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
        })
    }
}

/// Edges, emitters and Redis servers of a fleet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) edges: usize,
    pub(crate) emitters: usize,
    pub(crate) redis: usize,
}

/// Who talks to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Edge(usize),
    Emitter(usize),
}

/// One data server of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RedisNode {
    /// Whoever the Sentinels call master when it happens.
    Primary,
    /// One of the others, counted from the master.
    Replica(usize),
    /// A master of the cluster.
    Master(usize),
}

/// What happens to a link for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkFault {
    /// Connections end now, and new ones are refused meanwhile if `down`.
    Cut { cut: Cut, down: bool },
    /// Towards the server nothing passes.
    StallUp,
    /// Towards the client nothing passes.
    StallDown,
    /// Nothing passes at all.
    StallBoth,
    /// Both ways this much later.
    Delay(Duration),
    /// Both ways at most this many bytes a second.
    Slow(u32),
}

impl LinkFault {
    /// What the two directions do meanwhile: up, down.
    pub(crate) fn flows(self) -> (Flow, Flow) {
        match self {
            Self::Cut { .. } => (Flow::Open, Flow::Open),
            Self::StallUp => (Flow::Stalled, Flow::Open),
            Self::StallDown => (Flow::Open, Flow::Stalled),
            Self::StallBoth => (Flow::Stalled, Flow::Stalled),
            Self::Delay(by) => (Flow::Delayed(by), Flow::Delayed(by)),
            Self::Slow(bytes_per_s) => (Flow::Slow { bytes_per_s }, Flow::Slow { bytes_per_s }),
        }
    }
}

/// One thing that breaks; it is mended when its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9`, and a start after it.
    Kill(Service),
    /// SIGSTOP, and SIGCONT after it.
    Freeze(Service),
    /// SIGTERM, and a start when it has ended by itself.
    Drain(usize),
    /// `kill -9` of Redis, and a start after it.
    KillRedis(RedisNode),
    /// SIGSTOP of Redis: what follows is a failover, where there is someone to fail over to.
    FreezeRedis(RedisNode),
    /// All links of a service with Redis, the Sentinels included.
    RedisLink(Service, LinkFault),
    /// Links between the load balancer and an edge, for a share of the connections.
    ClientLink { edge: usize, fault: LinkFault, percent: u64 },
    /// Redis cuts whoever lets its tiny output buffer fill.
    TinyRedisBuffers,
    /// Clients that stop reading a busy channel.
    StuckReaders { edge: usize },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(service) => write!(f, "kill -9 {service:?}"),
            Self::Freeze(service) => write!(f, "SIGSTOP {service:?}"),
            Self::Drain(edge) => write!(f, "SIGTERM Edge({edge})"),
            Self::KillRedis(node) => write!(f, "kill -9 Redis {node:?}"),
            Self::FreezeRedis(node) => write!(f, "SIGSTOP Redis {node:?}"),
            Self::RedisLink(service, fault) => write!(f, "{service:?} to Redis: {fault:?}"),
            Self::ClientLink { edge, fault, percent } => {
                write!(f, "{percent} % of the clients' links with Edge({edge}): {fault:?}")
            }
            Self::TinyRedisBuffers => f.write_str("Redis: client-output-buffer-limit pubsub 16 KB"),
            Self::StuckReaders { edge } => write!(f, "clients that stop reading at Edge({edge})"),
        }
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Fault {
    /// Whether Redis itself loses a server: at most one at a time.
    pub(crate) fn hits_redis(&self) -> bool {
        matches!(self, Self::KillRedis(_) | Self::FreezeRedis(_))
    }
}

/// A fault at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// After the start.
    pub(crate) at: Duration,
    /// Until it is mended.
    pub(crate) lasts: Duration,
    pub(crate) fault: Fault,
}

/// A storm's faults, and the time from which all of them shall be mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) steps: Vec<Step>,
    /// After the start.
    pub(crate) quiet_from: Duration,
    /// How long nothing breaks then.
    pub(crate) quiet: Duration,
}

/// The whole of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) rounds: Vec<Round>,
}

impl Schedule {
    /// As many rounds as fit into `length`, one at least.
    pub(crate) fn new(seed: u64, length: Duration, topology: Topology, counts: Counts) -> Self {
        let mut dealer = Dealer { rng: StdRng::seed_from_u64(seed), topology, counts, deck: Vec::new(), drained: 0 };
        let round = STORM + Duration::from_millis(FAULT_MS.end) + QUIET;
        let count = (length.saturating_sub(LEAD).as_millis() / round.as_millis()).max(1);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Self { rounds: (0..count).map(|number| dealer.round(LEAD + round * number)).collect() }
    }

    /// Faults in all.
    pub(crate) fn fault_count(&self) -> usize {
        self.rounds.iter().map(|round| round.steps.len()).sum()
    }
}

struct Dealer {
    rng: StdRng,
    topology: Topology,
    counts: Counts,
    deck: Vec<Card>,
    /// The edge that drains in this round: its process is left alone otherwise, or the drain could not be judged.
    drained: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Card {
    KillEdge,
    FreezeEdge,
    DrainEdge,
    KillEmitter,
    FreezeEmitter,
    KillRedis,
    KillReplica,
    FreezeRedis,
    CutRedisLink,
    StallRedisLink,
    SlowRedisLink,
    CutClients,
    StallClients,
    SlowClients,
    TinyRedisBuffers,
    StuckReaders,
}

impl Card {
    const ALL: [Self; 16] = [
        Self::KillEdge,
        Self::FreezeEdge,
        Self::DrainEdge,
        Self::KillEmitter,
        Self::FreezeEmitter,
        Self::KillRedis,
        Self::KillReplica,
        Self::FreezeRedis,
        Self::CutRedisLink,
        Self::StallRedisLink,
        Self::SlowRedisLink,
        Self::CutClients,
        Self::StallClients,
        Self::SlowClients,
        Self::TinyRedisBuffers,
        Self::StuckReaders,
    ];

    fn hits_redis(self) -> bool {
        matches!(self, Self::KillRedis | Self::KillReplica | Self::FreezeRedis)
    }
}

impl Dealer {
    fn round(&mut self, from: Duration) -> Round {
        let mut cards: Vec<Card> = Vec::new();
        while cards.len() < FAULTS_A_STORM {
            let has_redis = cards.iter().any(|card| card.hits_redis());
            let card = self.next_card(|card| !(cards.contains(&card) || has_redis && card.hits_redis()));
            cards.push(card);
        }
        self.drained = self.rng.random_range(0..self.counts.edges);
        let gap = STORM / u32::try_from(FAULTS_A_STORM).unwrap_or(1);
        let steps = cards.into_iter().zip(0..).map(|(card, number)| {
            let at = from + gap * number + gap.mul_f64(self.rng.random::<f64>() / 2.0);
            let lasts = Duration::from_millis(self.rng.random_range(FAULT_MS));
            Step { at, lasts, fault: self.fault(card) }
        });
        let steps = steps.collect();
        let quiet_from = from + STORM + Duration::from_millis(FAULT_MS.end);
        Round { steps, quiet_from, quiet: QUIET }
    }

    /// The deck's next card that fits; those passed over stay for the next round.
    fn next_card(&mut self, fits: impl Fn(Card) -> bool) -> Card {
        if !self.deck.iter().any(|&card| fits(card)) {
            let mut fresh = Card::ALL.to_vec();
            fresh.shuffle(&mut self.rng);
            // Below what is left, so that it goes first.
            fresh.append(&mut self.deck);
            self.deck = fresh;
        }
        let at = self.deck.iter().rposition(|&card| fits(card)).unwrap_or(0);
        self.deck.remove(at)
    }

    fn fault(&mut self, card: Card) -> Fault {
        let other = self.rng.random_range(1..self.counts.edges);
        let edge = (self.drained + other) % self.counts.edges;
        let emitter = self.rng.random_range(0..self.counts.emitters);
        let service = if self.rng.random_bool(0.75) { Service::Edge(edge) } else { Service::Emitter(emitter) };
        let node = self.rng.random_range(0..self.counts.redis);
        let percent = self.rng.random_range(20..=100);
        let clients = |fault| Fault::ClientLink { edge, fault, percent };
        match card {
            Card::KillEdge => Fault::Kill(Service::Edge(edge)),
            Card::FreezeEdge => Fault::Freeze(Service::Edge(edge)),
            Card::DrainEdge => Fault::Drain(self.drained),
            Card::KillEmitter => Fault::Kill(Service::Emitter(emitter)),
            Card::FreezeEmitter => Fault::Freeze(Service::Emitter(emitter)),
            Card::KillRedis => Fault::KillRedis(self.node(node, RedisNode::Primary)),
            Card::KillReplica => Fault::KillRedis(self.node(node, RedisNode::Replica(node % 2))),
            Card::FreezeRedis => Fault::FreezeRedis(self.node(node, RedisNode::Primary)),
            Card::CutRedisLink => Fault::RedisLink(service, self.cut()),
            Card::StallRedisLink => Fault::RedisLink(service, self.stall()),
            Card::SlowRedisLink => Fault::RedisLink(service, self.slow()),
            Card::CutClients => clients(self.cut()),
            Card::StallClients => clients(self.stall()),
            Card::SlowClients => clients(self.slow()),
            Card::TinyRedisBuffers => Fault::TinyRedisBuffers,
            Card::StuckReaders => Fault::StuckReaders { edge },
        }
    }

    fn node(&self, number: usize, with_sentinels: RedisNode) -> RedisNode {
        match self.topology {
            Topology::Sentinel => with_sentinels,
            Topology::Cluster => RedisNode::Master(number),
        }
    }

    fn cut(&mut self) -> LinkFault {
        let cut = if self.rng.random() { Cut::Close } else { Cut::Reset };
        LinkFault::Cut { cut, down: self.rng.random() }
    }

    fn stall(&mut self) -> LinkFault {
        [LinkFault::StallUp, LinkFault::StallDown, LinkFault::StallBoth][self.rng.random_range(0..3)]
    }

    fn slow(&mut self) -> LinkFault {
        if self.rng.random() {
            LinkFault::Delay(Duration::from_millis(self.rng.random_range(50..800)))
        } else {
            LinkFault::Slow(self.rng.random_range(8_000..64_000))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: Counts = Counts { edges: 3, emitters: 2, redis: 3 };

    fn schedule(seed: u64, minutes: u64, topology: Topology) -> Schedule {
        Schedule::new(seed, Duration::from_secs(60 * minutes), topology, COUNTS)
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_gives_others() {
        for topology in [Topology::Sentinel, Topology::Cluster] {
            assert_eq!(schedule(7, 10, topology), schedule(7, 10, topology));
            assert_ne!(schedule(7, 10, topology), schedule(8, 10, topology));
        }
    }

    #[test]
    fn ten_minutes_have_every_kind_of_fault() {
        let all = schedule(3, 10, Topology::Sentinel);
        let has = |wanted: &dyn Fn(&Fault) -> bool| {
            all.rounds.iter().flat_map(|round| &round.steps).any(|step| wanted(&step.fault))
        };
        assert!(all.fault_count() >= 60, "{}", all.fault_count());
        assert!(has(&|fault| matches!(fault, Fault::Kill(Service::Edge(_)))));
        assert!(has(&|fault| matches!(fault, Fault::Kill(Service::Emitter(_)))));
        assert!(has(&|fault| matches!(fault, Fault::Freeze(_))));
        assert!(has(&|fault| matches!(fault, Fault::Drain(_))));
        assert!(has(&|fault| matches!(fault, Fault::KillRedis(RedisNode::Primary))));
        assert!(has(&|fault| matches!(fault, Fault::KillRedis(RedisNode::Replica(_)))));
        assert!(has(&|fault| matches!(fault, Fault::FreezeRedis(_))));
        assert!(has(&|fault| matches!(fault, Fault::RedisLink(..))));
        assert!(has(&|fault| matches!(fault, Fault::ClientLink { .. })));
        assert!(has(&|fault| matches!(fault, Fault::TinyRedisBuffers)));
        assert!(has(&|fault| matches!(fault, Fault::StuckReaders { .. })));
    }

    #[test]
    fn storms_end_before_their_quiet_phase_and_hit_redis_once() {
        for seed in 0..50 {
            let all = schedule(seed, 10, Topology::Cluster);
            for round in &all.rounds {
                assert!(round.steps.iter().all(|step| step.at + step.lasts <= round.quiet_from), "{round:?}");
                assert!(round.steps.iter().filter(|step| step.fault.hits_redis()).count() <= 1, "{round:?}");
                let faults: Vec<Fault> = round.steps.iter().map(|step| step.fault).collect();
                for edge in 0..COUNTS.edges {
                    let broken = [Fault::Kill(Service::Edge(edge)), Fault::Freeze(Service::Edge(edge))];
                    let is_drained = faults.contains(&Fault::Drain(edge));
                    assert!(!is_drained || !faults.iter().any(|fault| broken.contains(fault)), "{round:?}");
                }
            }
        }
    }

    #[test]
    fn two_storms_have_a_drain_stuck_readers_a_crash_and_a_fault_of_redis() {
        for seed in 0..50 {
            let all = schedule(seed, 2, Topology::Sentinel);
            let has = |wanted: fn(&Fault) -> bool| {
                all.rounds.iter().flat_map(|round| &round.steps).any(|step| wanted(&step.fault))
            };
            assert!(has(|fault| matches!(fault, Fault::Drain(_))), "{seed}");
            assert!(has(|fault| matches!(fault, Fault::StuckReaders { .. })), "{seed}");
            assert!(has(|fault| matches!(fault, Fault::Kill(Service::Edge(_)))), "{seed}");
            assert!(has(Fault::hits_redis), "{seed}");
        }
    }

    #[test]
    fn a_run_of_two_minutes_has_two_rounds_and_the_shortest_has_one() {
        assert_eq!(schedule(1, 2, Topology::Sentinel).rounds.len(), 2);
        assert_eq!(schedule(1, 0, Topology::Sentinel).rounds.len(), 1);
    }
}
