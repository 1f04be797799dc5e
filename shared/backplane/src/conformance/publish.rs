//! Numbering, idempotency, and what a message carries.

use std::{collections::BTreeSet, sync::Arc};

use tickwire_protocol::{Priority, Publication, namespace::Policy, time::now_ms};

use super::{Nodes, all, channel, json, next_publication, number, offsets, publish_numbers, reliable, unique, user};
use crate::{BackplaneError, Publish, Published};

/// The first message has offset 1, in an epoch made of the time.
pub async fn offsets_are_dense_from_one(nodes: &Nodes) {
    let channel = channel("room");
    let positions = publish_numbers(&nodes.one, &channel, &reliable(), 3).await;
    assert_eq!(positions.iter().map(|position| position.offset).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(positions.iter().all(|position| position.epoch == positions[0].epoch));
    assert!(positions[0].epoch.abs_diff(now_ms()) < 3_600_000, "an epoch is the time of its beginning");
}

/// However many publish at once, on whatever node, offsets are 1..=n, each once, and the store has all in order.
pub async fn concurrent_publishes_are_numbered_densely(nodes: &Nodes) {
    let channel = channel("room");
    let mut publishers = tokio::task::JoinSet::new();
    for task in 0..8_u64 {
        let node = Arc::clone(if task % 2 == 0 { &nodes.one } else { &nodes.two });
        let channel = channel.clone();
        publishers.spawn(async move {
            let mut mine = Vec::new();
            for n in 0..25 {
                let published = node.publish(Publish::new(channel.clone(), reliable(), number(n))).await;
                mine.push(published.expect("published").position.expect("a position").offset);
            }
            assert!(mine.is_sorted(), "one publisher's messages keep their order");
            mine
        });
    }
    let offsets_given: BTreeSet<u64> = publishers.join_all().await.into_iter().flatten().collect();
    assert_eq!(offsets_given, (1..=200).collect());
    let history = nodes.two.history(&channel, &reliable(), all()).await.expect("history");
    assert_eq!(offsets(&history.publications), (1..=200).collect::<Vec<_>>());
    assert!(history.complete);
}

/// The same key gives the first position and publishes nothing, on any node.
pub async fn a_repeated_key_publishes_nothing(nodes: &Nodes) {
    let channel = channel("room");
    let keyed =
        |n| Publish { idempotency_key: Some("order-1".into()), ..Publish::new(channel.clone(), reliable(), number(n)) };
    let first = nodes.one.publish(keyed(1)).await.expect("published");
    assert!(!first.duplicate);
    let second = nodes.two.publish(keyed(2)).await.expect("answered");
    assert_eq!(second, Published { position: first.position, duplicate: true });
    let history = nodes.one.history(&channel, &reliable(), all()).await.expect("history");
    assert_eq!(offsets(&history.publications), [1]);
    assert_eq!(history.publications[0].data.as_str(), "1");
}

/// Of many at once with one key, exactly one is published, and all learn its position.
pub async fn concurrent_repeats_of_a_key_publish_once(nodes: &Nodes) {
    let channel = channel("room");
    let mut publishers = tokio::task::JoinSet::new();
    for n in 0..16 {
        let node = Arc::clone(if n % 2 == 0 { &nodes.one } else { &nodes.two });
        let publish =
            Publish { idempotency_key: Some("once".into()), ..Publish::new(channel.clone(), reliable(), number(n)) };
        publishers.spawn(async move { node.publish(publish).await.expect("answered") });
    }
    let answers = publishers.join_all().await;
    assert_eq!(answers.iter().filter(|published| !published.duplicate).count(), 1);
    assert!(answers.iter().all(|published| published.position == answers[0].position));
    let history = nodes.one.history(&channel, &reliable(), all()).await.expect("history");
    assert_eq!(offsets(&history.publications), [1]);
}

/// Another channel knows nothing of the key.
pub async fn keys_are_scoped_to_their_channel(nodes: &Nodes) {
    let key = unique("key");
    for channel in [channel("room"), channel("room")] {
        let publish = Publish { idempotency_key: Some(key.clone()), ..Publish::new(channel, reliable(), number(1)) };
        assert!(!nodes.one.publish(publish).await.expect("published").duplicate);
    }
}

/// A batch over several channels: results stand in the order asked, each channel's messages in theirs.
pub async fn a_batch_answers_each_message_in_order(nodes: &Nodes) {
    let channels = [channel("room"), channel("room"), channel("room")];
    let batch = (0..60).map(|n| Publish::new(channels[n % 3].clone(), reliable(), number(n as u64))).collect();
    let results = nodes.one.publish_batch(batch).await;
    assert_eq!(results.len(), 60);
    for (n, result) in results.into_iter().enumerate() {
        let position = result.expect("published").position.expect("a position");
        assert_eq!(position.offset, n as u64 / 3 + 1);
    }
    for (n, channel) in channels.iter().enumerate() {
        let history = nodes.two.history(channel, &reliable(), all()).await.expect("history");
        let numbers: Vec<usize> =
            history.publications.iter().map(|publication| publication.data.to().expect("a number")).collect();
        assert_eq!(numbers, (0..60).filter(|number| number % 3 == n).collect::<Vec<_>>());
    }
}

/// Inside one batch a key counts as well.
pub async fn a_batch_that_repeats_a_key_publishes_it_once(nodes: &Nodes) {
    let channel = channel("room");
    let keyed =
        |n| Publish { idempotency_key: Some("same".into()), ..Publish::new(channel.clone(), reliable(), number(n)) };
    let results = nodes.one.publish_batch(vec![keyed(1), keyed(2), keyed(3)]).await;
    let duplicates: Vec<bool> = results.into_iter().map(|result| result.expect("answered").duplicate).collect();
    assert_eq!(duplicates, [false, true, true]);
}

/// More replicas wanted than there are: the publish says so, also when it is repeated, and publishes once.
pub async fn missing_replicas_are_said_and_the_message_is_kept(nodes: &Nodes) {
    let (channel, policy) = (channel("room"), Policy { replicas_min: 99, ..reliable() });
    let keyed =
        Publish { idempotency_key: Some("order-1".into()), ..Publish::new(channel.clone(), policy.clone(), number(1)) };
    for _ in 0..2 {
        let refused = nodes.one.publish(keyed.clone()).await;
        assert!(matches!(refused, Err(BackplaneError::NotDurable { wanted: 99, .. })), "{refused:?}");
    }
    let history = nodes.two.history(&channel, &policy, all()).await.expect("history");
    assert_eq!(offsets(&history.publications), [1]);
}

/// The owner is known on every node once the publish returns; other channels have none.
pub async fn an_owner_is_recorded_with_the_publish(nodes: &Nodes) {
    let (owned, free, trader) = (channel("session"), channel("session"), user());
    let publish = Publish { owner: Some(trader.clone()), ..Publish::new(owned.clone(), reliable(), number(1)) };
    nodes.one.publish(publish).await.expect("published");
    nodes.one.publish(Publish::new(owned.clone(), reliable(), number(2))).await.expect("published");
    assert_eq!(nodes.two.owner(&owned).await.expect("an answer"), Some(trader));
    assert_eq!(nodes.two.owner(&free).await.expect("an answer"), None);
}

/// A message is the same whether it came over the bus or from the store, to the last digit of its data.
pub async fn every_field_survives_store_and_bus(nodes: &Nodes) {
    let channel = channel("room");
    let mut subscriber = nodes.two.subscriber(16);
    nodes.two.subscribe(subscriber.id, &[(channel.clone(), reliable())]).await.expect("subscribed");
    let data = r#"{"price":"64213.10","raw":1.10,"big":12345678901234567890.5,"text":"\u00e9 ☃"}"#;
    let publish = Publish {
        priority: Priority::Critical,
        key: Some("BTC/USDT".into()),
        tags: [("symbol", "BTC"), ("side", "buy")].map(|(tag, value)| (tag.into(), value.into())).into(),
        publisher: Some(user()),
        signature: Some("ab".repeat(32)),
        expires_at_ms: Some(now_ms() + 3_600_000),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        ..Publish::new(channel.clone(), reliable(), json(data))
    };
    let published = nodes.one.publish(publish.clone()).await.expect("published");
    let is_same = |publication: &Publication| {
        assert_eq!(publication.channel, channel);
        assert_eq!(publication.class, publish.policy.class);
        assert_eq!(publication.position, published.position);
        assert_eq!(publication.time_ms, publish.time_ms);
        assert_eq!(publication.priority, publish.priority);
        assert_eq!(publication.key.as_deref(), publish.key.as_deref());
        assert_eq!(publication.tags, publish.tags);
        assert_eq!(publication.data.as_str(), data);
        assert_eq!(publication.publisher, publish.publisher);
        assert_eq!(publication.signature.as_deref(), publish.signature.as_deref());
        assert_eq!(publication.expires_at_ms, publish.expires_at_ms);
        assert_eq!(publication.traceparent.as_deref(), publish.traceparent.as_deref());
    };
    let live = next_publication(&mut subscriber).await;
    is_same(&live);
    let stored_ms = live.stored_ms.expect("live messages say when they were stored");
    assert!(stored_ms.abs_diff(now_ms()) < 60_000, "{stored_ms}");
    let history = nodes.two.history(&channel, &reliable(), all()).await.expect("history");
    assert_eq!(history.publications.len(), 1);
    is_same(&history.publications[0]);
}
