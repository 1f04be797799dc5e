//! Two edges and an emitter on one Redis, or all in one process, for as long as a test needs them.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tickwire_auth::{
    Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_backplane::{
    redis::{RedisBackplane, RedisConfig},
    testing::RedisServer,
};
use tickwire_client::{Backoff, Client, ClientOptions, Emitter, EmitterOptions, TokenSource, emitter::Outgoing};
use tickwire_protocol::{ChannelName, DeviceId, RawJson, UserId};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const SECRET: &str = "a secret of thirty-two bytes or more";
pub(crate) const API_KEY: &str = "an api key of thirty-two bytes or more";
/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Edge {
    pub(crate) addr: SocketAddr,
    shutdown: CancellationToken,
    task: Option<JoinHandle<()>>,
}

pub(crate) struct Cluster {
    pub(crate) redis: RedisServer,
    pub(crate) edges: Vec<Edge>,
    pub(crate) emitter: Emitter,
    pub(crate) emitter_addr: SocketAddr,
    emitter_shutdown: CancellationToken,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let redis = tokio::task::spawn_blocking(RedisServer::start).await.unwrap();
        let mut edges = Vec::new();
        for name in ["edge-a", "edge-b"] {
            edges.push(Edge::start(name, &redis).await);
        }
        let emitter_shutdown = CancellationToken::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let emitter_addr = listener.local_addr().unwrap();
        let emitter = emitter(emitter_addr);
        let backplane = RedisBackplane::connect(redis_config(&redis)).await.unwrap();
        tokio::spawn({
            let shutdown = emitter_shutdown.clone();
            async move { tickwire_emitter::run(emitter_config(), listener, backplane, shutdown).await.unwrap() }
        });
        let cluster = Self { redis, edges, emitter, emitter_addr, emitter_shutdown };
        for edge in &cluster.edges {
            edge.until_ready().await;
        }
        cluster
    }

    /// A client of user `user` that prefers edge `at` and tries the other one next.
    pub(crate) fn client(&self, user: &str, at: usize) -> Client {
        self.client_with(token(user), at)
    }

    /// The same with a token that exists already.
    pub(crate) fn client_with(&self, token: String, at: usize) -> Client {
        Client::connect(client_options(token, self.urls(at))).unwrap()
    }

    /// A client of user `user` on one of their devices.
    pub(crate) fn device(&self, user: &str, device: &str, at: usize) -> Client {
        let device = Some(DeviceId::new(device).unwrap());
        Client::connect(ClientOptions { device, ..client_options(token(user), self.urls(at)) }).unwrap()
    }

    pub(crate) fn urls(&self, at: usize) -> Vec<String> {
        let mut urls: Vec<String> = self.edges.iter().map(|edge| edge.ws("/ws")).collect();
        urls.rotate_left(at);
        urls
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.emitter_shutdown.cancel();
        for edge in &self.edges {
            edge.shutdown.cancel();
        }
    }
}

