//! Starting, probes, metrics, the description, draining.

use std::sync::Arc;

use serde_json::{Value, json};
use tickwire_backplane::{Backplane, memory::MemoryBackplane};
use tickwire_emitter::{Config, EmitterError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use crate::rig::{API_KEY, PATIENCE, Rig, config};

#[tokio::test]
async fn without_a_way_to_authenticate_it_does_not_start() {
    let start = async |config: Config| {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        tickwire_emitter::run(config, listener, backplane, shutdown).await
    };
    let error = start(Config::default()).await.unwrap_err();
    assert!(matches!(error, EmitterError::Auth(_)) && error.is_config());
    let mut keys_only = Config::default();
    keys_only.emitter.api_keys = vec![API_KEY.into()];
    start(keys_only).await.unwrap();
    let mut weak = config();
    weak.auth.hs256_secret = Some("short".into());
    assert!(start(weak).await.unwrap_err().is_config());
}

#[tokio::test]
async fn readiness_follows_the_backplane() {
    let rig = Rig::start().await;
    assert_eq!(rig.ask("/readyz").await.status, 200);
    rig.backplane.faults().set_down(true);
    let unready = rig.ask("/readyz").await;
    assert_eq!((unready.status.as_u16(), unready.code()), (503, "unavailable"));
    assert_eq!(rig.ask("/healthz").await.status, 200);
    rig.backplane.faults().set_down(false);
    assert_eq!(rig.ask("/readyz").await.status, 200);
}

#[tokio::test]
async fn metrics_count_what_was_done_and_refused() {
    let rig = Rig::start().await;
    rig.say("/v1/publish", &json!({"channel": "room:1", "data": 1})).await;
    rig.say("/v1/publish", &json!({"channel": "nowhere", "data": 1})).await;
    rig.ask("/no/such/path").await;
    let text = rig.get("/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        r#"tickwire_emitter_published_total{class="reliable"} 1"#,
        r#"tickwire_emitter_refusals_total{code="unknown_channel"} 1"#,
        r#"tickwire_emitter_requests_total{route="/v1/publish",status="200"} 1"#,
        r#"tickwire_emitter_requests_total{route="none",status="404"} 1"#,
        "tickwire_emitter_publish_duration_seconds_count 1",
        "tickwire_backplane_signals_total 0",
        "tickwire_backplane_healthy 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

/// Every path of the contract and its method. `{…}` stands for a value.
const CONTRACT: [(&str, &str); 35] = [
    ("post", "/v1/publish"),
    ("post", "/v1/publish/batch"),
    ("post", "/v1/broadcast"),
    ("post", "/v1/users/{id}/notify"),
    ("get", "/v1/alerts/{id}"),
    ("post", "/v1/events/session-started"),
    ("post", "/v1/events/session-status"),
    ("post", "/v1/events/session-completed"),
    ("post", "/v1/events/algorithm-decision"),
    ("post", "/v1/events/trade-executed"),
    ("post", "/v1/events/order-update"),
    ("post", "/v1/events/position-update"),
    ("post", "/v1/events/strategy-update"),
    ("post", "/v1/events/risk-alert"),
    ("post", "/v1/events/loss-limit-warning"),
    ("post", "/v1/events/emergency-stop"),
    ("post", "/v1/events/market-data"),
    ("post", "/v1/events/volatility-alert"),
    ("post", "/v1/events/system-notification"),
    ("post", "/v1/services/{service}/events"),
    ("get", "/v1/dead-letters"),
    ("get", "/v1/nodes"),
    ("get", "/v1/channels"),
    ("get", "/v1/channels/{channel}/history"),
    ("get", "/v1/channels/{channel}/presence"),
    ("get", "/v1/users/{id}/alerts"),
    ("post", "/v1/users/{id}/disconnect"),
    ("post", "/v1/tokens/revoke"),
    ("get", "/v1/bans"),
    ("post", "/v1/bans"),
    ("get", "/openapi.json"),
    ("get", "/docs"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
];

#[tokio::test]
async fn the_description_lists_every_route_and_every_route_answers() {
    let rig = Rig::start().await;
    let api = rig.ask("/openapi.json").await.body;
    let paths = api["paths"].as_object().unwrap();
    for (method, path) in CONTRACT {
        assert!(paths[path][method].is_object(), "{method} {path} is not described");
    }
    let described: usize = paths.values().map(|item| item.as_object().unwrap().len()).sum();
    assert_eq!(described, CONTRACT.len(), "a described path is missing from this test");
    for (path, item) in paths {
        for method in item.as_object().unwrap().keys() {
            let place = path.replace("{id}", "7").replace("{channel}", "room:1");
            let request = if method == "get" { rig.get(&place) } else { rig.post(&place).json(&json!({})) };
            let response = request.send().await.unwrap();
            let text = response.text().await.unwrap();
            assert!(
                !text.contains("nothing at this path") && !text.contains("another method"),
                "{method} {path}: {text}"
            );
        }
    }
}

#[tokio::test]
async fn every_reference_of_the_description_resolves() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let rig = Rig::start().await;
    let api = rig.ask("/openapi.json").await.body;
    let mut found = Vec::new();
    references(&api, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        assert!(api.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_docs_page_loads_nothing_from_elsewhere() {
    let rig = Rig::start().await;
    let response = rig.client.get(format!("http://{}/docs", rig.address)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && policy.matches("'sha256-").count() == 2, "{policy}");
    assert!(!policy.contains("unsafe"));
    let page = response.text().await.unwrap();
    for outside in ["http://", "https://", "src=", "@import", "url(", "innerHTML"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_progress() {
    let rig = Rig::start().await;
    let mut slow = TcpStream::connect(rig.address).await.unwrap();
    let body = r#"{"channel":"room:1","data":1}"#;
    let head = format!(
        "POST /v1/publish HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !in_progress(&rig).await {
        assert!(tokio::time::Instant::now() < deadline);
    }
    rig.shutdown.cancel();
    slow.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, slow.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(rig.stored("room:1").await.len(), 1);
    tokio::time::timeout(PATIENCE, rig.ended).await.unwrap().unwrap().unwrap();
}

/// Whether a request beside this one is in progress.
async fn in_progress(rig: &Rig) -> bool {
    let text = rig.get("/metrics").send().await.unwrap().text().await.unwrap();
    text.contains("tickwire_emitter_requests_in_progress 2")
}

#[tokio::test]
async fn a_drain_ends_when_its_time_is_up() {
    let mut config = config();
    config.emitter.drain_ms = 200;
    let rig = Rig::with(config).await;
    let mut stuck = TcpStream::connect(rig.address).await.unwrap();
    stuck.write_all(b"POST /v1/publish HTTP/1.1\r\nhost: x\r\ncontent-le").await.unwrap();
    assert_eq!(rig.ask("/healthz").await.status, 200);
    rig.shutdown.cancel();
    tokio::time::timeout(PATIENCE, rig.ended).await.unwrap().unwrap().unwrap();
}
