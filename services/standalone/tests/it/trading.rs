//! Trading sessions over the whole cluster: commanded by API, seen over the edge.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tickwire_algorithm::AlgorithmConfig;
use tickwire_auth::Secret;
use tickwire_backplane::redis::RedisBackplane;
use tickwire_client::{Client, SubscribeOptions, Subscription, SubscriptionEvent};
use tickwire_risk::RiskConfig;
use tickwire_session::SessionConfig;
use tickwire_standalone::Trading;
use tickwire_trading::TradingConfig;
use tokio_util::sync::CancellationToken;

use crate::cluster::{
    API_KEY, Cluster, Standalone, channel, client_options, edge_config, emitter_config, local, redis_config, soon,
    until,
};
use crate::desk::plain_token;

fn client(urls: &[String], user: &str, role: Option<&str>) -> Client {
    Client::connect(client_options(plain_token(user, role), urls.to_vec())).unwrap()
}

async fn next(subscription: &mut Subscription) -> Value {
    soon("a message", subscription.next_message()).await.unwrap().message.data.to().unwrap()
}

async fn post(session: SocketAddr, user: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("http://{session}{path}")).bearer_auth(plain_token(user, None));
    let answer = request.json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Ann's session is seen by Ann and by services, and by nobody else, on any channel and by any call.
