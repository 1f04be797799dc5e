//! An edge that does what a test tells it.

use std::{future::Future, net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

pub(crate) struct Edge {
    listener: TcpListener,
    pub(crate) addr: SocketAddr,
}

/// One connection, upgraded.
pub(crate) struct Connection {
    socket: WebSocketStream<TcpStream>,
    /// `Authorization` of the upgrade.
    pub(crate) authorization: Option<String>,
    binary: bool,
}

impl Edge {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        Self { listener, addr }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.addr)
    }

    async fn stream(&self) -> TcpStream {
        soon("a connection", self.listener.accept()).await.unwrap().0
    }

    /// Accepts one and upgrades it.
    pub(crate) async fn accept(&self) -> Connection {
        let stream = self.stream().await;
        let (mut authorization, mut binary) = (None, false);
        #[allow(clippy::result_large_err, reason = "tungstenite's signature")]
        let callback = |request: &Request, mut response: Response| {
            let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            authorization = header("authorization");
            let protocol = header("sec-websocket-protocol").expect("a subprotocol is offered");
            binary = protocol == "tickwire.v1.msgpack";
            response.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
            Ok(response)
        };
        let socket = accept_hdr_async(stream, callback).await.unwrap();
        Connection { socket, authorization, binary }
    }

    /// Accepts one, upgrades it and greets.
    pub(crate) async fn greet(&self) -> Connection {
        let mut connection = self.accept().await;
        connection.send(&connected()).await;
        connection
    }

    /// Refuses one upgrade.
    pub(crate) async fn refuse(&self, status: &str, headers: &str) {
        let mut stream = self.stream().await;
        let mut request = [0; 4_096];
        let mut read = 0;
        while !request[..read].windows(4).any(|end| end == b"\r\n\r\n") {
            read += tokio::io::AsyncReadExt::read(&mut stream, &mut request[read..]).await.unwrap();
        }
        let answer = format!("HTTP/1.1 {status}\r\n{headers}content-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

pub(crate) fn connected() -> Value {
    json!({"type": "connected", "connectionId": "c", "userId": "7", "node": "edge-a", "time": 1_000_000,
        "heartbeatInterval": 25_000})
}

pub(crate) fn message(offset: u64) -> Value {
    json!({"type": "message", "channel": "session:1", "position": format!("1-{offset}"), "time": 5, "priority": "medium",
        "data": offset})
}

impl Connection {
    pub(crate) async fn send(&mut self, frame: &Value) {
        let message = if self.binary {
            Message::binary(rmp_serde::to_vec(frame).unwrap())
        } else {
            Message::text(frame.to_string())
        };
        self.socket.send(message).await.unwrap();
    }

    /// Several frames in one.
    pub(crate) async fn send_packed(&mut self, frames: &[Value]) {
        let message = if self.binary {
            Message::binary(frames.iter().flat_map(|frame| rmp_serde::to_vec(frame).unwrap()).collect::<Vec<_>>())
        } else {
            Message::text(Value::from(frames).to_string())
        };
        self.socket.send(message).await.unwrap();
    }

    /// The next command of the client.
    pub(crate) async fn command(&mut self) -> Value {
        loop {
            match soon("a command", self.socket.next()).await.expect("open").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Binary(bytes) => return rmp_serde::from_slice(&bytes).unwrap(),
                _ => {}
            }
        }
    }

    /// Answers the next command, a subscribe to `session:1`; gives its `since`.
    pub(crate) async fn subscribed(&mut self, top: u64, recovered: bool, messages: &[Value]) -> Option<String> {
        let command = self.command().await;
        assert_eq!(command["type"], "subscribe", "{command}");
        let entry = &command["channels"][0];
        self.send(&json!({"id": command["id"], "type": "subscribed", "channel": "session:1", "class": "reliable",
            "position": format!("1-{top}"), "recovered": recovered, "messages": messages}))
            .await;
        entry["since"].as_str().map(ToOwned::to_owned)
    }

    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "said the script".into() };
        self.socket.close(Some(frame)).await.unwrap();
        // Until the client has answered, lest the reset of a dropped socket overtake the close frame.
        while let Some(Ok(_)) = soon("the close", self.socket.next()).await {}
    }
}
