//! Settings of the service.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde::Deserialize;
use tickwire_auth::AuthConfig;
use tickwire_protocol::namespace::Policy;
use tickwire_telemetry::TelemetryConfig;
use tickwire_trading::config::TradingConfig;

/// Everything [`crate::run`] needs besides its listener and backplane.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Keys of callers' tokens; with `hs256_secret` the service signs its own token for the edge.
    pub auth: AuthConfig,
    /// Where the cluster and the other trading services are, and keys.
    pub trading: TradingConfig,
    /// The service itself.
    pub algorithm: AlgorithmConfig,
    /// Policies laid over the default namespaces, by name.
    pub namespaces: BTreeMap<String, Policy>,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

/// Section `algorithm`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlgorithmConfig {
    /// Where to listen, `address:port`.
    pub listen: SocketAddr,
    /// This instance's name.
    pub node: String,
    /// Bots that one instance runs at most; 1 to 10,000.
    pub bots_max: usize,
    /// Longest request body, bytes.
    pub body_bytes_max: usize,
    /// Open connections at most; further ones wait.
    pub connections_max: usize,
    /// What may be finished after a signal to end, milliseconds.
    pub drain_ms: u64,
}

impl Default for AlgorithmConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8011)),
            node: "algorithm".into(),
            bots_max: 1_000,
            body_bytes_max: 65_536,
            connections_max: 1_024,
            drain_ms: 5_000,
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("algorithm.{key}: {reason}")]
pub struct InvalidConfig {
    /// The key below `algorithm`.
    pub key: &'static str,
    /// What it should be.
    pub reason: &'static str,
}

impl Config {
    /// Checks what types alone do not.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let refuse = |key, reason| Err(InvalidConfig { key, reason });
        let AlgorithmConfig { bots_max, connections_max, .. } = &self.algorithm;
        if !(1..=10_000).contains(bots_max) {
            return refuse("bots_max", "1 to 10000");
        }
        if !(1..=65_536).contains(connections_max) {
            return refuse("connections_max", "1 to 65536");
        }
        Ok(())
    }
}

impl AlgorithmConfig {
    /// `drain_ms` as a duration.
    pub const fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}
