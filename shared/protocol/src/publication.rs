//! A message with its position, as it travels inside a node.

use std::collections::BTreeMap;

use bytes::Bytes;
use std::sync::OnceLock;

use crate::{ChannelName, DeliveryClass, Position, Priority, RawJson, UserId};

/// Tags of a message, for subscription filters. Sorted, so that equal sets render equally.
pub type Tags = BTreeMap<String, String>;

/// One published message. Shared by reference between the shards of a node.
#[derive(Debug)]
pub struct Publication {
    /// Where it was published.
    pub channel: ChannelName,
    /// Its position; `None` only in a `volatile` namespace without history.
    pub position: Option<Position>,
    /// What its namespace promises. A frame shows the position only where that is lossless: elsewhere a client must not
    /// take a skipped number for a loss.
    pub class: DeliveryClass,
    /// When the emitter accepted it, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// When the store gave it its position, by the store's clock; known of live messages, not of what history gives.
    pub stored_ms: Option<u64>,
    /// Urgency.
    pub priority: Priority,
    /// The key whose newest value this is, in a `latest` channel.
    pub key: Option<Box<str>>,
    /// For filters.
    pub tags: Tags,
    /// The payload.
    pub data: RawJson,
    /// Who published, where a client did (`room:`).
    pub publisher: Option<UserId>,
    /// HMAC that came with the message and was verified; shown by `grekko-v1`.
    pub signature: Option<Box<str>>,
    /// From when on it must not be delivered any more.
    pub expires_at_ms: Option<u64>,
    /// W3C trace context, only on sampled messages.
    pub traceparent: Option<Box<str>>,
    /// Its encodings.
    pub frames: FrameCache,
}

/// The encodings of one publication, each made on first use and then shared by all connections of the node.
#[derive(Debug, Default)]
pub struct FrameCache {
    plain: [OnceLock<Bytes>; FrameCache::SLOTS],
    /// `None` where compressing is not worth it.
    deflated: [OnceLock<Option<Bytes>>; FrameCache::SLOTS],
}

impl FrameCache {
    /// How many dialects fit; one's [`crate::dialect::Dialect::slot`] is below it.
    pub const SLOTS: usize = 4;

    /// The encoding in `slot` (below [`FrameCache::SLOTS`]), made by `encode` if it is not there yet.
    pub fn get_or_encode(&self, slot: usize, encode: impl FnOnce() -> Bytes) -> &Bytes {
        self.plain[slot].get_or_init(encode)
    }

    /// The compressed frame of the encoding in `slot`, made by `deflate` if it was not tried yet.
    pub fn get_or_deflate(&self, slot: usize, deflate: impl FnOnce() -> Option<Bytes>) -> Option<&Bytes> {
        self.deflated[slot].get_or_init(deflate).as_ref()
    }
}
