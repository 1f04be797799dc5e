//! The native maps as bytes: JSON text, or MessagePack with the same keys.
//!
//! JSON is the form everything passes through. MessagePack that comes in is transcoded to JSON text first and then read
//! by the one reader (`request`); what goes out is written as JSON once and transcoded. So both codecs accept
//! and say the same by construction, and `data` is text everywhere inside a node.
//!
//! A command's own field given twice is malformed; inside `data` a repeated key is passed on as it came.

mod fields;
mod json;
mod msgpack;
mod request;
mod server_event;

pub use request::encode_requests;
pub use server_event::{Message, ServerEvent, ServerHistory, ServerSubscribed, decode_events};

use crate::Request;

pub(crate) use fields::Fields;
pub(crate) use json::{Object, is_depth_within, push_string};
pub(crate) use msgpack::{
    READY as MSGPACK_READY, from_json as msgpack_from_json, from_json_with as msgpack_from_json_with,
};
pub(crate) use request::{cleaned, decode_json, decode_msgpack, read_command, read_with};

/// How much one frame may ask for. The frame's size is bounded before, by whoever read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Entries in one command: channels of a `subscribe`, positions of an `ack`, `keys` of a subscription.
    pub channels_max: usize,
    /// Commands packed into one frame.
    pub packed_max: usize,
    /// Maps and lists inside one another in a command, its `data` included.
    pub depth_max: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { channels_max: 1_000, packed_max: 256, depth_max: 64 }
    }
}

/// A frame's commands, in order.
pub type Decoded = Vec<Result<Request, Malformed>>;

/// A frame, or one command of it, that is not what the contract says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Malformed {
    /// The command's `id`, where it could still be read.
    pub id: Option<i64>,
    /// For a human, safe to send: names the field and what it should be, at most 200 characters.
    pub message: String,
}

impl Malformed {
    /// One whose `id` is not known.
    pub fn new(message: impl Into<String>) -> Self {
        Self { id: None, message: message.into() }
    }

    pub(crate) fn with_id(self, id: Option<i64>) -> Self {
        Self { id, ..self }
    }
}

/// One MessagePack value with nothing after it as JSON text: the body of an HTTP request.
pub fn json_from_msgpack(bytes: &[u8], depth_max: usize) -> Result<String, Malformed> {
    let mut json = Vec::with_capacity(bytes.len() + bytes.len() / 2);
    let rest = msgpack::to_json(bytes, depth_max, &mut json).map_err(|error| Malformed::new(error.to_string()))?;
    if !rest.is_empty() {
        return Err(Malformed::new("there are bytes after the MessagePack value"));
    }
    // Only whole strings and ASCII are ever written to it.
    String::from_utf8(json).map_err(|_| Malformed::new("a string is not UTF-8"))
}

/// `bytes`, if they are UTF-8 in which maps and lists stand at most `depth_max` inside one another. It may still be no JSON.
pub fn json_text(bytes: &[u8], depth_max: usize) -> Result<&str, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed::new("the text is not UTF-8"))?;
    if json::is_depth_within(text, depth_max) {
        Ok(text)
    } else {
        Err(Malformed::new(format!("maps and lists may be nested {depth_max} deep")))
    }
}

/// A JSON value, which somebody has parsed or rendered before, as MessagePack.
pub fn msgpack_of_json(json: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(json.len());
    msgpack_from_json(json, &mut bytes);
    bytes
}
