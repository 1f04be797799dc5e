//! The cluster's processes: what each host runs, as its `main` would.

use std::{
    cell::{Cell, RefCell},
    net::IpAddr,
    rc::Rc,
    time::Duration,
};

use tickwire_auth::{
    Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_backplane::redis::{RedisBackplane, RedisConfig};
use tickwire_client::{Backoff, ClientOptions, Emitter, EmitterOptions, TokenSource};
use tickwire_protocol::UserId;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    mutations::Mutation,
    redis::{self, Disk},
};

/// Edges, in order.
pub const EDGES: [&str; 3] = ["edge-0", "edge-1", "edge-2"];
/// Emitters, in order.
pub const EMITTERS: [&str; 2] = ["emitter-0", "emitter-1"];
/// The store's host.
pub const REDIS: &str = "redis";
/// Where edges and emitters listen.
pub const PORT: u16 = 8000;
/// Bytes that may wait for one connection, and for all of an edge.
pub const OUTBOX_BYTES: usize = 512 * 1024;
/// See [`OUTBOX_BYTES`].
pub const OUTBOX_NODE_BYTES: usize = 1 << 20;

const SECRET: &str = "a secret of thirty-two bytes or more";
const API_KEY: &str = "an api key of thirty-two bytes or more";

/// What the director holds of the cluster.
#[derive(Default)]
pub struct Cluster {
    /// The store's disk.
    pub disk: Rc<RefCell<Disk>>,
    /// Begins an edge's drain.
    pub drains: [Rc<RefCell<CancellationToken>>; EDGES.len()],
}

impl Cluster {
    /// Adds the hosts to `sim`.
    pub fn start(sim: &mut turmoil::Sim<'static>, is_replicated: bool, mutation: Option<&'static Mutation>) -> Self {
        let disk = Rc::new(RefCell::new(Disk::with(mutation)));
        if is_replicated {
            disk.borrow_mut().replicate();
        }
        let cluster = Self { disk, ..Self::default() };
        let disk = Rc::clone(&cluster.disk);
        sim.host(REDIS, move || {
            let disk = Rc::clone(&disk);
            async move { Ok(redis::serve(disk).await?) }
        });
        for (name, drain) in EDGES.into_iter().zip(&cluster.drains) {
            let drain = Rc::clone(drain);
            sim.host(name, move || edge(name, Rc::clone(&drain), is_replicated));
        }
        for name in EMITTERS {
            sim.host(name, move || emitter(is_replicated));
        }
        cluster
    }
}

/// A process that cannot reach the store ends, and whoever supervises it starts it again.
async fn backplane(is_replicated: bool) -> std::sync::Arc<RedisBackplane> {
    let url = format!("redis://{}:{}", turmoil::lookup(REDIS), redis::PORT);
    let critical_replicas = Some(u32::from(is_replicated));
    let config = RedisConfig { publishers: 1, pool_size: 4, partitions: 4, critical_replicas, ..RedisConfig::new(url) };
    loop {
        match RedisBackplane::connect(config.clone()).await {
            Ok(backplane) => return backplane,
            Err(error) => tracing::warn!(%error, "no backplane"),
        }
    }
}

async fn edge(name: &'static str, drain: Rc<RefCell<CancellationToken>>, is_replicated: bool) -> turmoil::Result {
    let shutdown = CancellationToken::new();
    drain.replace(shutdown.clone());
    let mut config = tickwire_edge::Config::default();
    config.auth.hs256_secret = Some(Secret::new(SECRET));
    name.clone_into(&mut config.edge.node);
    config.edge.heartbeat_interval_ms = 2_000;
    config.edge.idle_timeout_ms = 6_000;
    config.edge.drain_ms = 2_000;
    config.limits.outbox_bytes = OUTBOX_BYTES;
    config.limits.outbox_node_bytes = OUTBOX_NODE_BYTES;
    config.limits.auth_failures_per_minute = 0;
    let backplane = backplane(is_replicated).await;
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    Ok(tickwire_edge::run_here(config, listener, backplane, shutdown).await?)
}

async fn emitter(is_replicated: bool) -> turmoil::Result {
    let mut config = tickwire_emitter::Config::default();
    config.auth.hs256_secret = Some(Secret::new(SECRET));
    config.emitter.api_keys = vec![Secret::new(API_KEY)];
    let backplane = backplane(is_replicated).await;
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    Ok(tickwire_emitter::run(config, listener, backplane, CancellationToken::new()).await?)
}

/// A token of `user`, with these roles and grants.
pub fn token(user: &str, roles: &[&str], grants: &[&str]) -> String {
    let user = UserId::new(user).expect("a user's id");
    let mut claims = TokenClaims::new(user);
    claims.roles = roles.iter().map(|&role| role.to_owned()).collect();
    claims.channels = grants.iter().map(|&grant| grant.to_owned()).collect();
    Signer::new(&Secret::new(SECRET)).and_then(|signer| signer.sign(&claims)).expect("a token")
}

/// A client's settings: `first` is the edge that it prefers, `count` how many it knows.
pub fn client_options(token: String, first: usize, count: usize) -> ClientOptions {
    let mut options = ClientOptions::new("", TokenSource::Fixed(token));
    options.urls = (0..count).map(|at| ws(EDGES[(first + at) % EDGES.len()])).collect();
    options.backoff = Backoff {
        first_max: Duration::from_millis(100),
        min: Duration::from_millis(20),
        base: Duration::from_millis(100),
        max: Duration::from_secs(1),
    };
    options.connect_timeout = Duration::from_secs(3);
    options
}

/// An edge's address for clients.
pub fn ws(edge: &str) -> String {
    format!("ws://{}:{PORT}/ws", turmoil::lookup(edge))
}

/// An address for HTTP.
pub fn http(host: &str) -> String {
    let ip: IpAddr = turmoil::lookup(host);
    format!("http://{ip}:{PORT}")
}

/// The clients of both emitters.
pub fn emitters() -> [Emitter; EMITTERS.len()] {
    EMITTERS.map(|name| {
        let mut options = EmitterOptions::new(http(name), API_KEY);
        options.timeout = Duration::from_secs(3);
        options.attempts_max = 1;
        Emitter::new(options).expect("an emitter's client")
    })
}

/// How far the run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The cluster comes up.
    #[default]
    Start,
    /// Everything breaks; promises that hold always are judged.
    Storm,
    /// Everything is repaired and has time.
    Heal,
    /// It has to work.
    Liveness,
    /// Nothing is published any more; what is there is judged.
    Audit,
}

/// Shared by the director and the hosts.
pub type Stage = Rc<Cell<Phase>>;
