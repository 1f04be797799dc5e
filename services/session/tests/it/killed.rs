//! The process is killed at random points while commands come in; Redis is a real one.

use std::{
    collections::HashMap,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tickwire_backplane::testing::RedisServer;

use crate::platform::{Caller, KEY, Noted, PATIENCE, SECRET, new_session, until};

/// How long commands and kills go on.
const STORM: Duration = Duration::from_secs(12);

fn spawn(redis: &RedisServer, listen: SocketAddr, platform: SocketAddr) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tickwire-session"))
        .args(["--listen", &listen.to_string(), "--redis", &redis.url()])
        .env("TICKWIRE_AUTH__HS256_SECRET", SECRET)
        .env("TICKWIRE_TRADING__SERVICE_KEY", KEY)
        .env("TICKWIRE_TRADING__API_KEYS", KEY)
        .env("TICKWIRE_TRADING__EDGES", "ws://127.0.0.1:1/ws")
        .env("TICKWIRE_TRADING__EMITTER", format!("http://{platform}"))
        .env("TICKWIRE_TRADING__ALGORITHM", format!("http://{platform}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Repeats a request under its key until it has an answer that counts.
async fn insist(caller: &Caller, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match caller.try_post(path, Some(key), body).await {
            Some((status, answer)) if status < 500 => return (status, answer),
            _ => assert!(Instant::now() < deadline, "no answer to {path}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_kills_and_is_told_once() {
    let (noted, platform) = Noted::start().await;
    let redis = tokio::task::spawn_blocking(|| RedisServer::with_options(&["--appendonly", "yes"])).await.unwrap();
    let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut process = spawn(&redis, listen, platform);
    let users: Vec<_> = (0..3)
        .map(|user| {
            let caller = Caller::user(listen, &format!("u{user}"));
            tokio::spawn(async move {
                let mut answers = HashMap::new();
                let end = Instant::now() + STORM;
                for round in 0.. {
                    let created = insist(&caller, "/v1/sessions", &format!("c{round}"), &new_session()).await;
                    let id = created.1["sessionId"].as_str().expect("created").to_owned();
                    answers.insert((String::from("/v1/sessions"), format!("c{round}")), created);
                    for verb in ["start", "pause", "resume", "stop"] {
                        let path = format!("/v1/sessions/{id}/{verb}");
                        let answer = insist(&caller, &path, verb, &json!({})).await;
                        assert_eq!(answer.0, 200, "{}", answer.1);
                        answers.insert((path, verb.to_owned()), answer);
                    }
                    if Instant::now() > end {
                        break;
                    }
                }
                (caller, answers)
            })
        })
        .collect();
    let end = Instant::now() + STORM;
    let mut kills = 0;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(rand::random_range(300..2_500))).await;
        process.kill().unwrap();
        process.wait().unwrap();
        kills += 1;
        process = spawn(&redis, listen, platform);
    }
    assert!(kills > 2);
    let mut sessions = 0;
    for user in users {
        let (caller, answers) = user.await.unwrap();
        for ((path, key), answer) in answers {
            let body = if path == "/v1/sessions" { new_session() } else { json!({}) };
            sessions += usize::from(path == "/v1/sessions");
            assert_eq!(insist(&caller, &path, &key, &body).await, answer, "the first answer to {path}");
        }
    }
    // Over, summed up (no account is there to be asked, so after its time), and told: once each, in order.
    until("everything is told", async || noted.told("session-completed").len() >= sessions).await;
    let mut versions: HashMap<String, Vec<u64>> = HashMap::new();
    for record in noted.told("publish") {
        let id = record["key"].as_str().unwrap().to_owned();
        versions.entry(id).or_default().push(record["data"]["version"].as_u64().unwrap());
    }
    assert_eq!(versions.len(), sessions);
    assert!(versions.values().all(|told| *told == [1, 2, 3, 4, 5, 6]), "{versions:?}");
    assert_eq!(noted.told("session-started").len(), sessions);
    assert_eq!(noted.told("session-completed").len(), sessions);
    process.kill().unwrap();
    process.wait().unwrap();
}
