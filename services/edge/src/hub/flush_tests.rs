use std::{rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use tickwire_auth::{Identity, Secret};
use tickwire_backplane::{Backplane, Publish, memory::MemoryBackplane};
use tickwire_protocol::{ChannelName, Priority, RawJson, UserId};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::LocalSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    Config,
    connection::{Handshake, task},
    hub::pace::Pace,
    metrics::Transport,
    node::Node,
};

const PATIENCE: Duration = Duration::from_secs(20);

struct Rig {
    shard: Rc<Shard>,
    backplane: Arc<MemoryBackplane>,
}

impl Rig {
    fn start() -> Self {
        let mut config = Config::default();
        config.auth.hs256_secret = Some(Secret::new("a secret of thirty-two bytes or more"));
        let backplane = MemoryBackplane::new();
        let serving: Arc<dyn Backplane> = backplane.clone();
        let node = Arc::new(Node::new(config, serving, CancellationToken::new()).unwrap());
        let subscriber = backplane.subscriber(1_024);
        let shard = Shard::new(Arc::clone(&node), subscriber.id);
        let orders = node.open_mailboxes(1).remove(0);
        tokio::task::spawn_local(shard.clone().run(subscriber.signals, orders));
        Self { shard, backplane }
    }

    /// A client that is subscribed to one channel.
    async fn client(&self, channel: &str) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let identity = Identity {
            user: UserId::new("7").unwrap(),
            roles: Vec::new(),
            grants: Vec::new(),
            expires_at_ms: u64::MAX,
            issued_at_s: None,
            token_id: None,
        };
        let handshake = Handshake {
            peer: peer.ip(),
            transport: Transport::WebSocket,
            identity: Some(identity),
            dialect: None,
            offered: false,
            deflates: false,
            area: None,
            slot: self.shard.node.limits.admit(peer.ip()).unwrap(),
        };
        let id = self.shard.attach_socket(Socket::Plain(stream), &Bytes::new(), handshake);
        tokio::task::spawn_local(task::serve(self.shard.clone(), id));
        let subscribe = format!(r#"{{"type":"subscribe","channels":["{channel}"]}}"#);
        let mut frame = vec![0x81, 0x80 | u8::try_from(subscribe.len()).unwrap(), 0, 0, 0, 0];
        frame.extend_from_slice(subscribe.as_bytes());
        client.write_all(&frame).await.unwrap();
        until_read(&mut client, "\"subscribed\"").await;
        client
    }

    async fn publish(&self, channel: &str, priority: Priority) {
        let channel = ChannelName::new(channel).unwrap();
        let policy = self.shard.node.namespaces.policy(&channel).unwrap().clone();
        let mut publish = Publish::new(channel, policy, RawJson::of("published").unwrap());
        publish.priority = priority;
        self.backplane.publish(publish).await.unwrap();
    }

    fn dirty(&self) -> usize {
        self.shard.hub.borrow().dirty.len()
    }
}

async fn until_read(client: &mut TcpStream, wanted: &str) {
    let mut seen = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&seen).contains(wanted) {
            assert!(client.read_buf(&mut seen).await.unwrap() > 0, "closed");
        }
    };
    timeout(PATIENCE, read).await.unwrap();
}

#[tokio::test]
async fn what_is_critical_leaves_at_once_while_the_rest_gathers() {
    let test = async {
        let rig = Rig::start();
        let mut calm = rig.client("public:calm").await;
        let mut alarmed = rig.client("public:alarm").await;
        // As after a round of writes that took an hour.
        let hour = Duration::from_secs(3_600);
        let mut pace = Pace::new(hour);
        let now = Instant::now();
        pace.flushed(now, now + hour);
        rig.shard.hub.borrow_mut().pace = pace;
        for _ in 0..3 {
            rig.publish("public:calm", Priority::Medium).await;
        }
        rig.publish("public:alarm", Priority::Critical).await;
        until_read(&mut alarmed, "published").await;
        assert_eq!(rig.dirty(), 1, "the others wait");
        rig.shard.hub.borrow_mut().pace = Pace::new(hour);
        rig.publish("public:calm", Priority::Medium).await;
        until_read(&mut calm, "published").await;
        assert_eq!(rig.dirty(), 0);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_lone_message_waits_for_nothing() {
    let test = async {
        let rig = Rig::start();
        // Were a rested shard to wait, it would wait for an hour.
        rig.shard.hub.borrow_mut().pace = Pace::new(Duration::from_secs(3_600));
        let mut client = rig.client("public:x").await;
        rig.publish("public:x", Priority::Medium).await;
        until_read(&mut client, "published").await;
    };
    LocalSet::new().run_until(test).await;
}
