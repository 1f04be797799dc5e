//! The whole chain: tick → decision → fill → position → P&L → warning → critical → emergency stop → the user's inbox, acknowledged; and
//! another user who sees nothing of it.

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tickwire_client::{Client, SubscribeOptions, Subscription, SubscriptionEvent, emitter::AlertStatus};
use tickwire_protocol::{Position, UserId};

use crate::{
    cluster::{API_KEY, channel, soon, until},
    desk::{Desk, INSTRUMENT, Venue, call, device, get, next, plain_token, post},
};

async fn subscribe(client: &Client, name: &str) -> Subscription {
    let mut subscription = client.subscribe(channel(name), SubscribeOptions::default()).await.unwrap();
    let first = soon("an answer", subscription.next_event()).await;
    assert!(matches!(first, Some(SubscriptionEvent::Subscribed { .. })), "{name}: {first:?}");
    subscription
}

/// Ann's session that buys for 9,000 of its 10,000 and may lose 500.
fn new_session() -> Value {
    json!({
        "algorithmId": "book-imbalance", "symbols": [INSTRUMENT], "capital": "10000", "limits": {"lossLimit": "500"},
        "parameters": {"levels": 1, "execution": {
            "entryShare": "0.9", "feeRate": "0.001", "slippageMax": "0.01", "stopLoss": null, "takeProfit": null, "cooldownMs": 0,
            "evaluateMs": 0, "sampleMs": 100,
        }},
    })
}

async fn started(desk: &Desk, ann: &str) -> String {
    let (status, created) = post(desk.session, ann, "/v1/sessions", &new_session()).await;
    assert_eq!(status, 201, "{created}");
    let id = created["sessionId"].as_str().unwrap().to_owned();
    assert_eq!(post(desk.session, ann, &format!("/v1/sessions/{id}/start"), &json!({})).await.0, 200);
    id
}

fn decimal(value: &Value) -> Decimal {
    value.as_str().unwrap_or_else(|| panic!("{value} is no decimal string")).parse().unwrap()
}

/// Ann's two devices.
struct Devices {
    phone: Client,
    _laptop: Client,
    on_phone: Subscription,
    on_laptop: Subscription,
}

impl Devices {
    async fn of_ann(desk: &Desk) -> Self {
        let (phone, laptop) = (device(&desk.urls, "ann", "phone"), device(&desk.urls, "ann", "laptop"));
        let (on_phone, on_laptop) = (subscribe(&phone, "user:ann").await, subscribe(&laptop, "user:ann").await);
        Self { phone, _laptop: laptop, on_phone, on_laptop }
    }

    /// What both devices get next: the same, at the same position.
    async fn next(&mut self, what: &str) -> (Value, Position) {
        let one = soon(what, self.on_phone.next_message()).await.unwrap().message;
        let two = soon(what, self.on_laptop.next_message()).await.unwrap().message;
        assert_eq!((one.position, one.data.as_str()), (two.position, two.data.as_str()), "{what}");
        (one.data.to().unwrap(), one.position.unwrap())
    }
}

