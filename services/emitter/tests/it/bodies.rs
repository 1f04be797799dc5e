//! Whatever is sent gets a named refusal.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{API_KEY, PATIENCE, Rig, answer, config};

#[tokio::test]
async fn a_wrong_body_is_refused_by_the_name_of_its_field() {
    let rig = Rig::start().await;
    for (text, named) in [
        (r#"{"channel":1,"data":1}"#, "channel"),
        (r#"{"channel":"a b","data":1}"#, "channel"),
        (r#"{"channel":"room:1"}"#, "data"),
        (r#"{"data":1}"#, "channel"),
        (r#"{"channel":"room:1","data":1,"x":1}"#, "`x`"),
        (r#"{"channel":"room:1","data":1,"data":2}"#, "data"),
        (r#"{"channel":"room:1","data":1,"priority":"urgent"}"#, "priority"),
        (r#"{"channel":"room:1","data":1,"tags":{"a":1}}"#, "tags.a"),
        (r#"{"channel":"room:1","data":1,"timestamp":-1}"#, "timestamp"),
        (r#"{"channel":"room:1","data":1,"timestamp":1.5}"#, "timestamp"),
        (r#"{"channel":"room:1","data":1,"key":""}"#, "key"),
        (r#"{"channel":"room:1","data":1,"idempotencyKey":""}"#, "idempotencyKey"),
        (r#"{"channel":"room:1","data":NaN}"#, ""),
        (r#"{"channel":"room:1","data":1} {}"#, ""),
        (r#"{"channel":"room:1","data":"#, ""),
        ("[]", ""),
        ("", ""),
    ] {
        let answer = rig.say_text("/v1/publish", text).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "bad_request"), "{text}");
        assert!(answer.message().contains(named), "{text}: {}", answer.message());
    }
    assert!(rig.stored("room:1").await.is_empty());
}

#[tokio::test]
async fn hostile_bodies_are_refused() {
    let rig = Rig::start().await;
    let deep = format!(r#"{{"channel":"room:1","data":{}1{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(rig.say_text("/v1/publish", deep).await.code(), "bad_request");
    assert_eq!(rig.say_text("/v1/publish", vec![b'{', 0xff, 0xfe, b'}']).await.code(), "bad_request");
    let packed = |bytes: Vec<u8>| rig.post("/v1/publish").header("content-type", "application/msgpack").body(bytes);
    let nan = [&[0x81, 0xa4][..], b"data", &[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]].concat();
    for bytes in [nan, vec![0x91; 100_000], vec![0xdf, 0xff, 0xff, 0xff, 0xff], vec![0xc1], vec![0x80, 0x80], vec![]] {
        assert_eq!(answer(packed(bytes)).await.code(), "bad_request");
    }
}

#[tokio::test]
async fn what_is_too_large_says_so() {
    let rig = Rig::start().await;
    let long = |bytes: usize| json!({"channel": "room:1", "data": "x".repeat(bytes)});
    assert_eq!(rig.say("/v1/publish", &long(64 * 1024 - 2)).await.status, 200);
    for bytes in [64 * 1024, 300 * 1024, 5 * 1024 * 1024] {
        let answer = rig.say("/v1/publish", &long(bytes)).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (413, "too_large"), "{bytes}");
    }
    let batch = json!({"messages": vec![long(30_000); 100]});
    assert_eq!(rig.say("/v1/publish/batch", &batch).await.status, 200, "a batch may be 4 MiB");
    let batch = json!({"messages": vec![long(30_000); 200]});
    assert_eq!(rig.say("/v1/publish/batch", &batch).await.code(), "too_large");
}

#[tokio::test]
async fn a_body_that_declares_itself_too_long_is_not_waited_for() {
    let rig = Rig::start().await;
    let mut socket = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let head = format!(
        "POST /v1/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut line = [0; 12];
    socket.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"HTTP/1.1 413");
}

#[tokio::test]
async fn every_failure_of_http_has_the_common_body() {
    let rig = Rig::start().await;
    let content = rig.post("/v1/publish").header("content-type", "text/plain").body("x");
    let calls = [
        (content, 415),
        (rig.get("/v1/publish"), 405),
        (rig.get("/nowhere"), 404),
        (rig.post("/v1/nowhere"), 404),
        (rig.client.request(Method::DELETE, format!("http://{}/healthz", rig.address)), 405),
        (rig.post("/v1/users/%FF/notify").json(&json!({"type": "x"})), 400),
    ];
    for (call, status) in calls {
        let answer = answer(call).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, "bad_request"));
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_does_not_hold_a_request() {
    let mut config = config();
    config.emitter.body_timeout_ms = 100;
    let rig = Rig::with(config).await;
    let mut slow = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let head = format!(
        "POST /v1/publish HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {API_KEY}\r\ncontent-length: 5\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, slow.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("bad_request"), "{answer}");
}

#[tokio::test]
async fn at_the_bound_of_requests_in_progress_one_more_is_refused() {
    let mut config = config();
    config.emitter.requests_max = 1;
    let rig = Rig::with(config).await;
    let mut stuck = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let head =
        format!("POST /v1/publish HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\ncontent-length: 5\r\n\r\n");
    stuck.write_all(head.as_bytes()).await.unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let busy = loop {
        let answer = rig.say("/v1/publish", &json!({"channel": "room:1", "data": Value::Null})).await;
        if answer.status == 503 {
            break answer;
        }
        assert!(tokio::time::Instant::now() < deadline);
    };
    assert_eq!(busy.code(), "unavailable");
    assert_eq!(rig.ask("/healthz").await.status, 200, "probes are answered all the same");
}
