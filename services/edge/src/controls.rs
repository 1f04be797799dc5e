//! Controls: heard as they come, read again once a second, and known before anything that was read from the store goes out.
//!
//! A node that was cut off comes back behind on two ways at once: its subscriptions, and what it reads to fill their holes. The
//! backplane tells missed controls before the messages of a new subscriber connection ([`Signal::Controls`]); whoever reads
//! messages from the store calls [`Node::know_controls`] before passing them on.

use std::{sync::Arc, time::Duration};

use tickwire_backplane::{BackplaneError, ControlsMark, Signal};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{metrics::reason, node::Node};

/// Controls that may wait for the node.
const WAITING_MAX: usize = 4_096;
/// How often the sticky ones are read.
const READ_INTERVAL: Duration = Duration::from_secs(1);
/// How often all of them are read, not only new ones: whatever made this node forget or miss one is made good.
const READ_ALL_INTERVAL: Duration = Duration::from_secs(60);
/// Messages from the store may go out by controls that were read this long ago: a revocation has a second to take effect, so
/// what it must keep back was published, and read, at least the other half of that second after it.
pub(crate) const FRESH: Duration = Duration::from_millis(500);

/// What has been read of the sticky controls.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    mark: ControlsMark,
    /// When the last successful read began, and the last one of all.
    begun: Option<Instant>,
    begun_all: Option<Instant>,
    /// When the last failed one began.
    failed: Option<Instant>,
}

impl Node {
    /// Returns once this node knows every sticky control that was given more than `age` ago. Those who ask at the same time
    /// share one read, and its failure.
    pub(crate) async fn know_controls(&self, age: Duration) -> Result<(), BackplaneError> {
        let asked = Instant::now();
        let mut reading = self.controls.lock().await;
        if reading.begun.is_some_and(|begun| begun >= asked || asked - begun <= age) {
            return Ok(());
        }
        if reading.failed.is_some_and(|failed| failed >= asked) {
            return Err(BackplaneError::Unavailable(None));
        }
        reading.read(self).await
    }
}

impl Reading {
    async fn read(&mut self, node: &Node) -> Result<(), BackplaneError> {
        let begun = Instant::now();
        let is_all = self.begun_all.is_none_or(|last| last.elapsed() >= READ_ALL_INTERVAL);
        if is_all {
            self.mark = ControlsMark::default();
        }
        match node.backplane.controls_since(&self.mark).await {
            Ok((controls, mark)) => {
                node.learn(&controls);
                self.mark = mark;
                self.begun = Some(begun);
                if is_all {
                    self.begun_all = Some(begun);
                }
                Ok(())
            }
            Err(error) => {
                self.failed = Some(begun);
                node.metrics.backplane_failures.get_or_create(&reason("controls")).inc();
                Err(error)
            }
        }
    }
}

/// Carries out controls as they come and reads the sticky ones now and then, until `stop`.
pub(crate) async fn take(node: Arc<Node>, stop: CancellationToken) {
    let mut heard = node.backplane.subscriber(WAITING_MAX).signals;
    let mut interval = tokio::time::interval(READ_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            signal = heard.recv() => match signal {
                Some(Signal::Control(control)) => node.obey(&control).await,
                Some(Signal::Controls(controls)) => node.learn(&controls),
                Some(Signal::Lagged) => {
                    tracing::error!("more controls came than the node could carry out: users may not be disconnected");
                }
                Some(_) => {}
                // Shards have lost theirs too, and end the node.
                None => return,
            },
            _ = interval.tick() => if let Err(error) = node.know_controls(Duration::ZERO).await {
                tracing::warn!(%error, "revocations could not be read");
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use tickwire_auth::Secret;
    use tickwire_backplane::{Backplane, Control, memory::MemoryBackplane};
    use tickwire_protocol::time::now_ms;

    use super::*;
    use crate::Config;

    fn node(backplane: &Arc<MemoryBackplane>) -> Node {
        let mut config = Config::default();
        config.auth.hs256_secret = Some(Secret::new("a secret of thirty-two bytes or more"));
        Node::new(config, Arc::clone(backplane) as _, CancellationToken::new()).unwrap()
    }

    fn revocation(jti: &str) -> Control {
        Control::RevokeToken { jti: jti.into(), expires_at_ms: now_ms() + 60_000 }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_revoked_longer_ago_than_asked_for_is_known() {
        let backplane = MemoryBackplane::new();
        let node = node(&backplane);
        node.know_controls(Duration::ZERO).await.unwrap();
        backplane.control(revocation("a")).await.unwrap();
        node.know_controls(FRESH).await.unwrap();
        assert_eq!(node.revision(), 0, "it need not be known yet, so it was not read");
        tokio::time::advance(FRESH + Duration::from_millis(1)).await;
        node.know_controls(FRESH).await.unwrap();
        assert_eq!(node.revision(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_and_the_next_one_who_asks_reads_again() {
        let backplane = MemoryBackplane::new();
        let node = node(&backplane);
        backplane.faults().set_down(true);
        let (one, other) = tokio::join!(node.know_controls(FRESH), node.know_controls(FRESH));
        assert!(one.is_err() && other.is_err());
        backplane.faults().set_down(false);
        tokio::time::advance(Duration::from_millis(1)).await;
        node.know_controls(FRESH).await.unwrap();
    }
}
