//! A socket's task: it wakes when there is something to read, or to write after the socket was full.

use std::{
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use smallvec::SmallVec;
use tickwire_backplane::Offender;
use tickwire_protocol::{CloseCode, ErrorCode, Event};

use super::{
    Closing, Connection, ConnectionId, Sink,
    state::{self, Decoded},
};
use crate::{
    framing::{Incoming, outgoing},
    hub::{Hub, Shard, flush::Flushed},
    offences::Offence,
};

/// Reads of one socket in a row.
const READS_MAX: usize = 4;
/// Replies that may wait before no further command is read.
const REPLIES_WAITING_MAX: usize = 256 * 1024;

/// What a read gave.
enum Input {
    Frame(Decoded),
    Ping(Bytes),
    Pong,
    Closed(Option<u16>),
}

/// Serves a connection until it ends, then forgets it.
pub(crate) async fn serve(shard: Rc<Shard>, id: ConnectionId) {
    poll_fn(|context| shard.poll_connection(id, context)).await;
    shard.detach(id);
}

impl Shard {
    /// Ready when the connection is over.
    fn poll_connection(self: &Rc<Self>, id: ConnectionId, context: &mut Context<'_>) -> Poll<()> {
        for _ in 0..READS_MAX {
            let is_over = self.poll_write(&mut self.hub.borrow_mut(), id, context);
            if is_over || !ready!(self.poll_read(id, context)) {
                return Poll::Ready(());
            }
            self.pump(id);
            self.flush_urgent();
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what waits, as far as the socket lets it; whether the connection is over.
    fn poll_write(&self, hub: &mut Hub, id: ConnectionId, context: &mut Context<'_>) -> bool {
        loop {
            let Some(connection) = hub.connection(id) else { return true };
            if !connection.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                connection.waker = Some(context.waker().clone());
            }
            let Sink::Socket { stream, .. } = &connection.sink else { return true };
            if connection.outbox.as_ref().is_none_or(|outbox| outbox.is_empty()) && !stream.has_unsent() {
                break;
            }
            if connection.blocked {
                match stream.poll_write_ready(context) {
                    Poll::Pending => break,
                    Poll::Ready(Err(_)) => return true,
                    Poll::Ready(Ok(())) => connection.blocked = false,
                }
            }
            let flushed = self.write(hub, id);
            self.after_write(hub, id, flushed);
            match flushed {
                Flushed::Blocked => {}
                Flushed::Dead => return true,
                Flushed::Drained | Flushed::Held | Flushed::More => break,
            }
        }
        hub.connection(id).is_none_or(|connection| self.is_over(connection))
    }

    /// Once a close frame is written, the write side is shut and the peer's end awaited for a moment: dropping the socket
    /// with unread bytes would reset it, and the peer might never see the code.
    fn is_over(&self, connection: &mut Connection) -> bool {
        let Some(closing) = connection.closing else { return false };
        if closing.is_shut {
            return self.node.clock_ms().wrapping_sub(closing.deadline_ms) < u32::MAX / 2;
        }
        let is_written = connection.outbox.as_ref().is_none_or(|outbox| outbox.is_empty());
        if is_written
            && let Sink::Socket { stream, .. } = &mut connection.sink
            && !stream.has_unsent()
        {
            connection.closing = Some(Closing { is_shut: true, ..closing });
            return stream.shutdown().is_err();
        }
        false
    }

    /// Reads once. Ready with whether the connection goes on; pending while there is nothing to read or its commands wait.
    fn poll_read(&self, id: ConnectionId, context: &mut Context<'_>) -> Poll<bool> {
        let mut hub = self.hub.borrow_mut();
        let mut scratch = self.scratch.borrow_mut();
        let bytes = loop {
            let Some(connection) = hub.connection(id) else { return Poll::Ready(false) };
            if connection.closing.is_none() && connection.pauses_reading() {
                return Poll::Pending;
            }
            let Sink::Socket { stream, .. } = &mut connection.sink else { return Poll::Ready(false) };
            if ready!(stream.poll_read_ready(context)).is_err() {
                return Poll::Ready(false);
            }
            match stream.try_read(&mut scratch) {
                Ok(0) => return Poll::Ready(false),
                Ok(bytes) => break bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(_) => return Poll::Ready(false),
            }
        };
        self.take_bytes(&mut hub, id, &scratch[..bytes]);
        Poll::Ready(true)
    }

    /// Takes bytes from the peer: frames become commands that wait for [`Shard::pump`].
    pub(crate) fn take_bytes(&self, hub: &mut Hub, id: ConnectionId, bytes: &[u8]) {
        let limits = &self.node.config.limits;
        self.node.metrics.bytes_in.inc_by(bytes.len() as u64);
        let Some(connection) = hub.connection(id) else { return };
        if connection.closing.is_some() {
            return;
        }
        connection.heard_ms = self.node.clock_ms();
        let now = Instant::now();
        let mut inputs = SmallVec::<[Input; 2]>::new();
        let Connection { sink: Sink::Socket { reader, .. }, state, deflates, transport, .. } = connection else {
            return;
        };
        let mut inflater = self.inflater.borrow_mut();
        let inflater = deflates.then_some(&mut *inflater);
        let was_decided = state.decided().is_some();
        let read = reader.read(bytes, &limits.frames(), inflater, |incoming| match incoming {
            Incoming::Message { text, payload } => {
                inputs.push(Input::Frame(state.on_frame(now, payload, text, limits)));
            }
            Incoming::Ping(payload) => inputs.push(Input::Ping(outgoing::pong(payload))),
            Incoming::Pong => inputs.push(Input::Pong),
            Incoming::Close { code, .. } => inputs.push(Input::Closed(code)),
        });
        if !was_decided && let Some(dialect) = state.decided() {
            self.node.metrics.decided(*transport, dialect);
        }
        for input in inputs {
            match input {
                Input::Frame(decoded) => self.take_frame(hub, id, decoded, now),
                Input::Ping(pong) => {
                    if let Some(connection) = hub.settled(id) {
                        connection.outbox.get_or_insert_default().push_control(pong);
                        hub.mark_urgent(id);
                    }
                }
                Input::Pong => {
                    let clock_ms = self.node.clock_ms();
                    if hub.connection(id).is_some_and(|connection| connection.pulse.on_pong(clock_ms)) {
                        hub.mark_urgent(id);
                    }
                }
                Input::Closed(code) => self.answer_close(hub, id, code),
            }
        }
        if let Err(violation) = read {
            self.node.metrics.malformed.inc();
            self.close_for_flood(hub, id, violation.close_code(), &violation.to_string(), None);
        }
    }

    fn take_frame(&self, hub: &mut Hub, id: ConnectionId, decoded: Decoded, now: Instant) {
        let limits = &self.node.config.limits;
        if let Some(refusal) = decoded.refused {
            self.node.metrics.rate_limited.get_or_create(&crate::metrics::reason("commands")).inc();
            let Some(connection) = hub.connection(id) else { return };
            if connection.state.on_malformed(now, limits) {
                let event = state::refused(None, &refusal);
                self.close_for_flood(hub, id, CloseCode::RateLimited, "too many commands", Some(&event));
                return;
            }
            // Whoever waits for a reply gets one.
            for request in &decoded.requests {
                let request = request.as_ref().map_or_else(|malformed| malformed.id, |request| request.id);
                self.reply_in(hub, id, None, &state::refused(request, &refusal), None);
            }
            return;
        }
        for request in decoded.requests {
            match request {
                Ok(request) => {
                    self.node.metrics.commands.inc();
                    self.enqueue_in(hub, id, request);
                }
                Err(malformed) => {
                    self.node.metrics.malformed.inc();
                    let event = state::error(malformed.id, ErrorCode::BadRequest, &malformed.message, None);
                    let Some(connection) = hub.connection(id) else { return };
                    if connection.state.on_malformed(now, limits) {
                        self.close_for_flood(hub, id, CloseCode::BadCommand, "too many malformed frames", Some(&event));
                        return;
                    }
                    self.reply_in(hub, id, None, &event, None);
                }
            }
        }
    }

    /// Closes a connection for what it sent, which counts against its address.
    fn close_for_flood(&self, hub: &mut Hub, id: ConnectionId, code: CloseCode, why: &str, event: Option<&Event>) {
        if let Some(connection) = hub.connection(id) {
            self.node.count_offence(Offence::Flood, &Offender::Address(connection.peer), why);
        }
        self.close_in(hub, id, code, why, event);
    }

    /// The peer closes: the same code goes back and nothing else.
    fn answer_close(&self, hub: &mut Hub, id: ConnectionId, code: Option<u16>) {
        self.close_in(hub, id, CloseCode::Normal, "", None);
        if let Some(connection) = hub.connection(id) {
            connection.outbox.get_or_insert_default().cut(outgoing::close(code, ""));
        }
    }
}

impl Connection {
    /// Commands or replies wait: reading more would only move the peer's queue here.
    fn pauses_reading(&self) -> bool {
        self.commands.as_ref().is_some_and(|commands| !commands.is_empty())
            || self.outbox.as_ref().is_some_and(|outbox| outbox.reply_bytes() > REPLIES_WAITING_MAX)
    }
}
