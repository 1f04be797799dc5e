//! What a connection speaks.
//!
//! A dialect is one module with one `Spec` and one variant of [`Dialect`]: it turns frames into [`crate::Request`]s and
//! [`Event`]s into frame bodies, and nothing outside of this module knows how.

mod grekko;
mod native;
mod upper;

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    CloseCode, Event, Publication,
    codec::{DecodeLimits, Decoded},
};

/// Longest `type` of a message's data that a dialect shows as the message's own.
const DATA_TYPE_BYTES_MAX: usize = 64;

/// A dialect, chosen by the WebSocket subprotocol or the first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `tickwire.v1.json`, and the plain form of clients that offer no subprotocol.
    Json,
    /// `tickwire.v1.msgpack`.
    MsgPack,
    /// `SUBSCRIPTION`, `ORDER_UPDATE` and the like.
    Upper,
    /// `grekko-v1`.
    Grekko,
}

/// All that a dialect is.
struct Spec {
    /// The WebSocket subprotocol that chooses it.
    subprotocol: Option<&'static str>,
    /// Its frames are binary WebSocket messages.
    binary: bool,
    /// Several frames may travel as one.
    packs: bool,
    /// Whether a first frame without a subprotocol is unmistakably its own.
    recognizes: fn(&[u8]) -> bool,
    decode: fn(&[u8], &DecodeLimits) -> Decoded,
    encode: fn(&Event) -> Option<Bytes>,
    /// What it says for one of Tickwire's close codes.
    close_code: fn(CloseCode) -> u16,
}

impl Dialect {
    /// All.
    pub const ALL: [Self; 4] = [Self::Json, Self::MsgPack, Self::Upper, Self::Grekko];

    const fn spec(self) -> &'static Spec {
        match self {
            Self::Json => &native::JSON,
            Self::MsgPack => &native::MSGPACK,
            Self::Upper => &upper::UPPER,
            Self::Grekko => &grekko::GREKKO,
        }
    }

    /// The dialect that a subprotocol stands for.
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.subprotocol() == Some(name))
    }

    /// The subprotocol to echo; `None` for a dialect that only a first frame chooses.
    pub const fn subprotocol(self) -> Option<&'static str> {
        self.spec().subprotocol
    }

    /// The dialect of a connection without subprotocol, by its first frame. What is no dialect's own is [`Dialect::Json`].
    pub fn detect(first_frame: &[u8]) -> Self {
        Self::ALL.into_iter().find(|dialect| (dialect.spec().recognizes)(first_frame)).unwrap_or(Self::Json)
    }

    /// Whether frames are binary WebSocket messages.
    pub const fn is_binary(self) -> bool {
        self.spec().binary
    }

    /// Whether several frames may travel as one, both ways: [`Dialect::Json`] as an array, [`Dialect::MsgPack`] back to
    /// back. Towards a client only if it offered the subprotocol: one that offered none gets one object a frame.
    pub const fn packs(self) -> bool {
        self.spec().packs
    }

    /// Its place in a [`crate::publication::FrameCache`].
    pub const fn slot(self) -> usize {
        self as usize
    }

    /// Reads a frame: one result per command, in order, at least one. A frame that cannot be taken apart is one
    /// [`crate::codec::Malformed`], and none of its commands is given out.
    pub fn decode(self, frame: &[u8], limits: &DecodeLimits) -> Decoded {
        (self.spec().decode)(frame, limits)
    }

    /// The frame's body, without WebSocket header; `None` where the dialect has no such event. A message is encoded
    /// once for all connections of the dialect. JSON bodies are one line.
    pub fn encode(self, event: &Event) -> Option<Bytes> {
        (self.spec().encode)(event)
    }

    /// The close code as this dialect says it.
    pub fn close_code(self, code: CloseCode) -> u16 {
        (self.spec().close_code)(code)
    }
}

/// The `type` inside a message's data, which some dialects show as the message's.
fn data_type(publication: &Publication) -> Option<Cow<'_, str>> {
    type_of(publication.data.as_str()).filter(|kind| !kind.is_empty() && kind.len() <= DATA_TYPE_BYTES_MAX)
}

/// The `type` of a JSON object, where it has one that is a string.
fn type_of(json: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    // Without this serde would take the first element of a list for the first field.
    let is_map = json.trim_ascii_start().starts_with('{');
    is_map.then(|| serde_json::from_str(json).ok()).flatten().map(|typed: Typed<'_>| typed.kind)
}
