//! Overdue alerts and the webhook that hears of them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, response::Response, routing::post};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tickwire_backplane::{
    AlertId, AlertSpec, Backplane, Publish,
    redis::{RedisBackplane, RedisConfig},
    testing::RedisServer,
};
use tickwire_emitter::Config;
use tickwire_protocol::{Position, Priority, RawJson, UserId, namespace::Policy, signature, time::now_ms};
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::rig::{PATIENCE, Rig, channel, config};

const HOOK_SECRET: &str = "a webhook secret of 16 bytes or more";

/// One call of the webhook.
#[derive(Debug, Clone)]
struct Call {
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn is_signed(&self) -> bool {
        let timestamp_ms = self.header("tickwire-timestamp").parse().unwrap();
        let (key, signature) = (self.header("idempotency-key"), self.header("tickwire-signature"));
        now_ms().abs_diff(timestamp_ms) < 60_000
            && signature::verify_webhook(HOOK_SECRET.as_bytes(), key, timestamp_ms, &self.body, signature)
    }
}

/// A receiver: answers the statuses it is given one after the other, then 200.
#[derive(Clone)]
struct Receiver {
    url: String,
    calls: Arc<Mutex<Vec<Call>>>,
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    async fn start(answers: &[u16]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let answers = Arc::new(Mutex::new(answers.iter().rev().copied().collect()));
        let receiver = Self { url, calls: Arc::default(), answers };
        let router = Router::new().route("/hook", post(hear)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        receiver
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    fn keys(&self) -> Vec<String> {
        self.calls().iter().map(|call| call.header("idempotency-key").to_owned()).collect()
    }

    fn config(&self) -> Config {
        let mut config = config();
        config.escalation.url = Some(self.url.clone());
        config.escalation.secret = Some(HOOK_SECRET.into());
        config.escalation.interval_ms = 20;
        config.escalation.backoff_first_ms = 20;
        config
    }
}

async fn hear(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    receiver.calls.lock().unwrap().push(Call { headers, body });
    let status = receiver.answers.lock().unwrap().pop().unwrap_or(200);
    // A redirect leads back here: followed, it would be a call more.
    let endless = "x".repeat(64 * 1024);
    Response::builder().status(status).header("location", "/hook").body(endless.into()).unwrap()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn notify(rig: &Rig, escalate_after_ms: u64) -> (String, Position) {
    let body = json!({"type": "margin_call", "priority": "critical", "data": {"loss": "95.00"}, "escalateAfterMs": escalate_after_ms});
    let made = rig.say("/v1/users/7/notify", &body).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let position = made.body["position"].as_str().unwrap().parse().unwrap();
    (made.body["alertId"].as_str().unwrap().to_owned(), position)
}

async fn metric(rig: &Rig, name: &str) -> f64 {
    let text = rig.get("/metrics").send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_unacknowledged_alert_is_posted_signed_until_the_receiver_takes_it() {
    let receiver = Receiver::start(&[500, 302]).await;
    let rig = Rig::with(receiver.config()).await;
    let before = now_ms();
    let (id, _) = notify(&rig, 1).await;
    let state = async || rig.ask(&format!("/v1/alerts/{id}")).await.body;
    until("the alert is escalated", async || state().await["escalatedAt"].is_u64()).await;
    let calls = receiver.calls();
    assert_eq!(calls.len(), 3, "two failures, then the one that was taken; a redirect is a failure");
    for (call, attempt) in calls.iter().zip(1..) {
        assert!(call.is_signed());
        assert_eq!(call.header("idempotency-key"), id);
        let body = call.json();
        assert_eq!(body["alertId"], id);
        assert_eq!(
            (&body["userId"], &body["priority"], &body["attempt"]),
            (&json!("7"), &json!("critical"), &json!(attempt))
        );
        assert_eq!(body["deadline"].as_u64().unwrap(), body["createdAt"].as_u64().unwrap() + 1);
        assert!(body["createdAt"].as_u64().unwrap() >= before);
        assert_eq!((&body["data"]["type"], &body["data"]["data"]["loss"]), (&json!("margin_call"), &json!("95.00")));
    }
    let state = state().await;
    assert_eq!((&state["status"], &state["attempts"]), (&json!("escalated"), &json!(3)));
    assert!((metric(&rig, "tickwire_emitter_escalations_sent_total").await - 1.0).abs() < 0.1);
    assert!((metric(&rig, "tickwire_emitter_escalations_failed_total").await - 2.0).abs() < 0.1);
    assert!(metric(&rig, "tickwire_emitter_oldest_unacknowledged_alert_age_seconds").await > 0.0);
    assert!((metric(&rig, "tickwire_emitter_alerts_unacknowledged").await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn an_alert_acknowledged_in_time_is_not_posted() {
    let receiver = Receiver::start(&[]).await;
    let rig = Rig::with(receiver.config()).await;
    let (_, position) = notify(&rig, 1_000).await;
    rig.backplane.acknowledge(&channel("user:7"), None, &[position]).await.unwrap();
    let (witness, position) = notify(&rig, 1_001).await;
    until("the witness is posted", async || !receiver.calls().is_empty()).await;
    assert_eq!(receiver.keys(), [witness]);
    rig.backplane.acknowledge(&channel("user:7"), None, &[position]).await.unwrap();
    until("nothing is unacknowledged", async || {
        metric(&rig, "tickwire_emitter_oldest_unacknowledged_alert_age_seconds").await == 0.0
    })
    .await;
    assert!(metric(&rig, "tickwire_emitter_alerts_unacknowledged").await < 0.1);
}

#[tokio::test]
async fn an_alert_is_given_up_after_the_last_try_and_counted() {
    let receiver = Receiver::start(&[500; 10]).await;
    let mut config = receiver.config();
    config.escalation.attempts_max = 2;
    let rig = Rig::with(config).await;
    let (id, _) = notify(&rig, 1).await;
    until("it is given up", async || metric(&rig, "tickwire_emitter_escalations_given_up_total").await > 0.0).await;
    assert_eq!(receiver.keys(), [id.clone(), id.clone()]);
    let state = rig.ask(&format!("/v1/alerts/{id}")).await.body;
    assert_eq!((&state["status"], &state["attempts"]), (&json!("escalated"), &json!(2)));
    assert!(state["escalatedAt"].is_null());
}

#[tokio::test]
async fn without_a_receiver_overdue_alerts_are_counted_and_shown() {
    let mut config = config();
    config.escalation.interval_ms = 20;
    let rig = Rig::with(config).await;
    let (id, _) = notify(&rig, 1).await;
    until("it is counted", async || metric(&rig, "tickwire_emitter_escalations_unsent_total").await > 0.0).await;
    assert_eq!(rig.ask(&format!("/v1/alerts/{id}")).await.body["status"], "escalated");
}

/// Emitters on one Redis.
struct Fleet {
    redis: RedisServer,
    backplane: Arc<RedisBackplane>,
    shutdown: CancellationToken,
}

impl Fleet {
    async fn start() -> Self {
        let redis = tokio::task::spawn_blocking(RedisServer::start).await.unwrap();
        let backplane = connect(&redis).await;
        Self { redis, backplane, shutdown: CancellationToken::new() }
    }

    async fn add_emitter(&self, config: Config) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let backplane = connect(&self.redis).await;
        tokio::spawn(tickwire_emitter::run(config, listener, backplane, self.shutdown.clone()));
    }

    async fn alert(&self, after: Duration) -> String {
        let user = UserId::new("7").unwrap();
        let id = AlertId::generate(&user);
        let publish = Publish {
            priority: Priority::Critical,
            alert: Some(AlertSpec { id: id.clone(), escalate_after: Some(after) }),
            ..Publish::new(channel("user:7"), Policy::inbox(), RawJson::null())
        };
        self.backplane.publish(publish).await.unwrap();
        id.as_str().to_owned()
    }

    async fn escalated(&self, id: &str) -> bool {
        let alert = self.backplane.alert(&AlertId::parse(id).unwrap()).await.unwrap();
        alert.is_some_and(|alert| alert.escalated_at_ms.is_some())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn connect(redis: &RedisServer) -> Arc<RedisBackplane> {
    RedisBackplane::connect(RedisConfig { connect_timeout_s: 60, ..RedisConfig::new(redis.url()) }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_emitters_one_posts_each_alert() {
    let receiver = Receiver::start(&[]).await;
    let fleet = Fleet::start().await;
    for _ in 0..2 {
        fleet.add_emitter(receiver.config()).await;
    }
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(fleet.alert(Duration::from_millis(300)).await);
    }
    for id in &ids {
        until("every alert is escalated", async || fleet.escalated(id).await).await;
    }
    let mut keys = receiver.keys();
    keys.sort();
    ids.sort();
    assert_eq!(keys, ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_emitter_held_when_it_died_is_posted_by_another() {
    let receiver = Receiver::start(&[]).await;
    let fleet = Fleet::start().await;
    let id = fleet.alert(Duration::ZERO).await;
    // As an emitter that is killed between taking the alert and calling the webhook.
    until("the alert is held", async || {
        !fleet.backplane.claim_due(1, Duration::from_millis(500)).await.unwrap().claimed.is_empty()
    })
    .await;
    fleet.add_emitter(receiver.config()).await;
    until("the alert is escalated", async || fleet.escalated(&id).await).await;
    assert_eq!(receiver.keys(), [id]);
    assert_eq!(receiver.calls()[0].json()["attempt"], 2);
}
