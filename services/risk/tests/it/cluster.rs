//! With a real edge and a real emitter: what two users get, and that neither gets the other's.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tickwire_backplane::Backplane;
use tickwire_client::{
    Client, ClientOptions, Emitter, EmitterOptions, SubscribeOptions, Subscription, SubscriptionEvent, TokenSource,
    emitter::Outgoing,
};
use tickwire_protocol::{ChannelName, RawJson, time::now_ms};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::rig::{API_KEY, PATIENCE, Rig, SECRET, session, token};

/// A rig whose edge and emitter are real.
async fn cluster() -> Rig {
    let mut rig = Rig::start().await;
    let bus = || -> Arc<dyn Backplane> { Arc::<tickwire_backplane::memory::MemoryBackplane>::clone(&rig.backplane) };
    let mut edge = tickwire_edge::Config::default();
    edge.auth.hs256_secret = Some(SECRET.into());
    let listener = tickwire_edge::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let edge_url = format!("ws://{}/ws", listener.local_addr().unwrap());
    tokio::spawn(tickwire_edge::run(edge, listener, bus(), CancellationToken::new()));
    let mut emitter = tickwire_emitter::Config::default();
    emitter.auth.hs256_secret = Some(SECRET.into());
    emitter.emitter.api_keys = vec![API_KEY.into()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let emitter_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(tickwire_emitter::run(emitter, listener, bus(), CancellationToken::new()));
    (rig.edge, rig.emitter) = (edge_url, emitter_url);
    rig
}

fn client(rig: &Rig, user: &str) -> Client {
    Client::connect(ClientOptions::new(rig.edge.as_str(), TokenSource::Fixed(token(user)))).unwrap()
}

async fn subscribe(client: &Client, channel: &str) -> Subscription {
    client.subscribe(ChannelName::new(channel).unwrap(), SubscribeOptions::default()).await.unwrap()
}

/// The next message that is so.
async fn next(subscription: &mut Subscription, is_so: impl Fn(&Value) -> bool) -> Value {
    let waiting = async {
        loop {
            let data: Value = subscription.next_message().await.unwrap().message.data.to().unwrap();
            if is_so(&data) {
                return data;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("a message in time")
}

async fn balance(rig: &Rig, user: &str, asset: &str, balance: &str) {
    let body = json!({"topic": "balance-updates", "type": "balance-update", "timestamp": now_ms(),
        "data": {"userId": user, "walletId": "w1", "asset": asset, "balance": balance}});
    let request =
        reqwest::Client::new().post(format!("{}/v1/services/wallet/events", rig.emitter)).bearer_auth(API_KEY);
    assert_eq!(request.json(&body).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portfolio_follows_balances_and_prices_and_is_its_users_alone() {
    let rig = cluster().await;
    let _process = rig.process();
    let (seven, eight) = (client(&rig, "7"), client(&rig, "8"));
    let mut own = subscribe(&seven, "portfolio:7").await;
    let mut other = subscribe(&eight, "portfolio:8").await;
    balance(&rig, "7", "BTC", "0.5").await;
    balance(&rig, "8", "USDT", "12").await;
    let first = next(&mut own, |data| data["walletId"] == "w1").await;
    assert_eq!(first["isComplete"], false, "there is no price yet: {first}");
    let emitter = Emitter::new(EmitterOptions::new(&rig.emitter, API_KEY)).unwrap();
    let ticker = RawJson::parse(r#"{"type":"ticker","bid":"63999.00","ask":"64001.00","last":"1"}"#).unwrap();
    emitter.publish(Outgoing::new(ChannelName::new("ticker:binance:BTC/USDT").unwrap(), ticker)).await.unwrap();
    let valued = next(&mut own, |data| data["isComplete"] == true).await;
    assert_eq!(valued["total"], "32000");
    balance(&rig, "7", "USDT", "1.5").await;
    assert_eq!(next(&mut own, |data| data["balances"].as_array().unwrap().len() == 2).await["total"], "32001.5");
    assert_eq!(next(&mut other, |_| true).await["userId"], "8");

    let mut foreign = subscribe(&eight, "portfolio:7").await;
    let refused = tokio::time::timeout(PATIENCE, foreign.next_event()).await.unwrap();
    assert!(matches!(refused, Some(SubscriptionEvent::Ended(_))), "{refused:?}");
    for service_only in ["wallets:2", "trading:accounts", "dead-letters"] {
        let mut hidden = subscribe(&eight, service_only).await;
        let refused = tokio::time::timeout(PATIENCE, hidden.next_event()).await.unwrap();
        assert!(matches!(refused, Some(SubscriptionEvent::Ended(_))), "{service_only}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breach_that_the_cluster_tells_reaches_its_users_inbox_and_nobody_elses() {
    let rig = cluster().await;
    rig.world.lock().unwrap().add(session("s1", "7", "1000"), "10");
    let process = rig.process();
    rig.until_answer(&process, "/v1/sessions/s1/risk", |risk| risk["isKeptHere"] == true).await;
    let (seven, eight) = (client(&rig, "7"), client(&rig, "8"));
    let (mut inbox, mut other) = (subscribe(&seven, "user:7").await, subscribe(&eight, "user:8").await);
    let figures = json!({"sessionId": "s1", "userId": "7", "version": 2, "cash": "9000", "realizedPnL": "-1000.01",
        "unrealizedPnL": "0", "fees": "0", "equity": "8999.99", "exposure": "0", "trades": 4, "openOrders": 0, "positions": []});
    let emitter = Emitter::new(EmitterOptions::new(&rig.emitter, API_KEY)).unwrap();
    let channel = ChannelName::new("trading:accounts").unwrap();
    let message = Outgoing { key: Some("s1".into()), ..Outgoing::new(channel, RawJson::of(&figures).unwrap()) };
    emitter.publish(message).await.unwrap();
    let stop = next(&mut inbox, |data| data["type"] == "emergency_stop").await;
    assert!(stop["reason"].as_str().unwrap().starts_with("1000.01 of the loss limit of 1000 is lost"), "{stop}");
    rig.until_answer(&process, "/v1/sessions/s1/stop", |stop| stop["isDone"] == true).await;
    let silence = tokio::time::timeout(Duration::from_millis(300), other.next_message()).await;
    assert!(silence.is_err(), "{silence:?}");
}
