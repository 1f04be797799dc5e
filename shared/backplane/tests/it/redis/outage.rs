//! Servers that die, freeze or cut connections.

use super::*;

/// A restart loses the store: subscribers learn of a new epoch without any call of theirs, and messages flow again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_numbers_in_a_new_epoch_and_subscriptions_heal() {
    let mut server = RedisServer::start();
    let backplane = connect(server.url()).await;
    let (mut subscriber, _) = subscribe(&backplane, "room:1").await;
    let before = publish(&backplane, "room:1", 1).await;
    next(&mut subscriber, |signal| seen(signal).filter(|seen| *seen == before)).await;
    server.kill();
    until("the loss is noticed", || !backplane.is_healthy()).await;
    assert!(unavailable(&backplane.publish(message("room:1", 2)).await));
    server.restart();
    let top = next(&mut subscriber, |signal| seen(signal).filter(|position| position.epoch > before.epoch)).await;
    assert_eq!(top.offset, 0);
    until("it is healthy again", || backplane.is_healthy()).await;
    let after = publish(&backplane, "room:1", 3).await;
    assert_eq!(after, Position::new(top.epoch, 1));
    assert_eq!(next(&mut subscriber, |signal| seen(signal).filter(|position| position.offset > 0)).await, after);
}

/// A frozen server answers nothing and closes nothing: only the canary shows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_noticed_and_healed_from() {
    let server = RedisServer::start();
    let backplane = connect(server.url()).await;
    let (mut subscriber, _) = subscribe(&backplane, "room:1").await;
    server.pause();
    until("the freeze is noticed", || !backplane.is_healthy()).await;
    assert!(unavailable(&backplane.publish(message("room:1", 1)).await));
    assert!(backplane.stats().canaries_lost > 0);
    server.resume();
    until("it is healthy again", || backplane.is_healthy()).await;
    let position = publish(&backplane, "room:1", 2).await;
    next(&mut subscriber, |signal| seen(signal).filter(|seen| *seen == position)).await;
}

/// Messages published while the subscriber's connection was gone are announced by the top that follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_pubsub_connection_heals_without_loss() {
    let server = RedisServer::start();
    let backplane = connect(server.url()).await;
    let publisher = connect(server.url()).await;
    let (mut subscriber, mut at) = subscribe(&backplane, "room:1").await;
    let mut last = at;
    for number in 1..=50 {
        last = publish(&publisher, "room:1", number).await;
        if number % 10 == 5 {
            server.command::<()>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        }
    }
    let mut numbers = Vec::new();
    while at < last {
        next(&mut subscriber, |signal| seen(signal).filter(|position| *position > at)).await;
        let history = history(&backplane, "room:1", at).await;
        assert!(history.complete);
        numbers.extend(history.publications.iter().map(|publication| publication.data.to::<u64>().unwrap()));
        at = history.top;
    }
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
    assert!(backplane.stats().subscriber_rebuilds > 0);
}

/// The calls' connections come back too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_connections_for_calls_are_made_again() {
    let server = RedisServer::start();
    let backplane = connect(server.url()).await;
    let first = publish(&backplane, "room:1", 1).await;
    for number in 2..=5 {
        server.command::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        assert_eq!(publish(&backplane, "room:1", number).await, Position::new(first.epoch, number));
    }
}

/// A lost connection is no reason to refuse: the publish is made again, also one without a key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_outlives_its_connection() {
    let server = RedisServer::start();
    let backplane = connect(server.url()).await;
    let first = backplane.publish(message("room:1", 1)).await.unwrap().position.unwrap();
    for number in 2..=6 {
        server.command::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        let published = backplane.publish(message("room:1", number)).await.unwrap();
        assert_eq!(published, Published { position: Some(Position::new(first.epoch, number)), duplicate: false });
    }
    assert!(backplane.stats().repeats > 0);
}

/// Cut while many publishes without keys are under way, nobody knows which the server took: each is published once at most,
/// and exactly once if it was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishes_under_way_at_a_cut_are_published_once() {
    let server = RedisServer::start();
    let backplane = connect(server.url()).await;
    let mut publishers = tokio::task::JoinSet::new();
    for publisher in 0..16_u64 {
        let backplane = Arc::clone(&backplane);
        publishers.spawn(async move {
            let mut acknowledged = Vec::new();
            for number in publisher * 50..(publisher + 1) * 50 {
                match backplane.publish(message("room:1", number)).await {
                    Ok(published) => acknowledged.push((number, published.position.unwrap().offset)),
                    Err(error) => assert!(error.is_retryable(), "{error:?}"),
                }
            }
            acknowledged
        });
    }
    for _ in 0..5 {
        server.command::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let acknowledged: Vec<_> = publishers.join_all().await.into_iter().flatten().collect();
    let query = HistoryQuery { since: None, limit: 1_000, reverse: false };
    let history = backplane.history(&channel("room:1"), &reliable(), query).await.unwrap();
    let stored: std::collections::HashMap<u64, u64> = history
        .publications
        .iter()
        .map(|publication| (publication.data.to().unwrap(), publication.position.unwrap().offset))
        .collect();
    assert_eq!(stored.len(), history.publications.len(), "none is doubled");
    assert!(!acknowledged.is_empty() && acknowledged.iter().all(|(number, offset)| stored.get(number) == Some(offset)));
}

