use tickwire_client::{BookView, Client, SubscribeOptions, Subscription};
use tickwire_protocol::book::Depth;

use crate::cluster::{Cluster, channel, message, soon};

const CHANNEL: &str = "book:kraken:BTC/USDT";

fn data(kind: &str, bids: &[(u32, u32)]) -> String {
    let bids: Vec<String> = bids.iter().map(|(price, qty)| format!(r#"["{price}.5","{qty}"]"#)).collect();
    format!(r#"{{"type":"book","kind":"{kind}","state":"live","bids":[{}],"asks":[["90","1"]]}}"#, bids.join(","))
}

struct Reader {
    _client: Client,
    subscription: Subscription,
    view: BookView,
}

impl Reader {
    async fn open(client: Client, depth: u16) -> Self {
        let options = SubscribeOptions::default().depth(Depth::try_from(depth).unwrap());
        let subscription = client.subscribe(channel(CHANNEL), options).await.unwrap();
        Self { _client: client, subscription, view: BookView::new() }
    }

    /// Until the view shows these bids.
    async fn until(&mut self, bids: &[&str]) {
        let shown = |view: &BookView| view.bids().map(|level| level.price.to_string()).collect::<Vec<_>>();
        while !self.view.is_live() || shown(&self.view) != bids {
            let event = soon("the next message of the view", self.subscription.next_event()).await.unwrap();
            self.view.apply(&event).unwrap();
        }
    }
}

/// Each node computes its views by itself from one stream; a client that goes over to the other node goes on with a snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_on_two_nodes_show_the_same_book() {
    let mut cluster = Cluster::start().await;
    let publish = async |cluster: &Cluster, kind, bids: &[(u32, u32)]| {
        cluster.emitter.publish(message(CHANNEL, &data(kind, bids))).await.unwrap();
    };
    publish(&cluster, "snapshot", &[(9, 1), (8, 1), (7, 1), (6, 1), (5, 1), (4, 1)]).await;
    publish(&cluster, "delta", &[(8, 0)]).await;
    let mut readers = Vec::new();
    for (at, depth) in [(0, 1), (1, 1), (1, 5)] {
        let client = cluster.client(&format!("{at}-{depth}"), at);
        readers.push(Reader::open(client, depth).await);
    }
    for reader in &mut readers[..2] {
        reader.until(&["9.5"]).await;
    }
    readers[2].until(&["9.5", "7.5", "6.5", "5.5", "4.5"]).await;
    publish(&cluster, "delta", &[(9, 0), (3, 1)]).await;
    for reader in &mut readers[..2] {
        reader.until(&["7.5"]).await;
    }
    readers[2].until(&["7.5", "6.5", "5.5", "4.5", "3.5"]).await;
    cluster.edges[1].begin_drain();
    cluster.edges[1].ended().await;
    publish(&cluster, "delta", &[(7, 0)]).await;
    for reader in &mut readers[..2] {
        reader.until(&["6.5"]).await;
    }
    readers[2].until(&["6.5", "5.5", "4.5", "3.5"]).await;
}
