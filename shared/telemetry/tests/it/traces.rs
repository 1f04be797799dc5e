//! Traces arrive at a collector by OTLP over gRPC. The collector here speaks just enough of it: HTTP/2 without TLS,
//! one unary call, an empty answer.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    response::Response,
    routing::post,
};
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use tickwire_telemetry::{TelemetryConfig, init, trace};

type Calls = Arc<Mutex<Vec<u8>>>;

async fn export(State(calls): State<Calls>, body: Bytes) -> Response {
    calls.lock().unwrap().extend_from_slice(&body);
    // A gRPC frame: not compressed, no bytes.
    let frame = Full::new(Bytes::from_static(&[0; 5]));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let body = Body::new(frame.with_trailers(std::future::ready(Some(Ok(trailers)))));
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

async fn collector() -> (String, Calls) {
    let calls = Calls::default();
    let router = Router::new()
        .route("/opentelemetry.proto.collector.trace.v1.TraceService/Export", post(export))
        .with_state(calls.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (endpoint, calls)
}

fn contains(calls: &Calls, wanted: &[u8]) -> bool {
    calls.lock().unwrap().windows(wanted.len()).any(|window| window == wanted)
}

// The one test of this binary that calls `init`: it is for the whole process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sampled_span_reaches_the_collector_with_its_parent_and_link() {
    let (endpoint, calls) = collector().await;
    let config = TelemetryConfig {
        otlp_endpoint: Some(endpoint),
        // Nothing begun here is kept: what arrives was kept by its sender.
        sample_ratio: 0.0,
        instance: Some("node-under-test".to_owned()),
        ..TelemetryConfig::default()
    };
    let guard = init(&config, "edge").unwrap();

    let unsampled = tracing::info_span!("begun here").in_scope(trace::current_traceparent);
    assert_eq!(unsampled, None, "what is not sampled travels nowhere");

    let sender = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let span = tracing::info_span!("publish of the test");
    trace::set_parent(&span, sender);
    trace::link(&span, "00-11111111111111111111111111111111-2222222222222222-01");
    let forwarded = span.in_scope(trace::current_traceparent).unwrap();
    assert!(forwarded.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && forwarded.ends_with("-01"));
    assert_ne!(forwarded, sender);
    drop(span);

    tokio::task::spawn_blocking(move || drop(guard)).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !contains(&calls, b"publish of the test") {
        assert!(Instant::now() < deadline, "the span did not arrive");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(contains(&calls, &[0x11; 16]), "its link");
    assert!(contains(&calls, b"node-under-test"), "its resource");
    assert!(!contains(&calls, b"begun here"));
    assert!(init(&config, "edge").is_err(), "a second set-up is refused");
}
