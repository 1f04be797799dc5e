//! What journals survive.

use bytes::Bytes;
use tickwire_backplane::{Append, Fence, JournalName};

use super::*;

fn append(expected: u64, text: &'static str) -> Append {
    Append {
        journal: JournalName::new("session", "s1").unwrap(),
        fence: Fence(7),
        expected,
        records: vec![Bytes::from_static(text.as_bytes())],
    }
}

/// Records, fence and list are there after the server was killed and its channels opened a new epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_survives_a_killed_server_with_an_append_only_file() {
    let mut server = RedisServer::with_options(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let backplane = connect(server.url()).await;
    let before = publish(&backplane, "room:1", 1).await;
    assert_eq!(backplane.append(append(0, "one")).await.unwrap(), 1);
    assert_eq!(backplane.append(append(1, "two")).await.unwrap(), 2);
    server.kill();
    until("the loss is noticed", || !backplane.is_healthy()).await;
    server.restart();
    until("it is healthy again", || backplane.is_healthy()).await;
    assert_ne!(publish(&backplane, "room:1", 2).await.epoch, before.epoch);
    let journal = append(0, "").journal;
    let page = backplane.read_journal(&journal, 0, 10).await.unwrap();
    assert_eq!((page.length, page.records), (2, vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")]));
    assert_eq!(backplane.append(append(1, "two")).await.unwrap(), 2, "the answer was lost with the server");
    let older = Append { fence: Fence(6), ..append(2, "late") };
    assert!(matches!(backplane.append(older).await, Err(BackplaneError::Fenced { newest: Fence(7) })));
    assert_eq!(backplane.append(append(2, "three")).await.unwrap(), 3);
    assert_eq!(backplane.journals("session", None, 10).await.unwrap().len(), 1);
}

/// A master without its replicas says that it alone has the record; the same append tells when they have it too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_without_its_replica_fails_loudly_and_is_stored_once() {
    let server = RedisServer::start();
    let config = RedisConfig { critical_replicas: Some(1), ..RedisConfig::new(server.url()) };
    let backplane = RedisBackplane::connect(config).await.unwrap();
    for _ in 0..2 {
        let refused = backplane.append(append(0, "one")).await;
        assert!(matches!(refused, Err(BackplaneError::NotDurable { confirmed: 0, wanted: 1 })), "{refused:?}");
    }
    let moved = backplane.append(append(5, "six")).await;
    assert!(matches!(moved, Err(BackplaneError::JournalMoved { length: 1 })), "{moved:?}");
    let replica = RedisServer::with_options(&["--replicaof", "127.0.0.1", &server.port().to_string()]);
    let deadline = Instant::now() + PATIENCE;
    while backplane.append(append(0, "one")).await.is_err() {
        assert!(Instant::now() < deadline, "the replica never confirmed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(backplane.read_journal(&append(0, "").journal, 0, 10).await.unwrap().length, 1);
    drop(replica);
}