async fn a_loss_goes_from_the_tick_to_the_inbox(desk: Desk) {
    let (ann, bob) = (plain_token("ann", None), plain_token("bob", None));
    let mut devices = Devices::of_ann(&desk).await;
    let mut stranger = Stranger::of(&desk).await;
    let venue = Venue::open(desk.emitter.clone(), "100");
    let mut orders = subscribe(&devices.phone, "user:ann:orders").await;
    let mut positions = subscribe(&devices.phone, "user:ann:positions").await;
    let mut sessions = subscribe(&devices.phone, "sessions:ann").await;
    let id = started(&desk, &ann).await;
    // Its channel is the owner's once something was told there.
    next(&mut sessions, "the session is told", |data| data["type"] == "session_started").await;
    let mut session = subscribe(&devices.phone, &format!("session:{id}")).await;

    // Tick → decision → fill → position.
    let filled = next(&mut orders, "an order is filled", |data| data["status"] == "filled").await;
    assert_eq!((&filled["side"], &filled["sessionId"]), (&json!("buy"), &json!(id)));
    let position = next(&mut positions, "a position", |data| data["quantity"] == filled["filledQuantity"]).await;
    assert_eq!((&position["symbol"], &position["entryPrice"]), (&json!(INSTRUMENT), &json!("100.01")));
    let decided = first_decision(&desk, &id).await;
    assert_eq!((&decided["decision"], &decided["marketData"]["symbol"]), (&json!("buy"), &json!(INSTRUMENT)));
    assert!(!decided["reasoning"].as_str().unwrap().is_empty());
    stranger.sees_nothing(&desk, &id, &bob).await;

    // → P&L → warning → critical → stop. 89 or 90 pieces: 9 of fees, and 4.7 to 5.4 a piece.
    venue.set("95.10");
    let (warning, _) = devices.next("a warning").await;
    let level = |alert: &Value| (alert["type"].clone(), alert["alertType"].clone(), alert["alertLevel"].clone());
    assert_eq!(level(&warning), (json!("risk_alert"), json!("loss_limit"), json!("warning")), "{warning}");
    let status = next(&mut session, "the status shows it", |data| {
        data["type"] == "session_status"
            && data["data"]["lossLimitUtilization"].as_f64().is_some_and(|share| share >= 0.8)
    })
    .await;
    assert!(decimal(&status["data"]["currentPnL"]) <= Decimal::from(-400), "{status}");
    next(&mut positions, "the position shows it", |data| decimal(&data["unrealizedPnL"]) < Decimal::from(-400)).await;
    venue.set("94.60");
    let (critical, critical_at) = devices.next("a critical alert").await;
    assert_eq!(level(&critical), (json!("risk_alert"), json!("loss_limit"), json!("critical")), "{critical}");
    venue.set("94.00");
    let (stop, stop_at) = devices.next("the emergency stop").await;
    assert_eq!((&stop["type"], &stop["sessionId"]), (&json!("emergency_stop"), &json!(id)), "{stop}");
    next(&mut session, "it is told where the session is looked at", |data| data["status"] == "emergency_stopped").await;
    agrees(&desk, &id, &ann).await;

    // Acknowledged on one device, over on both.
    devices.phone.ack(channel("user:ann"), vec![critical_at, stop_at]).await.unwrap();
    let mut over = Vec::new();
    while over.len() < 2 {
        match soon("that it is over", devices.on_laptop.next_event()).await.unwrap() {
            SubscriptionEvent::Acknowledged { positions } => over.extend(positions),
            SubscriptionEvent::Ended(error) => panic!("{error}"),
            _ => {}
        }
    }
    over.sort_unstable();
    assert_eq!(over, [critical_at, stop_at]);
    let (status, alerts) = get(desk.emitter_address, API_KEY, "/v1/users/ann/alerts").await;
    assert_eq!(status, 200);
    let listed = alerts["alerts"].as_array().unwrap_or_else(|| panic!("{alerts}"));
    let listed: Vec<&Value> = listed.iter().filter(|alert| alert["priority"] == "critical").collect();
    assert_eq!(listed.len(), 2, "{alerts}");
    for alert in listed {
        let state = desk.emitter.alert(alert["alertId"].as_str().unwrap()).await.unwrap();
        assert_eq!(state.status, AlertStatus::Acknowledged);
    }
    stranger.sees_nothing(&desk, &id, &bob).await;
    its_owner_stops_it_at_once(&desk, &venue, &mut devices).await;
    stranger.heard_nothing(&desk).await;
}

