//! One trace from the emitter's call over Redis to the edge's write, as a collector gets it by OTLP.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, routing::post};
use opentelemetry_proto::tonic::{collector::trace::v1::ExportTraceServiceRequest, trace::v1::Span};
use prost::Message;
use tickwire_client::SubscribeOptions;
use tickwire_telemetry::{OtlpProtocol, TelemetryConfig};

use crate::cluster::{Cluster, channel, message, soon};

/// Keeps what is sent to it.
#[derive(Debug, Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

impl Collector {
    /// Starts one; the address for [`TelemetryConfig::otlp_endpoint`].
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let take = |State(collector): State<Self>, body: Bytes| async move { collector.take(body) };
        let router = Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (collector, endpoint)
    }

    fn take(&self, body: Bytes) {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.0.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
    }

    fn named(&self, name: &str) -> Vec<Span> {
        self.0.lock().unwrap().iter().filter(|span| span.name == name).cloned().collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emitters_call_and_the_edges_write_are_one_trace() {
    let (collector, endpoint) = Collector::start().await;
    let config = TelemetryConfig {
        otlp_endpoint: Some(endpoint),
        otlp_protocol: OtlpProtocol::Http,
        sample_ratio: 1.0,
        ..TelemetryConfig::default()
    };
    let guard = tickwire_telemetry::init(&config, "test").unwrap();

    let cluster = Cluster::start().await;
    let client = cluster.client("7", 1);
    let mut subscription = client.subscribe(channel("room:lobby"), SubscribeOptions::default()).await.unwrap();
    soon("the subscription stands", subscription.next_event()).await.unwrap();
    cluster.emitter.publish(message("room:lobby", r#"{"n":1}"#)).await.unwrap();
    soon("the message", subscription.next_message()).await.unwrap();
    soon("the spans", async {
        while collector.named("write").is_empty() || collector.named("request").is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;

    let writes = collector.named("write");
    let [write] = &writes[..] else { panic!("one receiver, one write: {writes:?}") };
    let sender = |span: &Span| span.span_id == write.parent_span_id;
    let request =
        collector.named("request").into_iter().find(sender).expect("the write's parent is the emitter's call");
    assert_eq!(write.trace_id, request.trace_id);
    assert!(write.attributes.iter().any(|attribute| attribute.key == "channel"), "{write:?}");
    tokio::task::spawn_blocking(move || drop(guard)).await.unwrap();
}
