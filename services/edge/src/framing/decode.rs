//! fastwebsockets as a decoder of complete frames in memory.

use std::{
    future::{Ready, ready},
    io,
    pin::Pin,
    task::{Context, Poll},
};

use fastwebsockets::{Frame, Role, WebSocketError, WebSocketRead, after_handshake_split};
use futures_util::FutureExt;
use tokio::io::{AsyncRead, ReadBuf};

use super::Violation;

/// Decodes frame after frame from bytes whose headers the caller has checked.
///
/// fastwebsockets 0.10 reserves what a header declares, keeps its buffer for ever and loses its place when its future
/// is dropped. Here none of it can happen: it sees only frames that are complete and within the limits, its buffer lives for
/// one burst, and its future is always ready.
pub(super) struct Decoder<'a> {
    reader: WebSocketRead<Slice<'a>>,
}

/// A source that never pends.
struct Slice<'a>(&'a [u8]);

impl AsyncRead for Slice<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (now, rest) = self.0.split_at(self.0.len().min(buf.remaining()));
        buf.put_slice(now);
        self.0 = rest;
        Poll::Ready(Ok(()))
    }
}

impl<'a> Decoder<'a> {
    /// Over `bytes`, the first of which begins a frame.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let (mut reader, _) = after_handshake_split(Slice(bytes), tokio::io::sink(), Role::Server);
        reader.set_auto_close(false);
        reader.set_auto_pong(false);
        Self { reader }
    }

    /// The next frame, unmasked; a whole text frame is checked for UTF-8.
    pub(super) fn next_frame(&mut self) -> Result<Frame<'_>, Violation> {
        // Nothing is ever sent from here: answering is the connection's part.
        let mut send = |_: Frame<'_>| -> Ready<Result<(), WebSocketError>> { ready(Ok(())) };
        match self.reader.read_frame(&mut send).now_or_never() {
            Some(Ok(frame)) => Ok(frame),
            Some(Err(WebSocketError::InvalidUTF8)) => Err(Violation::Utf8),
            Some(Err(_)) | None => Err(Violation::Undecodable),
        }
    }
}
