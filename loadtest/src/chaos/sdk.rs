//! Clients as users have them: the shipped one, which repairs by itself, and what reaches its user.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tickwire_client::{Client, ClientOptions, ConnectionState, SubscribeOptions, SubscriptionEvent, TokenSource};
use tickwire_protocol::time::now_ms;
use tokio::sync::watch;

use super::{
    ledger::Sight,
    watch::{Clock, Payload, Sink, Whereabouts, lock},
};

/// Connects, subscribes to `sinks`, and writes down what a user of the client sees until told to stop.
pub(crate) async fn run(
    port: u16,
    token: String,
    sinks: Vec<Sink>,
    whereabouts: Arc<Mutex<Whereabouts>>,
    clock: Clock,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let options = ClientOptions {
        connect_timeout: Duration::from_secs(5),
        ..ClientOptions::new(format!("ws://127.0.0.1:{port}/ws"), TokenSource::Fixed(token))
    };
    let client = Client::connect(options)?;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(follow(client.state(), whereabouts));
    for sink in sinks {
        let subscription = client.subscribe(sink.channel().clone(), SubscribeOptions::default()).await?;
        tasks.spawn(read(subscription, sink, clock.clone()));
    }
    // An error means that nobody can say stop any more.
    let _ = stop.wait_for(|stop| *stop).await;
    tasks.shutdown().await;
    client.close().await;
    Ok(())
}

async fn follow(mut state: watch::Receiver<ConnectionState>, whereabouts: Arc<Mutex<Whereabouts>>) {
    while state.changed().await.is_ok() {
        match &*state.borrow_and_update() {
            ConnectionState::Connected { node, .. } => lock(&whereabouts).connected(node),
            // The client hides why; the observers on the wire say how edges take leave.
            ConnectionState::Reconnecting { .. } | ConnectionState::Connecting => lock(&whereabouts).lost(true),
            ConnectionState::Disconnected(reason) => {
                tracing::error!(%reason, "an honest client was stopped");
                lock(&whereabouts).lost(true);
            }
        }
    }
}

async fn read(mut subscription: tickwire_client::Subscription, sink: Sink, clock: Clock) {
    while let Some(event) = subscription.next_event().await {
        match event {
            SubscriptionEvent::Subscribed { position, .. } => joined(&sink, position, false),
            SubscriptionEvent::Recovered { complete, position } => joined(&sink, position, complete),
            SubscriptionEvent::Reset { position, .. } => match &sink {
                Sink::Reliable { log, .. } => lock(log).see(Sight::Reset { at_ms: now_ms(), position }),
                Sink::Latest { log, .. } => lock(log).reset(position),
                Sink::Inbox { .. } | Sink::Room { .. } => {}
            },
            SubscriptionEvent::Message(delivery) => {
                let message = delivery.message;
                let Some(payload) = Payload::of(&message.data) else { continue };
                if !delivery.recovered {
                    clock.delivered(payload);
                }
                match (&sink, message.position) {
                    (Sink::Reliable { log, channel }, Some(position)) => {
                        let mut log = lock(log);
                        log.message(position);
                        log.longest_ms = log.longest_ms.max(now_ms().saturating_sub(payload.t));
                        lock(&channel.ledger).delivered(position, payload.n);
                    }
                    (Sink::Latest { log, .. }, _) => {
                        lock(log).value(message.key.as_deref().unwrap_or_default(), payload.n);
                    }
                    _ => {}
                }
            }
            SubscriptionEvent::Presence { .. }
            | SubscriptionEvent::Acknowledged { .. }
            | SubscriptionEvent::Dropped { .. } => {}
            SubscriptionEvent::Ended(error) => tracing::error!(%error, "an honest subscription ended"),
        }
    }
}

fn joined(sink: &Sink, position: Option<tickwire_protocol::Position>, recovered: bool) {
    match (sink, position) {
        (Sink::Reliable { log, .. }, Some(position)) => {
            lock(log).see(Sight::Joined { at_ms: now_ms(), position, recovered });
        }
        (Sink::Latest { log, .. }, position) => lock(log).joined(position),
        _ => {}
    }
}
