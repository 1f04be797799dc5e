//! Escalation: telling someone else when a user does not acknowledge an alert in time.
//!
//! Every emitter looks for overdue alerts. The backplane gives each to one of them for a lease; that one calls the webhook
//! and says what came of it. If it dies meanwhile, the lease ends and another emitter takes the alert: the receiver may
//! then hear of it twice, under one `Idempotency-Key`, and never not at all.
//!
//! `policy` decides what follows from a try, without I/O; `webhook` makes and sends the request; here is the loop.

mod config;
mod policy;
mod webhook;

use std::{sync::Arc, time::Duration};

use tickwire_backplane::{Backplane, DueAlert, Escalation};
use tickwire_protocol::time::now_ms;
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub use config::EscalationConfig;
pub(crate) use config::check;

use crate::metrics::EscalationMetrics;
use policy::Verdict;
use webhook::Webhook;

/// What a claim lasts beyond the request's own deadline: time to note what came of it.
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// Overdue alerts taken at a time where nobody is to be called.
const UNSENT_BATCH: usize = 64;

/// Looks after overdue alerts until `shutdown`; requests in progress are then finished, which takes as long as one may.
pub(crate) struct Escalator {
    backplane: Arc<dyn Backplane>,
    config: EscalationConfig,
    /// `None`: no receiver is configured.
    webhook: Option<Arc<Webhook>>,
    metrics: EscalationMetrics,
}

impl Escalator {
    /// Fails where no TLS client can be made.
    pub(crate) fn new(
        backplane: Arc<dyn Backplane>,
        config: EscalationConfig,
        metrics: EscalationMetrics,
    ) -> Result<Self, reqwest::Error> {
        let webhook = Webhook::new(&config)?.map(Arc::new);
        if webhook.is_none() {
            tracing::info!("escalation.url is not set: overdue alerts are shown as escalated, nobody is called");
        }
        Ok(Self { backplane, config, webhook, metrics })
    }

    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut tick = tokio::time::interval(self.config.interval());
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sending: JoinSet<()> = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                // A free place is used at once: there may be more than one batch overdue.
                Some(_) = sending.join_next(), if !sending.is_empty() => {}
                _ = tick.tick() => {}
            }
            while sending.try_join_next().is_some() {}
            self.look(&mut sending).await;
        }
        while sending.join_next().await.is_some() {}
    }

    /// Takes as many overdue alerts as there are free places, and begins to send them.
    async fn look(&self, sending: &mut JoinSet<()>) {
        let free = match self.webhook {
            Some(_) => self.config.in_flight_max - sending.len(),
            None => UNSENT_BATCH,
        };
        let due = match self.backplane.claim_due(free, self.config.timeout() + LEASE_MARGIN).await {
            Ok(due) => due,
            Err(error) => {
                self.metrics.look_failures.inc();
                tracing::warn!(%error, "overdue alerts cannot be looked for");
                return;
            }
        };
        if due.unreachable > 0 {
            self.metrics.look_failures.inc();
            tracing::warn!(partitions = due.unreachable, "overdue alerts could not be looked for everywhere");
        }
        let waiting = due.waiting + due.claimed.len() as u64 + sending.len() as u64;
        self.metrics.due.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.metrics.unacknowledged.set(i64::try_from(due.unacknowledged).unwrap_or(i64::MAX));
        self.metrics.oldest_age.set(due.oldest_unacknowledged.unwrap_or_default().as_secs_f64());
        for alert in due.claimed {
            match &self.webhook {
                Some(webhook) => {
                    let try_ = Try {
                        backplane: Arc::clone(&self.backplane),
                        webhook: Arc::clone(webhook),
                        config: self.config.clone(),
                        metrics: self.metrics.clone(),
                    };
                    sending.spawn(try_.make(alert));
                }
                None => self.note_unsent(&alert).await,
            }
        }
    }

    async fn note_unsent(&self, alert: &DueAlert) {
        self.metrics.unsent.inc();
        tracing::warn!(alert = alert.id.as_str(), "an alert is overdue, and escalation.url is not set");
        note(&*self.backplane, &self.metrics, alert, Escalation::GivenUp).await;
    }
}

/// One call of the webhook.
struct Try {
    backplane: Arc<dyn Backplane>,
    webhook: Arc<Webhook>,
    config: EscalationConfig,
    metrics: EscalationMetrics,
}

impl Try {
    async fn make(self, alert: DueAlert) {
        let id = alert.id.as_str();
        let sent = self.webhook.send(&alert).await;
        let verdict = policy::verdict(&self.config, &alert, sent.is_ok(), now_ms(), rand::random());
        let outcome = match verdict {
            Verdict::Sent { lag } => {
                self.metrics.sent.inc();
                self.metrics.lag.observe(lag.as_secs_f64());
                tracing::info!(alert = id, attempt = alert.attempt, "an unacknowledged alert was escalated");
                Escalation::Done
            }
            Verdict::Again(after) => {
                self.metrics.failed.inc();
                if let Err(error) = sent {
                    tracing::warn!(alert = id, attempt = alert.attempt, retry_after = ?after, %error, "an escalation failed");
                }
                Escalation::Again(after)
            }
            Verdict::GivenUp => {
                self.metrics.failed.inc();
                self.metrics.given_up.inc();
                if let Err(error) = sent {
                    tracing::error!(alert = id, attempts = alert.attempt, %error, "an escalation is given up: nobody was told");
                }
                Escalation::GivenUp
            }
        };
        note(&*self.backplane, &self.metrics, &alert, outcome).await;
    }
}

/// Says what came of an alert. If the store cannot be told, the lease ends and the alert comes again.
async fn note(backplane: &dyn Backplane, metrics: &EscalationMetrics, alert: &DueAlert, outcome: Escalation) {
    if let Err(error) = backplane.escalated(alert, outcome).await {
        metrics.look_failures.inc();
        tracing::warn!(alert = alert.id.as_str(), %error, "what came of an escalation could not be noted; it may be sent again");
    }
}
