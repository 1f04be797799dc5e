//! Edge, emitter, session, algorithm and risk as processes of their own on one Redis, to be killed. Each is this test program, started
//! again with the name of a service: what runs is what was just built.

use std::{
    collections::BTreeMap,
    io::Read,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use tickwire_backplane::{
    redis::{RedisBackplane, RedisConfig},
    testing::RedisServer,
};
use tokio_util::sync::CancellationToken;

use crate::{
    cluster::{edge_config, emitter_config, until},
    desk,
};

/// The services, in the order of their addresses.
pub(crate) const SERVICES: [&str; 5] = ["edge", "emitter", "session", "algorithm", "risk"];

/// What a process is told: its service, where Redis is, and everybody's addresses.
const SERVICE: &str = "TICKWIRE_TEST_SERVICE";
const REDIS: &str = "TICKWIRE_TEST_REDIS";
const ADDRESSES: &str = "TICKWIRE_TEST_ADDRESSES";

pub(crate) struct Fleet {
    pub(crate) redis: RedisServer,
    pub(crate) addresses: [SocketAddr; 5],
    processes: BTreeMap<&'static str, Child>,
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        let redis = tokio::task::spawn_blocking(RedisServer::start).await.unwrap();
        let mut fleet = Self { redis, addresses: desk::free(), processes: BTreeMap::new() };
        fleet.start_missing();
        fleet.ready().await;
        fleet
    }

    pub(crate) fn address(&self, service: &str) -> SocketAddr {
        let at = SERVICES.iter().position(|known| *known == service).unwrap();
        self.addresses[at]
    }

    /// As by `kill -9`.
    pub(crate) fn kill(&mut self, service: &'static str) {
        if let Some(mut process) = self.processes.remove(service) {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts every service that does not run.
    pub(crate) fn start_missing(&mut self) {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        for service in SERVICES {
            self.processes.entry(service).or_insert_with(|| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["fleet::one_service", "--exact"])
                    .env(SERVICE, service)
                    .env(REDIS, self.redis.url())
                    .env(ADDRESSES, addresses.join(","))
                    // Kept open: it ends when this process does, however that ends.
                    .stdin(Stdio::piped())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap()
            });
        }
    }

    pub(crate) async fn ready(&self) {
        for (service, address) in SERVICES.iter().zip(self.addresses) {
            let url = format!("http://{address}/readyz");
            until(&format!("{service} is ready"), async || {
                reqwest::get(&url).await.is_ok_and(|answer| answer.status() == 200)
            })
            .await;
        }
    }

    /// No process may have ended by itself.
    pub(crate) fn all_run(&mut self) {
        for (service, process) in &mut self.processes {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "{service} ended by itself: {ended:?}");
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for service in SERVICES {
            self.kill(service);
        }
    }
}

/// What a process of a fleet runs: it serves until it is killed. Among the other tests, where nobody says what to serve, it is none.
#[test]
fn one_service() {
    let told = |name: &str| std::env::var_os(name).map(|value| value.into_string().unwrap());
    let Some(service) = told(SERVICE) else { return };
    let addresses: Vec<SocketAddr> =
        told(ADDRESSES).unwrap().split(',').map(|address| address.parse().unwrap()).collect();
    std::thread::spawn(|| {
        let _closed = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(serve(&service, told(REDIS).unwrap(), addresses.try_into().unwrap()));
}

async fn serve(service: &str, redis: String, addresses: [SocketAddr; 5]) {
    let config = RedisConfig { url: redis, connect_timeout_s: 60, ..RedisConfig::default() };
    let backplane = RedisBackplane::connect(config).await.unwrap();
    let [edge, emitter, session, algorithm, risk] = addresses;
    let shutdown = CancellationToken::new();
    let trading = desk::trading(vec![format!("ws://{edge}/ws")], emitter, [session, algorithm, risk]);
    match service {
        "edge" => {
            let listener = tickwire_edge::listen(edge).unwrap();
            Box::pin(tickwire_edge::run(edge_config(), listener, backplane, shutdown)).await.unwrap();
        }
        "emitter" => {
            let listener = tokio::net::TcpListener::bind(emitter).await.unwrap();
            Box::pin(tickwire_emitter::run(emitter_config(), listener, backplane, shutdown)).await.unwrap();
        }
        service => {
            let at = SERVICES.iter().position(|known| *known == service).unwrap();
            desk::run(service, addresses[at], trading, backplane, shutdown).await;
        }
    }
}
