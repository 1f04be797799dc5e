//! A node, its clients, and how long they wait.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tickwire_auth::{
    Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_backplane::{Backplane, NodeFigures, Publish, Published, memory::MemoryBackplane};
use tickwire_edge::{Config, EdgeError};
use tickwire_protocol::{ChannelName, RawJson, UserId, namespace::Namespaces};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest, protocol::WebSocketConfig},
};
use tokio_util::sync::CancellationToken;

/// Far more than anything takes; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const SECRET: &str = "a secret of the tests, long enough";

/// An edge on a port of its own.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) backplane: Arc<MemoryBackplane>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) ended: JoinHandle<Result<(), EdgeError>>,
    namespaces: Namespaces,
}

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

pub(crate) fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

pub(crate) fn signer() -> Signer {
    Signer::new(&Secret::new(SECRET)).unwrap()
}

/// A token of `user` for an hour.
pub(crate) fn token(id: &str) -> String {
    signer().sign(&TokenClaims::new(user(id))).unwrap()
}

impl Node {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.auth.hs256_secret = Some(Secret::new(SECRET));
        config.edge.shards = 2;
        config.edge.drain_ms = 500;
        adjust(&mut config);
        let namespaces = Namespaces::with(&config.namespaces);
        let backplane = MemoryBackplane::new();
        let listener = tickwire_edge::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving: Arc<dyn Backplane> = backplane.clone();
        let ended = tokio::spawn(tickwire_edge::run(config, listener, serving, shutdown.clone()));
        Self { address, backplane, shutdown, ended, namespaces }
    }

    pub(crate) fn message(&self, name: &str, data: &Value) -> Publish {
        let channel = channel(name);
        let policy = self.namespaces.policy(&channel).unwrap().clone();
        Publish::new(channel, policy, RawJson::of(data).unwrap())
    }

    pub(crate) async fn publish(&self, name: &str, data: Value) -> Published {
        self.backplane.publish(self.message(name, &data)).await.unwrap()
    }

    /// A value of a `latest` channel.
    pub(crate) async fn publish_value(&self, name: &str, key: &str, data: Value) {
        let mut publish = self.message(name, &data);
        publish.key = Some(key.into());
        self.backplane.publish(publish).await.unwrap();
    }

    /// A client that speaks `tickwire.v1.json` and is authenticated as `user`.
    pub(crate) async fn client(&self, user: &str) -> Client {
        let mut client = Client::open(self.address, "/ws", Some("tickwire.v1.json"), Some(&token(user))).await;
        let connected = client.next().await;
        assert_eq!(connected["type"], "connected", "{connected}");
        client
    }

    /// Waits for a report of this node whose figures are as wanted.
    pub(crate) async fn until_reported(&self, wanted: impl Fn(&NodeFigures) -> bool) -> NodeFigures {
        let reported = async {
            loop {
                let nodes = self.backplane.nodes().await.unwrap();
                if let Some(figures) = nodes.into_iter().filter_map(|node| node.figures).find(&wanted) {
                    return figures;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, reported).await.expect("no report was as wanted")
    }

    /// Waits until `count` subscriptions of a channel are reported.
    pub(crate) async fn until_subscribed(&self, name: &str, count: u64) {
        let name = channel(name);
        let reported = async {
            loop {
                let nodes = self.backplane.nodes().await.unwrap();
                let subscribed = |node: &tickwire_backplane::NodeReport| {
                    node.subscriptions.iter().filter(|(held, _)| *held == name).map(|(_, count)| *count).sum::<u64>()
                };
                if nodes.iter().map(subscribed).sum::<u64>() == count {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, reported).await.expect("the report never came");
    }
}

/// One WebSocket. Packed frames are taken apart.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    waiting: std::collections::VecDeque<Value>,
    next_id: i64,
}

/// How a connection ended.
pub(crate) type Close = Option<(u16, String)>;

impl Client {
    pub(crate) async fn open(address: SocketAddr, path: &str, subprotocol: Option<&str>, token: Option<&str>) -> Self {
        Self::open_on(TcpStream::connect(address).await.unwrap(), path, subprotocol, token).await
    }

    pub(crate) async fn open_on(stream: TcpStream, path: &str, subprotocol: Option<&str>, token: Option<&str>) -> Self {
        Self::open_on_stream(MaybeTlsStream::Plain(stream), path, subprotocol, token).await
    }

    pub(crate) async fn open_on_stream(
        stream: MaybeTlsStream<TcpStream>,
        path: &str,
        subprotocol: Option<&str>,
        token: Option<&str>,
    ) -> Self {
        let mut request = format!("ws://localhost{path}").into_client_request().unwrap();
        if let Some(subprotocol) = subprotocol {
            request.headers_mut().insert("sec-websocket-protocol", subprotocol.parse().unwrap());
        }
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let limits = WebSocketConfig::default().max_message_size(Some(64 << 20)).max_frame_size(Some(64 << 20));
        let (socket, _) = timeout(PATIENCE, tokio_tungstenite::client_async_with_config(request, stream, Some(limits)))
            .await
            .unwrap()
            .unwrap();
        Self { socket, waiting: std::collections::VecDeque::new(), next_id: 1 }
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// Sends a command with an id and waits for what comes back under it; what comes before it is put aside, in order.
    pub(crate) async fn ask(&mut self, mut command: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        command["id"] = json!(id);
        self.send(command).await;
        let mut aside = Vec::new();
        let reply = loop {
            let frame = self.next().await;
            if frame["id"] == json!(id) {
                break frame;
            }
            aside.push(frame);
        };
        for frame in aside.into_iter().rev() {
            self.waiting.push_front(frame);
        }
        reply
    }

    pub(crate) async fn subscribe(&mut self, entry: Value) -> Value {
        let reply = self.ask(json!({"type": "subscribe", "channels": [entry]})).await;
        assert_eq!(reply["type"], "subscribed", "{reply}");
        reply
    }

    /// The next frame, heartbeats left out.
    pub(crate) async fn next(&mut self) -> Value {
        match self.next_or_close().await {
            Ok(frame) => frame,
            Err(close) => panic!("closed: {close:?}"),
        }
    }

    /// The next frame, or how the connection ended.
    pub(crate) async fn next_or_close(&mut self) -> Result<Value, Close> {
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                return Ok(frame);
            }
            let message = timeout(PATIENCE, self.socket.next()).await.expect("nothing came");
            match message {
                Some(Ok(Message::Text(text))) => self.take(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(close))) => {
                    return Err(close.map(|close| (close.code.into(), close.reason.to_string())));
                }
                Some(Ok(_)) => {}
                None | Some(Err(_)) => return Err(None),
            }
        }
    }

    fn take(&mut self, frame: Value) {
        let frames = if let Value::Array(frames) = frame { frames } else { vec![frame] };
        self.waiting.extend(frames.into_iter().filter(|frame| frame["type"] != "heartbeat"));
    }

    /// The next frame of this type.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Reads until the connection ends; its code.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match self.next_or_close().await {
                Ok(_) => {}
                Err(close) => return close.map_or(1006, |(code, _)| code),
            }
        }
    }
}

/// The numbers in `data.n` of message frames.
pub(crate) fn numbers<'a>(messages: impl IntoIterator<Item = &'a Value>) -> Vec<u64> {
    messages.into_iter().map(|message| message["data"]["n"].as_u64().unwrap()).collect()
}

/// Those of a reply's `messages`.
pub(crate) fn recovered_numbers(reply: &Value) -> Vec<u64> {
    numbers(reply["messages"].as_array().unwrap())
}
