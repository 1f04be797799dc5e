//! A channel on a shard: its stream, its subscribers, and who waits to become one.

use std::sync::Arc;

use slab::Slab;
use tickwire_protocol::{ChannelName, DeviceId, Position, Publication, namespace::Policy};

use super::{
    delta::Sent,
    stream::{RECENT_BUSY_MAX, RECENT_MAX, Stream},
};
use crate::connection::{ConnectionId, state::Options};

/// Subscribers from which a channel counts as busy.
const BUSY_SUBSCRIBERS: usize = 8;

/// A connection's share of a channel.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) connection: ConnectionId,
    pub(crate) choice: Option<Box<Choice>>,
}

/// What a subscriber wants of the channel, if not everything at once.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) options: Options,
    /// Shard clock from which the next message may go.
    pub(crate) due_ms: u32,
    /// Values that wait for it, oldest first, one per key.
    pub(crate) held: Vec<Arc<Publication>>,
    /// With deltas: what the client has, or will have once what waits for it is written.
    pub(crate) sent: Option<Sent>,
}

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
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Channel {
    /// Guards against a reused [`crate::outbox::ChannelId`].
    pub(crate) serial: u32,
    pub(crate) name: ChannelName,
    pub(crate) policy: Policy,
    pub(crate) stream: Stream,
    pub(crate) subscribers: Slab<Subscriber>,
    /// Wait for the stream, or for the next read of the store.
    pub(crate) joins: Vec<Join>,
    /// Reads of the store for newcomers under way.
    pub(crate) reads: u32,
    /// Shard clock since when nobody wants it.
    pub(crate) idle_since_ms: Option<u32>,
}

impl Choice {
    pub(crate) fn new(options: Options) -> Self {
        let sent = options.delta.then(Sent::default);
        Self { options, due_ms: 0, held: Vec::new(), sent }
    }

    /// Whether the subscriber wants `publication` at all.
    pub(crate) fn wants(&self, publication: &Publication) -> bool {
        let key = publication.key.as_deref().unwrap_or_default();
        self.options.keys.as_ref().is_none_or(|keys| keys.iter().any(|wanted| wanted == key))
            && self.options.filter.as_ref().is_none_or(|filter| filter.matches(&publication.tags))
    }

    /// Keeps a value until it may go, in place of an older one of its key.
    pub(crate) fn hold(&mut self, publication: &Arc<Publication>) -> bool {
        if let Some(held) = self.held.iter_mut().find(|held| held.key == publication.key) {
            *held = publication.clone();
            return true;
        }
        self.held.push(publication.clone());
        false
    }
}

impl Channel {
    pub(crate) fn new(serial: u32, name: ChannelName, policy: Policy) -> Self {
        Self {
            serial,
            stream: Stream::new(policy.class),
            name,
            policy,
            subscribers: Slab::new(),
            joins: Vec::new(),
            reads: 0,
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
