//! Carries out a schedule on a fleet with a crowd: storms, quiet phases, and the audit at the end.

use std::{sync::Arc, time::Duration};

use tickwire_client::Emitter;
use tickwire_protocol::time::now_ms;
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    crowd::Crowd,
    fleet::{DRAIN_MS, Fleet},
    ledger::{Drained, Intrusion, Ledger},
    probes,
    publisher::emitter,
    schedule::{Fault, Round, Schedule, Step},
    verdict::DRAIN_GRACE_MS,
    watch::lock,
};

/// How long Redis may take to be whole again after a storm, and the nodes to be ready.
const MENDING_PATIENCE: Duration = Duration::from_secs(45);
/// How long clients may take to catch up when all is over.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(40);

/// A fault as it happened.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Happened {
    /// From the start, ms.
    pub(crate) at_ms: u64,
    pub(crate) until_ms: u64,
    pub(crate) fault: Fault,
}

/// What probes found beside the crowd's logs.
#[derive(Default)]
struct Found {
    ledger: Ledger,
    happened: Vec<Happened>,
    /// Anything that did not do as told: the run is not to be believed then.
    failures: Vec<String>,
}

/// A run under way.
pub(crate) struct Conductor {
    fleet: Arc<Fleet>,
    crowd: Arc<Mutex<Crowd>>,
    emitter: Emitter,
    found: Arc<Mutex<Found>>,
    begun: Instant,
}

impl Conductor {
    pub(crate) fn new(fleet: Arc<Fleet>, crowd: Crowd) -> anyhow::Result<Self> {
        let emitter = emitter(fleet.emitter_port)?;
        let crowd = Arc::new(Mutex::new(crowd));
        Ok(Self { fleet, crowd, emitter, found: Arc::default(), begun: Instant::now() })
    }

    /// Runs the whole schedule and gives what was written down, what happened, and what went wrong with the run itself.
    pub(crate) async fn conduct(
        mut self,
        schedule: &Schedule,
        say: impl Fn(&str),
    ) -> anyhow::Result<(Ledger, Vec<Happened>, Vec<String>)> {
        self.begun = Instant::now();
        for (number, round) in schedule.rounds.iter().enumerate() {
            say(&format!("round {}: storm of {} faults", number + 1, round.steps.len()));
            self.storm(number, round).await;
            self.mend().await;
            let connected = self.crowd.lock().await.connected();
            say(&format!("round {}: quiet, {connected} clients are connected", number + 1));
            self.quiet(number, round).await?;
        }
        say("the audit");
        self.audit().await
    }

    async fn storm(&self, number: usize, round: &Round) {
        let mut tasks = JoinSet::new();
        for &step in &round.steps {
            tasks.spawn(Arm::of(self).carry_out(step));
        }
        let arm = Arm::of(self);
        tasks.spawn(async move {
            sleep(Duration::from_secs(4)).await;
            match probes::revoke(&arm.fleet, &arm.emitter, number).await {
                Ok(revoked) => arm.found.lock().await.ledger.revoked.extend(revoked),
                Err(error) => arm.fail("the revocation probe", &error).await,
            }
        });
        let arm = Arm::of(self);
        tasks.spawn(async move {
            sleep(Duration::from_secs(2)).await;
            arm.intrude().await;
        });
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                Arm::of(self).fail("a task of the storm", &error.into()).await;
            }
        }
    }

    /// Waits until all servers are there again: from then on the cluster has its time to come back.
    async fn mend(&self) {
        if !self.fleet.redis.is_whole_within(MENDING_PATIENCE).await {
            self.found.lock().await.failures.push("Redis was not whole again in time".into());
        }
        if let Err(error) = self.fleet.until_ready(MENDING_PATIENCE).await {
            Arm::of(self).fail("the nodes after the storm", &error).await;
        }
    }

    async fn quiet(&self, number: usize, round: &Round) -> anyhow::Result<()> {
        let begun = Instant::now();
        let after_crash = round.steps.iter().any(|step| matches!(step.fault, Fault::Kill(_) | Fault::Freeze(_)));
        let crowd = self.crowd.lock().await;
        let check = probes::presence(&crowd, &self.emitter, number, after_crash).await?;
        crowd.clock.set_quiet(true);
        let overtake = probes::overtake(&self.fleet, &self.emitter, number).await?;
        let arm = Arm::of(self);
        arm.intrude().await;
        {
            let mut found = self.found.lock().await;
            found.ledger.presence.push(check);
            found.ledger.overtakes.extend(overtake);
        }
        sleep_until(begun + round.quiet).await;
        crowd.clock.set_quiet(false);
        Ok(())
    }

    async fn audit(self) -> anyhow::Result<(Ledger, Vec<Happened>, Vec<String>)> {
        let mut crowd = self.crowd.lock().await;
        crowd.stop_publishing().await?;
        if !crowd.until_caught_up(CATCH_UP_PATIENCE).await {
            tracing::warn!("not every client caught up");
        }
        let escalations_until_ms = now_ms();
        let escalated = crowd.escalated(self.fleet.webhook.received());
        crowd.disconnect().await?;
        let found = std::mem::take(&mut *self.found.lock().await);
        let Ledger { revoked, intrusion, stuck, drained, presence, overtakes, redis_faults, .. } = found.ledger;
        let seen = crowd.take_ledger();
        let ledger = Ledger {
            escalated,
            escalations_until_ms,
            revoked,
            intrusion,
            stuck,
            drained,
            presence,
            overtakes,
            redis_faults,
            ..seen
        };
        Ok((ledger, found.happened, found.failures))
    }
}

