//! Settings of an edge.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use serde::Deserialize;
use tickwire_protocol::namespace::Policy;

use crate::{EdgeError, Site, accept::Network, framing::FrameLimits, tls};

/// Everything [`crate::run()`] needs besides its listener and backplane.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whose tokens are accepted.
    pub auth: tickwire_auth::AuthConfig,
    /// What one peer may use.
    pub limits: LimitsConfig,
    /// The edge itself.
    pub edge: EdgeConfig,
    /// Policies laid over the default [`Namespaces`](tickwire_protocol::namespace::Namespaces), by namespace.
    pub namespaces: BTreeMap<String, Policy>,
    /// Logs and traces.
    pub telemetry: tickwire_telemetry::TelemetryConfig,
    /// What is served beside the endpoints: the dashboard, from [`EdgeConfig::site`] or out of standalone's own program.
    #[serde(skip)]
    pub site: Option<Arc<Site>>,
}

/// Section `edge`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeConfig {
    /// Where to listen, `address:port`.
    pub listen: SocketAddr,
    /// This node's name, unique in the cluster.
    pub node: String,
    /// Public addresses of the cluster's edges (`wss://…`), told to clients in `connected`.
    pub nodes: Vec<String>,
    /// Shards (threads); 0 = one per core.
    pub shards: usize,
    /// How often an idle connection is pinged, milliseconds.
    pub heartbeat_interval_ms: u64,
    /// A connection from which nothing came for this long is closed with 4408, milliseconds.
    pub idle_timeout_ms: u64,
    /// From accept to a finished upgrade, and from the upgrade to authentication, milliseconds each.
    pub handshake_timeout_ms: u64,
    /// Handshakes (TLS and HTTP) in progress on one shard at most; further ones wait without a buffer.
    pub handshakes_max: usize,
    /// Certificate chain in PEM, the node's own first: with it the port speaks TLS only, health and metrics included. Changed
    /// files are taken over within seconds or on SIGHUP; connections that exist keep what they have.
    pub tls_cert_file: Option<PathBuf>,
    /// Its private key in PEM.
    pub tls_key_file: Option<PathBuf>,
    /// Origins that may open a connection from a browser, such as `https://app.example.com`; `*` allows all. Empty: the
    /// origin that the request was sent to, and all where `listen` is a loopback address. A request without an `Origin` comes
    /// from no browser and is always allowed.
    pub allowed_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`. Without it all clients behind a proxy are one
    /// address for `limits.connections_per_ip` and for bans.
    pub trusted_proxies: Vec<Network>,
    /// How long a drain may take, milliseconds: `reconnect` is sent over the first half of it.
    pub drain_ms: u64,
    /// How long a channel without subscribers stays subscribed at the backplane, milliseconds.
    pub channel_linger_ms: u64,
    /// How long messages may be gathered, so that one write takes several, milliseconds. A message that comes alone and
    /// one of priority `critical` never wait; under load a shard gathers as long as its last round of writes took. Below 2 it
    /// gathers only what comes while it writes.
    pub coalesce_max_ms: u64,
    /// How long a shard works on one thing before others get their turn, milliseconds: a burst of messages, a channel's
    /// many subscribers or newcomers, a client's packed commands.
    pub work_max_ms: u64,
    /// Signals of the backplane that may wait for one shard.
    pub signal_queue: usize,
    /// Whether clients that offer permessage-deflate (RFC 7692) get it.
    pub deflate: bool,
    /// Messages from this size on are compressed for them, bytes. Smaller ones hardly shrink: 128 bytes of JSON to 101.
    pub deflate_min_bytes: usize,
    /// Areas: `/ws/{area}` sees only the namespaces listed for it.
    pub areas: BTreeMap<String, Vec<String>>,
    /// The dashboard's built files (`services/dashboard/dist`), served at `/`. Any static host serves them as well.
    pub dashboard_dir: Option<PathBuf>,
    /// Where the dashboard reaches the other services (`emitter`, `feed`, `session`, `algorithm`): a path of this host
    /// (`/emitter`, routed by the balancer) or an `https://` address whose service lists this origin in its `allowed_origins`.
    pub dashboard_services: BTreeMap<String, String>,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            node: "edge".into(),
            nodes: Vec::new(),
            shards: 0,
            heartbeat_interval_ms: 25_000,
            idle_timeout_ms: 60_000,
            handshake_timeout_ms: 10_000,
            handshakes_max: 256,
            tls_cert_file: None,
            tls_key_file: None,
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            drain_ms: 20_000,
            channel_linger_ms: 3_000,
            coalesce_max_ms: 2,
            work_max_ms: 5,
            signal_queue: 65_536,
            deflate: true,
            deflate_min_bytes: 200,
            areas: default_areas(),
            dashboard_dir: None,
            dashboard_services: BTreeMap::new(),
        }
    }
}

