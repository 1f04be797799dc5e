//! `kill -9` of every service at seeded points, while sessions trade, lose and are stopped. Afterwards every service, every journal and
//! every device tell one story.
//!
//! `TICKWIRE_TEST_KILL_SECONDS` says how long the storm lasts, `TICKWIRE_TEST_KILL_SEED` repeats one.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tickwire_backplane::{Backplane, Publish, redis::RedisBackplane};
use tickwire_client::{Client, SubscribeOptions, SubscriptionEvent};
use tickwire_protocol::{Position, RawJson, namespace::Namespaces};

use crate::{
    audit,
    cluster::{PATIENCE, channel, redis_config, until},
    desk::{self, INSTRUMENT, device, get, plain_token},
    fleet::{Fleet, SERVICES},
};

const USERS: [&str; 3] = ["ann", "bob", "cem"];
/// How long a session runs that nothing stops.
const SESSION: Duration = Duration::from_secs(8);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var_os(name).map_or(default, |value| value.to_str().unwrap().parse().unwrap())
}

/// What came through one subscription.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) messages: BTreeMap<Position, Value>,
    /// Doubles and holes: there must be none.
    pub(crate) faults: Vec<String>,
}

pub(crate) type Log = Arc<Mutex<Heard>>;

/// A user's two devices and what they hear.
pub(crate) struct Owner {
    pub(crate) user: &'static str,
    pub(crate) phone: Log,
    pub(crate) laptop: Log,
    pub(crate) orders: Log,
    pub(crate) positions: Log,
    _clients: [Client; 2],
}

impl Owner {
    async fn of(user: &'static str, urls: &[String]) -> Self {
        let clients = [device(urls, user, "phone"), device(urls, user, "laptop")];
        let inbox = format!("user:{user}");
        Self {
            user,
            phone: listen(&clients[0], &inbox).await,
            laptop: listen(&clients[1], &inbox).await,
            orders: listen(&clients[0], &format!("{inbox}:orders")).await,
            positions: listen(&clients[1], &format!("{inbox}:positions")).await,
            _clients: clients,
        }
    }
}

async fn listen(client: &Client, name: &str) -> Log {
    let mut subscription = client.subscribe(channel(name), SubscribeOptions::default()).await.unwrap();
    let (log, name) = (Log::default(), name.to_owned());
    let heard = Arc::clone(&log);
    tokio::spawn(async move {
        while let Some(event) = subscription.next_event().await {
            let mut heard = heard.lock().unwrap();
            match event {
                SubscriptionEvent::Message(delivery) => {
                    let (at, data) = (delivery.message.position.unwrap(), delivery.message.data.to().unwrap());
                    if let Some(before) = heard.messages.insert(at, data) {
                        heard.faults.push(format!("{name}: {at} came twice: {before}"));
                    }
                }
                SubscriptionEvent::Recovered { complete: true, .. }
                | SubscriptionEvent::Subscribed { .. }
                | SubscriptionEvent::Acknowledged { .. } => {}
                event => heard.faults.push(format!("{name}: {event:?}")),
            }
        }
    });
    log
}

