//! One client attached to a shard.
//!
//! [`state`] decides what a frame or command means, without I/O; [`task`] moves bytes between the socket, the state and the
//! hub; [`commands`] carries out what needs the backplane.
//!
//! The seam to accepting clients: `accept` and `fallback` make a [`Handshake`] and give it to `Shard::attach_socket` (and
//! go on as its task) or `Shard::open_pull` (SSE and polling: same hub, same outbox, no socket).

pub(crate) mod commands;
pub(crate) mod pull;
pub(crate) mod pulse;
pub(crate) mod socket;
pub(crate) mod state;
pub(crate) mod task;

use std::{collections::VecDeque, net::IpAddr, rc::Rc, sync::Arc, task::Waker};

use tickwire_auth::Identity;
use tickwire_protocol::{CloseCode, DeliveryClass, Event, Publication, Request, dialect::Dialect};

use crate::{
    framing::{
        FrameReader,
        outgoing::{self, DataKind},
    },
    hub::gather::List,
    limits::Slot,
    metrics::Transport,
    outbox::{ChannelId, Item, Outbox, Packing, Pushed, Tag},
};
use pulse::Pulse;
use socket::Socket;
use state::State;

/// What accepting a client found out.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// The client's address.
    pub(crate) peer: IpAddr,
    /// For metrics.
    pub(crate) transport: Transport,
    /// Who it is, if the upgrade carried a token.
    pub(crate) identity: Option<Identity>,
    /// That of the echoed subprotocol; `None`: the first frame decides.
    pub(crate) dialect: Option<Dialect>,
    /// It offered a `tickwire.v1` subprotocol: frames may be packed, heartbeats are shown.
    pub(crate) offered: bool,
    /// permessage-deflate was agreed on.
    pub(crate) deflates: bool,
    /// Key of `edge.areas`; only its namespaces exist for this connection.
    pub(crate) area: Option<Arc<str>>,
    /// Its place among the node's connections.
    pub(crate) slot: Slot,
}

/// Names a connection for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId {
    pub(crate) key: u32,
    /// Guards against a reused key.
    pub(crate) serial: u32,
}

/// Where what waits goes.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Written by the hub or the task.
    Socket {
        /// Nonblocking.
        stream: Socket,
        /// The peer's frames.
        reader: FrameReader,
    },
    /// Taken by a [`pull::Pull`].
    Pull,
}

/// Why and until when a connection is only kept to write what is left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closing {
    /// Shard clock at which it is dropped at the latest.
    pub(crate) deadline_ms: u32,
    /// Everything is written and the write side is shut: only the peer's end is awaited.
    pub(crate) is_shut: bool,
}

/// Where the shard has a connection listed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Listed {
    /// Among those to be written when the pace allows.
    pub(crate) dirty: bool,
    /// Among those to be written at once.
    pub(crate) urgent: bool,
}

/// A client. Boxed in the shard's slab.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) serial: u32,
    pub(crate) sink: Sink,
    pub(crate) transport: Transport,
    /// The task's (or the pull's).
    pub(crate) waker: Option<Waker>,
    pub(crate) outbox: Option<Box<Outbox>>,
    /// What it shares with others of what waits; empty while there is an outbox.
    pub(crate) gathered: List,
    /// Bytes of the outbox as counted in the shard's sum.
    pub(crate) accounted: u32,
    /// The socket would block: only its task writes, when it is writable.
    pub(crate) blocked: bool,
    /// Whether it reads `latest` values as fast as they are written.
    pub(crate) pulse: Pulse,
    /// permessage-deflate was agreed on: compressed frames may go and come.
    pub(crate) deflates: bool,
    pub(crate) listed: Listed,
    pub(crate) state: State,
    /// Commands that wait for the one in progress.
    #[allow(clippy::box_collection, reason = "most connections have none: 8 bytes instead of 32")]
    pub(crate) commands: Option<Box<VecDeque<Request>>>,
    /// Calls for this connection in progress; no further command is begun meanwhile, so that their order holds.
    pub(crate) busy: u16,
    pub(crate) slot: Slot,
    pub(crate) peer: IpAddr,
    /// Shard clock, milliseconds.
    pub(crate) heard_ms: u32,
    pub(crate) sent_ms: u32,
    pub(crate) pinged_ms: u32,
    pub(crate) closing: Option<Closing>,
}

/// The frame of `body` in `dialect`.
pub(crate) fn frame(dialect: Dialect, body: &[u8]) -> bytes::Bytes {
    outgoing::data(frame_kind(dialect), body)
}

/// What frames of `dialect` are.
pub(crate) fn frame_kind(dialect: Dialect) -> DataKind {
    if dialect.is_binary() { DataKind::Binary } else { DataKind::Text }
}

