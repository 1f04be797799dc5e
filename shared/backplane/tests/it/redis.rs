//! Redis, real servers: the conformance suite on each topology, and what happens when servers fail.

use std::{sync::Arc, time::Duration};

use tickwire_backplane::{
    AlertId, AlertSpec, Backplane, BackplaneError, Control, HistoryQuery, NodeReport, PresenceChange, Publish,
    Published, Signal, Subscriber,
    conformance::Nodes,
    redis::{RedisBackplane, RedisConfig},
    testing::{RedisCluster, RedisRelay, RedisSentinels, RedisServer},
};
use tickwire_protocol::{
    ChannelName, Position, RawJson, UserId,
    namespace::{Access, Policy},
};
use tokio::time::Instant;

mod alerts;
mod conformance;
mod journal;
mod outage;
mod past_bugs;
mod pressure;
mod topologies;

const PATIENCE: Duration = Duration::from_secs(30);

async fn connect(url: String) -> Arc<RedisBackplane> {
    RedisBackplane::connect(RedisConfig::new(url)).await.unwrap()
}

fn reliable() -> Policy {
    Policy::reliable(Access::Anyone)
}

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

fn message(name: &str, number: u64) -> Publish {
    Publish::new(channel(name), reliable(), RawJson::of(&number).unwrap())
}

/// Publishes under one idempotency key until it is acknowledged, as the emitter's callers do.
async fn publish(backplane: &RedisBackplane, name: &str, number: u64) -> Position {
    let key = Some(format!("{name} {number}"));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let publish = Publish { idempotency_key: key.clone(), ..message(name, number) };
        match backplane.publish(publish).await {
            Ok(Published { position, .. }) => return position.unwrap(),
            Err(error) => assert!(error.is_retryable() && Instant::now() < deadline, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn subscribe(backplane: &RedisBackplane, name: &str) -> (Subscriber, Position) {
    let subscriber = backplane.subscriber(1_024);
    let tops = backplane.subscribe(subscriber.id, &[(channel(name), reliable())]).await.unwrap();
    (subscriber, tops[0])
}

async fn next<T>(subscriber: &mut Subscriber, pick: impl Fn(Signal) -> Option<T>) -> T {
    let picking = async {
        loop {
            if let Some(picked) = pick(subscriber.signals.recv().await.unwrap()) {
                return picked;
            }
        }
    };
    tokio::time::timeout(PATIENCE, picking).await.expect("a signal in time")
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The position of the publication or top that comes next.
fn seen(signal: Signal) -> Option<Position> {
    match signal {
        Signal::Publication(publication) => publication.position,
        Signal::Top { position, .. } => Some(position),
        _ => None,
    }
}

async fn history(backplane: &RedisBackplane, name: &str, since: Position) -> tickwire_backplane::History {
    let query = HistoryQuery { since: Some(since), limit: 1_000, reverse: false };
    backplane.history(&channel(name), &reliable(), query).await.unwrap()
}

fn unavailable<T: std::fmt::Debug>(result: &Result<T, BackplaneError>) -> bool {
    matches!(result, Err(BackplaneError::Unavailable(_)))
}
