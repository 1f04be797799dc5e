//! Passwords, TLS, failover, clusters.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_used_and_never_shown() {
    let server = RedisServer::with_password("hunter2");
    let backplane = connect(server.url()).await;
    publish(&backplane, "room:1", 1).await;
    assert!(!format!("{backplane:?}").contains("hunter2"));
    let wrong = RedisConfig { connect_timeout_s: 1, ..RedisConfig::new(server.url().replace("hunter2", "secret9")) };
    let error = RedisBackplane::connect(wrong).await.err().unwrap();
    assert!(unavailable::<()>(&Err(error)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_server_fails_the_start_with_its_cause() {
    let config = RedisConfig { connect_timeout_s: 1, ..RedisConfig::new("redis://:hunter2@127.0.0.1:1") };
    let error = RedisBackplane::connect(config).await.err().unwrap();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(!format!("{error:?} {cause}").contains("hunter2"));
    assert!(cause.contains("refused"), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_a_private_certificate_authority_works() {
    let server = RedisServer::with_tls();
    let trusting = RedisConfig { ca_file: server.ca_file().map(Into::into), ..RedisConfig::new(server.url()) };
    let backplane = RedisBackplane::connect(trusting).await.unwrap();
    let (mut subscriber, _) = subscribe(&backplane, "room:1").await;
    let position = publish(&backplane, "room:1", 1).await;
    next(&mut subscriber, |signal| seen(signal).filter(|seen| *seen == position)).await;
    let distrusting = RedisConfig { connect_timeout_s: 1, ..RedisConfig::new(server.url()) };
    assert!(unavailable(&RedisBackplane::connect(distrusting).await));
}

/// One key, two processes: one message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_holds_across_connections() {
    let server = RedisServer::start();
    let (one, two) = (connect(server.url()).await, connect(server.url()).await);
    let keyed = || Publish { idempotency_key: Some("k".into()), ..message("room:1", 1) };
    let first = one.publish(keyed()).await.unwrap();
    let second = two.publish(keyed()).await.unwrap();
    assert_eq!(second, Published { position: first.position, duplicate: true });
}

/// A promoted replica may have lost messages: it numbers in a new epoch, and all goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_failover_is_followed_into_a_new_epoch() {
    let mut servers = RedisSentinels::start(1);
    let backplane = connect(servers.url()).await;
    let (mut subscriber, _) = subscribe(&backplane, "room:1").await;
    let durable = Publish { policy: Policy { replicas_min: 1, ..reliable() }, ..message("room:1", 1) };
    let before = backplane.publish(durable).await.unwrap().position.unwrap();
    next(&mut subscriber, |signal| seen(signal).filter(|seen| *seen == before)).await;
    let master = servers.master();
    servers.servers[master].kill();
    let top = next(&mut subscriber, |signal| seen(signal).filter(|position| position.epoch > before.epoch)).await;
    assert_ne!(servers.master(), master);
    let after = publish(&backplane, "room:1", 2).await;
    assert!(after > before && after.epoch == top.epoch);
    next(&mut subscriber, |signal| seen(signal).filter(|seen| *seen == after)).await;
    until("it is healthy again", || backplane.is_healthy()).await;
}

/// A master that comes back as a replica takes no more messages, and nobody keeps sending it any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demoted_master_is_left() {
    let servers = RedisSentinels::start(1);
    let backplane = connect(servers.url()).await;
    let before = publish(&backplane, "room:1", 1).await;
    let master = servers.master();
    servers.servers[master].pause();
    let deadline = Instant::now() + PATIENCE;
    while servers.master() == master {
        assert!(Instant::now() < deadline, "no failover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    servers.servers[master].resume();
    // What it takes before anyone knows better is lost: the price of a namespace without `replicas_min`.
    for number in 2.. {
        assert!(Instant::now() < deadline, "the demoted master is still in use");
        if publish(&backplane, "room:1", number).await.epoch > before.epoch {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    until("it is healthy again", || backplane.is_healthy()).await;
    let (mut subscriber, _) = subscribe(&backplane, "room:1").await;
    let later = publish(&backplane, "room:1", 0).await;
    next(&mut subscriber, |signal| seen(signal).filter(|seen| *seen == later)).await;
}

/// A slot that moves to another master takes its channels along: they go on there, in a new epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_is_followed() {
    let cluster = RedisCluster::start(3);
    let backplane = connect(cluster.url()).await;
    let (mut subscriber, _) = subscribe(&backplane, "room:1").await;
    let before = publish(&backplane, "room:1", 1).await;
    cluster.move_slot_of_key(|master| master.command(&["KEYS", "tw:*:meta:room:1"]));
    let mut after = publish(&backplane, "room:1", 2).await;
    for number in 3.. {
        assert!(number < 1_000, "the move is not followed");
        if after.epoch > before.epoch {
            break;
        }
        after = publish(&backplane, "room:1", number).await;
    }
    next(&mut subscriber, |signal| seen(signal).filter(|seen| seen.epoch == after.epoch)).await;
    until("it is healthy again", || backplane.is_healthy()).await;
    let last = publish(&backplane, "room:1", 0).await;
    next(&mut subscriber, |signal| seen(signal).filter(|seen| *seen == last)).await;
}

/// A master that is gone takes its own channels with it, and no others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_masters_death_leaves_the_others_channels_alone() {
    let mut cluster = RedisCluster::start_with(3, &["--cluster-require-full-coverage", "no"]);
    let backplane = connect(cluster.url()).await;
    let names: Vec<String> = (0..30).map(|number| format!("room:{number}")).collect();
    let mut subscriber = backplane.subscriber(4_096);
    let channels: Vec<_> = names.iter().map(|name| (channel(name), reliable())).collect();
    backplane.subscribe(subscriber.id, &channels).await.unwrap();
    let keys: Vec<String> = cluster.masters[1].command(&["KEYS", "tw:*:meta:room:*"]);
    let (lost, kept): (Vec<_>, Vec<_>) =
        names.iter().partition(|name| keys.iter().any(|key| key.ends_with(&format!(":{name}"))));
    assert!(!lost.is_empty() && !kept.is_empty());
    cluster.masters[1].kill();
    until("the loss is noticed", || !backplane.is_healthy()).await;
    for round in 0..3 {
        for name in &kept {
            let position = backplane.publish(message(name, round)).await.unwrap().position;
            next(&mut subscriber, |signal| seen(signal).filter(|seen| Some(*seen) == position)).await;
        }
        assert!(unavailable(&backplane.publish(message(lost[0], round)).await));
    }
    assert!(!backplane.is_healthy());
}

/// Channels of every partition, on every master, are heard; one master's death leaves the others' alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_master_of_a_cluster_serves_its_channels() {
    let mut cluster = RedisCluster::start(3);
    let backplane = connect(cluster.url()).await;
    let channels: Vec<_> = (0..100).map(|number| (channel(&format!("room:{number}")), reliable())).collect();
    let mut subscriber = backplane.subscriber(4_096);
    backplane.subscribe(subscriber.id, &channels).await.unwrap();
    let batch = channels.iter().map(|(channel, _)| message(channel.as_str(), 1)).collect();
    for published in backplane.publish_batch(batch).await {
        assert_eq!(published.unwrap().position.unwrap().offset, 1);
    }
    let mut heard = std::collections::HashSet::new();
    while heard.len() < channels.len() {
        heard.insert(
            next(&mut subscriber, |signal| match signal {
                Signal::Publication(publication) => Some(publication.channel.clone()),
                _ => None,
            })
            .await,
        );
    }
    cluster.masters[1].restart();
    cluster.wait_until_whole();
    until("it is healthy again", || backplane.is_healthy()).await;
    for (channel, _) in &channels {
        publish(&backplane, channel.as_str(), 2).await;
    }
    let mut heard = std::collections::HashSet::new();
    while heard.len() < channels.len() {
        heard.insert(
            next(&mut subscriber, |signal| match signal {
                Signal::Publication(publication) if publication.data.as_str() == "2" => {
                    Some(publication.channel.clone())
                }
                _ => None,
            })
            .await,
        );
    }
}
