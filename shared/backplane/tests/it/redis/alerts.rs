//! Which replicas a critical alert waits for: a master, two replicas, and nobody who promotes one of them but the test.

use super::*;

struct Replicated {
    master: RedisServer,
    replicas: [RedisServer; 2],
    /// The publisher's.
    backplane: Arc<RedisBackplane>,
}

impl Replicated {
    async fn start() -> Self {
        let master = RedisServer::with_options(&["--repl-diskless-sync-delay", "0"]);
        let of = format!("127.0.0.1 {}", master.port());
        let replicas = [(); 2].map(|()| RedisServer::with_options(&["--replicaof", &of]));
        until("both replicas follow", || {
            master.command::<String>(&["INFO", "replication"]).matches("state=online").count() == 2
        })
        .await;
        Self { backplane: RedisBackplane::connect(config(&master)).await.unwrap(), master, replicas }
    }

    fn config(&self) -> RedisConfig {
        config(&self.master)
    }

    async fn publish(&self, name: &str) -> Result<Published, BackplaneError> {
        self.backplane.publish(alert(name)).await
    }

    async fn publish_until_acknowledged(&self, name: &str) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.publish(name).await {
            assert!(matches!(error, BackplaneError::NotDurable { .. }) && Instant::now() < deadline, "{error:?}");
        }
    }
}

fn config(master: &RedisServer) -> RedisConfig {
    RedisConfig { critical_replicas: Some(1), ..RedisConfig::new(master.url()) }
}

fn alert(name: &str) -> Publish {
    Publish {
        priority: tickwire_protocol::Priority::Critical,
        idempotency_key: Some(name.into()),
        ..Publish::new(channel("user:ann"), Policy::inbox(), RawJson::of(&name).unwrap())
    }
}

async fn owed(backplane: &RedisBackplane) -> Vec<String> {
    let inbox = backplane.inbox(&channel("user:ann"), &Policy::inbox(), None).await.unwrap();
    inbox.owed.iter().map(|publication| publication.data.to().unwrap()).collect()
}

/// While Sentinels promote one replica, the old master goes on with the other one, which confirms what is lost with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_a_replica_just_promoted_lacks_is_not_acknowledged() {
    let servers = Replicated::start().await;
    servers.publish_until_acknowledged("one").await;
    servers.replicas[0].command::<()>(&["REPLICAOF", "NO", "ONE"]);
    let refused = servers.publish("two").await;
    assert!(matches!(refused, Err(BackplaneError::NotDurable { confirmed: 1, wanted: 2 })), "{refused:?}");
    // A publisher that has just started knows it from the master, which others asked before.
    let started = RedisBackplane::connect(servers.config()).await.unwrap();
    let refused = started.publish(alert("three")).await;
    assert!(matches!(refused, Err(BackplaneError::NotDurable { confirmed: 1, wanted: 2 })), "{refused:?}");
    let successor = connect(servers.replicas[0].url()).await;
    assert_eq!(owed(&successor).await, ["one"]);
    // Its publisher was told to repeat it, and needs no memory of where it was before.
    assert!(!successor.publish(alert("two")).await.unwrap().duplicate);
    assert!(successor.publish(alert("one")).await.unwrap().duplicate);
    assert_eq!(owed(&successor).await, ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_waits_for_the_slowest_replica() {
    let servers = Replicated::start().await;
    servers.publish_until_acknowledged("one").await;
    servers.replicas[1].pause();
    let refused = servers.publish("two").await;
    assert!(matches!(refused, Err(BackplaneError::NotDurable { confirmed: 1, wanted: 2 })), "{refused:?}");
    servers.replicas[1].resume();
    servers.publish_until_acknowledged("two").await;
    assert_eq!(owed(&servers.backplane).await, ["one", "two"], "repeated under its key it is one alert");
}

/// Also a replica that came a moment ago counts, and one that went for good does so for a while only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_wait_for_the_replicas_that_there_are() {
    let mut servers = Replicated::start().await;
    servers.replicas[1].kill();
    let refused = servers.publish("one").await;
    assert!(matches!(refused, Err(BackplaneError::NotDurable { confirmed: 1, wanted: 2 })), "{refused:?}");
    servers.publish_until_acknowledged("one").await;
    assert_eq!(servers.publish("two").await.unwrap().position.unwrap().offset, 2);
    let of = format!("127.0.0.1 {}", servers.master.port());
    let third = RedisServer::with_options(&["--replicaof", &of]);
    until("the third one follows", || {
        servers.master.command::<String>(&["INFO", "replication"]).matches("state=online").count() == 2
    })
    .await;
    servers.publish_until_acknowledged("three").await;
    third.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    let successor = connect(third.url()).await;
    assert_eq!(owed(&successor).await, ["one", "two", "three"]);
}