/// The owner's own emergency stop goes the same way to its end.
async fn its_owner_stops_it_at_once(desk: &Desk, venue: &Venue, devices: &mut Devices) {
    let ann = plain_token("ann", None);
    venue.set("100");
    let tablet = device(&desk.urls, "ann", "tablet");
    let mut positions = subscribe(&tablet, "user:ann:positions").await;
    let id = started(desk, &ann).await;
    let is_long = |data: &Value| data["sessionId"] == json!(id) && decimal(&data["quantity"]) > Decimal::ZERO;
    next(&mut positions, "a position", is_long).await;
    let (status, stopped) = post(desk.session, &ann, &format!("/v1/sessions/{id}/emergency-stop"), &json!({})).await;
    assert_eq!((status, &stopped["status"]), (200, &json!("emergency_stopped")));
    let (stop, _) = devices.next("the emergency stop").await;
    assert_eq!((&stop["type"], &stop["sessionId"]), (&json!("emergency_stop"), &json!(id)), "{stop}");
    assert!(stop["reason"].as_str().unwrap().starts_with("Its user asked for an emergency stop."), "{stop}");
    agrees(desk, &id, &ann).await;
}

/// The first decision that was told; the account's journal has as many.
async fn first_decision(desk: &Desk, id: &str) -> Value {
    let ann = plain_token("ann", None);
    let client = device(&desk.urls, "ann", "tablet");
    let history = client.history(channel(&format!("session:{id}")), None, None, false).await.unwrap();
    let messages = history.messages.iter().map(|message| message.data.to::<Value>().unwrap());
    let decided: Vec<Value> = messages.filter(|data| data["type"] == "algorithm_decision").collect();
    let (status, activity) = get(desk.algorithm, &ann, &format!("/v1/accounts/{id}/activity")).await;
    assert_eq!(status, 200);
    assert_eq!(activity["decisions"].as_array().unwrap().len(), decided.len(), "{activity}");
    decided.into_iter().next().unwrap()
}

/// The session is stopped and summed up, the account flat, and the numbers of all services are one.
async fn agrees(desk: &Desk, id: &str, ann: &str) {
    let stop = format!("/v1/sessions/{id}/stop");
    until("the stop is done", async || get(desk.risk, ann, &stop).await.1["isDone"] == true).await;
    let path = format!("/v1/sessions/{id}");
    until("the session is summed up", async || get(desk.session, ann, &path).await.1["ending"]["summary"].is_object())
        .await;
    let session = get(desk.session, ann, &path).await.1;
    assert_eq!(session["status"], "emergency_stopped");
    let summary = &session["ending"]["summary"];
    let account = get(desk.algorithm, ann, &format!("/v1/accounts/{id}")).await.1;
    assert_eq!((&account["positions"], &account["openOrders"]), (&json!([]), &json!(0)), "{account}");
    let (realized, fees) = (decimal(&account["realizedPnL"]), decimal(&account["fees"]));
    assert_eq!(decimal(&account["cash"]), Decimal::from(10_000) + realized - fees, "{account}");
    assert_eq!((decimal(&summary["finalPnL"]), decimal(&summary["fees"])), (realized - fees, fees), "{summary}");
    assert_eq!((&summary["totalTrades"], &summary["isSettled"]), (&account["trades"], &json!(true)));
    let activity = get(desk.algorithm, ann, &format!("/v1/accounts/{id}/activity")).await.1;
    let orders = activity["orders"].as_array().unwrap();
    let flow = activity["fills"].as_array().unwrap().iter().map(|fill| {
        let side = &orders.iter().find(|order| order["number"] == fill["order"]).unwrap()["side"];
        let value = decimal(&fill["price"]) * decimal(&fill["quantity"]);
        if side == "buy" { -value } else { value }
    });
    assert_eq!(flow.sum::<Decimal>(), realized, "what was paid and got is what was realised");
}

/// Bob, who has a token of his own and nothing else.
struct Stranger {
    client: Client,
    own: Vec<Subscription>,
}

impl Stranger {
    async fn of(desk: &Desk) -> Self {
        let client = device(&desk.urls, "bob", "phone");
        let mut own = Vec::new();
        for name in ["user:bob", "sessions:bob", "user:bob:orders", "user:bob:positions", "portfolio:bob"] {
            own.push(subscribe(&client, name).await);
        }
        Self { client, own }
    }

