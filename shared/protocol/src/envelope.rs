//! A message between the emitter and the edges, as the backplane stores and broadcasts it.
//!
//! ```text
//! version (1 byte, now 1) | header length (4 bytes, big endian) | header | data
//! ```
//! The header is a MessagePack array; the data is JSON text to the end, so that a reader slices it out of the buffer it
//! received and never copies it. Channel and position are not in here: the store knows them.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::{
    ChannelName, DeliveryClass, Position, Priority, Publication, RawJson, UserId,
    publication::{FrameCache, Tags},
};

/// The version this build writes, and the only one it reads.
pub const VERSION: u8 = 1;

const PREFIX_BYTES: usize = 5;

/// What is stored of a message. Fields as in [`Publication`].
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "as in Publication")]
pub struct Envelope<'a> {
    pub class: DeliveryClass,
    pub time_ms: u64,
    pub priority: Priority,
    pub key: Option<&'a str>,
    pub tags: &'a Tags,
    pub publisher: Option<&'a UserId>,
    pub signature: Option<&'a str>,
    pub expires_at_ms: Option<u64>,
    pub traceparent: Option<&'a str>,
    pub data: &'a RawJson,
}

/// Bytes that are no envelope of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DamagedEnvelope {
    /// Written by another version of Tickwire.
    #[error("the envelope has version {0}, this node reads version 1")]
    Version(u8),
    /// Ends inside the prefix or header.
    #[error("the envelope is cut short")]
    Truncated,
    /// The header is not what this version writes.
    #[error("the envelope's header is damaged")]
    Header,
    /// The data is not one JSON value.
    #[error("the envelope's data is not JSON")]
    Data,
}

#[derive(Serialize)]
struct HeaderRef<'a>(
    DeliveryClass,
    u64,
    Priority,
    Option<&'a str>,
    &'a Tags,
    Option<&'a UserId>,
    Option<&'a str>,
    Option<u64>,
    Option<&'a str>,
);

#[derive(Deserialize)]
struct Header(
    DeliveryClass,
    u64,
    Priority,
    Option<Box<str>>,
    Tags,
    Option<UserId>,
    Option<Box<str>>,
    Option<u64>,
    Option<Box<str>>,
);

impl Envelope<'_> {
    /// The bytes to store.
    pub fn encode(&self) -> Bytes {
        let header = HeaderRef(
            self.class,
            self.time_ms,
            self.priority,
            self.key,
            self.tags,
            self.publisher,
            self.signature,
            self.expires_at_ms,
            self.traceparent,
        );
        // Strings, integers and a map of strings into a Vec: there is nothing in it that can fail. Were it to, the
        // reader would see a damaged header and say so.
        let header = rmp_serde::to_vec(&header).unwrap_or_default();
        let data = self.data.bytes();
        let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + header.len() + data.len());
        bytes.put_u8(VERSION);
        bytes.put_u32(u32::try_from(header.len()).unwrap_or(u32::MAX));
        bytes.put_slice(&header);
        bytes.put_slice(data);
        bytes.freeze()
    }
}

/// Reads an envelope of `channel`; the data shares `bytes`.
pub fn decode(
    channel: ChannelName,
    position: Option<Position>,
    mut bytes: Bytes,
) -> Result<Publication, DamagedEnvelope> {
    let version = *bytes.first().ok_or(DamagedEnvelope::Truncated)?;
    if version != VERSION {
        return Err(DamagedEnvelope::Version(version));
    }
    let length: [u8; 4] =
        bytes.get(1..PREFIX_BYTES).and_then(|length| length.try_into().ok()).ok_or(DamagedEnvelope::Truncated)?;
    let body = bytes.split_off(PREFIX_BYTES);
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| DamagedEnvelope::Truncated)?;
    let header = body.get(..length).ok_or(DamagedEnvelope::Truncated)?;
    let mut reader = rmp_serde::Deserializer::from_read_ref(header);
    let Header(class, time_ms, priority, key, tags, publisher, signature, expires_at_ms, traceparent) =
        Header::deserialize(&mut reader).map_err(|_| DamagedEnvelope::Header)?;
    let data = RawJson::parse(body.slice(length..)).map_err(|_| DamagedEnvelope::Data)?;
    Ok(Publication {
        channel,
        position,
        class,
        time_ms,
        stored_ms: None,
        priority,
        key,
        tags,
        data,
        publisher,
        signature,
        expires_at_ms,
        traceparent,
        frames: FrameCache::default(),
    })
}
