//! A run from its first connect to its audit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{
    client::{ClientOptions, Target, Trust},
    error::LoadError,
    ledger::Log,
    machine,
    meter::RunClock,
    plan::Plan,
    publisher::Publisher,
    record::{RunRecord, Second},
    settings::Settings,
    token::Tokens,
    worker::{ATTEMPTS_MAX, Assignment, Command, Worker},
};

mod recorder;

use recorder::Recorder;

/// How often the run looks around.
const STEP: Duration = Duration::from_millis(50);

/// Runs what `settings` say; `observe` sees every second as it ends. `command` goes into the record.
pub async fn run(
    settings: &Settings,
    command: Vec<String>,
    mut observe: impl FnMut(&Second),
) -> Result<RunRecord, LoadError> {
    let prefix = settings.prefix()?;
    let plan = Arc::new(Plan::new(settings, &prefix)?);
    machine::check_open_files(settings.connections)?;
    let clock = RunClock::start();
    let mut swarm = Swarm::start(settings, &plan, clock).await?;
    let mut recorder = Recorder::new(settings, &plan, clock, command);
    swarm.connect(settings, &mut recorder, &mut observe).await?;
    let logs = swarm.load(settings, &mut recorder, &mut observe).await?;
    swarm.settle(settings, &logs, &mut recorder, &mut observe).await?;
    for worker in &swarm.workers {
        recorder.audited(worker.ask(|reply| Command::Audit(Arc::clone(&logs), reply)).await?);
    }
    swarm.stop()?;
    Ok(recorder.finish())
}

/// The workers, and what steers them.
struct Swarm {
    workers: Vec<Worker>,
    plan: Arc<Plan>,
    clock: RunClock,
    ready: Arc<AtomicU64>,
}

impl Swarm {
    async fn start(settings: &Settings, plan: &Arc<Plan>, clock: RunClock) -> Result<Self, LoadError> {
        let tokens = Tokens::new(settings)?;
        let trust = if settings.insecure { Trust::Everyone } else { Trust::Authorities(settings.ca_file.clone()) };
        let mut targets = Vec::new();
        for url in &settings.targets {
            targets.push(Target::resolve(url, &trust).await?);
        }
        let targets: Arc<[Target]> = targets.into();
        let ready = Arc::new(AtomicU64::new(0));
        let count = settings.worker_count().min(plan.clients.len());
        let mut parts: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        for (client, number) in plan.clients.iter().zip(0_u32..) {
            parts[number as usize % count].push((number, client.clone(), tokens.token(&client.user)?));
        }
        let mut workers = Vec::new();
        for (clients, index) in parts.into_iter().zip(0..) {
            let options = ClientOptions {
                is_sticky: settings.sticky,
                is_packed: !settings.unpacked,
                attempts_max: ATTEMPTS_MAX.div_ceil(count),
                ready: Arc::clone(&ready),
            };
            let assignment = Assignment {
                clients,
                plan: Arc::clone(plan),
                targets: Arc::clone(&targets),
                options,
                clock,
                connect_hz: f64::from(settings.connect_rate) / count as f64,
            };
            workers.push(Worker::start(index, assignment)?);
        }
        Ok(Self { workers, plan: Arc::clone(plan), clock, ready })
    }

    fn ready(&self) -> u64 {
        self.ready.load(Ordering::Relaxed)
    }

    /// Waits until everyone is connected and subscribed, or patience ends.
    async fn connect(
        &self,
        settings: &Settings,
        recorder: &mut Recorder,
        observe: &mut impl FnMut(&Second),
    ) -> Result<(), LoadError> {
        let ramp = Duration::from_secs_f64(f64::from(settings.connections) / f64::from(settings.connect_rate));
        let deadline =
            Instant::now() + ramp + Duration::try_from_secs_f64(settings.connect_patience_s).unwrap_or_default();
        let wanted = u64::from(settings.connections);
        while self.ready() < wanted && Instant::now() < deadline {
            sleep(STEP).await;
            self.tick("connecting", None, recorder, observe).await?;
        }
        self.second("connecting", None, recorder, observe).await?;
        if self.ready() == 0 {
            return Err(LoadError::NoneConnected(recorder.why_not_connected()));
        }
        if self.ready() < wanted {
            recorder.note(format!("{} of {wanted} clients could not connect at first", wanted - self.ready()));
        }
        Ok(())
    }