impl EdgeConfig {
    /// Finds what cannot be served: half a certificate, files that cannot be read or do not belong together.
    pub fn validate(&self) -> Result<(), EdgeError> {
        tls::validate(self)
    }

    /// Reads the dashboard, if there is a directory of it.
    pub fn site(&self) -> Result<Option<Arc<Site>>, EdgeError> {
        let directory = self.dashboard_dir.as_ref();
        directory.map(|path| Site::load(path, &self.dashboard_services, &self.nodes).map(Arc::new)).transpose()
    }

    /// `heartbeat_interval_ms` as a duration.
    pub const fn heartbeat_interval(&self) -> Duration {
        Duration::from_millis(self.heartbeat_interval_ms)
    }

    /// `handshake_timeout_ms` as a duration.
    pub const fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms)
    }

    /// `drain_ms` as a duration.
    pub const fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }

    /// How many shards to start.
    pub fn shard_count(&self) -> usize {
        match self.shards {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            wanted => wanted,
        }
    }
}

fn default_areas() -> BTreeMap<String, Vec<String>> {
    let area = |namespaces: &[&str]| namespaces.iter().map(|&name| name.to_owned()).collect();
    BTreeMap::from([
        (
            "trading".into(),
            area(&[
                "user",
                "session",
                "sessions",
                "orders",
                "positions",
                "strategy",
                "strategies",
                "order-updates",
                "execution-events",
                "position-changes",
                "status-changes",
                "room",
            ]),
        ),
        ("system".into(), area(&["system", "status-changes", "public"])),
        (
            "market-data".into(),
            area(&[
                "prices",
                "ticker",
                "candles",
                "book",
                "trades",
                "volatility",
                "price-updates",
                "orderbook-changes",
                "trade-events",
                "public",
            ]),
        ),
        ("notifications".into(), area(&["user", "system"])),
        ("wallet".into(), area(&["wallet-events", "balance-updates", "transaction-status", "portfolio"])),
        ("agents".into(), area(&["agent-signals", "performance-updates", "strategy", "strategies"])),
        ("sentiment".into(), area(&["sentiment-updates", "news-events", "social-signals"])),
    ])
}

/// Section `limits`. 0 switches a limit off, except where a key says otherwise.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Connections of this node.
    pub connections_per_node: usize,
    /// Connections of one user on this node.
    pub connections_per_user: usize,
    /// Whether a connection beyond `connections_per_user` takes the place of the user's oldest one, which is closed with 4409,
    /// and is not refused itself. With 1 a user has the newest connection only.
    pub replace_oldest: bool,
    /// Connections from one address on this node.
    pub connections_per_ip: usize,
    /// Subscriptions of one connection.
    pub channels_per_connection: usize,
    /// Commands a second on one connection; a second's worth may come at once.
    pub commands_per_second: u32,
    /// Bytes a second on one connection; a second's worth may come at once.
    pub bytes_per_second: u32,
    /// Payload of one frame; cannot be switched off.
    pub frame_bytes: usize,
    /// One message, all fragments together; cannot be switched off.
    pub message_bytes: usize,
    /// Fragments of one message; cannot be switched off.
    pub fragments: usize,
    /// `params` of one subscription, bytes; cannot be switched off.
    pub params_bytes: usize,
    /// Malformed frames a minute on one connection before it is closed with 4400.
    pub malformed_per_minute: u32,
    /// Failed authentications a minute from one address before it is banned on all nodes.
    pub auth_failures_per_minute: u32,
    /// Channels a minute that one user asks for and may not have, before the user is banned on all nodes.
    pub forbidden_per_minute: u32,
    /// Connections a minute from one address that were closed for what they sent (4400, 4429, a broken WebSocket frame),
    /// before it is banned on all nodes.
    pub floods_per_minute: u32,
    /// How long a ban lasts, seconds. 0 bans nobody.
    pub ban_seconds: u64,
    /// Bytes that may wait for one connection; cannot be switched off.
    pub outbox_bytes: usize,
    /// Bytes that may wait for all connections of this node; cannot be switched off.
    pub outbox_node_bytes: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections_per_node: 100_000,
            connections_per_user: 50,
            replace_oldest: false,
            connections_per_ip: 1_000,
            channels_per_connection: 200,
            commands_per_second: 100,
            bytes_per_second: 262_144,
            frame_bytes: 65_536,
            message_bytes: 262_144,
            fragments: 64,
            params_bytes: 4_096,
            malformed_per_minute: 10,
            auth_failures_per_minute: 20,
            forbidden_per_minute: 100,
            floods_per_minute: 20,
            ban_seconds: 60,
            outbox_bytes: 1 << 20,
            outbox_node_bytes: 512 << 20,
        }
    }
}

impl LimitsConfig {
    /// Those of the framing layer.
    pub const fn frames(&self) -> FrameLimits {
        FrameLimits {
            frame_bytes_max: self.frame_bytes,
            message_bytes_max: self.message_bytes,
            fragments_max: self.fragments,
        }
    }
}
