use tickwire_client::{SubscribeOptions, Subscription};
use tickwire_protocol::Position;

use crate::cluster::{Cluster, channel, publish_numbers, soon};

const CHANNEL: &str = "session:splice";

/// Receives `numbers` in order, nothing missing, nothing doubled; gives the last position.
async fn expect(subscription: &mut Subscription, numbers: std::ops::Range<u32>) -> Position {
    let mut last = None;
    for number in numbers {
        let delivery = soon("the next message", subscription.next_message()).await.unwrap();
        assert_eq!(delivery.message.data.as_str(), number.to_string());
        last = delivery.message.position;
    }
    last.expect("at least one message")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_messages_reach_subscribers_of_both_edges_once_and_in_order() {
    let cluster = Cluster::start().await;
    let mut readers = Vec::new();
    for edge in [0, 1] {
        let client = cluster.client("7", edge);
        let mut subscription = client.subscribe(channel(CHANNEL), SubscribeOptions::default()).await.unwrap();
        soon("the subscription stands", subscription.next_event()).await.unwrap();
        readers.push(tokio::spawn(async move {
            expect(&mut subscription, 0..10_000).await;
        }));
    }
    publish_numbers(&cluster.emitter, CHANNEL, 0..10_000).await;
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reconnect_at_the_other_edge_is_spliced_with_live_messages() {
    const COUNT: u32 = 3_000;
    let cluster = Cluster::start().await;
    let mut at = 0;
    let mut client = cluster.client("7", at);
    let mut subscription = client.subscribe(channel(CHANNEL), SubscribeOptions::default()).await.unwrap();
    soon("the subscription stands", subscription.next_event()).await.unwrap();
    let emitter = cluster.emitter.clone();
    let publishing = tokio::spawn(async move { publish_numbers(&emitter, CHANNEL, 0..COUNT).await });
    for from in (0..COUNT).step_by(500) {
        let position = expect(&mut subscription, from..from + 500).await;
        drop(subscription);
        client.close().await;
        at = 1 - at;
        client = cluster.client("7", at);
        subscription = client.subscribe(channel(CHANNEL), SubscribeOptions::since(position)).await.unwrap();
    }
    publishing.await.unwrap();
    publish_numbers(&cluster.emitter, CHANNEL, COUNT..COUNT + 1).await;
    expect(&mut subscription, COUNT..COUNT + 1).await;
}
