//! The trading services around a cluster, and a market whose price a test sets.

use std::{net::SocketAddr, time::Duration};

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tickwire_algorithm::AlgorithmConfig;
use tickwire_auth::{
    Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_backplane::{Backplane, redis::RedisBackplane};
use tickwire_client::{Client, ClientOptions, Emitter, Subscription};
use tickwire_protocol::{DeviceId, UserId};
use tickwire_risk::RiskConfig;
use tickwire_session::SessionConfig;
use tickwire_standalone::Trading;
use tickwire_trading::TradingConfig;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::cluster::{
    API_KEY, Cluster, SECRET, Standalone, client_options, edge_config, emitter_config, local, message, redis_config,
    soon, until,
};

pub(crate) const INSTRUMENT: &str = "binance:BTC/USDT";

/// A token without grants: what its user owns is what it opens.
pub(crate) fn plain_token(user: &str, role: Option<&str>) -> String {
    let claims = TokenClaims::new(UserId::new(user).unwrap());
    let claims = role.into_iter().fold(claims, TokenClaims::role);
    Signer::new(&Secret::new(SECRET)).unwrap().sign(&claims).unwrap()
}

/// A program of `user`, on one of their devices.
pub(crate) fn device(urls: &[String], user: &str, device: &str) -> Client {
    let options = client_options(plain_token(user, None), urls.to_vec());
    Client::connect(ClientOptions { device: Some(DeviceId::new(device).unwrap()), ..options }).unwrap()
}

/// The next message that is so; what comes before it is passed over.
pub(crate) async fn next(subscription: &mut Subscription, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let waiting = async {
        loop {
            let data: Value = subscription.next_message().await.unwrap().message.data.to().unwrap();
            if is_so(&data) {
                return data;
            }
        }
    };
    soon(what, waiting).await
}

/// A call of a service's API as `user`: the status and the body.
pub(crate) async fn call(
    method: reqwest::Method,
    at: SocketAddr,
    token: &str,
    path: &str,
    body: Option<&Value>,
) -> (u16, Value) {
    let request = reqwest::Client::new().request(method, format!("http://{at}{path}")).bearer_auth(token);
    let request = body.into_iter().fold(request, reqwest::RequestBuilder::json);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

pub(crate) async fn get(at: SocketAddr, token: &str, path: &str) -> (u16, Value) {
    call(reqwest::Method::GET, at, token, path, None).await
}

pub(crate) async fn post(at: SocketAddr, token: &str, path: &str, body: &Value) -> (u16, Value) {
    call(reqwest::Method::POST, at, token, path, Some(body)).await
}

/// Session, algorithm and risk, with an edge or two and an emitter.
pub(crate) struct Desk {
    pub(crate) urls: Vec<String>,
    pub(crate) emitter: Emitter,
    pub(crate) emitter_address: SocketAddr,
    pub(crate) session: SocketAddr,
    pub(crate) algorithm: SocketAddr,
    pub(crate) risk: SocketAddr,
    shutdown: CancellationToken,
    _cluster: Option<Cluster>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Ports that are free now: the services are told one another's addresses before they listen.
pub(crate) fn free<const N: usize>() -> [SocketAddr; N] {
    let listeners: [_; N] = std::array::from_fn(|_| std::net::TcpListener::bind(local()).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

impl Desk {
    /// All in one process, on memory.
    pub(crate) async fn in_memory() -> Self {
        let [session, algorithm, risk] = free();
        let trading = Trading {
            session: SessionConfig { listen: session, ..SessionConfig::default() },
            algorithm: AlgorithmConfig { listen: algorithm, ..AlgorithmConfig::default() },
            risk: RiskConfig { listen: risk, ..RiskConfig::default() },
            trading: TradingConfig::default(),
        };
        let config = tickwire_standalone::Config {
            edge: edge_config(),
            emitter: emitter_config(),
            trading: Some(trading),
            ..tickwire_standalone::Config::default()
        };
        let standalone = Standalone::with_config(config).await;
        let desk = Self {
            urls: vec![standalone.ws("/ws")],
            emitter: standalone.emitter.clone(),
            emitter_address: standalone.emitter_address,
            session,
            algorithm,
            risk,
            shutdown: standalone.detach(),
            _cluster: None,
        };
        desk.ready().await
    }

    /// Each service with connections of its own to one Redis, at another edge than users.
    pub(crate) async fn on_redis() -> Self {
        let cluster = Cluster::start().await;
        let shutdown = CancellationToken::new();
        let [session, algorithm, risk] = free();
        let trading = trading(cluster.urls(1), cluster.emitter_addr, [session, algorithm, risk]);
        for (service, address) in [("session", session), ("algorithm", algorithm), ("risk", risk)] {
            let backplane = RedisBackplane::connect(redis_config(&cluster.redis)).await.unwrap();
            tokio::spawn(run(service, address, trading.clone(), backplane, shutdown.clone()));
        }
        let desk = Self {
            urls: cluster.urls(0),
            emitter: cluster.emitter.clone(),
            emitter_address: cluster.emitter_addr,
            session,
            algorithm,
            risk,
            shutdown,
            _cluster: Some(cluster),
        };
        desk.ready().await
    }

    async fn ready(self) -> Self {
        for address in [self.session, self.algorithm, self.risk] {
            let url = format!("http://{address}/readyz");
            until("the services are ready", async || {
                reqwest::get(&url).await.is_ok_and(|answer| answer.status() == 200)
            })
            .await;
        }
        self
    }
}

/// Where the services find one another.
pub(crate) fn trading(
    edges: Vec<String>,
    emitter: SocketAddr,
    [session, algorithm, risk]: [SocketAddr; 3],
) -> TradingConfig {
    TradingConfig {
        edges,
        emitter: format!("http://{emitter}"),
        session: format!("http://{session}"),
        algorithm: format!("http://{algorithm}"),
        risk: format!("http://{risk}"),
        service_key: Some(Secret::new(API_KEY)),
        api_keys: vec![Secret::new(API_KEY)],
        cluster_token: None,
    }
}

/// Runs one of the three.
pub(crate) async fn run(
    service: &str,
    address: SocketAddr,
    trading: TradingConfig,
    backplane: std::sync::Arc<dyn Backplane>,
    shutdown: CancellationToken,
) {
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let auth = edge_config().auth;
    match service {
        "session" => {
            let config = tickwire_session::Config { auth, trading, ..tickwire_session::Config::default() };
            Box::pin(tickwire_session::run(config, listener, backplane, shutdown)).await.unwrap();
        }
        "algorithm" => {
            let config = tickwire_algorithm::Config { auth, trading, ..tickwire_algorithm::Config::default() };
            Box::pin(tickwire_algorithm::run(config, listener, backplane, shutdown)).await.unwrap();
        }
        _ => {
            let config = tickwire_risk::Config { auth, trading, ..tickwire_risk::Config::default() };
            Box::pin(tickwire_risk::run(config, listener, backplane, shutdown)).await.unwrap();
        }
    }
}

/// A market that publishes its book and ticker four times a second, as a feed does. Bids outweigh asks: who follows the heavier side
/// buys, and keeps what it has.
pub(crate) struct Venue {
    middle: watch::Sender<Decimal>,
    task: JoinHandle<()>,
}

impl Drop for Venue {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Venue {
    pub(crate) fn open(emitter: Emitter, middle: &str) -> Self {
        let (middle, mut followed) = watch::channel(middle.parse().unwrap());
        let task = tokio::spawn(async move {
            loop {
                let middle: Decimal = *followed.borrow_and_update();
                for (namespace, data) in [("ticker", ticker(middle)), ("book", book_of(middle, 5_000, 500))] {
                    // One that fails is followed by the next.
                    let _failed = emitter.publish(message(&format!("{namespace}:{INSTRUMENT}"), &data)).await;
                }
                tokio::select! {
                    changed = followed.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(Duration::from_millis(250)) => {}
                }
            }
        });
        Self { middle, task }
    }

    pub(crate) fn set(&self, middle: &str) {
        self.middle.send_replace(middle.parse().unwrap());
    }
}

/// One cent to each side of the middle.
fn sides(middle: Decimal) -> (Decimal, Decimal) {
    let cent = Decimal::new(1, 2);
    (middle - cent, middle + cent)
}

pub(crate) fn ticker(middle: Decimal) -> String {
    let (bid, ask) = sides(middle);
    json!({"type": "ticker", "bid": bid, "ask": ask, "last": middle}).to_string()
}

/// With so much on each side.
pub(crate) fn book_of(middle: Decimal, bids: u64, asks: u64) -> String {
    let (bid, ask) = sides(middle);
    json!({
        "type": "book", "kind": "snapshot", "state": "live", "exchange": "binance", "symbol": "BTC/USDT",
        "bids": [[bid, bids.to_string()]], "asks": [[ask, asks.to_string()]],
    })
    .to_string()
}
