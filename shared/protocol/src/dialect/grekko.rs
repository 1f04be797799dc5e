//! `grekko-v1`. Commands are the native ones, one a frame; a command may say `action` for `type`. Events are the native
//! ones but for messages:
//!
//! ```json
//! {"topic":"user:7:orders","type":"order_update","data":{"type":"order_update"},"timestamp":1763683200000,"signature":"…"}
//! ```
//! `type` is the data's own, or `message`; `timestamp` is in milliseconds; `signature` is the emitter's, if it gave one
//! (see [`crate::signature`]).

use bytes::Bytes;

use super::{Dialect, Spec, data_type, native};
use crate::{
    CloseCode, Event, Publication,
    codec::{DecodeLimits, Decoded, Malformed, Object, read_command, read_with},
};

pub(super) const GREKKO: Spec = Spec {
    subprotocol: Some("grekko-v1"),
    binary: false,
    packs: false,
    recognizes: |_| false,
    decode,
    encode: |event| match event {
        Event::Message(publication) => Some(message(publication).clone()),
        Event::Delta(_) | Event::Traced { .. } | Event::Dropped { .. } => None,
        _ => Some(native::json_frame(event, message).into()),
    },
    close_code: CloseCode::as_u16,
};

fn decode(frame: &[u8], limits: &DecodeLimits) -> Decoded {
    let Ok(text) = std::str::from_utf8(frame) else { return vec![Err(Malformed::new("the frame is not UTF-8"))] };
    vec![read_with(text, limits, |fields| {
        let action: Option<String> = fields.optional("action", "a string")?;
        let kind = match action {
            Some(action) if fields.given("type").is_none() => action,
            _ => fields.required("type", "a string")?,
        };
        read_command(&kind, fields, limits)
    })]
}

fn message(publication: &Publication) -> &Bytes {
    publication.frames.get_or_encode(Dialect::Grekko.slot(), || {
        let mut out = Vec::with_capacity(160 + publication.data.bytes().len());
        let mut frame = Object::begin(&mut out);
        frame.text("topic", publication.channel.as_str());
        frame.text("type", data_type(publication).as_deref().unwrap_or("message"));
        frame.raw("data", &publication.data);
        frame.number("timestamp", publication.time_ms);
        if let Some(signature) = &publication.signature {
            frame.text("signature", signature);
        }
        frame.end();
        out.into()
    })
}