/// Asks under a key until there is an answer that counts.
async fn insist(at: SocketAddr, token: &str, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let request =
            http.post(format!("http://{at}{path}")).bearer_auth(token).header("idempotency-key", key).json(body);
        if let Ok(answer) = request.send().await
            && let status = answer.status().as_u16()
            && status < 500
            && let Ok(body) = answer.json().await
        {
            return (status, body);
        }
        assert!(Instant::now() < deadline, "no answer to {path}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The body of a `GET`; null while nobody answers.
async fn look(at: SocketAddr, token: &str, path: &str) -> Value {
    let request =
        reqwest::Client::new().get(format!("http://{at}{path}")).bearer_auth(token).timeout(Duration::from_secs(5));
    match request.send().await {
        Ok(answer) => answer.json().await.unwrap_or_default(),
        Err(_) => Value::Null,
    }
}

/// One session after the other; answers their ids. The last goes on until its losses end it: nothing is killed any more then, and whatever
/// the storm left behind must not keep the risk service from stopping it.
async fn trade(user: &'static str, session: SocketAddr, end: Instant) -> Vec<String> {
    let token = plain_token(user, None);
    let new = json!({
        "algorithmId": "book-imbalance", "symbols": [INSTRUMENT], "capital": "10000", "limits": {"lossLimit": "300"},
        "parameters": {"levels": 1, "execution": {
            "entryShare": "0.9", "feeRate": "0.001", "slippageMax": "0.01", "stopLoss": null, "takeProfit": null, "cooldownMs": 0,
            "evaluateMs": 0, "sampleMs": 100,
        }},
    });
    let mut ids = Vec::new();
    for round in 0.. {
        let (status, created) = insist(session, &token, "/v1/sessions", &format!("create-{round}"), &new).await;
        assert_eq!(status, 201, "{created}");
        let id = created["sessionId"].as_str().unwrap().to_owned();
        assert_eq!(insist(session, &token, &format!("/v1/sessions/{id}/start"), "start", &json!({})).await.0, 200);
        let is_last = Instant::now() + SESSION > end;
        let until = Instant::now() + if is_last { PATIENCE } else { SESSION };
        while Instant::now() < until && look(session, &token, &format!("/v1/sessions/{id}")).await["ending"].is_null() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        stop(session, &token, &id).await;
        ids.push(id);
        if is_last {
            break;
        }
    }
    ids
}

/// Ends it, unless it has ended.
async fn stop(session: SocketAddr, token: &str, id: &str) {
    let (status, answer) = insist(session, token, &format!("/v1/sessions/{id}/stop"), "stop", &json!({})).await;
    assert!(status == 200 || status == 409, "{status} {answer}");
}

/// Prices as a feed publishes them, straight to Redis. Each six seconds: up and bought, even and sold, bought, down to a warning, to a
/// critical alert, and through the limit; nobody buys on the way down, so no session gains what it loses later.
async fn market(backplane: Arc<dyn Backplane>) {
    let namespaces = Namespaces::default();
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    for step in 0_u64.. {
        pace.tick().await;
        let (bought, sold, held) = (5_000, 500, 1_000);
        let (middle, bids) = match step % 60 {
            0..15 => ("100.00", bought),
            15..20 => ("100.10", sold),
            20..30 => ("100.20", bought),
            30..34 => ("97.60", held),
            34..38 => ("97.25", held),
            _ => ("95.00", held),
        };
        let middle: Decimal = middle.parse().unwrap();
        // The sizes change each time: what was taken from a level is there again.
        let bids = bids + step % 7;
        let book = desk::book_of(middle, bids, 500 + step % 5);
        for (namespace, data) in [("ticker", desk::ticker(middle)), ("book", book)] {
            let channel = channel(&format!("{namespace}:{INSTRUMENT}"));
            let policy = namespaces.policy(&channel).unwrap().clone();
            backplane.publish(Publish::new(channel, policy, RawJson::parse(data).unwrap())).await.unwrap();
        }
    }
}

/// Kills one service after the other, each once a round, until `end`; answers how often each. Half of them die with something left to
/// tell: the emitter went before them.
async fn storm(fleet: &mut Fleet, seed: u64, end: Instant) -> BTreeMap<&'static str, u32> {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut kills, mut round) = (BTreeMap::new(), Vec::new());
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(random.random_range(300..2_000))).await;
        if round.is_empty() {
            round = SERVICES.to_vec();
            round.shuffle(&mut random);
        }
        let Some(service) = round.pop() else { break };
        fleet.all_run();
        if service != "emitter" && random.random() {
            fleet.kill("emitter");
            *kills.entry("emitter").or_default() += 1;
            tokio::time::sleep(Duration::from_millis(random.random_range(200..1_000))).await;
        }
        fleet.kill(service);
        *kills.entry(service).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..500))).await;
        fleet.start_missing();
    }
    fleet.ready().await;
    kills
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_killed_nothing_is_lost_doubled_or_miscounted() {
    let length = Duration::from_secs(setting("TICKWIRE_TEST_KILL_SECONDS", 14));
    let seed = setting("TICKWIRE_TEST_KILL_SEED", 7);
    let mut fleet = Fleet::start().await;
    let backplane: Arc<dyn Backplane> = RedisBackplane::connect(redis_config(&fleet.redis)).await.unwrap();
    let urls = vec![format!("ws://{}/ws", fleet.address("edge"))];
    let mut owners = Vec::new();
    for user in USERS {
        owners.push(Owner::of(user, &urls).await);
    }
    let trading = tokio::spawn(market(Arc::clone(&backplane)));
    let (session, end) = (fleet.address("session"), Instant::now() + length);
    let users = USERS.map(|user| tokio::spawn(trade(user, session, end)));
    let kills = storm(&mut fleet, seed, end).await;
    let mut sessions: Vec<(&'static str, Vec<String>)> = Vec::new();
    for (user, ids) in USERS.into_iter().zip(users) {
        sessions.push((user, ids.await.unwrap()));
    }
    for (user, ids) in &sessions {
        let token = plain_token(user, None);
        for id in ids {
            let path = format!("/v1/sessions/{id}");
            until("a session is summed up", async || {
                look(session, &token, &path).await["ending"]["summary"].is_object()
            })
            .await;
            if get(session, &token, &path).await.1["status"] == "emergency_stopped" {
                let (risk, path) = (fleet.address("risk"), format!("/v1/sessions/{id}/stop"));
                until("a stop is done", async || look(risk, &token, &path).await["isDone"] == true).await;
            }
        }
    }
    fleet.all_run();
    let mut sums = audit::Sums::default();
    for (owner, (user, ids)) in owners.iter().zip(&sessions) {
        assert_eq!(owner.user, *user);
        audit::told_everything(&*backplane, owner, ids).await;
        for id in ids {
            sums.add(&audit::session(&*backplane, &fleet, owner, id).await);
        }
    }
    trading.abort();
    let count: usize = sessions.iter().map(|(_, ids)| ids.len()).sum();
    println!("seed {seed}, {length:?}: kills {kills:?}, {count} sessions, {sums:?}");
    assert!(sums.fills > 0, "{sums:?}");
    assert!(sums.stops >= USERS.len(), "what ends after the storm is stopped for its losses: {sums:?}");
}
