//! The one writer of a session: it records what was decided, then does it, and records that it is done. It goes on from the records
//! wherever an earlier one ended, also one that died between any two steps.

use std::{sync::Arc, time::Duration};

use tickwire_backplane::{Backplane, Fence};
use tickwire_client::Emitter;
use tickwire_protocol::time::now_ms;
use tickwire_trading::SessionId;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    desk::{Input, Restored},
    error::{RecordError, StepError},
    metrics::{KindLevelLabels, Metrics, StepLabels},
    peers::Peers,
    records::Records,
    saga::{Step, StopEvent},
    teller,
    thresholds::Thresholds,
    watch::{Alert, Breach},
};

/// Orders that wait for a keeper; the desk holds what does not fit.
pub(crate) const ORDERS_MAX: usize = 32;
/// Pauses between attempts of a call.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The pause doubles so often at most.
const DOUBLINGS_MAX: u32 = 6;

/// What the desk decided.
#[derive(Debug)]
pub(crate) enum Order {
    Alert(Alert),
    Stop(Breach),
    Thresholds(Box<Thresholds>, oneshot::Sender<Result<(), RecordError>>),
}

/// What keepers share.
pub(crate) struct Tools {
    pub(crate) backplane: Arc<dyn Backplane>,
    pub(crate) peers: Peers,
    pub(crate) emitter: Emitter,
    pub(crate) metrics: Arc<Metrics>,
}

/// The next thing to do.
#[derive(Debug, Clone, Copy)]
enum Work {
    Stop(Step),
    Tell(u64),
}

/// What was done.
enum Done {
    Stop(StopEvent),
    Told(u64),
}

pub(crate) struct Keeper {
    id: SessionId,
    records: Records,
    tools: Arc<Tools>,
    /// Attempts of the next work that failed.
    failures: u32,
}

/// Keeps a session until the desk drops `orders` and all is done, the lease is lost, or `shutdown`.
pub(crate) async fn keep(
    id: SessionId,
    fence: Fence,
    tools: Arc<Tools>,
    orders: mpsc::Receiver<Order>,
    desk: mpsc::Sender<Input>,
    shutdown: CancellationToken,
) {
    let kept = keep_until(id.clone(), fence, tools, orders, &desk);
    let kept = shutdown.run_until_cancelled(kept).await;
    let is_done = matches!(kept, Some(Ok(())));
    match kept {
        None | Some(Ok(())) => {}
        Some(Err(error @ RecordError::Lost(_))) => tracing::info!(session = %id, %error, "a session went to another"),
        Some(Err(error)) => tracing::error!(session = %id, %error, "a session cannot be kept; it is tried again"),
    }
    // A desk that is gone needs no word.
    let _gone = desk.send(Input::Ended { id, fence, is_done }).await;
}

async fn keep_until(
    id: SessionId,
    fence: Fence,
    tools: Arc<Tools>,
    orders: mpsc::Receiver<Order>,
    desk: &mpsc::Sender<Input>,
) -> Result<(), RecordError> {
    let records = Records::open(id.clone(), fence, Arc::clone(&tools.backplane)).await?;
    let restored = Restored {
        thresholds: records.thresholds.clone(),
        alerts: records.alerts.clone(),
        is_stopping: records.stop.is_some(),
    };
    let keeper = Keeper { id: id.clone(), records, tools, failures: 0 };
    if desk.send(Input::Kept { id, fence, restored: Box::new(restored) }).await.is_err() {
        return Ok(());
    }
    keeper.run(orders).await
}

