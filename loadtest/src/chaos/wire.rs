//! A WebSocket without Tickwire's client: what the server says, before a client makes the best of it.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use tickwire_protocol::{
    Command, Request,
    codec::{ServerEvent, decode_events, encode_requests},
};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};

/// Dial and upgrade together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An open connection.
pub(crate) struct Wire {
    socket: WebSocketStream<TcpStream>,
    next_id: i64,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The server's HTTP status.
    Status(u16),
    /// Anything that broke on the way.
    Link,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Came {
    Events(Vec<ServerEvent>),
    /// A ping, say.
    SignOfLife,
    /// The end, with the close code if the server said one.
    End(Option<u16>),
}

impl Wire {
    /// Connects to a port on loopback with the token in the header.
    pub(crate) async fn connect(port: u16, token: &str) -> Result<Self, Refusal> {
        Self::connect_with_buffer(port, token, None).await
    }

    /// The same with a receive buffer of the kernel of about this size.
    pub(crate) async fn connect_with_buffer(
        port: u16,
        token: &str,
        buffer_bytes: Option<u32>,
    ) -> Result<Self, Refusal> {
        let dial = Self::dial(port, token, buffer_bytes);
        match timeout(CONNECT_TIMEOUT, Box::pin(dial)).await {
            Ok(Ok(wire)) => Ok(wire),
            Ok(Err(error)) => match error.downcast_ref() {
                Some(tungstenite::Error::Http(answer)) => Err(Refusal::Status(answer.status().as_u16())),
                _ => Err(Refusal::Link),
            },
            Err(_) => Err(Refusal::Link),
        }
    }

    async fn dial(port: u16, token: &str, buffer_bytes: Option<u32>) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://127.0.0.1:{port}/ws").into_client_request()?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).context("a token for a header")?;
        request.headers_mut().insert("authorization", bearer);
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("tickwire.v1.json"));
        let (socket, _) = client_async(request, stream).await?;
        Ok(Self { socket, next_id: 1 })
    }

    /// Sends a command and gives its id; `None` if the connection is gone.
    pub(crate) async fn send(&mut self, command: Command) -> Option<i64> {
        let id = self.next_id;
        self.next_id += 1;
        let bytes = encode_requests(false, &[Request { id: Some(id), command }]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let sent = timeout(CONNECT_TIMEOUT, self.socket.send(Message::text(text))).await;
        matches!(sent, Ok(Ok(()))).then_some(id)
    }

    /// The next thing that comes. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Came {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => match decode_events(false, text.as_bytes()) {
                Ok(events) => Came::Events(events),
                Err(error) => {
                    tracing::error!(%error, "a frame that cannot be read");
                    Came::End(None)
                }
            },
            Some(Ok(Message::Close(close))) => Came::End(close.map(|close| close.code.into())),
            Some(Ok(_)) => Came::SignOfLife,
            Some(Err(_)) | None => Came::End(None),
        }
    }

    /// Says goodbye without waiting for an answer.
    pub(crate) async fn close(mut self) {
        // A connection that is gone needs no goodbye.
        let _ = timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }
}
