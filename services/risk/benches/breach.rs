//! From a breach (an account's figures are published) to the `emergency_stop` at the user's socket, everything on one machine: emitter → edge
//! → risk → journal → session service → journal → algorithm service → journal → emitter → edge → client. The two services are stubs that
//! answer at once.
//!
//! `cargo bench -p tickwire-risk --bench breach` prints percentiles for the memory backplane and for Redis; the goal is p99 < 250 ms.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on ends, and prints what it measured"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::Path,
    routing::{get, post},
};
use serde_json::{Value, json};
use tickwire_auth::{
    Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_backplane::{
    Backplane,
    memory::MemoryBackplane,
    redis::{RedisBackplane, RedisConfig},
    testing::RedisServer,
};
use tickwire_client::{
    Client, ClientOptions, Emitter, EmitterOptions, SubscribeOptions, TokenSource, emitter::Outgoing,
};
use tickwire_protocol::{ChannelName, RawJson, UserId};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const SECRET: &str = "a secret of at least thirty-two bytes";
const KEY: &str = "an-api-key-of-a-service";
/// Sessions, each of which is stopped once.
const SESSIONS: usize = 400;
/// Time between two breaches: they do not wait for one another.
const PACE: Duration = Duration::from_millis(25);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // The memory backplane expires things by tasks of its own.
    let _context = runtime.enter();
    let shared: Arc<dyn Backplane> = MemoryBackplane::new();
    let times = runtime.block_on(measure([Arc::clone(&shared), Arc::clone(&shared), shared]));
    report("memory", times);
    let redis = RedisServer::start();
    let connect = async || {
        let config = RedisConfig { url: redis.url(), ..RedisConfig::default() };
        let backplane: Arc<dyn Backplane> = RedisBackplane::connect(config).await.unwrap();
        backplane
    };
    let times = runtime.block_on(async { measure([connect().await, connect().await, connect().await]).await });
    report("redis", times);
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 1_000).min(times.len() - 1)].as_secs_f64() * 1_000.0;
    println!(
        "{name}: {} breaches, to the client's socket p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        times.len(),
        at(500),
        at(900),
        at(990),
        at(1_000)
    );
}

fn session(id: &str) -> Value {
    json!({"sessionId": id, "userId": "7", "algorithmId": "momentum", "parameters": {}, "symbols": ["binance:BTC/USDT"],
        "capital": "10000", "limits": {"lossLimit": "1000"}, "status": "active", "createdAt": 1, "startedAt": 2, "updatedAt": 2,
        "version": 2})
}

fn figures(id: &str, version: u64, lost: &str) -> Value {
    json!({"sessionId": id, "userId": "7", "version": version, "cash": "9000", "realizedPnL": format!("-{lost}"),
        "unrealizedPnL": "0", "fees": "0", "equity": "9000", "exposure": "0", "trades": 3, "openOrders": 0, "positions": []})
}

fn id(number: usize) -> String {
    format!("s{number}")
}

