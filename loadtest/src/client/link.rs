//! One connection that stays open: a WebSocket, or a stream of events.

use std::{future::poll_fn, io, task::Poll, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    Client, Order, World,
    http::{self, Head},
    session::Effects,
    socket::Socket,
    sse::EventReader,
    target::Target,
};
use crate::{
    frame::{self, FrameReader, Incoming, Opcode, Violation},
    plan::Transport,
    scan::Malformed,
};

/// How often a slow client reads.
const SLOW_STEP: Duration = Duration::from_millis(100);

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It was told to.
    Ordered(Order),
    /// The edge asked the client to come back after so many milliseconds.
    Asked(u64),
    /// Otherwise: a close code, or what was seen; and how long to stay away, seconds, if that was said.
    Cut(String, Option<u64>),
}

impl End {
    pub(super) fn cut(what: impl Into<String>) -> Self {
        Self::Cut(what.into(), None)
    }
}

impl From<Violation> for End {
    fn from(_: Violation) -> Self {
        Self::cut("protocol violated")
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::cut(error.kind().to_string())
    }
}

/// What takes the bytes of a connection apart.
#[derive(Debug)]
enum Decoder {
    WebSocket(FrameReader),
    Events(EventReader),
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: Socket,
    decoder: Decoder,
    out: Vec<u8>,
    mask: u32,
}

impl Link {
    /// Connects and subscribes; returns once everything is subscribed.
    pub(super) async fn open(client: &Client, world: &World, target: &Target) -> Result<Self, End> {
        let stream = target.connect(client.number, world.plan.sources, client.plan.is_slow).await?;
        let is_websocket = client.plan.transport == Transport::WebSocket;
        let request = if is_websocket {
            http::upgrade(&target.path, &target.authority, &client.token, world.is_packed)
        } else {
            events_request(client, world, target)
        };
        let mut link = Self {
            stream,
            decoder: Decoder::WebSocket(FrameReader::default()),
            out: request.into_bytes(),
            mask: client.number.wrapping_mul(0x9E37_79B9) | 1,
        };
        link.flush().await?;
        let (head, rest) = read_head(client, world, &mut link.stream).await?;
        let expected = if is_websocket { 101 } else { 200 };
        if head.status != expected {
            return Err(End::Cut(format!("http {}", head.status), head.retry_after_s));
        }
        if is_websocket {
            let command = client.session.borrow_mut().subscribe_command(&world.plan.channels);
            link.send(&command);
        } else {
            link.decoder = Decoder::Events(EventReader::new(head.is_chunked));
        }
        if !link.take(client, world, &rest)?.ready {
            link.pump(client, world, true).await?;
        }
        Ok(link)
    }

    /// Reads until the connection ends.
    pub(super) async fn stay(&mut self, client: &Client, world: &World) -> End {
        match self.pump(client, world, false).await {
            Err(end) => end,
            Ok(()) => End::cut("ended"),
        }
    }

    /// Reads until all is subscribed, if `until_ready`, or until the end.
    async fn pump(&mut self, client: &Client, world: &World, until_ready: bool) -> Result<(), End> {
        let step_bytes = usize::try_from(world.plan.slow_bytes_per_s / 10).unwrap_or(1).max(1);
        let mut slow_until = client.plan.is_slow.then(Instant::now);
        loop {
            self.flush().await?;
            if let Some(at) = &mut slow_until {
                *at += SLOW_STEP;
                rest(client, *at).await?;
            }
            let limit = if client.plan.is_slow { step_bytes } else { usize::MAX };
            let length = read(client, world, &mut self.stream, limit).await?;
            let scratch = world.scratch.borrow();
            let effects = self.take(client, world, &scratch[..length])?;
            if until_ready && effects.ready {
                return Ok(());
            }
        }
    }