impl Connection {
    /// How its messages may share frames.
    pub(crate) fn packing(&self) -> Packing {
        let dialect = self.state.dialect();
        match () {
            () if !self.state.offered || !dialect.packs() => Packing::No,
            () if dialect.is_binary() => Packing::Concatenated,
            () => Packing::JsonArray,
        }
    }

    /// Queues a reply; `channel` is the one whose later messages must come after it.
    pub(crate) fn reply(
        &mut self,
        channel: Option<ChannelId>,
        event: &Event,
        tag: Option<Tag>,
        budget: usize,
    ) -> Pushed {
        if self.closing.is_some() {
            return Pushed::Dropped;
        }
        let dialect = self.state.dialect();
        let Some(body) = dialect.encode(event) else { return Pushed::Dropped };
        let item = Item { frame: frame(dialect, &body), tag: tag.map(Box::new) };
        self.outbox.get_or_insert_default().push_reply(channel, item, budget)
    }

    /// Whether a value of `publication`'s key waits for it.
    pub(crate) fn holds_value(&self, channel: ChannelId, publication: &Publication) -> bool {
        self.outbox.as_ref().is_some_and(|outbox| outbox.holds_value(channel, publication))
    }

    /// Queues a message.
    pub(crate) fn message(
        &mut self,
        channel: ChannelId,
        class: DeliveryClass,
        publication: &Arc<Publication>,
        item: Item,
        budget: usize,
    ) -> Pushed {
        if self.closing.is_some() {
            return Pushed::Dropped;
        }
        let outbox = self.outbox.get_or_insert_default();
        match class {
            DeliveryClass::Reliable | DeliveryClass::Inbox => {
                outbox.push_lossless(channel, publication.priority, item, budget)
            }
            DeliveryClass::Volatile => outbox.push_volatile(channel, publication.priority, item, budget),
            DeliveryClass::Latest => outbox.push_latest(channel, publication, item, budget),
        }
    }

    /// Queues a view's message: `whole` where an older one of the channel waits.
    pub(crate) fn view(
        &mut self,
        channel: ChannelId,
        publication: &Arc<Publication>,
        frame: bytes::Bytes,
        whole: impl FnOnce() -> Option<bytes::Bytes>,
        budget: usize,
    ) -> Pushed {
        if self.closing.is_some() {
            return Pushed::Dropped;
        }
        self.outbox.get_or_insert_default().push_view(channel, publication, frame, whole, budget)
    }

    /// Ends it: `last` (an event such as `error`) if there is one, then a close frame; dropped at `deadline_ms` at the latest.
    pub(crate) fn close(&mut self, code: CloseCode, reason: &str, last: Option<&Event>, deadline_ms: u32) {
        if self.closing.is_some() {
            return;
        }
        if let Some(event) = last {
            self.reply(None, event, None, usize::MAX / 16);
        }
        let number = self.state.dialect().close_code(code);
        let end = outgoing::close(Some(number), reason);
        let outbox = self.outbox.get_or_insert_default();
        // What waits is lost anyway where the reader is the reason; else it goes out first.
        if matches!(code, CloseCode::TooSlow | CloseCode::Blocked | CloseCode::Unauthenticated) && last.is_none() {
            outbox.cut(end);
        } else {
            outbox.push_last(end);
        }
        self.closing = Some(Closing { deadline_ms, is_shut: false });
    }

    /// Whether what it gets next may be shared with others: nothing waits for it that is its own.
    pub(crate) fn shares(&self) -> bool {
        self.outbox.is_none()
            && !self.blocked
            && !self.pulse.is_slow()
            && self.closing.is_none()
            && matches!(self.sink, Sink::Socket { .. })
    }

    /// Counts anew what waits in its outbox. Returns what was counted before, and what is now.
    pub(crate) fn account(&mut self) -> (usize, usize) {
        let bytes = self.outbox.as_ref().map_or(0, |outbox| outbox.bytes());
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        (std::mem::replace(&mut self.accounted, bytes) as usize, bytes as usize)
    }

    /// Bytes of `latest` values that may be written now. One that is told to go gets all that waits.
    pub(crate) fn room(&self) -> usize {
        if self.closing.is_some() { usize::MAX } else { self.pulse.room() }
    }

    /// Its socket, if it has one.
    pub(crate) fn socket(&self) -> Option<&Socket> {
        match &self.sink {
            Sink::Socket { stream, .. } => Some(stream),
            Sink::Pull => None,
        }
    }

    /// Who it is.
    pub(crate) fn identity(&self) -> Option<&Rc<Identity>> {
        self.state.identity.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // With its socket's registration, its task and its identity it stays below 2 KB (measured by the benchmark). The
        // allocator's sizes here are 320 and 384.
        assert!(size_of::<Connection>() <= 320, "{} bytes", size_of::<Connection>());
    }
}