    /// Every channel that carries something of Ann's is refused, live and as history; every call answers as if there were nothing.
    async fn sees_nothing(&mut self, desk: &Desk, id: &str, bob: &str) {
        let ids = [format!("session:{id}"), format!("strategy:{id}"), format!("strategy:{id}:orders")];
        let named =
            ["user:ann", "user:ann:orders", "user:ann:positions", "sessions:ann", "portfolio:ann", "approvals:ann"];
        let common =
            ["orders", "positions", "strategies", "trading:sessions", "trading:accounts", "wallets:0", "audit"];
        for name in ids.iter().map(String::as_str).chain(named).chain(common) {
            let mut refused = self.client.subscribe(channel(name), SubscribeOptions::default()).await.unwrap();
            let answer = soon("an answer", refused.next_event()).await;
            assert!(matches!(answer, Some(SubscriptionEvent::Ended(_))), "{name}: {answer:?}");
            let history = self.client.history(channel(name), None, None, false).await;
            assert!(history.is_err(), "{name}: {history:?}");
            let path = format!("/v1/channels/{}/history", name.replace('/', "%2F"));
            let (status, body) = get(desk.emitter_address, bob, &path).await;
            assert!((400..500).contains(&status), "{path}: {status} {body}");
        }
        let of_session = ["", "/start", "/pause", "/resume", "/stop", "/emergency-stop"];
        for verb in of_session {
            let path = format!("/v1/sessions/{id}{verb}");
            let (status, body) = if verb.is_empty() {
                get(desk.session, bob, &path).await
            } else {
                post(desk.session, bob, &path, &json!({})).await
            };
            assert_eq!(status, 404, "{path}: {body}");
        }
        assert_eq!(get(desk.session, bob, "/v1/sessions").await.1["items"], json!([]));
        for what in ["risk", "stop", "thresholds"] {
            assert_eq!(get(desk.risk, bob, &format!("/v1/sessions/{id}/{what}")).await.0, 404, "{what}");
        }
        let thresholds = format!("/v1/sessions/{id}/thresholds");
        assert_eq!(call(reqwest::Method::PUT, desk.risk, bob, &thresholds, Some(&json!({}))).await.0, 404);
        assert_eq!(get(desk.risk, bob, "/v1/risk").await.1["sessions"], json!([]));
        for what in ["", "/activity", "/signals"] {
            assert_eq!(get(desk.algorithm, bob, &format!("/v1/accounts/{id}{what}")).await.0, 404, "{what}");
        }
        assert_eq!(get(desk.algorithm, bob, "/v1/accounts").await.1["items"], json!([]));
        let signal = json!({"id": "x", "agent": "a", "symbol": INSTRUMENT, "action": "close_position", "confidence": 1.0, "reasoning": "r"});
        for (path, body) in
            [("flatten", json!({})), ("signals", signal), ("signals/x/answer", json!({"approve": true}))]
        {
            let (status, answer) = post(desk.algorithm, bob, &format!("/v1/accounts/{id}/{path}"), &body).await;
            assert!((400..500).contains(&status), "{path}: {status} {answer}");
        }
        assert_eq!(get(desk.emitter_address, bob, "/v1/users/ann/alerts").await.0, 403);
    }

    /// What comes to his own channels first is what is sent to him now.
    async fn heard_nothing(&mut self, desk: &Desk) {
        let marker = tickwire_client::emitter::Notification { kind: "marker".into(), ..Default::default() };
        desk.emitter.notify(&UserId::new("bob").unwrap(), &marker).await.unwrap();
        let first = soon("the marker", self.own[0].next_message()).await.unwrap().message.data;
        assert!(first.as_str().contains("marker"), "{first:?}");
        for own in &mut self.own[1..] {
            let heard = tokio::time::timeout(std::time::Duration::from_millis(50), own.next_message()).await;
            assert!(heard.is_err(), "{heard:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_goes_from_the_tick_to_its_users_inbox_alone_on_memory() {
    a_loss_goes_from_the_tick_to_the_inbox(Desk::in_memory().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_goes_from_the_tick_to_its_users_inbox_alone_on_redis() {
    a_loss_goes_from_the_tick_to_the_inbox(Desk::on_redis().await).await;
}
