//! Redis under load, and Redis that defends itself.

use super::*;

/// Redis cuts a subscriber whose output buffer is full. With a buffer smaller than a message it does so again and again:
/// whatever pub/sub loses is announced by tops, and the history has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_cut_for_its_output_buffer_loses_nothing() {
    let server = RedisServer::start();
    let (backplane, publisher) = (connect(server.url()).await, connect(server.url()).await);
    let (mut subscriber, mut at) = subscribe(&backplane, "room:1").await;
    server.command::<()>(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 16kb 16kb 1"]);
    let padding = "x".repeat(40 * 1024);
    let mut last = at;
    for number in 0..60_u64 {
        let data = if number % 10 == 5 { RawJson::of(&(number, &padding)) } else { RawJson::of(&(number, "")) };
        let publish = Publish {
            idempotency_key: Some(number.to_string()),
            ..Publish::new(channel("room:1"), reliable(), data.unwrap())
        };
        last = publisher.publish(publish).await.unwrap().position.unwrap();
    }
    let mut numbers = Vec::new();
    while at < last {
        next(&mut subscriber, |signal| seen(signal).filter(|position| *position > at)).await;
        let history = history(&backplane, "room:1", at).await;
        assert!(history.complete);
        numbers
            .extend(history.publications.iter().map(|publication| publication.data.to::<(u64, String)>().unwrap().0));
        at = history.top;
    }
    assert_eq!(numbers, (0..60).collect::<Vec<_>>());
    assert!(backplane.stats().subscriber_rebuilds > 0, "Redis cut nobody");
}

/// Cut every few milliseconds while messages flow: each time it is back before the history is trimmed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_cut_again_and_again_under_load_misses_nothing() {
    let server = RedisServer::start();
    let (backplane, publisher) = (connect(server.url()).await, connect(server.url()).await);
    let (mut subscriber, mut at) = subscribe(&backplane, "room:1").await;
    let publishing = tokio::spawn(async move {
        let mut last = Position::new(0, 0);
        for start in (0..3_000).step_by(20) {
            let batch = (start..start + 20).map(|number| message("room:1", number)).collect();
            for result in publisher.publish_batch(batch).await {
                last = result.unwrap().position.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        last
    });
    let mut numbers = Vec::new();
    let mut cuts = 0;
    while !publishing.is_finished() || cuts < 10 {
        server.command::<()>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        cuts += 1;
        let seen = tokio::time::timeout(Duration::from_millis(100), next(&mut subscriber, seen)).await;
        if seen.is_ok_and(|position| position > at) {
            at = take(&backplane, at, &mut numbers).await;
        }
    }
    let last = publishing.await.unwrap();
    while at < last {
        next(&mut subscriber, |signal| seen(signal).filter(|position| *position > at)).await;
        at = take(&backplane, at, &mut numbers).await;
    }
    assert_eq!(numbers, (0..3_000).collect::<Vec<_>>());
}

/// Reads what follows `at`, all of it.
async fn take(backplane: &RedisBackplane, at: Position, numbers: &mut Vec<u64>) -> Position {
    let history = history(backplane, "room:1", at).await;
    assert!(history.complete, "trimmed: {at} to {}", history.top);
    numbers.extend(history.publications.iter().map(|publication| publication.data.to::<u64>().unwrap()));
    history.top
}

/// A message that pub/sub never brought, with none after it, is noticed by the heartbeat.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_last_message_is_announced_by_the_heartbeat() {
    let server = RedisServer::start();
    let backplane = connect(server.url()).await;
    let (mut subscriber, _) = subscribe(&backplane, "room:1").await;
    let heard = publish(&backplane, "room:1", 1).await;
    next(&mut subscriber, |signal| seen(signal).filter(|seen| *seen == heard)).await;
    let keys: Vec<String> = server.command(&["KEYS", "tw:*:meta:room:1"]);
    server.command::<()>(&["HINCRBY", &keys[0], "s", "1"]);
    next(&mut subscriber, |signal| match signal {
        Signal::Top { position, .. } => Some(position).filter(|top| *top == heard.next()),
        _ => None,
    })
    .await;
}

/// Many subscribers that come back to the same channels cost Redis one subscribe command a channel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_of_the_same_channels_share_their_subscriptions() {
    let server = RedisServer::start();
    let backplane = connect(server.url()).await;
    let channels: Vec<_> = (0..50).map(|number| (channel(&format!("room:{number}")), reliable())).collect();
    let commands_so_far = || -> u64 {
        let stats: String = server.command(&["INFO", "commandstats"]);
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_subscribe:calls=")).unwrap_or("0,");
        line.split(',').next().unwrap().parse().unwrap()
    };
    let before = commands_so_far();
    let subscribers: Vec<_> = (0..32).map(|_| backplane.subscriber(64)).collect();
    let all = subscribers.iter().map(|subscriber| backplane.subscribe(subscriber.id, &channels));
    for tops in futures_util::future::join_all(all).await {
        assert_eq!(tops.unwrap().len(), 50);
    }
    assert_eq!(commands_so_far() - before, 50);
}

/// A critical alert asks for a replica where it is said to: without one it fails loudly, is stored all the same, and its
/// repetition under its key publishes nothing new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_critical_alert_without_its_replica_fails_loudly() {
    let server = RedisServer::start();
    let config = RedisConfig { critical_replicas: Some(1), ..RedisConfig::new(server.url()) };
    let backplane = RedisBackplane::connect(config).await.unwrap();
    let inbox = channel("user:ann");
    let ordinary = Publish::new(inbox.clone(), Policy::inbox(), RawJson::null());
    backplane.publish(ordinary.clone()).await.unwrap();
    let critical = Publish {
        priority: tickwire_protocol::Priority::Critical,
        idempotency_key: Some("alert-1".into()),
        ..ordinary
    };
    for _ in 0..2 {
        let refused = backplane.publish(critical.clone()).await;
        assert!(matches!(refused, Err(BackplaneError::NotDurable { confirmed: 0, wanted: 1 })), "{refused:?}");
    }
    assert_eq!(backplane.stats().not_durable, 2);
    assert_eq!(backplane.inbox(&inbox, &Policy::inbox(), None).await.unwrap().owed.len(), 2);
}

/// With Sentinels a critical alert is acknowledged only when the replica has it, without any setting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_imply_that_critical_alerts_wait_for_a_replica() {
    let mut servers = RedisSentinels::start(1);
    let backplane = connect(servers.url()).await;
    let inbox = channel("user:ann");
    let critical = |key: &str| Publish {
        priority: tickwire_protocol::Priority::Critical,
        idempotency_key: Some(key.into()),
        ..Publish::new(inbox.clone(), Policy::inbox(), RawJson::null())
    };
    let acknowledged = backplane.publish(critical("one")).await.unwrap().position.unwrap();
    let master = servers.master();
    servers.servers[master].kill();
    until("the loss is noticed", || !backplane.is_healthy()).await;
    until("it is healthy again", || backplane.is_healthy()).await;
    let owed = backplane.inbox(&inbox, &Policy::inbox(), None).await.unwrap().owed;
    assert_eq!(owed.iter().map(|publication| publication.position).collect::<Vec<_>>(), [Some(acknowledged)]);
    let refused = backplane.publish(critical("two")).await;
    assert!(matches!(refused, Err(BackplaneError::NotDurable { .. })), "no replica is left: {refused:?}");
}
