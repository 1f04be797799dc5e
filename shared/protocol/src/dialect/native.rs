//! The native dialect, as JSON and as MessagePack; and the fields of its events, which other dialects dress anew.

use std::sync::Arc;

use bytes::Bytes;

use super::{Dialect, Spec};
use crate::{
    CloseCode, Delta, Event, Priority, Publication,
    codec::{self, Object, push_string},
    event::{Connected, ErrorEvent, Subscribed, Trace},
};

pub(super) const JSON: Spec = Spec {
    subprotocol: Some("tickwire.v1.json"),
    binary: false,
    packs: true,
    recognizes: |_| false,
    decode: codec::decode_json,
    encode: |event| match event {
        Event::Message(publication) => Some(json_message(publication).clone()),
        Event::Traced { publication, edge_ms } => Some(traced(publication, *edge_ms).into()),
        _ => Some(json_frame(event, json_message).into()),
    },
    close_code: CloseCode::as_u16,
};

pub(super) const MSGPACK: Spec = Spec {
    subprotocol: Some("tickwire.v1.msgpack"),
    binary: true,
    packs: true,
    recognizes: |_| false,
    decode: codec::decode_msgpack,
    encode: |event| match event {
        Event::Message(publication) => Some(msgpack_message(publication).clone()),
        Event::Traced { publication, edge_ms } => Some(transcoded(&traced(publication, *edge_ms), &[])),
        _ => Some(transcoded(&json_frame(event, ready_message), listed(event))),
    },
    close_code: CloseCode::as_u16,
};

/// `json` as MessagePack; a message that stands in it ([`ready_message`]) is taken as it is encoded for all who get it.
fn transcoded(json: &[u8], messages: &[Arc<Publication>]) -> Bytes {
    let ready = messages.iter().map(|message| msgpack_message(message));
    let bytes: usize = ready.clone().map(Bytes::len).sum();
    let mut out = Vec::with_capacity(json.len() + bytes);
    // Frames are made of whole strings and ASCII.
    let json = std::str::from_utf8(json).unwrap_or_default();
    codec::msgpack_from_json_with(json, ready.map(AsRef::as_ref), &mut out);
    out.into()
}

/// Messages that an event lists, each as all get it.
fn listed(event: &Event) -> &[Arc<Publication>] {
    match event {
        Event::Subscribed(subscribed) if subscribed.traced_ms.is_none() => &subscribed.messages,
        Event::History { messages, .. } => messages,
        _ => &[],
    }
}

/// Stands for a message that is MessagePack already.
fn ready_message(_: &Publication) -> &Bytes {
    static READY: Bytes = Bytes::from_static(&[codec::MSGPACK_READY]);
    &READY
}

fn msgpack_message(publication: &Publication) -> &Bytes {
    let encode = || transcoded(&message(publication, None), &[]);
    publication.frames.get_or_encode(Dialect::MsgPack.slot(), encode)
}

fn json_message(publication: &Publication) -> &Bytes {
    publication.frames.get_or_encode(Dialect::Json.slot(), || message(publication, None).into())
}

fn traced(publication: &Publication, edge_ms: u64) -> Vec<u8> {
    message(publication, Some(Trace::of(publication, edge_ms)))
}

/// `{"type":"message","channel","position"?,"key"?,"time","priority"?,"data","trace"?}`. `medium`, the default, is not written.
fn message(publication: &Publication, trace: Option<Trace>) -> Vec<u8> {
    let mut out = Vec::with_capacity(160 + publication.data.bytes().len());
    let mut frame = Object::begin(&mut out);
    frame.text("type", "message");
    frame.text("channel", publication.channel.as_str());
    if let (Some(position), true) = (publication.position, publication.class.is_lossless()) {
        frame.shown("position", position);
    }
    if let Some(key) = &publication.key {
        frame.text("key", key);
    }
    frame.number("time", publication.time_ms);
    if publication.priority != Priority::Medium {
        frame.text("priority", publication.priority.as_str());
    }
    frame.raw("data", &publication.data);
    if let Some(trace) = trace {
        write_trace(trace, frame.value("trace"));
    }
    frame.end();
    out
}

fn write_trace(trace: Trace, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.number("emit", trace.emit_ms);
    if let Some(backplane_ms) = trace.backplane_ms {
        object.number("backplane", backplane_ms);
    }
    object.number("edge", trace.edge_ms);
    object.end();
}

/// How a dialect writes a message that stands inside another event.
pub(super) type MessageFrame = for<'a> fn(&'a Publication) -> &'a Bytes;

/// An event other than a message as one native JSON object.
pub(super) fn json_frame(event: &Event, inner: MessageFrame) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut frame = Object::begin(&mut out);
    if let Some(id) = id(event) {
        frame.number("id", id);
    }
    frame.text("type", kind(event));
    write_fields(event, &mut frame, inner);
    frame.end();
    out
}

/// The event's `type`.
pub(super) const fn kind(event: &Event) -> &'static str {
    match event {
        Event::Connected(_) => "connected",
        Event::Subscribed(_) => "subscribed",
        Event::Unsubscribed { .. } => "unsubscribed",
        Event::Message(_) | Event::Traced { .. } | Event::Delta(_) => "message",
        Event::Dropped { .. } => "dropped",
        Event::Acked { .. } => "acked",
        Event::Presence { .. } | Event::PresenceList { .. } => "presence",
        Event::History { .. } => "history",
        Event::Published { .. } => "published",
        Event::Preferences { .. } => "preferences",
        Event::Refreshed { .. } => "refreshed",
        Event::Error(_) => "error",
        Event::Reset { .. } => "reset",
        Event::Reconnect { .. } => "reconnect",
        Event::Pong { .. } => "pong",
        Event::Heartbeat { .. } => "heartbeat",
    }
}

