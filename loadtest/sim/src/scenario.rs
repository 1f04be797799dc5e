//! One run: who takes part, and its phases.

use std::{cell::Cell, rc::Rc, time::Duration};

use rand::{SeedableRng, rngs::StdRng};

use crate::{
    cluster::{Cluster, Phase, Stage},
    faults::{self, Fault, Planned},
    hosts::{
        crowd, operator,
        publisher::{self, Flow},
        reader::{self, Profile},
        stuck,
    },
    journal::Journal,
    mutations::Mutation,
    oracle::{Event, Reader, Violation},
    world,
};

const START: Duration = Duration::from_secs(2);
const STORM: Duration = Duration::from_secs(20);
const HEAL: Duration = Duration::from_secs(14);
const LIVENESS: Duration = Duration::from_secs(3);
/// How long an edge may drain, and what that takes beyond it.
const DRAIN: Duration = Duration::from_secs(3);
/// The edge that is drained, and that a reader gets stuck at.
const BUSY: usize = 1;
const SETTLE: Duration = Duration::from_secs(5);
const AUDIT: Duration = Duration::from_secs(8);
/// From the crash of a node to the end of its presence.
const LEASE: Duration = Duration::from_secs(10);

/// Every host, for those who cut one off from all others.
pub const HOSTS: [&str; 21] = [
    "redis",
    "edge-0",
    "edge-1",
    "edge-2",
    "emitter-0",
    "emitter-1",
    "anna",
    "boris",
    "clara",
    "device",
    "mallory",
    "stranger",
    "ghost",
    "crowd",
    "stuck",
    "trader",
    "seller",
    "quotes",
    "alarm",
    "operator",
    "auditor",
];
/// In seeds with such a remainder the store has replicas, and alerts wait for them. The kept seeds are of the other kind.
const REPLICATED: [u64; 4] = [0, 3, 5, 6];
const ROOM: &str = "room:floor";
/// What everyone of the desk reads.
const DESK: &[&str] = &["session:a", "orders", "prices:BTC", ROOM];

const READERS: [Profile; 7] = [
    Profile::desk("anna", 0, DESK),
    Profile::desk("boris", 1, DESK),
    Profile { acknowledges: true, ..Profile::desk("clara", 2, &["session:a", "prices:BTC", "user:clara", ROOM]) },
    Profile { user: Some("clara"), ..Profile::desk("device", 0, &["user:clara"]) },
    Profile::desk("mallory", 1, &["session:a", "orders"]),
    Profile { roles: &[], grants: &[], ..Profile::desk("stranger", 2, &["session:a", "orders", "user:clara"]) },
    // Knows one edge only, and vanishes with it.
    Profile { edges: 1, ..Profile::desk("ghost", 0, &[ROOM]) },
];
/// Programs at the edge that is drained.
const CROWD: [Profile; 8] = [
    Profile::desk("crowd-0", BUSY, CROWDED),
    Profile::desk("crowd-1", BUSY, CROWDED),
    Profile::desk("crowd-2", BUSY, CROWDED),
    Profile::desk("crowd-3", BUSY, CROWDED),
    Profile::desk("crowd-4", BUSY, CROWDED),
    Profile::desk("crowd-5", BUSY, CROWDED),
    Profile::desk("crowd-6", BUSY, CROWDED),
    Profile::desk("crowd-7", BUSY, CROWDED),
];
const CROWDED: &[&str] = &["session:a", "orders", "prices:BTC"];
const FLOWS: [(&str, Flow); 4] = [
    ("trader", Flow::Reliable("session:a")),
    ("seller", Flow::Reliable("orders")),
    ("quotes", Flow::Latest("prices:BTC", "BTC")),
    ("alarm", Flow::Inbox("clara")),
];

/// What a run found.
#[derive(Debug)]
pub struct Outcome {
    /// What was broken, in order.
    pub violations: Vec<Violation>,
    /// Every event, a line each.
    pub log: String,
    /// Counts.
    pub summary: String,
}

struct Director {
    sim: turmoil::Sim<'static>,
    cluster: Cluster,
    journal: Journal,
    stage: Stage,
    /// Faults that last, and until when.
    broken: Vec<(Duration, Fault)>,
}

