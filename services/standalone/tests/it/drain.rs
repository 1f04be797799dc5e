use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tickwire_client::{Client, ConnectionState, SubscribeOptions};

use crate::{
    cluster::{Cluster, channel, publish_numbers, soon},
    raw::Raw,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_edge_sends_its_clients_to_the_other_one_and_nothing_is_lost() {
    const COUNT: u32 = 2_000;
    let mut cluster = Cluster::start().await;
    let mut raw = Raw::connect(&cluster.edges[0].ws("/ws"), "8", Some("tickwire.v1.json")).await;
    raw.of_type("connected").await;
    let client = cluster.client("7", 0);
    let breaks = breaks_of(&client);
    let mut subscription = client.subscribe(channel("session:d"), SubscribeOptions::default()).await.unwrap();
    soon("the subscription stands", subscription.next_event()).await.unwrap();
    let emitter = cluster.emitter.clone();
    let publishing = tokio::spawn(async move { publish_numbers(&emitter, "session:d", 0..COUNT).await });
    for number in 0..COUNT {
        if number == 200 {
            cluster.edges[0].begin_drain();
        }
        let delivery = soon("the next message", subscription.next_message()).await.unwrap();
        assert_eq!(delivery.message.data.as_str(), number.to_string());
    }
    publishing.await.unwrap();
    let told = raw.of_type("reconnect").await;
    assert!(told["afterMs"].is_u64(), "{told}");
    cluster.edges[0].ended().await;
    assert_eq!(breaks.load(Ordering::Relaxed), 0, "the new connection was made before the old one was left");
    assert!(matches!(&*client.state().borrow(), ConnectionState::Connected { node, .. } if node == "edge-b"));
    publish_numbers(&cluster.emitter, "session:d", COUNT..COUNT + 10).await;
    for number in COUNT..COUNT + 10 {
        let delivery = soon("a message over the other edge", subscription.next_message()).await.unwrap();
        assert_eq!(delivery.message.data.as_str(), number.to_string());
    }
}

/// Counts the times that the client is seen without a connection after its first one.
fn breaks_of(client: &Client) -> Arc<AtomicUsize> {
    let breaks = Arc::new(AtomicUsize::new(0));
    let (mut state, count) = (client.state(), breaks.clone());
    tokio::spawn(async move {
        while state.changed().await.is_ok() {
            if matches!(&*state.borrow_and_update(), ConnectionState::Reconnecting { .. }) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    breaks
}
