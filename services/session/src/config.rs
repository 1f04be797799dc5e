//! Settings of a session service.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde::Deserialize;
use tickwire_auth::AuthConfig;
use tickwire_protocol::namespace::Policy;
use tickwire_telemetry::TelemetryConfig;
use tickwire_trading::TradingConfig;

use crate::SessionError;

/// Everything [`crate::run`] needs besides its listener and backplane.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Keys of users' tokens.
    pub auth: AuthConfig,
    /// The session service itself.
    pub session: SessionConfig,
    /// The other services.
    pub trading: TradingConfig,
    /// Policies laid over the default ones, by namespace.
    pub namespaces: BTreeMap<String, Policy>,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

/// Section `session`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionConfig {
    /// Where to listen, `address:port`.
    pub listen: SocketAddr,
    /// Where other instances reach this one, `http://host:port`; without it, the address it listens on.
    pub advertise: Option<String>,
    /// Sessions that a user may have open at once.
    pub sessions_per_user: usize,
    /// Longest body, bytes.
    pub body_bytes_max: usize,
    /// Open connections at once; one more waits to be accepted.
    pub connections_max: usize,
    /// How long requests in progress may take after a shutdown began, milliseconds.
    pub drain_ms: u64,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8010)),
            advertise: None,
            sessions_per_user: 100,
            body_bytes_max: 64 * 1024,
            connections_max: 4_096,
            drain_ms: 5_000,
        }
    }
}

impl SessionConfig {
    /// `drain_ms` as a duration.
    pub const fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }

    pub(crate) fn advertised(&self, bound: SocketAddr) -> String {
        self.advertise.clone().unwrap_or_else(|| format!("http://{bound}"))
    }

    pub(crate) fn check(&self) -> Result<(), SessionError> {
        let refuse = |key, reason| Err(SessionError::Config { key, reason });
        if self.sessions_per_user == 0 {
            return refuse("sessions_per_user", "at least 1");
        }
        if self.body_bytes_max == 0 {
            return refuse("body_bytes_max", "at least 1");
        }
        if !(1..=tokio::sync::Semaphore::MAX_PERMITS).contains(&self.connections_max) {
            return refuse("connections_max", "at least 1");
        }
        if self.advertise.as_ref().is_some_and(|url| !url.starts_with("http") || url.contains(' ')) {
            return refuse("advertise", "an address such as http://10.0.0.5:8010");
        }
        Ok(())
    }
}
