//! Subscriptions and signals.

use std::sync::Arc;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tickwire_protocol::{ChannelName, Position, namespace::Policy};
use tokio::time::{Instant, timeout_at};

use super::{Nodes, PATIENCE, after, channel, next, next_publication, number, offsets, publish_numbers, reliable};
use crate::{Backplane, BackplaneError, HistoryQuery, Publish, Signal, Subscriber, Tail, TailAction};

/// What one node publishes another receives, in the order of positions.
pub async fn signals_come_in_order_from_another_node(nodes: &Nodes) {
    let channel = channel("room");
    let mut subscriber = nodes.two.subscriber(1_000);
    nodes.two.subscribe(subscriber.id, &[(channel.clone(), reliable())]).await.expect("subscribed");
    publish_numbers(&nodes.one, &channel, &reliable(), 100).await;
    for expected in 1..=100 {
        let publication = next_publication(&mut subscriber).await;
        assert_eq!(publication.channel, channel);
        assert_eq!(offsets(&[publication]), [expected]);
    }
}

/// Two subscribers of one node and one of another.
pub async fn a_signal_reaches_every_subscriber_of_the_channel(nodes: &Nodes) {
    let channel = channel("room");
    let mut subscribers = [&nodes.one, &nodes.one, &nodes.two].map(|node| (node, node.subscriber(16)));
    for (node, subscriber) in &subscribers {
        node.subscribe(subscriber.id, &[(channel.clone(), reliable())]).await.expect("subscribed");
    }
    publish_numbers(&nodes.two, &channel, &reliable(), 1).await;
    for (_, subscriber) in &mut subscribers {
        assert_eq!(offsets(&[next_publication(subscriber).await]), [1]);
    }
}

/// From the answered position on nothing is missing: each channel's answer, in the order asked.
pub async fn a_subscription_answers_the_top_that_precedes_its_first_signal(nodes: &Nodes) {
    let (busy, empty) = (channel("room"), channel("room"));
    let positions = publish_numbers(&nodes.one, &busy, &reliable(), 3).await;
    let mut subscriber = nodes.two.subscriber(16);
    let asked = [(empty.clone(), reliable()), (busy.clone(), reliable())];
    let tops = nodes.two.subscribe(subscriber.id, &asked).await.expect("subscribed");
    assert_eq!(tops.len(), 2);
    assert_eq!(tops[0].offset, 0);
    assert!(tops[0].epoch > 0, "the epoch is created");
    assert_eq!(tops[1], positions[2]);
    publish_numbers(&nodes.one, &busy, &reliable(), 1).await;
    assert_eq!(next_publication(&mut subscriber).await.position, Some(tops[1].next()));
    let first = publish_numbers(&nodes.one, &empty, &reliable(), 1).await[0];
    assert_eq!(first, tops[0].next());
}

/// Whoever subscribes in the middle of a stream receives all that follows the answered position: no hole before the first
/// signal, none after it.
pub async fn a_subscription_during_publishing_misses_nothing(nodes: &Nodes) {
    const MESSAGES: u64 = 400;
    let channel = channel("room");
    let publisher = {
        let (node, channel) = (Arc::clone(&nodes.one), channel.clone());
        tokio::spawn(async move {
            for _ in 0..MESSAGES / 4 {
                publish_numbers(&node, &channel, &reliable(), 4).await;
                tokio::task::yield_now().await;
            }
        })
    };
    let mut subscribers = Vec::new();
    while subscribers.len() < 64 && !publisher.is_finished() {
        let subscriber = nodes.two.subscriber(2 * usize::try_from(MESSAGES).unwrap_or_default());
        let tops = nodes.two.subscribe(subscriber.id, &[(channel.clone(), reliable())]).await.expect("subscribed");
        subscribers.push((tops[0].offset, subscriber));
    }
    publisher.await.expect("a publisher that ends");
    for (top, mut subscriber) in subscribers {
        let mut last = top;
        while last < MESSAGES {
            let offset = next_publication(&mut subscriber).await.position.expect("a position").offset;
            assert!(offset <= last + 1, "subscribed at {top}: {offset} came after {last}");
            last = last.max(offset);
        }
    }
}

