//! A WebSocket to a venue.

use std::{future::poll_fn, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

use crate::{
    simulate::REPLAYED_HEADER,
    venue::{
        Fault, FaultClass,
        fault::{of_close_code, of_http_status},
    },
};

/// How long TCP, TLS and upgrade may take together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a venue may take nothing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// What arrived.
#[derive(Debug)]
pub(crate) enum Received {
    Text(tungstenite::Utf8Bytes),
    Binary(bytes::Bytes),
    /// Answered already.
    Ping,
    Pong,
    Ended(Fault),
}

/// An open connection.
pub(crate) struct Socket {
    stream: Box<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    /// The other end is a simulator.
    pub(crate) is_replayed: bool,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("is_replayed", &self.is_replayed).finish_non_exhaustive()
    }
}

impl Socket {
    /// Connects. Frames above `frame_bytes_max` end the connection.
    pub(crate) async fn dial(url: &str, frame_bytes_max: usize) -> Result<Self, Fault> {
        let config =
            WebSocketConfig::default().max_message_size(Some(frame_bytes_max)).max_frame_size(Some(frame_bytes_max));
        let dialling = connect_async_with_config(url, Some(config), true);
        match timeout(DIAL_TIMEOUT, dialling).await {
            Ok(Ok((stream, response))) => {
                let is_replayed = response.headers().contains_key(REPLAYED_HEADER);
                Ok(Self { stream: Box::new(stream), is_replayed })
            }
            Ok(Err(tungstenite::Error::Http(response))) => {
                let status = response.status().as_u16();
                // An upgrade that does not exist is a wrong address here, not a refused subscription.
                let class = match of_http_status(status) {
                    FaultClass::Rejected => FaultClass::Network,
                    class => class,
                };
                Err(Fault::new(class, None, &format!("the upgrade was refused with status {status}")))
            }
            Ok(Err(error)) => Err(Fault::new(FaultClass::Network, None, &error.to_string())),
            Err(_) => Err(Fault::new(FaultClass::Network, None, "no connection within ten seconds")),
        }
    }

    /// The next frame. Safe to drop: a frame half read stays in the socket's buffer.
    pub(crate) async fn receive(&mut self) -> Received {
        loop {
            return match self.stream.next().await {
                Some(Ok(Message::Text(text))) => Received::Text(text),
                Some(Ok(Message::Binary(bytes))) => Received::Binary(bytes),
                Some(Ok(Message::Ping(_))) => {
                    // The pong was queued by the read and leaves with this.
                    match timeout(WRITE_TIMEOUT, self.stream.flush()).await {
                        Ok(Ok(())) => Received::Ping,
                        Ok(Err(error)) => Received::Ended(ended(&error)),
                        Err(_) => Received::Ended(Fault::new(FaultClass::Network, None, "takes nothing")),
                    }
                }
                Some(Ok(Message::Pong(_))) => Received::Pong,
                Some(Ok(Message::Close(frame))) => Received::Ended(match frame {
                    Some(frame) => {
                        let code = u16::from(frame.code);
                        Fault::new(of_close_code(code), None, &format!("closed with {code}: {}", frame.reason))
                    }
                    None => Fault::new(FaultClass::Network, None, "closed without a code"),
                }),
                Some(Ok(Message::Frame(_))) => continue,
                Some(Err(error)) => Received::Ended(ended(&error)),
                None => Received::Ended(Fault::new(FaultClass::Network, None, "the connection ended")),
            };
        }
    }

    /// Waits until a frame can be taken. Safe to drop.
    pub(crate) async fn ready(&mut self) -> Result<(), Fault> {
        let ready = poll_fn(|context| self.stream.poll_ready_unpin(context));
        taken(timeout(WRITE_TIMEOUT, ready).await)
    }

    /// Takes a frame, after [`Self::ready`]; it leaves with [`Self::flush`].
    pub(crate) fn start(&mut self, text: String) -> Result<(), Fault> {
        self.stream.start_send_unpin(Message::text(text)).map_err(|error| ended(&error))
    }

    /// Writes what was taken. Safe to drop and to call again.
    pub(crate) async fn flush(&mut self) -> Result<(), Fault> {
        taken(timeout(WRITE_TIMEOUT, self.stream.flush()).await)
    }

    /// Says goodbye, without waiting long for an answer.
    pub(crate) async fn close(mut self) {
        let _late = timeout(Duration::from_millis(500), self.stream.close()).await;
    }
}

fn taken(result: Result<Result<(), tungstenite::Error>, tokio::time::error::Elapsed>) -> Result<(), Fault> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(ended(&error)),
        Err(_) => Err(Fault::new(FaultClass::Network, None, "the venue takes nothing")),
    }
}

fn ended(error: &tungstenite::Error) -> Fault {
    let class = match error {
        tungstenite::Error::Capacity(_) | tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_) => {
            FaultClass::Protocol
        }
        _ => FaultClass::Network,
    };
    Fault::new(class, None, &error.to_string())
}
