//! Commands and their answers.

use serde_json::json;
use tickwire_backplane::memory::MemoryBackplane;

use crate::platform::{Caller, KEY, Noted, Service, new_session, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_goes_through_its_states_and_what_does_not_fit_is_a_conflict() {
    let (_noted, platform) = Noted::start().await;
    let service = Service::start(MemoryBackplane::new(), platform).await;
    let ann = Caller::user(service.address, "ann");
    let id = ann.create().await;
    let (_, created) = ann.get(&format!("/v1/sessions/{id}")).await;
    assert_eq!((created["status"].as_str(), created.get("startedAt")), (Some("paused"), None));
    assert_eq!(created["parameters"].to_string(), r#"{"fast":5,"slow":0.5}"#);
    for (verb, status, now) in [
        ("resume", 409, "not started"),
        ("start", 200, "active"),
        ("start", 409, "active"),
        ("pause", 200, "paused"),
        ("pause", 409, "paused"),
        ("resume", 200, "active"),
        ("stop", 200, "completed"),
        ("stop", 409, "completed"),
        ("pause", 409, "completed"),
    ] {
        let (answered, body) = ann.command(&id, verb).await;
        assert_eq!(answered, status, "{verb}: {body}");
        if status == 200 {
            assert_eq!(body["status"], now);
        } else {
            assert_eq!(body["error"]["code"], "illegal_transition");
            assert!(body["error"]["message"].as_str().unwrap().contains(now), "{body}");
        }
    }
    let risk = Caller::new(service.address, KEY);
    let id = ann.create().await;
    for _ in 0..2 {
        let (status, stopped) = risk.command(&id, "emergency-stop").await;
        assert_eq!((status, stopped["status"].as_str()), (200, Some("emergency_stopped")));
        assert_eq!(stopped["ending"]["reason"], "stopped by risk");
    }
    let id = ann.create().await;
    assert_eq!(Caller::user(service.address, "bob").command(&id, "emergency-stop").await.0, 404);
    let (status, stopped) = ann.command(&id, "emergency-stop").await;
    assert_eq!((status, stopped["status"].as_str()), (200, Some("emergency_stopped")));
    assert_eq!(stopped["ending"]["reason"], "its user asked for an emergency stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_sees_and_commands_only_their_own_sessions() {
    let (_noted, platform) = Noted::start().await;
    let service = Service::start(MemoryBackplane::new(), platform).await;
    let [ann, bob] = ["ann", "bob"].map(|user| Caller::user(service.address, user));
    let (of_ann, of_bob) = (ann.create().await, bob.create().await);
    assert_eq!(bob.get(&format!("/v1/sessions/{of_ann}")).await.0, 404);
    assert_eq!(bob.get("/v1/sessions/none").await.0, 404);
    for verb in ["start", "pause", "stop"] {
        assert_eq!(bob.command(&of_ann, verb).await.0, 404);
    }
    let ids = |list: serde_json::Value| -> Vec<String> {
        list["items"].as_array().unwrap().iter().map(|item| item["sessionId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(bob.get("/v1/sessions").await.1), std::slice::from_ref(&of_bob));
    let mut both = [of_ann, of_bob];
    both.sort();
    let service_key = Caller::new(service.address, KEY);
    assert_eq!(ids(service_key.get("/v1/sessions").await.1), both);
    let (_, first) = service_key.get("/v1/sessions?limit=1").await;
    let (_, second) = service_key.get(&format!("/v1/sessions?limit=1&after={}", first["next"].as_str().unwrap())).await;
    assert_eq!([ids(first), ids(second)].concat(), both);
    let mut foreign = new_session();
    foreign["userId"] = json!("bob");
    assert_eq!(ann.post("/v1/sessions", None, &foreign).await.0, 400);
    assert_eq!(service_key.post("/v1/sessions", None, &foreign).await.1["userId"], "bob");
    assert_eq!(service_key.post("/v1/sessions", None, &new_session()).await.0, 400);
    assert_eq!(Caller::new(service.address, "nobody").get("/v1/sessions").await.0, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_command_gets_the_first_answer() {
    let (_noted, platform) = Noted::start().await;
    let service = Service::start(MemoryBackplane::new(), platform).await;
    let ann = Caller::user(service.address, "ann");
    let first = ann.post("/v1/sessions", Some("k"), &new_session()).await;
    assert_eq!(ann.post("/v1/sessions", Some("k"), &new_session()).await, first);
    let mut other = new_session();
    other["capital"] = json!("1");
    let (status, reused) = ann.post("/v1/sessions", Some("k"), &other).await;
    assert_eq!((status, reused["error"]["code"].as_str()), (409, Some("idempotency_key_reused")));
    let of_bob = Caller::user(service.address, "bob").post("/v1/sessions", Some("k"), &new_session()).await;
    assert_ne!(of_bob.1["sessionId"], first.1["sessionId"], "a key is its caller's");
    let path = format!("/v1/sessions/{}", first.1["sessionId"].as_str().unwrap());
    let started = ann.post(&format!("{path}/start"), Some("s"), &json!({})).await;
    assert_eq!(ann.post(&format!("{path}/pause"), Some("p"), &json!({})).await.0, 200);
    assert_eq!(ann.post(&format!("{path}/start"), Some("s"), &json!({})).await, started, "not what it is now");
    assert_eq!(ann.post(&format!("{path}/stop"), Some("s"), &json!({})).await.0, 409);
    for bad in [json!({"reason": ""}), json!({"reason": "x".repeat(501)}), json!({"because": 1}), json!("stop")] {
        assert_eq!(ann.post(&format!("{path}/stop"), None, &bad).await.0, 400, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_instance_answers_and_one_writes() {
    let (noted, platform) = Noted::start().await;
    let backplane = MemoryBackplane::new();
    let one = Service::start(backplane.clone(), platform).await;
    let two = Service::start(backplane, platform).await;
    let on = |address| Caller::user(address, "ann");
    let mut ids = Vec::new();
    for at in 0..12 {
        let (here, there) = if at % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let id = on(here.address).create().await;
        assert_eq!(on(there.address).command(&id, "start").await.0, 200);
        assert_eq!(on(here.address).command(&id, "pause").await.1["version"], 3);
        assert_eq!(on(there.address).get(&format!("/v1/sessions/{id}")).await.1["version"], 3);
        ids.push(id);
    }
    until("every start was told", async || noted.told("session-started").len() == ids.len()).await;
    one.shutdown.cancel();
    one.task.await.unwrap();
    for id in &ids {
        let resumed = async || on(two.address).command(id, "resume").await.0 == 200;
        until("the other instance took over", resumed).await;
    }
    // Transitions alone: what moves by itself is told under keys of its time.
    let transitions = || {
        let statuses = noted.told("session-status");
        statuses.iter().filter(|status| !status["idempotencyKey"].as_str().unwrap().contains("-at-")).count()
    };
    until("what happened here is told too", async || transitions() >= 3 * ids.len()).await;
    assert_eq!(transitions(), 3 * ids.len(), "what the other told is not told again");
}