/// A namespace without history has no positions, and its messages come all the same.
pub async fn unnumbered_messages_are_broadcast(nodes: &Nodes) {
    let (channel, policy) = (channel("public"), Policy::volatile(0));
    let mut subscriber = nodes.two.subscriber(16);
    let tops = nodes.two.subscribe(subscriber.id, &[(channel.clone(), policy.clone())]).await.expect("subscribed");
    assert_eq!(tops, [Position::new(0, 0)]);
    let publish = Publish::new(channel.clone(), policy, number(7));
    assert_eq!(nodes.one.publish(publish).await.expect("published").position, None);
    let publication = next_publication(&mut subscriber).await;
    assert_eq!((publication.position, publication.data.as_str()), (None, "7"));
}

/// The one that left hears nothing more; its neighbour does.
pub async fn unsubscribing_ends_one_subscribers_signals(nodes: &Nodes) {
    let (left, kept) = (channel("room"), channel("room"));
    let (mut leaver, mut stayer) = (nodes.two.subscriber(64), nodes.two.subscriber(64));
    let both = [(left.clone(), reliable()), (kept.clone(), reliable())];
    nodes.two.subscribe(leaver.id, &both).await.expect("subscribed");
    nodes.two.subscribe(stayer.id, &both).await.expect("subscribed");
    nodes.two.unsubscribe(leaver.id, std::slice::from_ref(&left));
    publish_numbers(&nodes.one, &left, &reliable(), 1).await;
    assert_eq!(next_publication(&mut stayer).await.channel, left);
    publish_numbers(&nodes.one, &kept, &reliable(), 1).await;
    assert_eq!(next_publication(&mut leaver).await.channel, kept);
    // The last one leaves and comes back.
    nodes.two.unsubscribe(stayer.id, std::slice::from_ref(&left));
    let tops = nodes.two.subscribe(stayer.id, &[(left.clone(), reliable())]).await.expect("subscribed");
    assert_eq!(tops[0].offset, 1);
    publish_numbers(&nodes.one, &left, &reliable(), 1).await;
    let again = next(&mut stayer, |signal| match signal {
        Signal::Publication(publication) if publication.channel == left => Some(publication),
        _ => None,
    });
    assert_eq!(offsets(&[again.await]), [2]);
}

/// It may be done after every `Lagged`: signals are not doubled by it, and end with one unsubscription.
pub async fn subscribing_again_answers_the_top_and_changes_nothing(nodes: &Nodes) {
    let (again, other) = (channel("room"), channel("room"));
    let mut subscriber = nodes.two.subscriber(64);
    let both = [(again.clone(), reliable()), (other.clone(), reliable())];
    nodes.two.subscribe(subscriber.id, &both).await.expect("subscribed");
    let first = publish_numbers(&nodes.one, &again, &reliable(), 1).await;
    assert_eq!(next_publication(&mut subscriber).await.position, Some(first[0]));
    for _ in 0..2 {
        let tops = nodes.two.subscribe(subscriber.id, &both).await.expect("subscribed");
        assert_eq!((tops[0], tops[1].offset), (first[0], 0));
    }
    publish_numbers(&nodes.one, &again, &reliable(), 2).await;
    for expected in [2, 3] {
        assert_eq!(offsets(&[next_publication(&mut subscriber).await]), [expected]);
    }
    nodes.two.unsubscribe(subscriber.id, std::slice::from_ref(&again));
    publish_numbers(&nodes.one, &again, &reliable(), 1).await;
    publish_numbers(&nodes.one, &other, &reliable(), 1).await;
    assert_eq!(next_publication(&mut subscriber).await.channel, other);
}

/// A dropped receiving end is no subscriber.
pub async fn an_unknown_subscriber_is_refused(nodes: &Nodes) {
    let id = nodes.one.subscriber(1).id;
    let refused = nodes.one.subscribe(id, &[(channel("room"), reliable())]).await;
    assert!(matches!(refused, Err(BackplaneError::UnknownSubscriber)), "{refused:?}");
}

