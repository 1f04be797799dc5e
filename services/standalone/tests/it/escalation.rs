//! What becomes of an emergency that its user does, or does not, acknowledge in time.

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use tickwire_auth::Secret;
use tickwire_client::{
    SubscribeOptions,
    emitter::{AlertStatus, Notification, Notified},
};
use tickwire_protocol::{Priority, UserId, signature};
use tokio::sync::mpsc;

use crate::cluster::{Standalone, channel, emitter_config, json, local, soon, until};

const HOOK_SECRET: &str = "a webhook secret of 16 bytes or more";
/// Longer than an acknowledgement takes on a busy machine.
const IN_TIME_MS: u64 = 5_000;

/// What the webhook was called with.
type Call = (HeaderMap, Bytes);

/// A receiver's address and what it hears.
async fn receiver() -> (String, mpsc::Receiver<Call>) {
    let listener = tokio::net::TcpListener::bind(local()).await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (hear, heard) = mpsc::channel::<Call>(16);
    let hook = async |State(hear): State<mpsc::Sender<Call>>, headers: HeaderMap, body: Bytes| {
        hear.send((headers, body)).await.unwrap();
    };
    let router = Router::new().route("/hook", post(hook)).with_state(hear);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, heard)
}

async fn raise(standalone: &Standalone, escalate_after_ms: u64) -> Notified {
    let emergency = Notification {
        kind: "emergency_stop".into(),
        priority: Some(Priority::Critical),
        data: Some(json(r#"{"alertLevel":"emergency"}"#)),
        escalate_after_ms: Some(escalate_after_ms),
        ..Notification::default()
    };
    standalone.emitter.notify(&UserId::new("7").unwrap(), &emergency).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_is_posted_signed_unless_it_was_acknowledged_in_time() {
    let (url, mut calls) = receiver().await;
    let mut config = emitter_config();
    config.escalation.url = Some(url);
    config.escalation.secret = Some(Secret::new(HOOK_SECRET));
    config.escalation.interval_ms = 50;
    let standalone = Standalone::with(config).await;
    let client = standalone.client("7");
    let mut inbox = client.subscribe(channel("user:7"), SubscribeOptions::default()).await.unwrap();
    let settled = raise(&standalone, IN_TIME_MS).await;
    let seen = soon("the emergency", inbox.next_message()).await.unwrap().message.position;
    assert_eq!(seen, settled.position);
    client.ack(channel("user:7"), seen.into_iter().collect()).await.unwrap();
    // Due after the first: were that one still waiting, it would be posted before.
    let ignored = raise(&standalone, IN_TIME_MS).await;

    let (headers, body) = soon("the webhook is called", calls.recv()).await.unwrap();
    let header = |name: &str| headers[name].to_str().unwrap();
    let timestamp_ms = header("tickwire-timestamp").parse().unwrap();
    let (id, signature) = (header("idempotency-key"), header("tickwire-signature"));
    assert_eq!(id, ignored.alert_id);
    assert!(signature::verify_webhook(HOOK_SECRET.as_bytes(), id, timestamp_ms, &body, signature));
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["alertId"], &body["userId"]), (&id.into(), &"7".into()));

    until("the escalation is noted", async || {
        let state = standalone.emitter.alert(&ignored.alert_id).await.unwrap();
        state.status == AlertStatus::Escalated && state.escalated_at.is_some() && state.attempts == 1
    })
    .await;
    let state = standalone.emitter.alert(&settled.alert_id).await.unwrap();
    assert_eq!((state.status, state.attempts), (AlertStatus::Acknowledged, 0));
    assert!(calls.try_recv().is_err(), "one call");
    standalone.stop().await;
}