/// A history is read again on the next connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_outlive_their_connection_too() {
    let server = RedisServer::start();
    let backplane = connect(server.url()).await;
    let position = publish(&backplane, "room:1", 1).await;
    for _ in 0..5 {
        server.command::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        assert_eq!(history(&backplane, "room:1", Position::new(position.epoch, 0)).await.top, position);
    }
}

/// A server without this build's functions is given them at their first use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_functions_are_loaded_again() {
    let server = RedisServer::start();
    let backplane = connect(server.url()).await;
    let first = publish(&backplane, "room:1", 1).await;
    server.command::<()>(&["FUNCTION", "FLUSH"]);
    let batch = (2..=9).map(|number| message("room:1", number)).collect();
    let published = backplane.publish_batch(batch).await;
    let offsets: Vec<u64> = published.into_iter().map(|result| result.unwrap().position.unwrap().offset).collect();
    assert_eq!(offsets, (first.offset + 1..=first.offset + 8).collect::<Vec<_>>());
}

/// What an inbox owes outlives the numbering it was made under (here: the meta hash is lost, as with a failover).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inboxs_debts_survive_a_new_epoch() {
    let server = RedisServer::start();
    let backplane = connect(server.url()).await;
    let inbox = channel("user:ann");
    let critical = Publish {
        priority: tickwire_protocol::Priority::Critical,
        ..Publish::new(inbox.clone(), Policy::inbox(), RawJson::null())
    };
    let owed = backplane.publish(critical).await.unwrap().position.unwrap();
    let ordinary = Publish::new(inbox.clone(), Policy::inbox(), RawJson::null());
    let read = backplane.publish(ordinary.clone()).await.unwrap().position.unwrap();
    backplane.acknowledge(&inbox, None, &[read]).await.unwrap();
    let keys: Vec<String> = server.command(&["KEYS", "tw:*:meta:user:ann"]);
    server.command::<()>(&["HSET", &keys[0], "r", "another"]);
    let state = backplane.inbox(&inbox, &Policy::inbox(), None).await.unwrap();
    assert!(state.top.epoch > owed.epoch);
    assert_eq!(state.cursor, Some(read));
    assert_eq!(state.owed.iter().map(|publication| publication.position).collect::<Vec<_>>(), [Some(owed)]);
    let later = backplane.publish(ordinary).await.unwrap().position.unwrap();
    backplane.acknowledge(&inbox, None, &[owed]).await.unwrap();
    let state = backplane.inbox(&inbox, &Policy::inbox(), None).await.unwrap();
    assert_eq!(state.owed.iter().map(|publication| publication.position).collect::<Vec<_>>(), [Some(later)]);
}

/// A server that took a critical message and lost it gets it again from the process that was told it is safe; one that has
/// it still, and knows that it was acknowledged, keeps that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_critical_message_that_a_replaced_server_lost_is_published_again() {
    for (options, is_kept) in [(["--appendonly", "no"], false), (["--appendfsync", "always"], true)] {
        let mut server = RedisServer::with_options(&if is_kept {
            vec!["--appendonly", "yes", options[0], options[1]]
        } else {
            vec![options[0], options[1], "--save", ""]
        });
        let backplane = connect(server.url()).await;
        let inbox = channel("user:ann");
        let critical = |key: Option<&str>| Publish {
            priority: tickwire_protocol::Priority::Critical,
            idempotency_key: key.map(Into::into),
            ..Publish::new(inbox.clone(), Policy::inbox(), RawJson::of(&key).unwrap())
        };
        let read = backplane.publish(critical(Some("read"))).await.unwrap().position.unwrap();
        backplane.publish(critical(None)).await.unwrap();
        backplane.publish(Publish::new(inbox.clone(), Policy::inbox(), RawJson::null())).await.unwrap();
        backplane.acknowledge(&inbox, None, &[read]).await.unwrap();
        server.kill();
        until("the loss is noticed", || !backplane.is_healthy()).await;
        server.restart();
        until("it is healthy again", || backplane.is_healthy()).await;
        let lost = if is_kept { 0 } else { 2 };
        until("what was lost is published again", || backplane.stats().restated == lost).await;
        // Nobody can know what the lost store knew of acknowledgements: again is better than never.
        let owed = backplane.inbox(&inbox, &Policy::inbox(), None).await.unwrap().owed;
        let critical = owed.iter().filter(|publication| publication.priority == tickwire_protocol::Priority::Critical);
        assert_eq!(critical.count(), if is_kept { 1 } else { 2 }, "{options:?}");
    }
}

