//! A WebSocket without Tickwire's client: what is on the wire, as any program sees it.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::cluster::{soon, token};

pub(crate) struct Raw {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) subprotocol: Option<String>,
}

impl Raw {
    /// Connects as `user`, with the token in the header.
    pub(crate) async fn connect(url: &str, user: &str, subprotocol: Option<&'static str>) -> Self {
        Self::connect_with_token(url, &token(user), subprotocol).await
    }

    pub(crate) async fn connect_with_token(url: &str, token: &str, subprotocol: Option<&'static str>) -> Self {
        let mut request = url.into_client_request().unwrap();
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        request.headers_mut().insert("authorization", bearer);
        if let Some(subprotocol) = subprotocol {
            request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(subprotocol));
        }
        let (socket, answer) = soon("the upgrade", Box::pin(connect_async(request))).await.unwrap();
        let echoed = answer.headers().get("sec-websocket-protocol").map(|name| name.to_str().unwrap().to_owned());
        Self { socket, subprotocol: echoed }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn send_binary(&mut self, value: &serde_json::Value) {
        self.socket.send(Message::binary(rmp_serde::to_vec(value).unwrap())).await.unwrap();
    }

    /// The next data frame as JSON values: those packed in it. An empty list once the server closed.
    pub(crate) async fn frames(&mut self) -> Vec<serde_json::Value> {
        loop {
            match soon("a frame", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                    return match value {
                        serde_json::Value::Array(packed) => packed,
                        one => vec![one],
                    };
                }
                Some(Ok(Message::Binary(bytes))) => {
                    let mut rest = &bytes[..];
                    let mut packed = Vec::new();
                    while !rest.is_empty() {
                        packed.push(rmp_serde::from_read(&mut rest).unwrap());
                    }
                    return packed;
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Vec::new(),
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next value for which `wanted` holds; others are passed over.
    pub(crate) async fn find(&mut self, what: &str, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        loop {
            let frames = self.frames().await;
            assert!(!frames.is_empty(), "closed before {what}");
            if let Some(found) = frames.into_iter().find(|frame| wanted(frame)) {
                return found;
            }
        }
    }

    /// The next value of a type.
    pub(crate) async fn of_type(&mut self, kind: &str) -> serde_json::Value {
        self.find(kind, |frame| frame["type"] == kind).await
    }
}
