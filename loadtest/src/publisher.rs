//! Publishing: an open loop of due messages on one thread, connections to the emitter on another.
//!
//! A channel belongs to one connection, which sends one batch after the other, so a channel's order is the order of its
//! numbers. What becomes due while a batch is on its way goes with the next one.

mod lane;

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use crate::{
    error::LoadError,
    ledger::Log,
    meter::{Distributions, RunClock},
    plan::Plan,
    schedule::{Due, Schedule},
    settings::Settings,
};
use lane::Lane;

/// Messages that may wait for one connection. Beyond it the loop waits; what is due stays due, and shows as latency.
const LANE_QUEUE: usize = 16_384;
/// Longest sleep of the pacing thread: how late it may notice that it shall end.
const NAP_MAX: Duration = Duration::from_millis(100);

/// What was published so far, and since the last look.
#[derive(Debug, Default)]
pub(crate) struct PublishMeter {
    /// Acknowledged, in all.
    pub(crate) published: u64,
    /// Refused or not answered, in all.
    pub(crate) uncertain: u64,
    /// `publish` and `publish-lag` since they were last taken.
    pub(crate) distributions: Distributions,
    /// Why something was not acknowledged, the first time.
    pub(crate) first_refusal: Option<String>,
}

/// Publishing in progress.
#[derive(Debug)]
pub(crate) struct Publisher {
    meter: Arc<Mutex<PublishMeter>>,
    stop: Arc<AtomicBool>,
    pacer: JoinHandle<()>,
    sender: JoinHandle<()>,
    logs: oneshot::Receiver<Vec<Log>>,
}

/// A message on its way to its connection.
#[derive(Debug, Clone, Copy)]
struct Job {
    channel: u32,
    due_us: u64,
    critical: bool,
}

impl Publisher {
    /// Begins to publish; the schedule starts now.
    pub(crate) fn start(settings: &Settings, plan: &Arc<Plan>, clock: RunClock) -> Result<Self, LoadError> {
        let meter = Arc::new(Mutex::new(PublishMeter::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (mut queues, mut lanes) = (Vec::new(), Vec::new());
        for (_, emitter) in (0..settings.publishers).zip(settings.emitters.iter().cycle()) {
            let (queue, jobs) = mpsc::channel(LANE_QUEUE);
            queues.push(queue);
            let (plan, meter) = (Arc::clone(plan), Arc::clone(&meter));
            lanes.push(Lane::new(emitter, settings, plan, clock, meter, jobs)?);
        }
        let (logs_out, logs) = oneshot::channel();
        let channels = plan.channels.len();
        let sender = spawn("load-send", move || send(lanes, channels, logs_out))?;
        let pacer = {
            let (plan, stop) = (Arc::clone(plan), Arc::clone(&stop));
            spawn("load-pace", move || pace(&plan, clock, &stop, &queues))?
        };
        Ok(Self { meter, stop, pacer, sender, logs })
    }

    /// Looks at the counters; distributions are taken.
    pub(crate) fn take(&self) -> PublishMeter {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        PublishMeter {
            published: meter.published,
            uncertain: meter.uncertain,
            distributions: std::mem::take(&mut meter.distributions),
            first_refusal: meter.first_refusal.clone(),
        }
    }

    /// No further message becomes due; what is queued is still sent. Returns without waiting.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits until everything is sent; returns what was published, by channel, and the last counters.
    pub(crate) async fn finish(self) -> Result<(Vec<Log>, PublishMeter), LoadError> {
        self.stop();
        let logs = self.logs.await.map_err(|_| LoadError::ThreadDied)?;
        self.pacer.join().map_err(|_| LoadError::ThreadDied)?;
        self.sender.join().map_err(|_| LoadError::ThreadDied)?;
        let meter = std::mem::take(&mut *self.meter.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((logs, meter))
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LoadError> {
    let builder = thread::Builder::new().name(name.to_owned());
    builder.spawn(run).map_err(|source| LoadError::Io { what: "start a thread", source })
}

/// Hands every message to its connection at its time, and ends with the plan's duration, however late anyone else is. A
/// thread of its own, because timers of a runtime are a millisecond coarse.
fn pace(plan: &Plan, clock: RunClock, stop: &AtomicBool, queues: &[mpsc::Sender<Job>]) {
    let mut schedule = Schedule::new(&plan.channels);
    let start_us = clock.now_us();
    while !stop.load(Ordering::Relaxed) && schedule.next_at().is_some_and(|at| at < plan.duration) {
        let elapsed = Duration::from_micros(clock.now_us() - start_us).min(plan.duration);
        while let Some(Due { channel, at, critical }) = schedule.pop(elapsed, plan.factor_at(elapsed)) {
            let due_us = start_us + u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
            let queue = &queues[channel as usize % queues.len()];
            if queue.blocking_send(Job { channel, due_us, critical }).is_err() {
                return;
            }
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
        let elapsed = Duration::from_micros(clock.now_us() - start_us);
        let nap = schedule.next_at().map_or(NAP_MAX, |at| at.saturating_sub(elapsed));
        thread::sleep(nap.min(NAP_MAX));
    }
}

/// Runs the connections until their queues are closed and empty.
fn send(lanes: Vec<Lane>, channels: usize, logs_out: oneshot::Sender<Vec<Log>>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let logs = runtime.block_on(async {
        let running: Vec<_> = lanes.into_iter().map(|lane| tokio::spawn(lane.run())).collect();
        let mut logs = vec![Log::default(); channels];
        for lane in running {
            // A lane that died leaves its logs out, which the audit cannot overlook: nothing would be owed there.
            for (channel, log) in lane.await.ok()? {
                logs[channel as usize] = log;
            }
        }
        Some(logs)
    });
    if let Some(logs) = logs {
        // Nobody waits for them when the run was given up.
        let _ = logs_out.send(logs);
    }
}