/// Runs `seed`. Once a process: what is global (clocks, chance) belongs to the seed.
pub fn run(seed: u64, mutation: Option<&'static Mutation>) -> Outcome {
    let mut director = Director::new(seed, mutation);
    let mut chance = StdRng::seed_from_u64(seed ^ 0x5eed);
    let result = director.play(&mut chance);
    if let Err(error) = result {
        director.journal.tell(Event::Fault(format!("a host failed: {error}")));
        let at_ms = u64::try_from(director.sim.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut violations = director.journal.violations();
        violations.push(Violation { promise: "G11", at_ms, what: format!("a host failed: {error}") });
        return Outcome { violations, log: director.journal.log(), summary: director.journal.summary() };
    }
    Outcome {
        violations: director.journal.violations(),
        log: director.journal.log(),
        summary: director.journal.summary(),
    }
}

impl Director {
    fn new(seed: u64, mutation: Option<&'static Mutation>) -> Self {
        let mut sim = world::begin(seed);
        let is_replicated = REPLICATED.contains(&(seed % 7));
        let cluster = Cluster::start(&mut sim, is_replicated, mutation);
        let (journal, stage) = (Journal::default(), Rc::new(Cell::new(Phase::default())));
        if is_replicated {
            journal.tell(Event::Replicated);
        }
        for profile in READERS {
            let journal = journal.clone();
            sim.host(profile.name, move || reader::run(journal.clone(), profile));
        }
        for (name, flow) in FLOWS {
            let (journal, stage) = (journal.clone(), Rc::clone(&stage));
            sim.host(name, move || publisher::run(journal.clone(), Rc::clone(&stage), flow));
        }
        let crowd = (journal.clone(), Rc::clone(&stage));
        sim.host("crowd", move || crowd::run(crowd.0.clone(), Rc::clone(&crowd.1), &CROWD));
        let stuck = (journal.clone(), Rc::clone(&stage));
        sim.host("stuck", move || stuck::run(stuck.0.clone(), Rc::clone(&stuck.1), "stuck", BUSY));
        let director = Self { sim, cluster, journal, stage, broken: Vec::new() };
        director.with_operators(seed)
    }

    fn with_operators(mut self, seed: u64) -> Self {
        let delay = Duration::from_millis(seed % 15_000);
        let (journal, stage) = (self.journal.clone(), Rc::clone(&self.stage));
        self.sim.host("operator", move || operator::duties(journal.clone(), Rc::clone(&stage), "mallory", delay));
        let (journal, stage) = (self.journal.clone(), Rc::clone(&self.stage));
        self.sim.host("auditor", move || {
            operator::audit(journal.clone(), Rc::clone(&stage), &["clara"], ROOM, &["anna", "boris", "clara"])
        });
        self
    }

    fn play(&mut self, chance: &mut StdRng) -> turmoil::Result {
        self.pass(START)?;
        self.enter(Phase::Storm);
        let names: Vec<&'static str> = READERS.iter().map(|profile| profile.name).collect();
        let begin = self.sim.elapsed();
        for Planned { at, lasts, fault } in faults::plan(chance, STORM, &names) {
            self.pass((begin + at).saturating_sub(self.sim.elapsed()))?;
            if !self.broken.iter().any(|(_, other)| fault.touches(other)) {
                fault.begin(&mut self.sim, &self.cluster, &self.journal);
                self.broken.push((self.sim.elapsed() + lasts, fault));
            }
        }
        self.pass((begin + STORM).saturating_sub(self.sim.elapsed()))?;
        self.enter(Phase::Heal);
        self.repair(Duration::MAX);
        self.pass(HEAL)?;
        self.enter(Phase::Liveness);
        self.journal.tell(Event::Calm { promise: Some("G7") });
        self.pass(LIVENESS)?;
        self.drain()?;
        self.enter(Phase::Heal);
        self.pass(SETTLE)?;
        let standing: Vec<(Reader, &str)> = READERS
            .iter()
            .chain(&CROWD)
            .filter(|profile| !["mallory", "stranger"].contains(&profile.name))
            .flat_map(|profile| profile.channels.iter().map(|channel| (profile.name, *channel)))
            .collect();
        self.journal.audit(&standing);
        // An edge dies together with a client that nobody else can speak for.
        let gone = [Fault::Vanish("ghost"), Fault::Crash("edge-0")];
        for fault in &gone {
            fault.begin(&mut self.sim, &self.cluster, &self.journal);
        }
        self.pass(LEASE)?;
        self.enter(Phase::Audit);
        self.pass(AUDIT)
    }

    /// As in a rolling deploy: one edge is asked to end, and started again.
    fn drain(&mut self) -> turmoil::Result {
        let fault = Fault::Drain(BUSY);
        self.journal.tell(Event::Calm { promise: Some("G8") });
        fault.begin(&mut self.sim, &self.cluster, &self.journal);
        self.pass(DRAIN)?;
        self.journal.tell(Event::Drained { clients: CROWD.len() });
        self.journal.tell(Event::Calm { promise: None });
        fault.end(&mut self.sim, &self.journal);
        Ok(())
    }

    fn enter(&mut self, phase: Phase) {
        self.journal.tell(Event::Fault(format!("{phase:?} begins")));
        self.stage.set(phase);
    }

    /// Lets time pass, and repairs what is due.
    fn pass(&mut self, duration: Duration) -> turmoil::Result {
        let until = self.sim.elapsed() + duration;
        while self.sim.elapsed() < until {
            self.repair(self.sim.elapsed());
            self.sim.step()?;
            self.journal.set_time(self.sim.elapsed());
        }
        Ok(())
    }

    fn repair(&mut self, now: Duration) {
        let (due, broken) = std::mem::take(&mut self.broken).into_iter().partition(|(until, _)| *until <= now);
        self.broken = broken;
        for (_, fault) in due {
            let fault: Fault = fault;
            fault.end(&mut self.sim, &self.journal);
        }
    }
}
