//! A backend: publishes one message after the other, each until it is confirmed.

use std::time::Duration;

use rand::RngExt;
use tickwire_client::{ClientError, Emitter, Published, emitter::Outgoing};
use tickwire_protocol::{ChannelName, Priority, RawJson};

use crate::{
    cluster::{Phase, Stage, emitters},
    journal::Journal,
    oracle::{Event, MessageId},
};

/// Where messages go, and how.
#[derive(Debug, Clone, Copy)]
pub enum Flow {
    /// Each counts.
    Reliable(&'static str),
    /// The newest of a key counts.
    Latest(&'static str, &'static str),
    /// Into a user's inbox, critical.
    Inbox(&'static str),
}

/// Pause between two messages at most.
const PAUSE_MAX_MS: u64 = 400;
/// Pause before a message is tried again.
const RETRY: Duration = Duration::from_millis(150);
/// One in so many is published by both emitters at once.
const TWICE: u32 = 6;

/// Publishes as long as the stage says so.
pub async fn run(journal: Journal, stage: Stage, flow: Flow) -> turmoil::Result {
    let emitters = emitters();
    loop {
        let pause = rand::rng().random_range(10..PAUSE_MAX_MS);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        if matches!(stage.get(), Phase::Storm | Phase::Liveness) {
            one(&journal, &emitters, flow).await;
        }
    }
}

async fn one(journal: &Journal, emitters: &[Emitter; 2], flow: Flow) {
    let id = journal.next_id();
    let message = match flow {
        Flow::Reliable(channel) => {
            journal.tell(Event::Publishing { id, channel: channel.into(), key: None });
            outgoing(channel, id)
        }
        Flow::Latest(channel, key) => {
            journal.tell(Event::Publishing { id, channel: channel.into(), key: Some(key.into()) });
            Outgoing { key: Some(key.into()), ..outgoing(channel, id) }
        }
        Flow::Inbox(user) => {
            journal.tell(Event::Notifying { id, user: user.into() });
            Outgoing { priority: Some(Priority::Critical), ..outgoing(&format!("user:{user}"), id) }
        }
    };
    loop {
        let first = rand::rng().random_range(0..2);
        let (one, other) = (&emitters[first], &emitters[1 - first]);
        let results = if rand::rng().random_ratio(1, TWICE) {
            let (one, other) = tokio::join!(one.publish(message.clone()), other.publish(message.clone()));
            vec![one, other]
        } else {
            vec![one.publish(message.clone()).await]
        };
        let confirmed: Vec<Published> = results.into_iter().filter_map(Result::ok).collect();
        for published in &confirmed {
            confirm(journal, flow, id, published);
        }
        if !confirmed.is_empty() {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn outgoing(channel: &str, id: MessageId) -> Outgoing {
    let channel = ChannelName::new(channel).expect("a channel's name");
    let data = RawJson::parse(format!(r#"{{"id":{id}}}"#)).expect("JSON");
    Outgoing { idempotency_key: Some(format!("m{id}")), ..Outgoing::new(channel, data) }
}

fn confirm(journal: &Journal, flow: Flow, id: MessageId, published: &Published) {
    match (flow, published.position) {
        (Flow::Inbox(_), Some(position)) => journal.tell(Event::Notified { id, position }),
        (_, position) => journal.tell(Event::Published { id, position, duplicate: published.duplicate }),
    }
}

/// Does `call` until it succeeds, at either emitter.
pub async fn until_done<T>(
    emitters: &[Emitter; 2],
    mut call: impl AsyncFnMut(&Emitter) -> Result<T, ClientError>,
) -> T {
    loop {
        for emitter in emitters {
            if let Ok(done) = call(emitter).await {
                return done;
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}
