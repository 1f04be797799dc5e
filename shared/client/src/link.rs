//! A WebSocket to one edge.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tickwire_protocol::{
    CloseCode, Request,
    codec::{ServerEvent, decode_events, encode_requests},
};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        http::{HeaderMap, HeaderValue, header},
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode as WireCode},
    },
};

use crate::{
    ClientError,
    options::{ClientOptions, Encoding, TokenPlacement},
    session::{DialFailure, LinkEnd},
};

/// A peer that takes nothing for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What came over the link.
pub(crate) enum Incoming {
    Events(Vec<ServerEvent>),
    /// A ping, or a frame that this version cannot read.
    SignOfLife,
    Ended(LinkEnd),
}

#[derive(Debug)]
pub(crate) struct Link {
    socket: Box<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    encoding: Encoding,
}

impl Link {
    pub(crate) async fn dial(options: &ClientOptions, url: &str, token: &str) -> Result<Self, DialFailure> {
        let request = upgrade(url, options, token).map_err(|error| {
            tracing::warn!(%error, "a token that cannot be sent");
            DialFailure { status: Some(401), retry_after: None }
        })?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(options.message_bytes_max))
            .max_frame_size(Some(options.message_bytes_max));
        match connect_async_with_config(request, Some(config), true).await {
            Ok((socket, _)) => Ok(Self { socket: Box::new(socket), encoding: options.encoding }),
            Err(tungstenite::Error::Http(refusal)) => Err(DialFailure {
                status: Some(refusal.status().as_u16()),
                retry_after: retry_after(refusal.headers()),
            }),
            Err(error) => {
                tracing::debug!(%error, url, "cannot connect");
                Err(DialFailure { status: None, retry_after: None })
            }
        }
    }

    pub(crate) async fn send(&mut self, requests: &[Request]) -> Result<(), LinkEnd> {
        let bytes = encode_requests(self.encoding.is_binary(), requests);
        let message = if self.encoding.is_binary() {
            Message::Binary(bytes)
        } else {
            Message::Text(bytes.try_into().map_err(|_| ended("a request that is no UTF-8"))?)
        };
        match tokio::time::timeout(WRITE_TIMEOUT, self.socket.send(message)).await {
            Ok(sent) => sent.map_err(|error| ended(&error)),
            Err(_) => Err(ended("the server takes nothing")),
        }
    }

    /// The next thing that comes. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Incoming {
        let frame = match self.socket.next().await {
            None => return Incoming::Ended(ended("the connection was cut")),
            Some(Err(error)) => return Incoming::Ended(ended(&error)),
            Some(Ok(frame)) => frame,
        };
        let decoded = match &frame {
            Message::Text(text) => decode_events(false, text.as_bytes()),
            Message::Binary(bytes) => decode_events(true, bytes),
            Message::Close(close) => {
                return Incoming::Ended(LinkEnd {
                    code: close.as_ref().map(|close| close.code.into()),
                    reason: close.as_ref().map(|close| close.reason.to_string()).unwrap_or_default(),
                });
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Incoming::SignOfLife,
        };
        decoded.map_or_else(
            |error| {
                // A message may have been in it: a new link recovers by position, a skipped frame would be a silent loss.
                tracing::warn!(%error, "a frame that cannot be read");
                Incoming::Ended(ended(&error))
            },
            Incoming::Events,
        )
    }

    /// Says goodbye, as far as that goes without waiting for the other side.
    pub(crate) async fn close(mut self, code: CloseCode) {
        // Clients may only send 1000 and 3000 to 4999.
        let frame = CloseFrame { code: WireCode::from(code.as_u16()), reason: "".into() };
        if let Ok(Err(error)) =
            tokio::time::timeout(Duration::from_secs(1), WebSocketStream::close(&mut *self.socket, Some(frame))).await
        {
            tracing::debug!(%error, "closed without a close frame");
        }
    }
}

fn ended(reason: &(impl ToString + ?Sized)) -> LinkEnd {
    LinkEnd { code: None, reason: reason.to_string() }
}

fn upgrade(
    url: &str,
    options: &ClientOptions,
    token: &str,
) -> Result<tungstenite::handshake::client::Request, ClientError> {
    let invalid = |error: &dyn std::fmt::Display| ClientError::InvalidOptions(format!("{url}: {error}"));
    let mut request = url.into_client_request().map_err(|error| invalid(&error))?;
    let protocol = HeaderValue::from_static(options.encoding.subprotocol());
    request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    if options.token_placement == TokenPlacement::Header {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| invalid(&error))?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
    }
    Ok(request)
}

/// Refuses at once what no attempt could ever use.
pub(crate) fn check_urls(options: &ClientOptions) -> Result<(), ClientError> {
    if options.urls.is_empty() {
        return Err(ClientError::InvalidOptions("no address to connect to".into()));
    }
    for url in &options.urls {
        if !url.starts_with("ws://") && !url.starts_with("wss://") {
            return Err(ClientError::InvalidOptions(format!("{url}: an address starts with ws:// or wss://")));
        }
        upgrade(url, options, "")?;
    }
    Ok(())
}

/// `Retry-After` in seconds; the date form is left to backoff.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