async fn a_session_is_its_users(urls: &[String], session: SocketAddr) {
    let ready = format!("http://{session}/readyz");
    until("the service is ready", async || reqwest::get(&ready).await.is_ok_and(|answer| answer.status() == 200)).await;
    let (ann, bob) = (client(urls, "ann", None), client(urls, "bob", None));
    let service = client(urls, "risk-service", Some("service"));
    let subscribe = SubscribeOptions::default;
    let mut own = soon("own sessions", ann.subscribe(channel("sessions:ann"), subscribe())).await.unwrap();
    let mut all = soon("all sessions", service.subscribe(channel("trading:sessions"), subscribe())).await.unwrap();
    let new = json!({
        "algorithmId": "momentum", "symbols": ["binance:BTC/USDT"], "capital": "1000", "limits": {"lossLimit": "10.50"},
    });
    let (status, created) = post(session, "ann", "/v1/sessions", &new).await;
    assert_eq!(status, 201, "{created}");
    let id = created["sessionId"].as_str().unwrap().to_owned();
    assert_eq!(next(&mut all).await, created, "services see the record that the API answered");
    let path = format!("/v1/sessions/{id}/start");
    assert_eq!(post(session, "bob", &path, &json!({})).await.0, 404);
    assert_eq!(post(session, "ann", &path, &json!({})).await.1["status"], "active");
    let started = next(&mut own).await;
    assert_eq!((&started["type"], &started["sessionId"]), (&json!("session_started"), &json!(id)));
    assert_eq!(started["limits"]["lossLimit"], "10.50");
    let told = next(&mut own).await;
    assert_eq!((&told["type"], &told["status"]), (&json!("session_status"), &json!("active")));
    let of_session = channel(&format!("session:{id}"));
    let mut owned = ann.subscribe(of_session.clone(), subscribe()).await.unwrap();
    let subscribed = soon("an answer", owned.next_event()).await;
    assert!(
        matches!(subscribed, Some(SubscriptionEvent::Subscribed { .. })),
        "the owner needs no grant: {subscribed:?}"
    );
    for (channel, why) in [
        (of_session, "a session is its owner's"),
        (channel("sessions:ann"), "a list is its user's"),
        (channel("trading:sessions"), "records are the services'"),
        (channel("trading:accounts"), "figures are the services'"),
    ] {
        let mut refused = bob.subscribe(channel, subscribe()).await.unwrap();
        let answer = soon("an answer", refused.next_event()).await;
        assert!(matches!(answer, Some(SubscriptionEvent::Ended(_))), "{why}: {answer:?}");
    }
    assert_eq!(post(session, "ann", &format!("/v1/sessions/{id}/stop"), &json!({})).await.1["status"], "completed");
    let mut kinds = Vec::new();
    while kinds.last() != Some(&json!("session_completed")) {
        kinds.push(next(&mut own).await["type"].clone());
    }
    // Created, started, completed, settled; a latest channel may leave out what is stale.
    while next(&mut all).await["version"] != 4 {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_its_users_alone_in_one_process() {
    // A free port: the service is told its address before it listens.
    let session = std::net::TcpListener::bind(local()).unwrap().local_addr().unwrap();
    let trading = Trading {
        session: SessionConfig { listen: session, ..SessionConfig::default() },
        algorithm: AlgorithmConfig { listen: local(), ..AlgorithmConfig::default() },
        risk: RiskConfig { listen: local(), ..RiskConfig::default() },
        trading: TradingConfig::default(),
    };
    let standalone = Standalone::with_config(tickwire_standalone::Config {
        edge: edge_config(),
        emitter: emitter_config(),
        trading: Some(trading),
        ..tickwire_standalone::Config::default()
    })
    .await;
    a_session_is_its_users(&[standalone.ws("/ws")], session).await;
    standalone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_its_users_alone_on_redis() {
    let cluster = Cluster::start().await;
    let listener = tokio::net::TcpListener::bind(local()).await.unwrap();
    let session = listener.local_addr().unwrap();
    let config = tickwire_session::Config {
        auth: edge_config().auth,
        trading: TradingConfig {
            edges: cluster.urls(1),
            emitter: format!("http://{}", cluster.emitter_addr),
            // Nobody keeps accounts here: whoever answers that there is none.
            algorithm: format!("http://{}", cluster.emitter_addr),
            service_key: Some(Secret::new(API_KEY)),
            ..TradingConfig::default()
        },
        ..tickwire_session::Config::default()
    };
    let backplane = RedisBackplane::connect(redis_config(&cluster.redis)).await.unwrap();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(tickwire_session::run(config, listener, backplane, shutdown.clone()));
    a_session_is_its_users(&cluster.urls(0), session).await;
    shutdown.cancel();
    soon("the service ends", running).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demonstration_decides_and_trades_by_itself_for_its_user_alone() {
    let standalone = Standalone::with_config(tickwire_standalone::Config {
        edge: edge_config(),
        emitter: emitter_config(),
        market: tickwire_standalone::Market::Replayed,
        trading: Some(Trading {
            session: SessionConfig { listen: local(), ..SessionConfig::default() },
            algorithm: AlgorithmConfig { listen: local(), ..AlgorithmConfig::default() },
            risk: RiskConfig { listen: local(), ..RiskConfig::default() },
            trading: TradingConfig::default(),
        }),
        demo: true,
        is_development: true,
        ..tickwire_standalone::Config::default()
    })
    .await;
    let urls = [standalone.ws("/ws")];
    let (dev, stranger) = (client(&urls, "dev", None), client(&urls, "mallory", None));
    let mut trades = dev.subscribe(channel("user:dev:orders"), SubscribeOptions::default()).await.unwrap();
    let trade = loop {
        let message = next(&mut trades).await;
        if message["type"] == "trade_executed" {
            break message;
        }
    };
    assert_eq!((&trade["symbol"], &trade["userId"]), (&json!("binance:BTC/USDT"), &json!("dev")));
    let of_session = channel(&format!("session:{}", trade["sessionId"].as_str().unwrap()));
    let mut seen = dev.subscribe(of_session.clone(), SubscribeOptions::default()).await.unwrap();
    let decision = loop {
        let message = next(&mut seen).await;
        if message["type"] == "algorithm_decision" {
            break message;
        }
    };
    assert!(decision["reasoning"].as_str().is_some_and(|words| !words.is_empty()), "{decision}");
    let mut refused = stranger.subscribe(of_session, SubscribeOptions::default()).await.unwrap();
    assert!(matches!(soon("an answer", refused.next_event()).await, Some(SubscriptionEvent::Ended(_))));
    standalone.stop().await;
}