/// The id of the request that the event answers.
pub(super) fn id(event: &Event) -> Option<i64> {
    match event {
        Event::Connected(connected) => connected.id,
        Event::Subscribed(subscribed) => subscribed.id,
        Event::Error(error) => error.id,
        Event::Unsubscribed { id, .. }
        | Event::Acked { id, .. }
        | Event::PresenceList { id, .. }
        | Event::History { id, .. }
        | Event::Published { id, .. }
        | Event::Preferences { id, .. }
        | Event::Refreshed { id, .. }
        | Event::Pong { id, .. } => *id,
        Event::Message(_)
        | Event::Traced { .. }
        | Event::Delta(_)
        | Event::Dropped { .. }
        | Event::Presence { .. }
        | Event::Reset { .. }
        | Event::Reconnect { .. }
        | Event::Heartbeat { .. } => None,
    }
}

/// Everything but `id` and `type`, in the order of the contract.
pub(super) fn write_fields(event: &Event, frame: &mut Object<'_>, inner: MessageFrame) {
    match event {
        // Written by `message`.
        Event::Message(_) | Event::Traced { .. } => {}
        Event::Dropped { channel, count } => {
            frame.text("channel", channel.as_str());
            frame.number("count", count);
        }
        Event::Delta(delta) => write_delta(delta, frame),
        Event::Connected(connected) => write_connected(connected, frame),
        Event::Subscribed(subscribed) => write_subscribed(subscribed, frame, inner),
        Event::Unsubscribed { channel, .. } => frame.text("channel", channel.as_str()),
        Event::Acked { channel, position, .. } => {
            frame.text("channel", channel.as_str());
            frame.shown("position", position);
        }
        Event::Presence { channel, joined, user } => {
            frame.text("channel", channel.as_str());
            frame.text("event", if *joined { "join" } else { "leave" });
            frame.text("userId", user.as_str());
        }
        Event::PresenceList { channel, users, count, .. } => {
            frame.text("channel", channel.as_str());
            frame.list("users", users, |out, user| push_string(out, user.as_str()));
            frame.number("count", count);
        }
        Event::History { channel, position, messages, complete, .. } => {
            frame.text("channel", channel.as_str());
            frame.shown("position", position);
            frame.list("messages", messages, |out, message| out.extend_from_slice(inner(message)));
            frame.flag("complete", *complete);
        }
        Event::Published { channel, position, duplicate, .. } => {
            frame.text("channel", channel.as_str());
            if let Some(position) = position {
                frame.shown("position", position);
            }
            frame.flag("duplicate", *duplicate);
        }
        Event::Preferences { preferences, .. } => frame.raw("preferences", preferences),
        Event::Refreshed { expires_at_ms, .. } => frame.number("expiresAt", expires_at_ms),
        Event::Error(error) => write_error(error, frame),
        Event::Reset { channel, position, reason } => {
            frame.text("channel", channel.as_str());
            frame.shown("position", position);
            frame.text("reason", reason.as_str());
        }
        Event::Reconnect { reason, after_ms } => {
            frame.text("reason", reason);
            frame.number("afterMs", after_ms);
        }
        Event::Pong { time_ms, .. } | Event::Heartbeat { time_ms } => frame.number("time", time_ms),
    }
}

fn write_delta(delta: &Delta, frame: &mut Object<'_>) {
    frame.text("channel", delta.channel.as_str());
    if let Some(key) = &delta.key {
        frame.text("key", key);
    }
    frame.number("time", delta.time_ms);
    if delta.priority != Priority::Medium {
        frame.text("priority", delta.priority.as_str());
    }
    frame.number("base", delta.base_ms);
    frame.raw("delta", &delta.changed);
    if !delta.removed.is_empty() {
        frame.list("removed", &delta.removed, |out, name| push_string(out, name));
    }
}

fn write_connected(connected: &Connected, frame: &mut Object<'_>) {
    frame.text("connectionId", &connected.connection_id);
    frame.text("userId", connected.user.as_str());
    frame.text("node", &connected.node);
    if !connected.nodes.is_empty() {
        frame.list("nodes", &connected.nodes, |out, node| push_string(out, node));
    }
    frame.number("time", connected.time_ms);
    frame.number("heartbeatInterval", connected.heartbeat_interval_ms);
    if let Some(resume) = &connected.resume {
        frame.text("resume", resume);
    }
    if let Some(expires_at_ms) = connected.expires_at_ms {
        frame.number("expiresAt", expires_at_ms);
    }
}

fn write_subscribed(subscribed: &Subscribed, frame: &mut Object<'_>, inner: MessageFrame) {
    frame.text("channel", subscribed.channel.as_str());
    frame.text("class", subscribed.class.as_str());
    if let Some(position) = subscribed.position {
        frame.shown("position", position);
    }
    frame.flag("recovered", subscribed.recovered);
    frame.list("messages", &subscribed.messages, |out, message| match subscribed.traced_ms {
        Some(edge_ms) => out.extend_from_slice(&traced(message, edge_ms)),
        None => out.extend_from_slice(inner(message)),
    });
    if let Some(expires_at_ms) = subscribed.expires_at_ms {
        frame.number("expiresAt", expires_at_ms);
    }
}

fn write_error(error: &ErrorEvent, frame: &mut Object<'_>) {
    frame.text("code", error.code.as_str());
    frame.text("message", &error.message);
    if let Some(channel) = &error.channel {
        frame.text("channel", channel);
    }
    frame.flag("retryable", error.code.is_retryable());
    if let Some(after_ms) = error.retry_after_ms {
        frame.number("retryAfterMs", after_ms);
    }
}