impl Keeper {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) -> Result<(), RecordError> {
        let mut is_open = true;
        loop {
            let work = self.next(now_ms());
            if !is_open && work.is_none() {
                return Ok(());
            }
            // An order interrupts an attempt: every call may be made twice, and a stop waits for nothing.
            tokio::select! {
                biased;
                order = orders.recv(), if is_open => match order {
                    Some(order) => self.take(order).await?,
                    None => is_open = false,
                },
                outcome = self.attempt(work), if work.is_some() => self.record(work, outcome).await?,
            }
        }
    }

    async fn take(&mut self, order: Order) -> Result<(), RecordError> {
        match order {
            Order::Alert(alert) => {
                let labels = KindLevelLabels::of(alert.kind, alert.level);
                self.records.alert(alert).await?;
                self.tools.metrics.alerts.get_or_create(&labels).inc();
            }
            Order::Stop(breach) if self.records.stop.is_none() => {
                tracing::warn!(session = %self.id, why = %breach.text, "an emergency stop begins");
                self.records.step(StopEvent::Began(breach)).await?;
                self.failures = 0;
                self.tools.metrics.stops_begun.inc();
            }
            Order::Stop(_) => {}
            Order::Thresholds(thresholds, reply) => {
                let is_known = self.records.thresholds == *thresholds;
                let set = if is_known { Ok(()) } else { self.records.set_thresholds(*thresholds).await };
                // A caller that went away needs no answer. A session that is lost shows at the next record, too.
                let _gone = reply.send(set);
            }
        }
        Ok(())
    }

    /// The stop goes first; once its user knows of it, alerts do not wait for a service that is away.
    fn next(&self, now_ms: u64) -> Option<Work> {
        let untold = self.records.untold.keys().next().copied().map(Work::Tell);
        let step = self.records.stop.as_ref().and_then(|stop| stop.next(self.failures > 0, now_ms)).map(Work::Stop);
        match (step, untold) {
            (Some(Work::Stop(Step::Tell)), _) | (_, None) => step,
            (Some(_), Some(_)) if self.failures % 2 == 1 => untold,
            (step, untold) => step.or(untold),
        }
    }

    async fn attempt(&self, work: Option<Work>) -> Result<Done, StepError> {
        if self.failures > 0 {
            let pause = PAUSE_MIN * 2_u32.pow((self.failures - 1).min(DOUBLINGS_MAX));
            tokio::time::sleep(pause.min(PAUSE_MAX)).await;
        }
        let Tools { peers, emitter, .. } = &*self.tools;
        let Some(stop) = &self.records.stop else { return self.tell(work).await };
        match work {
            Some(Work::Stop(Step::StopSession)) => {
                let found = peers.stop_session(&self.id, &stop.breach.text).await?;
                Ok(Done::Stop(StopEvent::SessionStopped { found }))
            }
            Some(Work::Stop(Step::Flatten)) => {
                let figures = peers.flatten(&self.id, &stop.breach.text).await?;
                Ok(Done::Stop(StopEvent::flattened(figures.as_ref())))
            }
            Some(Work::Stop(Step::Tell)) => {
                let alert_id = teller::stop(emitter, &self.id, stop).await?;
                Ok(Done::Stop(StopEvent::Told { alert_id }))
            }
            work => self.tell(work).await,
        }
    }

    async fn tell(&self, work: Option<Work>) -> Result<Done, StepError> {
        let (Some(Work::Tell(number)), untold) = (work, &self.records.untold) else {
            return std::future::pending().await;
        };
        if let Some(alert) = untold.get(&number) {
            teller::alert(&self.tools.emitter, number, alert).await?;
        }
        Ok(Done::Told(number))
    }

    async fn record(&mut self, work: Option<Work>, outcome: Result<Done, StepError>) -> Result<(), RecordError> {
        let metrics = Arc::clone(&self.tools.metrics);
        let done = match outcome {
            Ok(done) => done,
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                metrics.step_failures.get_or_create(&StepLabels { step: step_name(work) }).inc();
                let failures = self.failures;
                tracing::warn!(session = %self.id, step = step_name(work), failures, error = &error as &dyn std::error::Error, "a step failed");
                return Ok(());
            }
        };
        self.failures = 0;
        match done {
            Done::Told(number) => self.records.told(number).await,
            Done::Stop(event) => {
                self.records.step(event.clone()).await?;
                let Some(stop) = &self.records.stop else { return Ok(()) };
                if matches!(event, StopEvent::Told { .. }) {
                    let ms = u32::try_from(now_ms().saturating_sub(stop.breach.at)).unwrap_or(u32::MAX);
                    metrics.stop_seconds.observe(f64::from(ms) / 1_000.0);
                }
                if stop.is_done() {
                    metrics.stops_done.inc();
                    tracing::warn!(session = %self.id, "an emergency stop is done");
                }
                Ok(())
            }
        }
    }
}

const fn step_name(work: Option<Work>) -> &'static str {
    match work {
        Some(Work::Stop(Step::StopSession)) => "stop_session",
        Some(Work::Stop(Step::Flatten)) => "flatten",
        Some(Work::Stop(Step::Tell)) => "tell_stop",
        Some(Work::Tell(_)) | None => "tell_alert",
    }
}