/// What a task of a storm needs.
struct Arm {
    fleet: Arc<Fleet>,
    crowd: Vec<Arc<std::sync::Mutex<super::watch::Whereabouts>>>,
    emitter: Emitter,
    found: Arc<Mutex<Found>>,
    begun: Instant,
}

impl Arm {
    fn of(conductor: &Conductor) -> Self {
        // Nobody holds the crowd while a storm begins.
        let crowd = conductor.crowd.try_lock().map_or_else(
            |_| Vec::new(),
            |crowd| crowd.whereabouts.iter().map(|(_, whereabouts)| Arc::clone(whereabouts)).collect(),
        );
        Self {
            fleet: Arc::clone(&conductor.fleet),
            crowd,
            emitter: conductor.emitter.clone(),
            found: Arc::clone(&conductor.found),
            begun: conductor.begun,
        }
    }

    async fn fail(&self, what: &str, error: &anyhow::Error) {
        self.found.lock().await.failures.push(format!("{what}: {error:#}"));
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// One fault from its beginning to its mending.
    async fn carry_out(self, step: Step) {
        sleep_until(self.begun + step.at).await;
        let at_ms = self.elapsed_ms();
        tracing::info!(fault = %step.fault, "breaks");
        let done = match step.fault {
            Fault::Drain(edge) => self.drain(edge).await,
            Fault::StuckReaders { edge } => self.stuck_readers(edge, step.lasts).await,
            Fault::TinyRedisBuffers => self.tiny_buffers(step.lasts).await,
            fault => self.break_and_mend(fault, step.lasts).await,
        };
        if let Err(error) = done {
            self.fail(&step.fault.to_string(), &error).await;
        }
        let happened = Happened { at_ms, until_ms: self.elapsed_ms(), fault: step.fault };
        let mut found = self.found.lock().await;
        found.ledger.redis_faults += u64::from(step.fault.hits_redis());
        found.happened.push(happened);
    }

    async fn break_and_mend(&self, fault: Fault, lasts: Duration) -> anyhow::Result<()> {
        self.fleet.begin(fault).await?;
        sleep(lasts).await;
        self.fleet.end(fault).await
    }

    async fn tiny_buffers(&self, lasts: Duration) -> anyhow::Result<()> {
        self.fleet.begin(Fault::TinyRedisBuffers).await?;
        let burst = probes::burst(&self.fleet, &self.emitter, lasts).await;
        self.fleet.end(Fault::TinyRedisBuffers).await?;
        burst
    }

    async fn stuck_readers(&self, edge: usize, lasts: Duration) -> anyhow::Result<()> {
        let stuck = probes::stuck_readers(&self.fleet, &self.emitter, edge, lasts).await?;
        self.found.lock().await.ledger.stuck.extend(stuck);
        Ok(())
    }

    async fn drain(&self, edge: usize) -> anyhow::Result<()> {
        let on_edge = || self.crowd.iter().filter(|whereabouts| lock(whereabouts).edge == Some(edge));
        let connections = on_edge().count() as u64;
        let asked_ms = now_ms();
        let code = self.fleet.drain(edge, Duration::from_millis(DRAIN_MS + DRAIN_GRACE_MS)).await?;
        let ended_ms = now_ms();
        let losses = self.crowd.iter().map(|whereabouts| {
            let during = |&&(of, at_ms): &&(usize, u64)| of == edge && (asked_ms..=ended_ms).contains(&at_ms);
            lock(whereabouts).losses.iter().filter(during).count() as u64
        });
        let unannounced = losses.sum();
        let drained = Drained { edge, code, took_ms: ended_ms - asked_ms, connections, unannounced, disturbed: false };
        self.found.lock().await.ledger.drained.push(drained);
        Ok(())
    }

    async fn intrude(&self) {
        let mut intrusion = Intrusion::default();
        let outcome = probes::intrude(&self.fleet, &mut intrusion).await;
        let mut found = self.found.lock().await;
        found.ledger.intrusion.refused += intrusion.refused;
        found.ledger.intrusion.admitted += intrusion.admitted;
        if let Err(error) = outcome {
            found.failures.push(format!("the intrusion probe: {error:#}"));
        }
    }
}

/// Marks the drains during which the edge's links with its clients were broken too: who lost a connection then cannot say why.
pub(crate) fn mark_disturbed(ledger: &mut Ledger, happened: &[Happened]) {
    for drained in &mut ledger.drained {
        let of_drain = happened.iter().filter(|one| one.fault == Fault::Drain(drained.edge));
        drained.disturbed = of_drain.clone().any(|drain| {
            happened.iter().any(|other| {
                let is_link = matches!(other.fault, Fault::ClientLink { edge, .. } if edge == drained.edge);
                // The effects of a link's fault outlast it: clients find out by silence.
                is_link && other.at_ms < drain.until_ms && drain.at_ms < other.until_ms + 10_000
            })
        });
    }
}
