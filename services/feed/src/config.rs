//! Settings of a feed.

use std::{collections::BTreeMap, net::SocketAddr, str::FromStr, time::Duration};

use serde::Deserialize;
use tickwire_protocol::{ChannelName, Origin, namespace::Policy};
use tickwire_telemetry::TelemetryConfig;

use crate::{model::Exchange, venue::Backoff};

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
    /// Where market data comes from: `exchanges`, or `recordings` that the process replays to itself, marked as such in every
    /// message; then `venues` means nothing.
    pub source: Source,
    /// How long requests in progress may take after SIGTERM, milliseconds.
    pub drain_ms: u64,
}

/// Where market data comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The venues themselves.
    #[default]
    Exchanges,
    /// Recordings inside the program.
    Recordings,
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
            source: Source::default(),
            drain_ms: 5_000,
        }
    }
}

/// Where a venue is reached, if not at its own addresses: a regional host, or a simulator.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VenueConfig {
    /// Scheme and host of its WebSocket, such as `ws://127.0.0.1:9001`; paths stay.
    pub origin: Option<String>,
    /// Scheme and host of its HTTP interface. With one set, names of instruments are derived, not fetched.
    pub http: Option<String>,
    /// How soon it is connected to again; what is not set is this venue's own.
    pub backoff: BackoffConfig,
}

/// Delays before a venue is connected to again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackoffConfig {
    /// The first one, milliseconds.
    pub initial_ms: Option<u64>,
    /// By what it grows each time, 1 to 10.
    pub multiplier: Option<f64>,
    /// The longest, milliseconds.
    pub max_ms: Option<u64>,
    /// The share of it that is drawn, 0 to 1.
    pub jitter: Option<f64>,
    /// After a refusal for rate (429, 403, close 1008), milliseconds; nothing is asked of the venue meanwhile.
    pub limited_ms: Option<u64>,
}

impl BackoffConfig {
    /// Laid over the venue's own.
    pub(crate) fn over(&self, own: Backoff) -> Backoff {
        Backoff {
            initial_ms: self.initial_ms.unwrap_or(own.initial_ms),
            multiplier: self.multiplier.unwrap_or(own.multiplier),
            max_ms: self.max_ms.unwrap_or(own.max_ms),
            jitter: self.jitter.unwrap_or(own.jitter),
            limited_ms: self.limited_ms.unwrap_or(own.limited_ms),
        }
    }

    fn is_usable(&self) -> bool {
        self.multiplier.is_none_or(|multiplier| (1.0..=10.0).contains(&multiplier))
            && self.jitter.is_none_or(|jitter| (0.0..=1.0).contains(&jitter))
    }
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
            if !venue.backoff.is_usable() {
                return invalid("venues", "backoff: multiplier is from 1 to 10, jitter from 0 to 1".to_owned());
            }
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

    /// `drain_ms` as a duration.
    pub const fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_of_an_address_is_replaced() {
        let venue = VenueConfig { origin: Some("ws://127.0.0.1:9001/".into()), ..VenueConfig::default() };
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
        let venue = VenueConfig { origin: Some("http://x".into()), ..VenueConfig::default() };
        let venues = FeedConfig { venues: [("okx".to_owned(), venue)].into(), ..FeedConfig::default() };
        assert_eq!(venues.validate().unwrap_err().key, "venues");
        let backoff = BackoffConfig { jitter: Some(1.5), ..BackoffConfig::default() };
        let venue = VenueConfig { backoff, ..VenueConfig::default() };
        let venues = FeedConfig { venues: [("okx".to_owned(), venue)].into(), ..FeedConfig::default() };
        assert_eq!(venues.validate().unwrap_err().key, "venues");
    }

    #[test]
    fn a_backoff_of_ones_own_goes_over_the_venues() {
        let own = crate::venue::facts(Exchange::Okx).backoff;
        let laid = BackoffConfig { limited_ms: Some(7), ..BackoffConfig::default() }.over(own);
        assert_eq!(laid, Backoff { limited_ms: 7, ..own });
    }
}
