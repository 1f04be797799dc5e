use serde_json::Value;
use tickwire_client::SubscribeOptions;

use crate::cluster::{Cluster, channel, soon, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_counts_over_both_nodes() {
    let cluster = Cluster::start().await;
    let mut held = Vec::new();
    for edge in [0, 0, 1] {
        let client = cluster.client("7", edge);
        let mut subscription = client.subscribe(channel("orders"), SubscribeOptions::default()).await.unwrap();
        soon("the subscription stands", subscription.next_event()).await.unwrap();
        held.push((client, subscription));
    }
    for edge in &cluster.edges {
        until("both nodes' counts are one", async || {
            let answer = reqwest::get(edge.http("/ws/status")).await.unwrap().text().await.unwrap();
            let answer: Value = serde_json::from_str(&answer).unwrap();
            answer["activeConnections"] == 3 && answer["topicSubscriptions"]["orders"] == 3
        })
        .await;
    }
    let own = reqwest::get(cluster.edges[0].http("/ws/status?node=self")).await.unwrap().text().await.unwrap();
    let own: Value = serde_json::from_str(&own).unwrap();
    assert_eq!(own["activeConnections"], 2);
}
