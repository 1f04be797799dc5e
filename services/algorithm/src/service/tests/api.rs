//! Whom the service answers, and what.

use super::*;

struct Served {
    url: String,
    http: reqwest::Client,
    shutdown: CancellationToken,
    written: Written,
}

async fn served() -> Served {
    let (url, written) = others().await;
    let record = serde_json::to_value(session(&json!({"entry": 0.2, "exit": 0.1}), "active", 2)).unwrap();
    lock(&written).sessions.push(record);
    let config = config(&url);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    tokio::spawn(crate::run(config, listener, MemoryBackplane::new(), shutdown.clone()));
    Served { url, http: reqwest::Client::new(), shutdown, written }
}

impl Served {
    async fn ask(&self, caller: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        super::ask(&self.http, &self.url, caller, path, body.as_ref()).await
    }

    async fn until_there(&self) {
        let begun = Instant::now();
        while self.ask(KEY, "/v1/accounts?open=true", None).await.1["items"] == json!([]) {
            assert!(begun.elapsed() < PATIENCE, "no bot");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sees_their_own_account_only_and_services_see_all() {
    let served = served().await;
    let (ann, bob) = (token("ann"), token("bob"));
    served.until_there().await;
    let (status, figures) = served.ask(&ann, "/v1/accounts/s1", None).await;
    assert_eq!((status, &figures["cash"], &figures["userId"]), (200, &json!("10000"), &json!("ann")));
    assert_eq!(served.ask(&ann, "/v1/accounts", None).await.1["items"][0]["sessionId"], "s1");
    assert_eq!(served.ask(&bob, "/v1/accounts", None).await.1["items"], json!([]));
    let answer = json!({"approve": true});
    let signal =
        json!({"id": "1", "agent": "a", "symbol": "okx:BTC/USDT", "action": "buy", "confidence": 1, "reasoning": "r"});
    for (path, body) in [
        ("/v1/accounts/SESSION", None),
        ("/v1/accounts/SESSION/activity", None),
        ("/v1/accounts/SESSION/signals", None),
        ("/v1/accounts/SESSION/signals", Some(signal.clone())),
        ("/v1/accounts/SESSION/signals/1/answer", Some(answer.clone())),
    ] {
        let others = served.ask(&bob, &path.replace("SESSION", "s1"), body.clone()).await;
        assert_eq!(others.0, 404, "{path}");
        let none = served.ask(&bob, &path.replace("SESSION", "s2"), body).await;
        assert_eq!(others, none, "another's account is answered as none");
    }
    assert_eq!(served.ask(&ann, "/v1/accounts/s1/flatten", Some(json!({}))).await.0, 403);
    assert_eq!(served.ask("nobody", "/v1/accounts", None).await.0, 401);
    let (status, refused) = served.ask(&ann, "/v1/accounts/s1/signals", Some(signal)).await;
    assert_eq!((status, &refused["state"]), (200, &json!("refused")));
    assert_eq!(served.ask(&ann, "/v1/accounts/s1/signals/9/answer", Some(answer.clone())).await.0, 404);
    assert_eq!(served.ask(&ann, "/v1/accounts/s1/signals/1/answer", Some(answer)).await.0, 409);
    let begun = Instant::now();
    while !lock(&served.written).events.values().any(|(_, body)| body["event"]["state"] == "refused") {
        assert!(begun.elapsed() < PATIENCE, "the refusal is told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    served.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_sense_are_refused_in_one_form() {
    let served = served().await;
    let ann = token("ann");
    served.until_there().await;
    for body in [json!({"id": "1"}), json!([]), json!({"id": "a b", "agent": "a"})] {
        let (status, answer) = served.ask(&ann, "/v1/accounts/s1/signals", Some(body)).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("bad_request")));
    }
    for query in ["limit=many", "colour=green"] {
        let (status, answer) = served.ask(&ann, &format!("/v1/accounts?{query}"), None).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("bad_request")), "{query}");
    }
    let long = json!({"reason": "r".repeat(100_000)});
    assert_eq!(served.ask(KEY, "/v1/accounts/s1/flatten", Some(long)).await.0, 413);
    let (status, strategies) = served.ask(&ann, "/v1/strategies", None).await;
    assert_eq!((status, strategies["items"].as_array().unwrap().len()), (200, 4));
    let levels = &strategies["items"][0]["parameters"][0];
    let described = (&levels["name"], &levels["type"], &levels["default"], &levels["max"]);
    assert_eq!(described, (&json!("levels"), &json!("integer"), &json!("5"), &json!("20")));
    assert_eq!(strategies["execution"][0]["name"], "entryShare");
    let (status, description) = served.ask(&ann, "/openapi.json", None).await;
    assert_eq!(status, 200);
    assert!(description["paths"]["/v1/accounts/{session}/flatten"]["post"].is_object());
    served.shutdown.cancel();
}

fn follows_its_session_and_flattens_once(world: &World) {
    // It buys, and then rests for a day.
    let parameters = json!({"entry": 0.2, "exit": 0.0, "execution": {
        "evaluateMs": 0, "cooldownMs": 86_400_000, "stopLoss": null, "takeProfit": null}});
    let life = Life::start(world);
    life.sessions.offer(session(&parameters, "active", 2));
    until("a position", || {
        world.offer(&life);
        lock(&world.written).positions.iter().any(|position| position["quantity"] != "0")
    });
    for kind in ["algorithm-decision", "order-update", "trade-executed"] {
        until(kind, || !world.told(kind).is_empty());
    }
    let decision = &world.told("algorithm-decision")[0];
    assert_eq!((&decision["sessionId"], &decision["userId"]), (&json!("s1"), &json!("ann")));
    // Paused, so that nothing new is opened behind the flattening.
    life.sessions.offer(session(&parameters, "paused", 3));
    let body = json!({"reason": "a test"});
    let mut flattened = Vec::new();
    until("a flat account", || {
        world.offer(&life);
        let (status, figures) = world.ask(&life, KEY, "/v1/accounts/s1/flatten", Some(&body));
        assert_eq!(status, 200, "{figures}");
        let is_flat = figures["positions"] == json!([]) && figures["openOrders"] == 0;
        flattened.extend(is_flat.then_some(figures));
        is_flat
    });
    let again = world.ask(&life, KEY, "/v1/accounts/s1/flatten", Some(&body)).1;
    for field in ["trades", "cash", "fees", "realizedPnL", "positions"] {
        assert_eq!(again[field], flattened[0][field], "{field}: a second time changes nothing");
    }
    let closings = |entries: &[Entry]| {
        entries
            .iter()
            .filter(|entry| matches!(entry, Entry::Decided { decision } if decision.reasoning == "a test"))
            .count()
    };
    assert_eq!(closings(&world.entries()), 1);
    life.sessions.offer(session(&parameters, "completed", 4));
    until("the bot's end", || world.ask(&life, KEY, "/v1/accounts", None).1["items"] == json!([]));
    let (status, past) = world.ask(&life, KEY, "/v1/accounts/s1/flatten", Some(&body));
    assert_eq!((status, &past["cash"]), (200, &flattened[0]["cash"]), "from the journal, when the bot is gone");
    let (status, activity) = world.ask(&life, &token("ann"), "/v1/accounts/s1/activity", None);
    assert_eq!(
        (status, activity["fills"].as_array().map(Vec::len)),
        (200, again["trades"].as_u64().and_then(|trades| usize::try_from(trades).ok()))
    );
    assert_eq!(world.ask(&life, &token("bob"), "/v1/accounts/s1/activity", None).0, 404);
    life.kill();
}

#[test]
fn a_bot_follows_its_session_and_is_flattened_once_in_memory() {
    follows_its_session_and_flattens_once(&World::memory());
}

#[test]
fn a_bot_follows_its_session_and_is_flattened_once_on_redis() {
    follows_its_session_and_flattens_once(&World::redis());
}
