//! The backplane of one process: the conformance suite, and what only its faults can show.

use std::{sync::Arc, time::Duration};

use tickwire_backplane::{
    Backplane, BackplaneError, HistoryQuery, Publish, Signal, Subscriber, Tail, TailAction,
    conformance::Nodes,
    memory::{MemoryBackplane, Operation},
};
use tickwire_protocol::{
    ChannelName, Position, Priority, RawJson,
    namespace::{Access, Policy},
};

#[allow(clippy::unused_async, reason = "the suite awaits its cluster")]
async fn cluster() -> Nodes {
    let backplane = MemoryBackplane::new();
    Nodes::new(backplane.clone(), backplane)
}

mod conformance {
    use super::cluster;

    tickwire_backplane::conformance_tests!(cluster);
}

fn reliable() -> Policy {
    Policy::reliable(Access::Anyone)
}

fn room() -> ChannelName {
    ChannelName::new("room:1").unwrap()
}

async fn publish(backplane: &MemoryBackplane) -> Position {
    let publish = Publish::new(room(), reliable(), RawJson::null());
    backplane.publish(publish).await.unwrap().position.unwrap()
}

async fn next(subscriber: &mut Subscriber) -> Signal {
    tokio::time::timeout(Duration::from_secs(20), subscriber.signals.recv()).await.unwrap().unwrap()
}

async fn subscribed(backplane: &Arc<MemoryBackplane>) -> (Subscriber, Tail) {
    let subscriber = backplane.subscriber(16);
    let tops = backplane.subscribe(subscriber.id, &[(room(), reliable())]).await.unwrap();
    (subscriber, Tail::new(tops[0]))
}

#[tokio::test]
async fn a_lost_last_message_is_noticed_by_the_top() {
    let backplane = MemoryBackplane::new();
    let (mut subscriber, tail) = subscribed(&backplane).await;
    backplane.faults().drop_publications(&room(), 1);
    let lost = publish(&backplane).await;
    let Signal::Top { channel, position } = next(&mut subscriber).await else { panic!("a top comes first") };
    assert_eq!((channel, position), (room(), lost));
    assert_eq!(tail.on_top(position), TailAction::Gap);
}

#[tokio::test]
async fn a_lost_message_is_a_hole_before_the_next() {
    let backplane = MemoryBackplane::new();
    let (mut subscriber, mut tail) = subscribed(&backplane).await;
    backplane.faults().drop_publications(&room(), 1);
    publish(&backplane).await;
    let second = publish(&backplane).await;
    loop {
        match next(&mut subscriber).await {
            Signal::Publication(publication) => {
                assert_eq!(publication.position, Some(second));
                assert_eq!(tail.on_publication(second), TailAction::Gap);
                return;
            }
            signal => assert!(matches!(signal, Signal::Top { .. }), "{signal:?}"),
        }
    }
}

#[tokio::test]
async fn a_new_epoch_is_told_and_recovers_nothing_old() {
    let backplane = MemoryBackplane::new();
    let old = publish(&backplane).await;
    let (mut subscriber, tail) = subscribed(&backplane).await;
    backplane.begin_epoch(&room());
    loop {
        let Signal::Top { position, .. } = next(&mut subscriber).await else { continue };
        if position.epoch > old.epoch {
            assert_eq!(position.offset, 0);
            assert_eq!(tail.on_top(position), TailAction::Reset);
            break;
        }
    }
    let query = HistoryQuery { since: Some(old), limit: 10, reverse: false };
    let history = backplane.history(&room(), &reliable(), query).await.unwrap();
    assert!(!history.complete);
    assert!(publish(&backplane).await > old);
}

#[tokio::test]
async fn an_inbox_owes_over_epochs() {
    let backplane = MemoryBackplane::new();
    let inbox = ChannelName::new("user:7").unwrap();
    let mut positions = Vec::new();
    for priority in [Priority::Critical, Priority::Medium] {
        backplane.begin_epoch(&inbox);
        let publish = Publish { priority, ..Publish::new(inbox.clone(), Policy::inbox(), RawJson::null()) };
        positions.push(backplane.publish(publish).await.unwrap().position);
    }
    backplane.begin_epoch(&inbox);
    let state = backplane.inbox(&inbox, &Policy::inbox(), None).await.unwrap();
    assert_eq!(state.owed.iter().map(|publication| publication.position).collect::<Vec<_>>(), positions);
    let settled: Vec<Position> = positions.into_iter().flatten().collect();
    backplane.acknowledge(&inbox, None, &settled).await.unwrap();
    assert!(backplane.inbox(&inbox, &Policy::inbox(), None).await.unwrap().owed.is_empty());
}

#[tokio::test]
async fn while_it_is_down_every_call_is_refused_as_retryable() {
    let backplane = MemoryBackplane::new();
    let first = publish(&backplane).await;
    backplane.faults().set_down(true);
    let refused = backplane.publish(Publish::new(room(), reliable(), RawJson::null())).await;
    assert!(refused.as_ref().is_err_and(BackplaneError::is_retryable), "{refused:?}");
    assert!(backplane.nodes().await.is_err());
    assert!(!backplane.is_healthy());
    backplane.faults().set_down(false);
    assert!(backplane.is_healthy());
    assert_eq!(publish(&backplane).await, first.next());
}

#[tokio::test]
async fn one_kind_of_call_on_one_channel_can_fail() {
    let backplane = MemoryBackplane::new();
    backplane.faults().fail(Operation::Publish, &room(), 2);
    for _ in 0..2 {
        let refused = backplane.publish(Publish::new(room(), reliable(), RawJson::null())).await;
        assert!(refused.is_err_and(|error| error.is_retryable()));
        let elsewhere = Publish::new(ChannelName::new("room:2").unwrap(), reliable(), RawJson::null());
        backplane.publish(elsewhere).await.unwrap();
        backplane.snapshot(&room(), &reliable()).await.unwrap();
    }
    assert_eq!(publish(&backplane).await.offset, 1);
}

#[tokio::test]
async fn a_dropped_subscriber_leaves_nothing_behind() {
    let backplane = MemoryBackplane::new();
    let (subscriber, _) = subscribed(&backplane).await;
    assert_eq!(backplane.stats().channels, 1);
    drop(subscriber);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while backplane.stats().subscribers > 0 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(backplane.stats().channels, 0);
}

#[tokio::test]
async fn its_upkeep_does_not_keep_it_alive() {
    let backplane = MemoryBackplane::new();
    tokio::task::yield_now().await;
    let weak = Arc::downgrade(&backplane);
    drop(backplane);
    assert!(weak.upgrade().is_none());
}
