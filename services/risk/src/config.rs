//! Settings of the risk service.

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
    /// Keys of users' tokens.
    pub auth: AuthConfig,
    /// Where the cluster and the other services are.
    pub trading: TradingConfig,
    /// The service itself.
    pub risk: RiskConfig,
    /// Policies laid over the default [`Namespaces`](tickwire_protocol::namespace::Namespaces), by namespace.
    pub namespaces: BTreeMap<String, Policy>,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

/// Section `risk`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RiskConfig {
    /// Where to listen, `address:port`.
    pub listen: SocketAddr,
    /// This instance's name, in logs and leases.
    pub node: String,
    /// Sessions under watch at once; one more is not watched, and counted.
    pub sessions_max: usize,
    /// Instruments whose prices are followed at once; one more is not, and counted.
    pub instruments_max: usize,
    /// Open connections at once; one more waits to be accepted.
    pub connections_max: usize,
    /// How long a session stays this instance's after it was last heard of, milliseconds: the time to a takeover.
    pub lease_ms: u64,
    /// How long requests in progress may take after a shutdown began, milliseconds.
    pub drain_ms: u64,
    /// Where assets of wallets are priced: an exchange of the feed.
    pub portfolio_exchange: String,
    /// In what they are priced; itself worth 1.
    pub portfolio_quote: String,
    /// Assets that are worth 1 as well.
    pub portfolio_stable: Vec<String>,
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("risk.{key}: {reason}")]
pub struct InvalidConfig {
    /// The key below `risk`.
    pub key: &'static str,
    /// What it should be.
    pub reason: &'static str,
}

impl Default for RiskConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8012)),
            node: "risk".into(),
            sessions_max: 10_000,
            instruments_max: 1_000,
            connections_max: 4_096,
            lease_ms: 3_000,
            drain_ms: 5_000,
            portfolio_exchange: "binance".into(),
            portfolio_quote: "USDT".into(),
            portfolio_stable: vec!["USD".into(), "USDC".into()],
        }
    }
}

impl RiskConfig {
    /// Checks what serde cannot.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let need = |is_good: bool, key, reason| if is_good { Ok(()) } else { Err(InvalidConfig { key, reason }) };
        need(!self.node.is_empty() && self.node.len() <= 64, "node", "1 to 64 bytes")?;
        need(self.sessions_max > 0, "sessions_max", "at least 1")?;
        need((1..=10_000).contains(&self.instruments_max), "instruments_max", "1 to 10000")?;
        need((1..=100_000).contains(&self.connections_max), "connections_max", "1 to 100000")?;
        need((300..=60_000).contains(&self.lease_ms), "lease_ms", "300 to 60000")?;
        Ok(())
    }

    /// `lease_ms` as a duration.
    pub const fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// `drain_ms` as a duration.
    pub const fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}
