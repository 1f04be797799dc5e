//! Settings of a feed.

use std::{collections::BTreeMap, net::SocketAddr, str::FromStr, time::Duration};

use serde::Deserialize;
use tickwire_protocol::{ChannelName, Origin, namespace::Policy};
use tickwire_telemetry::TelemetryConfig;

use crate::model::Exchange;

/// Everything [`crate::run`] needs besides its listener and backplane.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The feed itself.
    pub feed: FeedConfig,
    /// Policies laid over the default namespaces, by namespace.
    pub namespaces: BTreeMap<String, Policy>,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

/// Section `feed`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedConfig {
    /// Where `/healthz`, `/readyz`, `/metrics` and `/v1/feeds` are served, `address:port`.
    pub listen: SocketAddr,
    /// Origins of pages that may read `/v1/feeds` from a browser, such as the dashboard's `https://app.example.com`.
    pub allowed_origins: Vec<Origin>,
    /// This instance's name in alerts and leases; a restart changes what follows it.
    pub node: String,
    /// The venues to feed: `binance`, `coinbase`, `kraken`, `bybit`, `okx`.
    pub exchanges: Vec<String>,
    /// Channels that are fed also while nobody listens, such as `ticker:binance:BTC/USDT`.
    pub pinned: Vec<String>,
    /// How long a channel that nobody listens to any more is fed on, milliseconds.
    pub grace_ms: u64,
    /// Channels fed at once; what is wanted beyond is counted and not fed.
    pub channels_max: usize,
    /// Levels a side of what is published of a book.
    pub book_depth: usize,
    /// Addresses other than the venues' own, by venue.
    pub venues: BTreeMap<String, VenueConfig>,
}

impl Default for FeedConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8002)),
            allowed_origins: Vec::new(),
            node: "feed".to_owned(),
            exchanges: Exchange::ALL.iter().map(ToString::to_string).collect(),
            pinned: Vec::new(),
            grace_ms: 30_000,
            channels_max: 2_000,
            book_depth: 100,
            venues: BTreeMap::new(),
        }
    }
}

/// Where a venue is reached, if not at its own addresses: a regional host, or a simulator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VenueConfig {
    /// Scheme and host of its WebSocket, such as `ws://127.0.0.1:9001`; paths stay.
    pub origin: Option<String>,
    /// Scheme and host of its HTTP interface. With one set, names of instruments are derived, not fetched.
    pub http: Option<String>,
}

impl VenueConfig {
    /// `url` at this host.
    pub(crate) fn url(&self, url: &str) -> String {
        match &self.origin {
            Some(origin) => format!("{}{}", origin.trim_end_matches('/'), crate::supervise::path(url)),
            None => url.to_owned(),
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("feed.{key}: {reason}")]
pub struct InvalidConfig {
    /// Which.
    pub key: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl FeedConfig {
    /// Checks what types cannot.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let invalid = |key, reason: String| Err(InvalidConfig { key, reason });
        for name in self.exchanges.iter().chain(self.venues.keys()) {
            if let Err(error) = Exchange::from_str(name) {
                return invalid("exchanges", error.to_string());
            }
        }
        for name in &self.pinned {
            if let Err(error) = ChannelName::new(name) {
                return invalid("pinned", error.to_string());
            }
        }
        for venue in self.venues.values() {
            for (origin, schemes) in [(&venue.origin, ["ws://", "wss://"]), (&venue.http, ["http://", "https://"])] {
                let is_known = |origin: &String| schemes.iter().any(|scheme| origin.starts_with(scheme));
                if !origin.as_ref().is_none_or(is_known) {
                    return invalid("venues", format!("an address begins with {} or {}", schemes[0], schemes[1]));
                }
            }
        }
        if !(1..=5_000).contains(&self.book_depth) {
            return invalid("book_depth", "from 1 to 5000".to_owned());
        }
        if self.node.is_empty() || self.node.len() > 64 || !self.node.bytes().all(|byte| byte.is_ascii_graphic()) {
            return invalid("node", "1 to 64 printable ASCII characters without spaces".to_owned());
        }
        Ok(())
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        let mut exchanges: Vec<Exchange> =
            self.exchanges.iter().filter_map(|name| Exchange::from_str(name).ok()).collect();
        exchanges.sort();
        exchanges.dedup();
        exchanges
    }

    pub(crate) fn venue(&self, exchange: Exchange) -> VenueConfig {
        self.venues.get(exchange.name()).cloned().unwrap_or_default()
    }

    /// `grace_ms` as a duration.
    pub const fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_of_an_address_is_replaced() {
        let venue = VenueConfig { origin: Some("ws://127.0.0.1:9001/".into()), http: None };
        assert_eq!(venue.url("wss://stream.bybit.com/v5/public/spot"), "ws://127.0.0.1:9001/v5/public/spot");
        assert_eq!(VenueConfig::default().url("wss://ws.kraken.com/v2"), "wss://ws.kraken.com/v2");
    }

    #[test]
    fn what_cannot_be_fed_is_refused_before_anything_starts() {
        assert_eq!(FeedConfig::default().validate(), Ok(()));
        let unknown = FeedConfig { exchanges: vec!["mtgox".into()], ..FeedConfig::default() };
        assert_eq!(unknown.validate().unwrap_err().key, "exchanges");
        let pinned = FeedConfig { pinned: vec!["a b".into()], ..FeedConfig::default() };
        assert_eq!(pinned.validate().unwrap_err().key, "pinned");
        let venue = VenueConfig { origin: Some("http://x".into()), http: None };
        let venues = FeedConfig { venues: [("okx".to_owned(), venue)].into(), ..FeedConfig::default() };
        assert_eq!(venues.validate().unwrap_err().key, "venues");
    }
}
