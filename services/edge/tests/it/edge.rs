//! A whole edge on the in-process backplane, for as long as a test needs it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tickwire_auth::{
    Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_backplane::{Backplane, Control, Publish, memory::MemoryBackplane};
use tickwire_edge::Config;
use tickwire_protocol::{ChannelName, Priority, RawJson, UserId, namespace::Namespaces};
use tokio_util::sync::CancellationToken;

use crate::wire::Wire;

const SECRET: &str = "a secret of thirty-two bytes or more";

pub(crate) struct Edge {
    pub(crate) addr: SocketAddr,
    pub(crate) backplane: Arc<MemoryBackplane>,
    shutdown: CancellationToken,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Edge {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| ())
    }

    pub(crate) fn start_with(configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.auth.hs256_secret = Some(Secret::new(SECRET));
        config.edge.shards = 2;
        config.edge.drain_ms = 500;
        configure(&mut config);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let backplane = runtime.block_on(async { MemoryBackplane::new() });
        let listener = tickwire_edge::listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        runtime.spawn(tickwire_edge::run(config, listener, backplane.clone(), shutdown.clone()));
        let edge = Self { addr, backplane, shutdown, runtime: Some(runtime) };
        edge.until("the edge is ready", |edge| Wire::get(edge.addr, "/readyz", &[]).status == 200);
        edge
    }

    /// Polls a condition; panics when it does not come true.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = std::time::Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < Duration::from_secs(20), "not in time: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn publish(&self, channel: &str, data: &str) {
        self.publish_with(channel, data, |_| ());
    }

    pub(crate) fn publish_keyed(&self, channel: &str, key: &str, data: &str) {
        self.publish_with(channel, data, |publish| publish.key = Some(key.to_owned()));
    }

    pub(crate) fn publish_critical(&self, channel: &str, data: &str) {
        self.publish_with(channel, data, |publish| publish.priority = Priority::Critical);
    }

    fn publish_with(&self, channel: &str, data: &str, edit: impl FnOnce(&mut Publish)) {
        let channel = ChannelName::new(channel).unwrap();
        let policy = Namespaces::default().policy(&channel).unwrap().clone();
        let mut publish = Publish::new(channel, policy, RawJson::parse(data.to_owned()).unwrap());
        edit(&mut publish);
        self.runtime().block_on(self.backplane.publish(publish)).unwrap();
    }

    /// Begins to drain, as SIGTERM does.
    pub(crate) fn drain(&self) {
        self.shutdown.cancel();
    }

    /// A client whose token came with the upgrade; `connected` has been read.
    pub(crate) fn client(&self, user: &str) -> Wire {
        let mut wire = Wire::open(self.addr, &format!("/ws?token={}", token(user)), &[]);
        assert_eq!(wire.json()["type"], "connected");
        wire
    }

    /// Proves that the edge serves: a new client subscribes and gets what is published.
    pub(crate) fn assert_serves(&self) {
        let mut wire = self.client("witness");
        wire.send_text(r#"{"id":1,"type":"subscribe","channels":["system"]}"#);
        assert_eq!(wire.json()["type"], "subscribed");
        self.publish("system", r#""still here""#);
        assert_eq!(wire.json()["data"], "still here");
    }

    /// The value of a metric without labels, or the sum over its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = Wire::get(self.addr, "/metrics", &[]).body;
        let values = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' ')));
        values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Whether the backplane keeps a ban for nodes that start later.
    pub(crate) fn has_sticky_ban(&self) -> bool {
        let controls = self.runtime().block_on(self.backplane.controls()).unwrap();
        controls.iter().any(|control| matches!(control, Control::Ban { .. }))
    }

    fn runtime(&self) -> &tokio::runtime::Runtime {
        self.runtime.as_ref().unwrap()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(3));
        }
    }
}

pub(crate) fn claims(user: &str) -> TokenClaims {
    TokenClaims::new(UserId::new(user).unwrap())
}

pub(crate) fn token(user: &str) -> String {
    sign(&claims(user))
}

pub(crate) fn sign(claims: &TokenClaims) -> String {
    sign_with(SECRET, claims)
}

pub(crate) fn sign_with(secret: &str, claims: &TokenClaims) -> String {
    Signer::new(&Secret::new(secret)).unwrap().sign(claims).unwrap()
}
