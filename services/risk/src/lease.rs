//! Which instance speaks, of what is said once for all sessions. A second speaker would do no harm but to say the same twice.

use std::time::Duration;

use tickwire_protocol::ChannelName;
use tokio::time::Instant;

use crate::{config::RiskConfig, keeper::Tools};

pub(crate) struct Lease {
    name: &'static str,
    holder: String,
    term: Duration,
    held_until: Option<Instant>,
    asks_at: Instant,
}

impl Lease {
    /// The lease `name`, not taken yet.
    pub(crate) fn new(name: &'static str, config: &RiskConfig) -> Self {
        let holder = format!("{}-{:08x}", config.node, rand::random::<u32>());
        Self { name, holder, term: config.lease(), held_until: None, asks_at: Instant::now() }
    }

    /// How often [`Self::is_held`] should be called for the lease to be kept.
    pub(crate) fn renewal(&self) -> Duration {
        self.term / 3
    }

    /// Takes or prolongs it when that is due; answers whether this instance has it.
    pub(crate) async fn is_held(&mut self, tools: &Tools) -> bool {
        let now = Instant::now();
        if now >= self.asks_at
            && let Ok(name) = ChannelName::new(self.name)
        {
            self.asks_at = now + self.renewal();
            match tools.backplane.take_leases(&[name], &self.holder, self.term).await.pop() {
                Some(Ok(taken)) => self.held_until = taken.fence().map(|_| now + self.term),
                Some(Err(error)) => {
                    tools.metrics.lease_failures.inc();
                    tracing::debug!(%error, lease = self.name, "who speaks is unknown");
                }
                None => {}
            }
        }
        self.held_until.is_some_and(|until| Instant::now() < until)
    }
}