    /// Publishes for as long as planned, and does to the clients what is planned; returns what was published.
    async fn load(
        &self,
        settings: &Settings,
        recorder: &mut Recorder,
        observe: &mut impl FnMut(&Second),
    ) -> Result<Arc<[Log]>, LoadError> {
        let is_quiet = self.plan.channels.iter().all(|channel| channel.rate_hz <= 0.0);
        let publisher = if is_quiet { None } else { Some(Publisher::start(settings, &self.plan, self.clock)?) };
        recorder.measure_from();
        let start = Instant::now();
        let (mut stormed, mut churned) = (false, 0_u32);
        while start.elapsed() < self.plan.duration {
            sleep(STEP.min(self.plan.duration.saturating_sub(start.elapsed()))).await;
            let elapsed = start.elapsed();
            if !stormed && self.plan.storm_at.is_some_and(|at| at <= elapsed) {
                stormed = true;
                self.tell_all(|| Command::Storm).await?;
            }
            churned += self.churn(elapsed, churned).await?;
            let phase = self.phase(elapsed, stormed);
            self.tick(phase, publisher.as_ref(), recorder, observe).await?;
        }
        self.second(self.phase(start.elapsed(), stormed), publisher.as_ref(), recorder, observe).await?;
        recorder.measure_to();
        let Some(publisher) = publisher else {
            return Ok(vec![Log::default(); self.plan.channels.len()].into());
        };
        let (logs, meter) = publisher.finish().await?;
        recorder.published(meter);
        Ok(logs.into())
    }

    /// Tells clients to leave, as many as are due; returns how many.
    async fn churn(&self, elapsed: Duration, churned: u32) -> Result<u32, LoadError> {
        let due = elapsed.as_secs_f64() * self.plan.churn_hz - f64::from(churned);
        let mut told = 0;
        let count = u32::try_from(self.workers.len()).unwrap_or(u32::MAX);
        while due >= f64::from(told + count) {
            self.tell_all(|| Command::Churn(1)).await?;
            told += count;
        }
        Ok(told)
    }

    fn phase(&self, elapsed: Duration, stormed: bool) -> &'static str {
        match () {
            () if self.plan.factor_at(elapsed) > 1.0 => "spike",
            () if stormed && self.ready() < self.plan.clients.len() as u64 => "storm",
            () => "steady",
        }
    }

    /// Waits until all have everything, or patience ends.
    async fn settle(
        &self,
        settings: &Settings,
        logs: &Arc<[Log]>,
        recorder: &mut Recorder,
        observe: &mut impl FnMut(&Second),
    ) -> Result<(), LoadError> {
        let deadline = Instant::now() + Duration::try_from_secs_f64(settings.settle_s).unwrap_or_default();
        loop {
            let mut behind = 0;
            for worker in &self.workers {
                behind += worker.ask(|reply| Command::Behind(Arc::clone(logs), reply)).await?;
            }
            if behind == 0 || Instant::now() >= deadline {
                break;
            }
            sleep(STEP * 4).await;
            self.tick("settling", None, recorder, observe).await?;
        }
        // What is on its way and should not be: doubles, strays.
        sleep(STEP * 4).await;
        self.second("settling", None, recorder, observe).await
    }

    async fn tell_all(&self, command: impl Fn() -> Command) -> Result<(), LoadError> {
        for worker in &self.workers {
            worker.tell(command()).await?;
        }
        Ok(())
    }

    /// Ends the second, if it is over.
    async fn tick(
        &self,
        phase: &str,
        publisher: Option<&Publisher>,
        recorder: &mut Recorder,
        observe: &mut impl FnMut(&Second),
    ) -> Result<(), LoadError> {
        if recorder.is_second_over() {
            self.second(phase, publisher, recorder, observe).await?;
        }
        Ok(())
    }

    /// Ends the second now.
    async fn second(
        &self,
        phase: &str,
        publisher: Option<&Publisher>,
        recorder: &mut Recorder,
        observe: &mut impl FnMut(&Second),
    ) -> Result<(), LoadError> {
        let mut counted = crate::meter::Meter::default();
        for worker in &self.workers {
            counted.merge(worker.ask(Command::Take).await?);
        }
        observe(recorder.second(phase, self.ready(), counted, publisher.map(Publisher::take)));
        Ok(())
    }

    fn stop(&mut self) -> Result<(), LoadError> {
        self.workers.drain(..).try_for_each(Worker::stop)
    }
}
