//! A channel on a shard: its stream, its subscribers, and who waits to become one.

use std::{collections::VecDeque, time::Instant};

use tickwire_protocol::{ChannelName, DeviceId, Position, book::Depth, namespace::Policy};

use super::{
    audience::Audience,
    stream::{RECENT_BUSY_MAX, RECENT_MAX, Stream},
    views::Views,
};
use crate::connection::{ConnectionId, state::Options};

/// Subscribers from which a channel counts as busy.
const BUSY_SUBSCRIBERS: usize = 8;

/// A subscription whose reply is still to be made.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) connection: ConnectionId,
    /// That of the connection's [`crate::connection::state::Subscription`].
    pub(crate) serial: u32,
    /// Of the request.
    pub(crate) id: Option<i64>,
    pub(crate) since: Option<Position>,
    pub(crate) options: Option<Box<Options>>,
    /// Whose read cursor counts.
    pub(crate) device: Option<DeviceId>,
    pub(crate) freshness: Freshness,
    /// What it is answered was encoded ahead.
    pub(crate) is_encoded: bool,
    /// When it was asked for.
    pub(crate) begun: Instant,
}

impl Join {
    /// It is for a view of so many levels.
    pub(crate) fn depth(&self) -> Option<Depth> {
        self.options.as_ref().and_then(|options| options.depth)
    }
}

/// Whether a `latest` stream is known to be as new as anything that a newcomer may have seen elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    Unknown,
    /// The store is being asked how far the channel is.
    Asked,
    /// It was asked after the newcomer came, and the stream is that far as soon as it is live.
    Known,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Channel {
    /// Guards against a reused [`crate::outbox::ChannelId`].
    pub(crate) serial: u32,
    pub(crate) name: ChannelName,
    pub(crate) policy: Policy,
    pub(crate) stream: Stream,
    pub(crate) subscribers: Audience,
    /// Of a book, while somebody has one.
    pub(crate) views: Option<Box<Views>>,
    /// Wait for the stream, or for the next read of the store.
    pub(crate) joins: VecDeque<Join>,
    /// Reads of the store for newcomers under way, and long answers that are encoded for them.
    pub(crate) reads: u32,
    /// It stands among [`crate::hub::Hub::doubtful`].
    pub(crate) is_doubtful: bool,
    /// Shard clock since when nobody wants it.
    pub(crate) idle_since_ms: Option<u32>,
}

impl Channel {
    pub(crate) fn new(serial: u32, name: ChannelName, policy: Policy) -> Self {
        Self {
            serial,
            stream: Stream::new(policy.class),
            name,
            policy,
            subscribers: Audience::default(),
            views: None,
            joins: VecDeque::new(),
            reads: 0,
            is_doubtful: false,
            idle_since_ms: None,
        }
    }

    /// Nobody has it or waits for it.
    pub(crate) fn is_unused(&self) -> bool {
        self.subscribers.is_empty() && self.joins.is_empty() && self.reads == 0
    }

    /// Remembers as many delivered messages as newcomers may need.
    pub(crate) fn set_memory(&mut self) {
        let busy = self.subscribers.len() >= BUSY_SUBSCRIBERS;
        self.stream.remember(match (self.reads > 0, busy) {
            (true, _) => RECENT_MAX,
            (false, true) => RECENT_BUSY_MAX,
            (false, false) => 0,
        });
    }
}
