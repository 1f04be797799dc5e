//! Real servers for the load generator: everything in one process, or two edges and an emitter on one Redis.

use std::net::SocketAddr;

use clap::Parser;
use tickwire_auth::Secret;
use tickwire_backplane::{
    redis::{RedisBackplane, RedisConfig},
    testing::RedisServer,
};
use tickwire_loadtest::Settings;
use tokio_util::sync::{CancellationToken, DropGuard};

const SECRET: &str = "a secret of thirty-two bytes or more";
const API_KEY: &str = "an api key of thirty-two bytes or more";

/// Servers for as long as a test needs them.
pub(crate) struct Cluster {
    pub(crate) edges: Vec<SocketAddr>,
    pub(crate) emitter: SocketAddr,
    _redis: Option<RedisServer>,
    _shutdown: DropGuard,
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

impl Cluster {
    /// An edge and an emitter on memory.
    pub(crate) async fn standalone() -> Self {
        Self::standalone_with(|_| ()).await
    }

    /// The same, the edge adjusted.
    pub(crate) async fn standalone_with(adjust: impl FnOnce(&mut tickwire_edge::Config)) -> Self {
        let mut edge = edge_config("edge");
        adjust(&mut edge);
        let shutdown = CancellationToken::new();
        let config =
            tickwire_standalone::Config { edge, emitter: emitter_config(), ..tickwire_standalone::Config::default() };
        let edge_listener = tickwire_edge::listen(local()).unwrap();
        let emitter_listener = tokio::net::TcpListener::bind(local()).await.unwrap();
        let (address, emitter) = (edge_listener.local_addr().unwrap(), emitter_listener.local_addr().unwrap());
        tokio::spawn(tickwire_standalone::run(config, edge_listener, emitter_listener, shutdown.clone()));
        Self { edges: vec![address], emitter, _redis: None, _shutdown: shutdown.drop_guard() }
    }

    /// Two edges and an emitter on a Redis.
    pub(crate) async fn on_redis() -> Self {
        let shutdown = CancellationToken::new();
        let redis = tokio::task::spawn_blocking(RedisServer::start).await.unwrap();
        let mut edges = Vec::new();
        for name in ["edge-a", "edge-b"] {
            let listener = tickwire_edge::listen(local()).unwrap();
            edges.push(listener.local_addr().unwrap());
            tokio::spawn(tickwire_edge::run(edge_config(name), listener, backplane(&redis).await, shutdown.clone()));
        }
        let listener = tokio::net::TcpListener::bind(local()).await.unwrap();
        let emitter = listener.local_addr().unwrap();
        tokio::spawn(tickwire_emitter::run(emitter_config(), listener, backplane(&redis).await, shutdown.clone()));
        Self { edges, emitter, _redis: Some(redis), _shutdown: shutdown.drop_guard() }
    }

    /// Settings for a run against `targets`.
    pub(crate) fn settings_at(&self, targets: &[SocketAddr], flags: &str) -> Settings {
        let mut words = vec!["test".to_owned(), "--emitter".into(), format!("http://{}", self.emitter)];
        for target in targets {
            words.extend(["--target".into(), format!("ws://{target}")]);
        }
        words.extend(["--secret", SECRET, "--api-key", API_KEY].map(ToOwned::to_owned));
        words.extend(flags.split_ascii_whitespace().map(ToOwned::to_owned));
        // How busy the machine is says nothing of the account: what comes late is not missing.
        Settings { settle_s: 30.0, ..Flags::try_parse_from(words).unwrap().settings }
    }

    /// Settings for a run against all edges.
    pub(crate) fn settings(&self, flags: &str) -> Settings {
        self.settings_at(&self.edges, flags)
    }
}

async fn backplane(redis: &RedisServer) -> std::sync::Arc<dyn tickwire_backplane::Backplane> {
    let config = RedisConfig { url: redis.url(), connect_timeout_s: 60, ..RedisConfig::default() };
    RedisBackplane::connect(config).await.unwrap()
}

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn edge_config(node: &str) -> tickwire_edge::Config {
    let mut config = tickwire_edge::Config::default();
    config.auth.hs256_secret = Some(Secret::new(SECRET));
    config.edge.listen = local();
    config.edge.shards = 2;
    config.edge.drain_ms = 100;
    node.clone_into(&mut config.edge.node);
    config
}

fn emitter_config() -> tickwire_emitter::Config {
    let mut config = tickwire_emitter::Config::default();
    config.auth.hs256_secret = Some(Secret::new(SECRET));
    config.emitter.api_keys = vec![Secret::new(API_KEY)];
    config
}
