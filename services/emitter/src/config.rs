//! Settings of an emitter.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde::Deserialize;
use tickwire_auth::{AuthConfig, Secret};
use tickwire_protocol::{Origin, namespace::Policy};
use tickwire_telemetry::TelemetryConfig;

use crate::escalate::EscalationConfig;

/// Everything [`crate::run`] needs besides its listener and backplane.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Keys of service tokens.
    pub auth: AuthConfig,
    /// The emitter itself.
    pub emitter: EmitterConfig,
    /// Overdue alerts.
    pub escalation: EscalationConfig,
    /// Policies laid over the default [`Namespaces`](tickwire_protocol::namespace::Namespaces), by namespace.
    pub namespaces: BTreeMap<String, Policy>,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

/// Section `emitter`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmitterConfig {
    /// Where to listen, `address:port`.
    pub listen: SocketAddr,
    /// API keys of backends that hold no service token: in clear, or `sha256:` and the key's digest.
    pub api_keys: Vec<Secret>,
    /// Shared secret of message signatures. Without it a message with a `signature` is refused.
    pub signing_secret: Option<Secret>,
    /// Origins of pages that may call this API from a browser, such as the dashboard's `https://app.example.com`. A token is
    /// needed all the same.
    pub allowed_origins: Vec<Origin>,
    /// Longest body, bytes, but for a batch.
    pub body_bytes_max: usize,
    /// Longest body of a batch, bytes.
    pub batch_bytes_max: usize,
    /// Longest `data` of one message, bytes of JSON.
    pub data_bytes_max: usize,
    /// Open connections at once; one more waits to be accepted.
    pub connections_max: usize,
    /// Requests in progress at once; one more is refused with 503.
    pub requests_max: usize,
    /// Requests a second that one caller may make over time; 0 = no limit.
    pub requests_per_s: u32,
    /// Requests that one caller may make at once before `requests_per_s` counts.
    pub requests_burst: u32,
    /// Failed authentications a minute after which an address is refused unseen; 0 = no limit.
    pub auth_failures_per_minute: u32,
    /// How long a request's body may take to arrive, milliseconds.
    pub body_timeout_ms: u64,
    /// How long requests in progress may take after a shutdown began, milliseconds.
    pub drain_ms: u64,
    /// How long a revocation is kept whose caller names no expiry, seconds: longer than any token lives.
    pub revocation_ttl_s: u64,
}

impl Default for EmitterConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8001)),
            api_keys: Vec::new(),
            signing_secret: None,
            allowed_origins: Vec::new(),
            body_bytes_max: 256 * 1024,
            batch_bytes_max: 4 * 1024 * 1024,
            data_bytes_max: 64 * 1024,
            connections_max: 16_384,
            requests_max: 4_096,
            requests_per_s: 0,
            requests_burst: 200,
            auth_failures_per_minute: 120,
            body_timeout_ms: 10_000,
            drain_ms: 10_000,
            revocation_ttl_s: 7 * 86_400,
        }
    }
}

impl EmitterConfig {
    /// `body_timeout_ms` as a duration.
    pub const fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    /// `drain_ms` as a duration.
    pub const fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}