async fn stubs() -> String {
    let listed = |items: Vec<Value>| Json(json!({"items": items}));
    let router = Router::new()
        .route(
            "/v1/sessions",
            get(move || async move { listed((0..SESSIONS).map(|number| session(&id(number))).collect()) }),
        )
        .route("/v1/accounts", get(move || async move { listed(Vec::new()) }))
        .route("/v1/sessions/{id}/emergency-stop", post(|Path(id): Path<String>| async move { Json(session(&id)) }))
        .route(
            "/v1/accounts/{id}/flatten",
            post(|Path(id): Path<String>| async move { Json(figures(&id, 9, "1000")) }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());
    url
}

/// Starts everything and measures each breach.
async fn measure([edge_bus, emitter_bus, risk_bus]: [Arc<dyn Backplane>; 3]) -> Vec<Duration> {
    let shutdown = CancellationToken::new();
    let peers = stubs().await;
    let mut edge = tickwire_edge::Config::default();
    edge.auth.hs256_secret = Some(SECRET.into());
    let listener = tickwire_edge::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let edge_url = format!("ws://{}/ws", listener.local_addr().unwrap());
    tokio::spawn(tickwire_edge::run(edge, listener, edge_bus, shutdown.clone()));
    let mut emitter = tickwire_emitter::Config::default();
    emitter.emitter.api_keys = vec![KEY.into()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let emitter_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(tickwire_emitter::run(emitter, listener, emitter_bus, shutdown.clone()));
    let mut risk = tickwire_risk::Config::default();
    risk.auth.hs256_secret = Some(SECRET.into());
    (risk.trading.edges, risk.trading.emitter) = (vec![edge_url.clone()], emitter_url.clone());
    (risk.trading.session, risk.trading.algorithm) = (peers.clone(), peers);
    (risk.trading.service_key, risk.trading.api_keys) = (Some(KEY.into()), vec![KEY.into()]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let risk_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(tickwire_risk::run(risk, listener, risk_bus, shutdown.clone()));
    let prices = tokio::spawn(prices(emitter_url.clone()));
    until_kept(&risk_url).await;
    let times = breaches(&edge_url, &emitter_url).await;
    prices.abort();
    shutdown.cancel();
    times
}

/// A price each second, as a feed would give it.
async fn prices(emitter: String) {
    let emitter = Emitter::new(EmitterOptions::new(emitter, KEY)).unwrap();
    let mut pace = tokio::time::interval(Duration::from_secs(1));
    loop {
        pace.tick().await;
        let ticker = RawJson::parse(r#"{"type":"ticker","last":"64000"}"#).unwrap();
        let channel = ChannelName::new("ticker:binance:BTC/USDT").unwrap();
        emitter.publish(Outgoing::new(channel, ticker)).await.unwrap();
    }
}

/// Waits until every session has its keeper.
async fn until_kept(risk: &str) {
    let http = reqwest::Client::new();
    loop {
        let list: Value = match http.get(format!("{risk}/v1/risk")).bearer_auth(KEY).send().await {
            Ok(answer) => answer.json().await.unwrap(),
            Err(_) => Value::Null,
        };
        let kept =
            list["sessions"].as_array().map_or(0, |all| all.iter().filter(|one| one["isKeptHere"] == true).count());
        if kept == SESSIONS {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn breaches(edge: &str, emitter: &str) -> Vec<Duration> {
    let token = Signer::new(&Secret::from(SECRET)).unwrap().sign(&TokenClaims::new(UserId::new("7").unwrap())).unwrap();
    let client = Client::connect(ClientOptions::new(edge, TokenSource::Fixed(token))).unwrap();
    let inbox = ChannelName::new("user:7").unwrap();
    let mut inbox = client.subscribe(inbox, SubscribeOptions::default()).await.unwrap();
    drop(inbox.next_event().await);
    let emitter = Emitter::new(EmitterOptions::new(emitter, KEY)).unwrap();
    let reading = tokio::spawn(async move {
        let mut seen = Vec::with_capacity(SESSIONS);
        while seen.len() < SESSIONS {
            let message: Value = inbox.next_message().await.unwrap().message.data.to().unwrap();
            if message["type"] == "emergency_stop" {
                seen.push((message["sessionId"].as_str().unwrap().to_owned(), Instant::now()));
            }
        }
        seen
    });
    let mut began = std::collections::HashMap::new();
    let mut pace = tokio::time::interval(PACE);
    for number in 0..SESSIONS {
        pace.tick().await;
        let id = id(number);
        let data = RawJson::of(&figures(&id, 2, "1000.50")).unwrap();
        let channel = ChannelName::new("trading:accounts").unwrap();
        let message = Outgoing { key: Some(id.clone()), ..Outgoing::new(channel, data) };
        began.insert(id, Instant::now());
        emitter.publish(message).await.unwrap();
    }
    let seen = tokio::time::timeout(Duration::from_secs(120), reading).await.unwrap().unwrap();
    seen.into_iter().map(|(id, at)| at - began[&id]).collect()
}
