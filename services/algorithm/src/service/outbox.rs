//! Tells the emitter what a bot's journal says, in order, and each thing once.
//!
//! The queue is bounded; at its bound the bot waits, since who cannot tell should not trade on. An event that the emitter refuses for
//! good is logged, counted and passed over. After a crash the journal says how far it had come, and idempotency keys keep what was told
//! twice within the emitter's five minutes from arriving twice.

use std::{sync::Arc, time::Duration};

use tickwire_client::Emitter;
use tokio::sync::{mpsc, watch};

use super::metrics::Metrics;
use crate::emission::Emission;

/// Entries that wait to be told.
pub(crate) const WAITING_MAX: usize = 1_024;
/// Pause after the emitter could not be reached in all tries of a call.
const PAUSE: Duration = Duration::from_millis(500);

/// What one entry makes known; `next` is the entry after it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) next: u64,
    pub(crate) emissions: Vec<Emission>,
}

/// Ends when the queue is closed and empty; `told` says how far it is.
pub(crate) async fn tell(
    emitter: Emitter,
    mut queue: mpsc::Receiver<Told>,
    told: watch::Sender<u64>,
    metrics: Arc<Metrics>,
) {
    while let Some(entry) = queue.recv().await {
        for emission in &entry.emissions {
            one(&emitter, emission, &metrics).await;
        }
        told.send_replace(entry.next);
    }
}

async fn one(emitter: &Emitter, emission: &Emission, metrics: &Metrics) {
    loop {
        match emitter.event(emission.kind, &emission.body).await {
            Ok(_) => {
                metrics.emitted.inc();
                return;
            }
            Err(error) if error.is_retryable() => {
                metrics.emit_failures.inc();
                tracing::debug!(%error, kind = emission.kind, "telling is tried again");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                metrics.emit_refused.inc();
                tracing::error!(%error, kind = emission.kind, "the emitter refuses an event; it is passed over");
                return;
            }
        }
    }
}