    /// Makes of `bytes` what they mean.
    fn take(&mut self, client: &Client, world: &World, bytes: &[u8]) -> Result<Effects, End> {
        let now_us = world.clock.now_us();
        client.heard_us.set(now_us);
        let mut meter = world.meter.borrow_mut();
        meter.totals.received_bytes += bytes.len() as u64;
        meter.reads += 1;
        let mut session = client.session.borrow_mut();
        let mut all = Effects::default();
        let (out, mask) = (&mut self.out, &mut self.mask);
        let mut message = |text: &[u8]| -> Result<(), End> {
            let read = session.on_message(text, now_us, &world.directory, &mut meter);
            let effects = read.map_err(|Malformed| {
                meter.totals.malformed += 1;
                End::cut("malformed")
            })?;
            all.ready |= effects.ready;
            all.refused |= effects.refused;
            all.reconnect_after_ms = effects.reconnect_after_ms.or(all.reconnect_after_ms);
            Ok(())
        };
        match &mut self.decoder {
            Decoder::Events(reader) => reader.feed(bytes, message)?,
            Decoder::WebSocket(reader) => reader.feed(bytes, |incoming| match incoming {
                Incoming::Message(text) => message(text),
                Incoming::Ping(payload) => {
                    frame::write(out, Opcode::Pong, payload, next_mask(mask));
                    Ok(())
                }
                Incoming::Pong => Ok(()),
                Incoming::Close(code) => Err(End::cut(code.to_string())),
            })?,
        }
        session.ack_commands(now_us, &world.plan.channels, |command| {
            frame::write(out, Opcode::Text, command.as_bytes(), next_mask(mask));
        });
        if all.refused {
            return Err(End::cut("subscription refused"));
        }
        match all.reconnect_after_ms {
            Some(after_ms) => Err(End::Asked(after_ms)),
            None => Ok(all),
        }
    }

    fn send(&mut self, command: &str) {
        frame::write(&mut self.out, Opcode::Text, command.as_bytes(), next_mask(&mut self.mask));
    }

    async fn flush(&mut self) -> Result<(), End> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.out = Vec::new();
        }
        Ok(())
    }
}

/// Masks keep proxies from being fooled; that they differ is enough.
fn next_mask(mask: &mut u32) -> u32 {
    *mask = mask.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *mask
}

fn events_request(client: &Client, world: &World, target: &Target) -> String {
    let session = client.session.borrow();
    let path = format!("/sse?channels={}", http::encode(&session.names(&world.plan.channels)));
    let id = session.event_id(&world.plan.channels);
    let more = if id.is_empty() { String::new() } else { format!("Last-Event-ID: {id}\r\n") };
    http::get(&path, &target.authority, &client.token, &more)
}

/// The head of the answer, and what was read beyond it.
pub(super) async fn read_head(client: &Client, world: &World, stream: &mut Socket) -> Result<(Head, Vec<u8>), End> {
    let mut read = Vec::new();
    loop {
        read_some(client, world, stream, &mut read).await?;
        match Head::read(&read) {
            Ok(None) => {}
            Ok(Some(head)) => return Ok((head, read.split_off(head.bytes))),
            Err(http::BadHead) => return Err(End::cut("no HTTP")),
        }
    }
}

/// Appends what can be read, at least one byte.
pub(super) async fn read_some(
    client: &Client,
    world: &World,
    stream: &mut Socket,
    into: &mut Vec<u8>,
) -> Result<(), End> {
    let length = read(client, world, stream, usize::MAX).await?;
    into.extend_from_slice(&world.scratch.borrow()[..length]);
    Ok(())
}

/// Reads 1 to `limit` bytes to the start of the worker's scratch buffer, unless an order comes first.
async fn read(client: &Client, world: &World, stream: &mut Socket, limit: usize) -> Result<usize, End> {
    let length = poll_fn(|cx| match client.poll_order(cx) {
        Poll::Ready(order) => Poll::Ready(Err(End::Ordered(order))),
        Poll::Pending => {
            let mut scratch = world.scratch.borrow_mut();
            let limit = limit.min(scratch.len());
            stream.poll_read(cx, &mut scratch[..limit]).map_err(End::from)
        }
    })
    .await?;
    if length == 0 { Err(End::cut("closed")) } else { Ok(length) }
}

/// Waits until `at`, or for an order.
async fn rest(client: &Client, at: Instant) -> Result<(), End> {
    tokio::select! {
        () = sleep_until(at) => Ok(()),
        order = poll_fn(|cx| client.poll_order(cx)) => Err(End::Ordered(order)),
    }
}