/// A subscriber that does not read gets what fitted, then one `Lagged`, and later signals once it reads again.
pub async fn a_full_queue_is_announced_once(nodes: &Nodes) {
    let channel = channel("room");
    let (mut slow, mut fast) = (nodes.two.subscriber(4), nodes.two.subscriber(1_000));
    for id in [slow.id, fast.id] {
        nodes.two.subscribe(id, &[(channel.clone(), reliable())]).await.expect("subscribed");
    }
    publish_numbers(&nodes.one, &channel, &reliable(), 50).await;
    while next_publication(&mut fast).await.position.is_some_and(|position| position.offset < 50) {}
    let (mut seen, mut lagged) = (Vec::new(), 0);
    while let Ok(signal) = slow.signals.try_recv() {
        match signal {
            Signal::Publication(publication) if lagged == 0 => seen.push(publication),
            Signal::Lagged => lagged += 1,
            _ => {}
        }
    }
    assert_eq!(lagged, 1);
    assert!(seen.len() <= 4);
    assert_eq!(offsets(&seen), (1..=seen.len() as u64).collect::<Vec<_>>(), "what fitted, without holes");
    publish_numbers(&nodes.one, &channel, &reliable(), 1).await;
    assert_eq!(offsets(&[next_publication(&mut slow).await]), [51]);
}

/// Without any further message a subscriber learns where the channel stands.
pub async fn the_top_of_a_channel_is_told(nodes: &Nodes) {
    let channel = channel("room");
    let mut subscriber = nodes.two.subscriber(64);
    nodes.two.subscribe(subscriber.id, &[(channel.clone(), reliable())]).await.expect("subscribed");
    let last = publish_numbers(&nodes.one, &channel, &reliable(), 3).await[2];
    next(&mut subscriber, |signal| match signal {
        Signal::Top { channel: told, position } if told == channel && position == last => Some(()),
        _ => None,
    })
    .await;
}

/// Whatever is dropped, doubled or late: a [`Tail`] with the history behind it delivers 1, 2, 3, … once each.
pub async fn a_tail_over_any_interleaving_sees_each_message_once_in_order(nodes: &Nodes) {
    const MESSAGES: u64 = 300;
    let seed: u64 = rand::random();
    let channel = channel("room");
    let mut random = StdRng::seed_from_u64(seed);
    // So small that most bursts overflow it.
    let subscriber = nodes.two.subscriber(random.random_range(1..6));
    let reader = tokio::spawn(read_through_a_tail(Arc::clone(&nodes.two), subscriber, channel.clone(), MESSAGES));
    let mut left = MESSAGES;
    while left > 0 {
        let burst = random.random_range(1..=left.min(12));
        let node = if random.random() { &nodes.one } else { &nodes.two };
        publish_numbers(node, &channel, &reliable(), burst).await;
        left -= burst;
        if random.random() {
            tokio::task::yield_now().await;
        }
    }
    let delivered = reader.await.expect("a reader that ends");
    assert_eq!(delivered, (1..=MESSAGES).collect::<Vec<_>>(), "seed {seed}");
}

async fn read_through_a_tail(
    node: Arc<dyn Backplane>,
    mut subscriber: Subscriber,
    channel: ChannelName,
    upto: u64,
) -> Vec<u64> {
    let tops = node.subscribe(subscriber.id, &[(channel.clone(), reliable())]).await.expect("subscribed");
    let mut tail = Tail::new(Position::new(tops[0].epoch, 0));
    let mut seen = Vec::new();
    let mut action = tail.on_top(tops[0]);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match action {
            TailAction::Deliver => seen.push(tail.position().offset),
            TailAction::Ignore => {}
            TailAction::Gap => {
                let history = node.history(&channel, &reliable(), after(tail.position())).await.expect("history");
                assert!(history.complete);
                seen.extend(offsets(&history.publications));
                tail.move_to(history.top);
            }
            TailAction::Reset => panic!("the epoch changed"),
        }
        if seen.len() as u64 >= upto {
            return seen;
        }
        let signal = timeout_at(deadline, subscriber.signals.recv()).await.expect("a signal in time");
        action = match signal.expect("a live subscriber") {
            Signal::Publication(publication) => tail.on_publication(publication.position.expect("a position")),
            Signal::Top { position, .. } => tail.on_top(position),
            Signal::Lagged => {
                let query = HistoryQuery::default();
                tail.on_top(node.history(&channel, &reliable(), query).await.expect("history").top)
            }
            Signal::Presence { .. }
            | Signal::Acknowledged { .. }
            | Signal::Preferences { .. }
            | Signal::Control(_)
            | Signal::Controls(_) => TailAction::Ignore,
        };
    }
}