/// An alert's deadline is as durable as the store: a restart with an append-only file forgets neither it nor its message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_escalated_after_a_restart() {
    let mut server = RedisServer::with_options(&["--appendonly", "yes", "--appendfsync", "always"]);
    let backplane = connect(server.url()).await;
    let user = UserId::new("ann").unwrap();
    let spec = AlertSpec { id: AlertId::generate(&user), escalate_after: Some(Duration::from_millis(1)) };
    let alert = Publish {
        priority: tickwire_protocol::Priority::Critical,
        alert: Some(spec.clone()),
        ..Publish::new(channel("user:ann"), Policy::inbox(), RawJson::null())
    };
    backplane.publish(alert).await.unwrap();
    server.kill();
    until("the loss is noticed", || !backplane.is_healthy()).await;
    server.restart();
    until("it is healthy again", || backplane.is_healthy()).await;
    let due = backplane.claim_due(10, Duration::from_secs(60)).await.unwrap();
    assert_eq!(due.claimed.iter().map(|alert| &alert.id).collect::<Vec<_>>(), [&spec.id]);
    assert!(due.oldest_unacknowledged.is_some());
}

/// The epoch counts on from the one before also where the clock stands behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_behind_cannot_turn_epochs_back() {
    let server = RedisServer::start();
    let backplane = connect(server.url()).await;
    publish(&backplane, "room:1", 1).await;
    let keys: Vec<String> = server.command(&["KEYS", "tw:*:meta:room:1"]);
    let future = 4_000_000_000_000;
    server.command::<()>(&["HSET", &keys[0], "r", "another", "e", &future.to_string()]);
    assert_eq!(publish(&backplane, "room:1", 2).await, Position::new(future + 1, 1));
    server.command::<()>(&["DEL", &keys[0]]);
    assert_eq!(publish(&backplane, "room:1", 3).await, Position::new(future + 2, 1));
}

/// Numbering that another server did is noticed by the heartbeat, without a publish.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_heartbeat_notices_another_servers_numbering() {
    let server = RedisServer::start();
    let backplane = connect(server.url()).await;
    let (mut subscriber, _) = subscribe(&backplane, "room:1").await;
    let before = publish(&backplane, "room:1", 1).await;
    let keys: Vec<String> = server.command(&["KEYS", "tw:*:meta:room:1"]);
    server.command::<()>(&["HSET", &keys[0], "r", "another"]);
    let top = next(&mut subscriber, |signal| seen(signal).filter(|position| position.epoch > before.epoch)).await;
    assert_eq!(top.offset, 0);
}

/// Whoever is connected is listed again, whether the server restarted empty or lost its data under living connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_that_the_store_lost_is_stated_again() {
    let mut server = RedisServer::start();
    let backplane = connect(server.url()).await;
    let joined = PresenceChange { channel: channel("room:1"), user: UserId::new("ann").unwrap(), joined: true };
    backplane.report(report("n")).await.unwrap();
    backplane.presence_change("n", &[joined]).await.unwrap();
    until_present(&backplane, "ann").await;
    server.kill();
    until("the loss is noticed", || !backplane.is_healthy()).await;
    server.restart();
    until_present(&backplane, "ann").await;
    server.command::<()>(&["FLUSHALL"]);
    until_present(&backplane, "ann").await;
}

fn report(node: &str) -> NodeReport {
    let time_ms = tickwire_protocol::time::now_ms();
    NodeReport { node: node.into(), connections: 1, subscriptions: Vec::new(), time_ms, figures: None }
}

/// Reports, as a node does each second, until the user is listed.
async fn until_present(backplane: &RedisBackplane, user: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Both fail while the server is away.
        let reported = backplane.report(report("n")).await;
        let present = backplane.presence(&channel("room:1")).await;
        if present.is_ok_and(|present| present.users.iter().any(|present| present.as_str() == user)) {
            return;
        }
        assert!(Instant::now() < deadline, "{user} is not listed; the last report: {reported:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A node that was deaf when a token was revoked hears of it before the first message that its new connection brings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_missed_while_deaf_come_before_the_next_message() {
    let server = RedisServer::start();
    let relay = RedisRelay::start(server.port());
    let (backplane, elsewhere) = (connect(relay.url()).await, connect(server.url()).await);
    let (mut subscriber, _) = subscribe(&backplane, "room:1").await;
    relay.deafen(true);
    let order = Control::RevokeToken { jti: "stolen".into(), expires_at_ms: u64::MAX / 1_000 };
    elsewhere.control(order.clone()).await.unwrap();
    until("the deafness is noticed", || !backplane.is_healthy()).await;
    until("it is healthy again", || backplane.is_healthy()).await;
    let live = publish(&elsewhere, "room:1", 1).await;
    let is_known = std::cell::Cell::new(false);
    next(&mut subscriber, |signal| match signal {
        Signal::Controls(controls) => {
            is_known.set(is_known.get() || controls.contains(&order));
            None
        }
        Signal::Publication(publication) => publication.position.filter(|position| *position == live),
        _ => None,
    })
    .await;
    assert!(is_known.get(), "the message came first");
}
