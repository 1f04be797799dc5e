use futures_util::future::join_all;

use crate::{
    cluster::{Cluster, message},
    raw::Raw,
};

/// Clients that come back at the same moment; 5,000 would share what these share.
const CLIENTS: usize = 500;
const CHANNELS: usize = 50;

/// Subscribe commands that Redis has got so far.
fn commands(cluster: &Cluster) -> u64 {
    let stats: String = cluster.redis.command(&["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_subscribe:calls=")).unwrap_or("0,");
    line.split(',').next().unwrap().parse().unwrap()
}

/// Everyone connects at once and subscribes to everything.
async fn all_at_once(cluster: &Cluster) -> Vec<Raw> {
    let url = cluster.edges[0].ws("/ws");
    let names: Vec<_> = (0..CHANNELS).map(|number| format!(r#""session:{number}""#)).collect();
    let subscribe = format!(r#"{{"id":1,"type":"subscribe","channels":[{}]}}"#, names.join(","));
    let come = async |number: usize| {
        let mut raw = Raw::connect(&url, &format!("user-{number}"), None).await;
        raw.send(&subscribe).await;
        for _ in 0..CHANNELS {
            raw.of_type("subscribed").await;
        }
        raw
    };
    join_all((0..CLIENTS).map(come)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_resubscribes_to_the_same_channels_costs_a_subscribe_command_a_channel() {
    let cluster = Cluster::start().await;
    let before = commands(&cluster);
    let mut crowd = all_at_once(&cluster).await;
    let cost = commands(&cluster) - before;
    assert!((1..=CHANNELS as u64).contains(&cost), "{cost} subscribe commands");
    // Cut and back: the node still listens.
    drop(crowd);
    crowd = all_at_once(&cluster).await;
    let cost = commands(&cluster) - before;
    assert!(cost <= CHANNELS as u64, "{cost} subscribe commands");
    cluster.emitter.publish(message(&format!("session:{}", CHANNELS - 1), "7")).await.unwrap();
    for raw in &mut crowd {
        assert_eq!(raw.of_type("message").await["data"], 7);
    }
}
