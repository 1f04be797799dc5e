//! Bugs that systems of this kind have had, each as a claim that it is not here.

use super::*;

/// A subscriber connection that brings nothing while calls work: health must turn red by itself, and a new connection must
/// take its place and bring what was missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deaf_subscriber_connection_turns_health_red_and_is_replaced() {
    let server = RedisServer::start();
    let relay = RedisRelay::start(server.port());
    let backplane = connect(relay.url()).await;
    let (mut subscriber, at) = subscribe(&backplane, "room:1").await;
    relay.deafen(true);
    let missed = backplane.publish(message("room:1", 1)).await.unwrap().position.unwrap();
    until("the deafness is noticed", || !backplane.is_healthy()).await;
    until("it is healthy again", || backplane.is_healthy()).await;
    assert!(backplane.stats().canaries_lost > 0 && backplane.stats().subscriber_rebuilds > 0);
    next(&mut subscriber, |signal| seen(signal).filter(|seen| *seen == missed)).await;
    assert_eq!(history(&backplane, "room:1", at).await.publications.len(), 1);
    let live = backplane.publish(message("room:1", 2)).await.unwrap().position.unwrap();
    next(&mut subscriber, |signal| match signal {
        Signal::Publication(publication) => publication.position.filter(|seen| *seen == live),
        _ => None,
    })
    .await;
}

/// A pod deaf after a Sentinel failover while its health was green: once it says healthy and publishes go to the new master,
/// every message arrives over pub/sub.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_sentinel_failover_a_healthy_node_is_not_deaf() {
    let mut servers = RedisSentinels::start(1);
    let backplane = connect(servers.url()).await;
    let (mut subscriber, _) = subscribe(&backplane, "room:1").await;
    let before = publish(&backplane, "room:1", 1).await;
    let master = servers.master();
    servers.servers[master].kill();
    until("the loss is noticed", || !backplane.is_healthy()).await;
    until("it is healthy again", || backplane.is_healthy()).await;
    for number in 2..20 {
        let position = publish(&backplane, "room:1", number).await;
        assert!(position.epoch > before.epoch);
        next(&mut subscriber, |signal| match signal {
            Signal::Publication(publication) => publication.position.filter(|seen| *seen == position),
            _ => None,
        })
        .await;
    }
}

/// Replay counted from the oldest entry: with more stored than asked for, what follows the position comes, not what is oldest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_starts_behind_the_position_and_not_at_the_oldest_entry() {
    let server = RedisServer::start();
    let backplane = connect(server.url()).await;
    let batch = (1..=500).map(|number| message("room:1", number)).collect();
    let positions: Vec<Position> =
        backplane.publish_batch(batch).await.into_iter().map(|result| result.unwrap().position.unwrap()).collect();
    let query = HistoryQuery { since: Some(positions[399]), limit: 50, reverse: false };
    let replayed = backplane.history(&channel("room:1"), &reliable(), query).await.unwrap();
    let numbers: Vec<u64> = replayed.publications.iter().map(|publication| publication.data.to().unwrap()).collect();
    assert_eq!(numbers, (401..=450).collect::<Vec<_>>());
    assert!(!replayed.complete, "the limit cut it");
}

/// An offset moved by a publish that the idempotency key suppressed shows as a hole that can never be filled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suppressed_publish_moves_no_offset() {
    let server = RedisServer::start();
    let backplane = connect(server.url()).await;
    let keyed = || Publish { idempotency_key: Some("order-1".into()), ..message("room:1", 1) };
    let first = backplane.publish(keyed()).await.unwrap().position.unwrap();
    for _ in 0..10 {
        assert_eq!(backplane.publish(keyed()).await.unwrap(), Published { position: Some(first), duplicate: true });
    }
    assert_eq!(publish(&backplane, "room:1", 2).await, first.next());
    assert!(history(&backplane, "room:1", Position::new(first.epoch, 0)).await.complete);
}

/// Recovered messages without a position are recovered again and again: whatever a replay brings says where it stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_replayed_carries_its_position_and_is_not_replayed_again() {
    let server = RedisServer::start();
    let backplane = connect(server.url()).await;
    let batch = (1..=100).map(|number| message("room:1", number)).collect();
    backplane.publish_batch(batch).await;
    let (mut at, mut numbers) = (history(&backplane, "room:1", Position::new(0, 0)).await.top, Vec::new());
    at = Position::new(at.epoch, 0);
    loop {
        let query = HistoryQuery { since: Some(at), limit: 30, reverse: false };
        let replayed = backplane.history(&channel("room:1"), &reliable(), query).await.unwrap();
        let Some(last) = replayed.publications.last() else { break };
        at = last.position.unwrap();
        numbers.extend(replayed.publications.iter().map(|publication| publication.data.to::<u64>().unwrap()));
    }
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
}
