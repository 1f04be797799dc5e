//! One trace from the emitter's call over Redis to the edge's write.

use std::sync::{Arc, Mutex};

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::cluster::{Cluster, channel, message, soon};
use tickwire_client::SubscribeOptions;

/// Keeps what is exported.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl Kept {
    fn named(&self, name: &str) -> Vec<SpanData> {
        self.0.lock().unwrap().iter().filter(|span| span.name == name).cloned().collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emitters_call_and_the_edges_write_are_one_trace() {
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
    let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing_subscriber::registry().with(LevelFilter::INFO).with(traces).init();

    let cluster = Cluster::start().await;
    let client = cluster.client("7", 1);
    let mut subscription = client.subscribe(channel("room:lobby"), SubscribeOptions::default()).await.unwrap();
    soon("the subscription stands", subscription.next_event()).await.unwrap();
    cluster.emitter.publish(message("room:lobby", r#"{"n":1}"#)).await.unwrap();
    soon("the message", subscription.next_message()).await.unwrap();
    soon("the spans", async {
        while kept.named("write").is_empty() || kept.named("request").is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;

    let writes = kept.named("write");
    let [write] = &writes[..] else { panic!("one receiver, one write: {writes:?}") };
    let sender = |span: &SpanData| span.span_context.span_id() == write.parent_span_id;
    let request = kept.named("request").into_iter().find(sender).expect("the write's parent is the emitter's call");
    assert_eq!(write.span_context.trace_id(), request.span_context.trace_id());
    let has_channel = |value: &opentelemetry::KeyValue| value.key.as_str() == "channel";
    assert!(write.attributes.iter().any(has_channel), "{write:?}");
}
