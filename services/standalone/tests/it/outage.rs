use tickwire_client::{ConnectionState, SubscribeOptions, SubscriptionEvent};

use crate::cluster::{Cluster, channel, message, soon, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_outlive_redis_are_told_that_history_is_gone_and_get_what_comes_after() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client("7", 0);
    let mut subscription = client.subscribe(channel("session:o"), SubscribeOptions::default()).await.unwrap();
    soon("the subscription stands", subscription.next_event()).await.unwrap();
    let before = cluster.emitter.publish(message("session:o", "1")).await.unwrap().position.unwrap();
    assert_eq!(soon("the first", subscription.next_message()).await.unwrap().message.data.as_str(), "1");
    let connected = client.state().borrow().clone();
    assert!(matches!(connected, ConnectionState::Connected { .. }));

    tokio::task::block_in_place(|| cluster.redis.restart());
    let told = soon("a reset", subscription.next_event()).await.unwrap();
    let SubscriptionEvent::Reset { position, .. } = told else { panic!("{told:?}") };
    assert!(position.epoch > before.epoch, "{position} after {before}");
    let emitter = cluster.emitter.clone();
    until("the emitter publishes again", async || emitter.publish(message("session:o", "2")).await.is_ok()).await;
    assert_eq!(soon("the second", subscription.next_message()).await.unwrap().message.data.as_str(), "2");
    assert_eq!(*client.state().borrow(), connected, "the same connection all along");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_away_while_history_was_lost_is_told_that_recovery_is_incomplete() {
    let mut cluster = Cluster::start().await;
    let before = cluster.emitter.publish(message("session:o", "1")).await.unwrap().position.unwrap();
    tokio::task::block_in_place(|| cluster.redis.restart());
    let client = cluster.client("7", 0);
    let mut subscription = client.subscribe(channel("session:o"), SubscribeOptions::since(before)).await.unwrap();
    let answer = soon("an answer", subscription.next_event()).await.unwrap();
    let SubscriptionEvent::Subscribed { recovered, position, .. } = answer else { panic!("{answer:?}") };
    assert!(!recovered);
    assert!(position.unwrap().epoch > before.epoch, "{position:?} after {before}");
    let emitter = cluster.emitter.clone();
    until("the emitter publishes again", async || emitter.publish(message("session:o", "2")).await.is_ok()).await;
    assert_eq!(soon("the second", subscription.next_message()).await.unwrap().message.data.as_str(), "2");
}