impl Edge {
    async fn start(name: &str, redis: &RedisServer) -> Self {
        let backplane = RedisBackplane::connect(redis_config(redis)).await.unwrap();
        let mut config = edge_config();
        name.clone_into(&mut config.edge.node);
        let listener = tickwire_edge::listen(local()).unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { tickwire_edge::run(config, listener, backplane, stop).await.unwrap() });
        Self { addr, shutdown, task: Some(task) }
    }

    pub(crate) fn ws(&self, path: &str) -> String {
        format!("ws://{}{path}", self.addr)
    }

    pub(crate) fn http(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    async fn until_ready(&self) {
        until("the edge is ready", async || {
            reqwest::get(self.http("/readyz")).await.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }

    /// As on SIGTERM.
    pub(crate) fn begin_drain(&self) {
        self.shutdown.cancel();
    }

    /// Waits for the end of the drain.
    pub(crate) async fn ended(&mut self) {
        if let Some(task) = self.task.take() {
            tokio::time::timeout(PATIENCE, task).await.expect("the drain ends").unwrap();
        }
    }
}

pub(crate) fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn redis_config(redis: &RedisServer) -> RedisConfig {
    RedisConfig { url: redis.url(), connect_timeout_s: 60, ..RedisConfig::default() }
}

pub(crate) fn edge_config() -> tickwire_edge::Config {
    let mut config = tickwire_edge::Config::default();
    config.auth.hs256_secret = Some(Secret::new(SECRET));
    config.edge.listen = local();
    config.edge.shards = 2;
    config.edge.drain_ms = 2_000;
    config
}

pub(crate) fn emitter_config() -> tickwire_emitter::Config {
    let mut config = tickwire_emitter::Config::default();
    config.auth.hs256_secret = Some(Secret::new(SECRET));
    config.emitter.api_keys = vec![Secret::new(API_KEY)];
    config
}

pub(crate) fn emitter(addr: SocketAddr) -> Emitter {
    Emitter::new(EmitterOptions::new(format!("http://{addr}"), API_KEY)).unwrap()
}

pub(crate) fn client_options(token: String, urls: Vec<String>) -> ClientOptions {
    let mut options = ClientOptions::new("", TokenSource::Fixed(token));
    options.urls = urls;
    options.backoff = Backoff {
        first_max: Duration::from_millis(50),
        min: Duration::from_millis(20),
        base: Duration::from_millis(100),
        max: Duration::from_millis(500),
    };
    options.call_timeout = PATIENCE;
    options
}

/// A token for `user` with role `desk` and every trading session.
pub(crate) fn token(user: &str) -> String {
    let claims =
        TokenClaims::new(UserId::new(user).unwrap()).role("desk").grant("session:*").token_id(format!("t-{user}"));
    Signer::new(&Secret::new(SECRET)).unwrap().sign(&claims).unwrap()
}

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

pub(crate) fn json(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).unwrap()
}

pub(crate) fn message(name: &str, text: &str) -> Outgoing {
    Outgoing::new(channel(name), json(text))
}

/// Publishes `numbers` as data, in order, in batches; every one must be taken.
pub(crate) async fn publish_numbers(emitter: &Emitter, name: &str, numbers: std::ops::Range<u32>) {
    let numbers: Vec<u32> = numbers.collect();
    for chunk in numbers.chunks(100) {
        let batch = chunk.iter().map(|number| message(name, &number.to_string())).collect();
        for result in emitter.publish_batch(batch).await.unwrap() {
            assert!(!result.unwrap().duplicate);
        }
    }
}

/// Polls a condition; panics when it does not come true.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits for `future` as long as a busy machine may need.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Everything in one process, as `tickwire-standalone` runs it.
pub(crate) struct Standalone {
    pub(crate) edge: SocketAddr,
    pub(crate) emitter: Emitter,
    pub(crate) emitter_address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Standalone {
    pub(crate) async fn start() -> Self {
        Self::with(emitter_config()).await
    }

    pub(crate) async fn with(emitter_config: tickwire_emitter::Config) -> Self {
        Self::with_market(emitter_config, tickwire_standalone::Market::None).await
    }

    pub(crate) async fn with_market(
        emitter_config: tickwire_emitter::Config,
        market: tickwire_standalone::Market,
    ) -> Self {
        let config = tickwire_standalone::Config {
            edge: edge_config(),
            emitter: emitter_config,
            market,
            ..tickwire_standalone::Config::default()
        };
        Self::with_config(config).await
    }

    pub(crate) async fn with_config(mut config: tickwire_standalone::Config) -> Self {
        config.feed.feed.listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let edge_listener = tickwire_edge::listen(local()).unwrap();
        let emitter_listener = tokio::net::TcpListener::bind(local()).await.unwrap();
        let (edge, emitter_addr) = (edge_listener.local_addr().unwrap(), emitter_listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn({
            let shutdown = shutdown.clone();
            async move {
                tickwire_standalone::run(config, edge_listener, emitter_listener, shutdown).await.unwrap();
            }
        });
        Self { edge, emitter: emitter(emitter_addr), emitter_address: emitter_addr, shutdown, task }
    }

    pub(crate) fn ws(&self, path: &str) -> String {
        format!("ws://{}{path}", self.edge)
    }

    /// A client of user `user`.
    pub(crate) fn client(&self, user: &str) -> Client {
        Client::connect(client_options(token(user), vec![self.ws("/ws")])).unwrap()
    }

    /// It goes on until this is cancelled.
    pub(crate) fn detach(self) -> CancellationToken {
        self.shutdown
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        soon("standalone stops", self.task).await.unwrap();
    }
}
