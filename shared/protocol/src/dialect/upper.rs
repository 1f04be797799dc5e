//! The upper-case dialect: `{"type","timestamp","payload"}` both ways, times as RFC 3339 text.
//!
//! In: `SUBSCRIPTION` (`payload.action` is `subscribe` or `unsubscribe`, `payload.topics` the channels),
//! `AUTHENTICATION` (`payload.token`), `HEARTBEAT`, `PING`; any other native command by its upper-case name, its fields
//! in `payload`. An `id` beside `type` comes back beside `type`.
//!
//! Out: a message's payload is its data and its type the data's own `type` in upper snake case, so `order_update`
//! becomes `ORDER_UPDATE`, or `MESSAGE` where the data has none. Any other event is the native one: its type in upper
//! snake case (`CONNECTED`, `SUBSCRIBED`, `ERROR`, `HEARTBEAT`, …), its fields as payload.

use bytes::Bytes;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Dialect, Spec, data_type, native, type_of};
use crate::{
    CloseCode, Command, Event, Publication,
    codec::{DecodeLimits, Decoded, Fields, Malformed, Object, cleaned, read_command, read_with},
    time::now_ms,
};

pub(super) const UPPER: Spec = Spec {
    subprotocol: None,
    binary: false,
    packs: false,
    recognizes,
    decode,
    encode: |event| match event {
        Event::Delta(_) | Event::Traced { .. } | Event::Dropped { .. } => None,
        _ => Some(encode(event)),
    },
    close_code: CloseCode::as_u16,
};

fn recognizes(frame: &[u8]) -> bool {
    let kind = std::str::from_utf8(frame).ok().and_then(type_of);
    kind.is_some_and(|kind| kind.bytes().any(|byte| byte.is_ascii_uppercase()) && is_upper(&kind))
}

fn is_upper(kind: &str) -> bool {
    kind.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn decode(frame: &[u8], limits: &DecodeLimits) -> Decoded {
    let Ok(text) = std::str::from_utf8(frame) else { return vec![Err(Malformed::new("the frame is not UTF-8"))] };
    vec![read_with(text, limits, |fields| {
        let kind: String = fields.required("type", "a string")?;
        let payload = match fields.given("payload") {
            Some(payload) => {
                let (payload, outcome) = Fields::read(payload.get());
                outcome.map_err(|malformed| Malformed::new(format!("in `payload`: {}", malformed.message)))?;
                payload
            }
            None => Fields::default(),
        };
        read(&kind, &payload, limits)
    })]
}

fn read(kind: &str, payload: &Fields<'_>, limits: &DecodeLimits) -> Result<Command, Malformed> {
    match kind {
        "SUBSCRIPTION" => {
            let action: String = payload.required("action", "subscribe or unsubscribe")?;
            match action.as_str() {
                "subscribe" | "unsubscribe" => read_command(&action, payload, limits),
                _ => Err(Malformed::new("`action` must be subscribe or unsubscribe")),
            }
        }
        "AUTHENTICATION" => Ok(Command::Connect {
            token: Some(payload.required("token", "a string")?),
            resume: payload.optional("resume", "a string")?,
            device: payload.optional("device", "1 to 64 printable ASCII characters without spaces")?,
            max_rate: None,
        }),
        other if is_upper(other) => read_command(&other.to_ascii_lowercase(), payload, limits),
        unknown => Err(Malformed::new(format!("there is no command `{}`", cleaned(unknown)))),
    }
}

fn encode(event: &Event) -> Bytes {
    if let Event::Message(publication) = event {
        return message(publication).clone();
    }
    let mut out = Vec::with_capacity(256);
    let mut frame = Object::begin(&mut out);
    if let Some(id) = native::id(event) {
        frame.number("id", id);
    }
    frame.text("type", &native::kind(event).to_ascii_uppercase());
    frame.text("timestamp", &rfc3339(time_ms(event)));
    let mut payload = Object::begin(frame.value("payload"));
    native::write_fields(event, &mut payload, message);
    payload.end();
    frame.end();
    out.into()
}

fn message(publication: &Publication) -> &Bytes {
    publication.frames.get_or_encode(Dialect::Upper.slot(), || {
        let mut out = Vec::with_capacity(128 + publication.data.bytes().len());
        let mut frame = Object::begin(&mut out);
        frame.text("type", &data_type(publication).map_or_else(|| "MESSAGE".to_owned(), |kind| upper_snake(&kind)));
        frame.text("timestamp", &rfc3339(publication.time_ms));
        frame.raw("payload", &publication.data);
        frame.end();
        out.into()
    })
}

fn time_ms(event: &Event) -> u64 {
    match event {
        Event::Connected(connected) => connected.time_ms,
        Event::Pong { time_ms, .. } | Event::Heartbeat { time_ms } => *time_ms,
        _ => now_ms(),
    }
}

/// `order_update`, `order-update`, `order.update` and `orderUpdate` are all `ORDER_UPDATE`.
fn upper_snake(kind: &str) -> String {
    let mut upper = String::with_capacity(kind.len() + 4);
    let mut after_lower = false;
    for character in kind.chars() {
        if character.is_ascii_uppercase() && after_lower {
            upper.push('_');
        }
        after_lower = character.is_ascii_lowercase() || character.is_ascii_digit();
        upper.push(if character.is_ascii_alphanumeric() { character.to_ascii_uppercase() } else { '_' });
    }
    upper
}

/// `2025-11-21T00:00:00.017Z`; a time that no calendar holds is shown as the epoch.
fn rfc3339(time_ms: u64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time_ms) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}
