//! Native events as a client reads them.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Malformed, fields::not_json, msgpack};
use crate::{
    ChannelName, DeliveryClass, Delta, ErrorCode, Position, Priority, RawJson, UserId,
    event::{Connected, ErrorEvent, Trace},
};

/// Nesting that a client accepts from its server: that of any data, and room for the frames around it.
const DEPTH_MAX: usize = crate::raw::DEPTH_MAX + 16;

/// An event with everything it holds; [`crate::Event`] on the other side shares its messages.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "fields as in Event")]
pub enum ServerEvent {
    /// The connection is authenticated.
    Connected(Box<Connected>),
    /// Reply per channel subscribed.
    Subscribed(Box<ServerSubscribed>),
    /// Reply per channel left, or told when a grant ended.
    Unsubscribed { id: Option<i64>, channel: ChannelName },
    /// A message.
    Message(Box<Message>),
    /// What changed since the last message of its key.
    Delta(Box<Delta>),
    /// Messages of a volatile channel were dropped.
    Dropped { channel: ChannelName, count: u64 },
    /// Reply to `ack`.
    Acked { id: Option<i64>, channel: ChannelName, position: Position },
    /// Someone came or went.
    Presence { channel: ChannelName, joined: bool, user: UserId },
    /// Reply to `presence`.
    PresenceList { id: Option<i64>, channel: ChannelName, users: Vec<UserId>, count: u64 },
    /// Reply to `history`.
    History(Box<ServerHistory>),
    /// Reply to `publish`.
    Published { id: Option<i64>, channel: ChannelName, position: Option<Position>, duplicate: bool },
    /// Reply to `preferences`.
    Preferences { id: Option<i64>, preferences: RawJson },
    /// Reply to `refresh`.
    Refreshed { id: Option<i64>, expires_at_ms: u64 },
    /// Something was refused.
    Error(Box<ErrorEvent>),
    /// The channel's history was lost.
    Reset { channel: ChannelName, position: Position, reason: String },
    /// Reconnect after the delay.
    Reconnect { reason: String, after_ms: u64 },
    /// Reply to `ping`.
    Pong { id: Option<i64>, time_ms: u64 },
    /// Sign of life.
    Heartbeat { time_ms: u64 },
    /// An event of a newer server, to be ignored.
    Unknown { kind: String },
}

/// A message as received.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Message {
    /// Where it was published.
    pub channel: ChannelName,
    /// Where it stands; only in `reliable` and `inbox` channels.
    #[serde(default)]
    pub position: Option<Position>,
    /// The key whose newest value it is, in a `latest` channel.
    #[serde(default)]
    pub key: Option<Box<str>>,
    /// When the emitter accepted it, milliseconds since the Unix epoch.
    #[serde(rename = "time")]
    pub time_ms: u64,
    /// Urgency.
    #[serde(default)]
    pub priority: Priority,
    /// The payload.
    pub data: RawJson,
    /// When it passed where; only in a subscription with `trace`.
    #[serde(default)]
    pub trace: Option<Trace>,
}

/// Fields of `subscribed`, as in [`crate::event::Subscribed`].
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "as in event::Subscribed")]
pub struct ServerSubscribed {
    pub id: Option<i64>,
    pub channel: ChannelName,
    pub class: DeliveryClass,
    pub position: Option<Position>,
    pub recovered: bool,
    pub messages: Vec<Message>,
    pub expires_at_ms: Option<u64>,
}

/// Fields of the `history` reply, as in [`crate::Event::History`].
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "as in Event::History")]
pub struct ServerHistory {
    pub id: Option<i64>,
    pub channel: ChannelName,
    pub position: Position,
    pub messages: Vec<Message>,
    pub complete: bool,
}

/// Reads a frame from the server: one event, or several packed as an array or, if `binary`, back to back.
pub fn decode_events(binary: bool, frame: &[u8]) -> Result<Vec<ServerEvent>, Malformed> {
    if binary {
        return decode_binary(frame);
    }
    let text = std::str::from_utf8(frame).map_err(|_| Malformed::new("the frame is not UTF-8"))?;
    if text.trim_ascii_start().starts_with('[') {
        let packed: Vec<Wire<'_>> = serde_json::from_str(text).map_err(|error| not_an_event(&error))?;
        return packed.into_iter().map(Wire::into_event).collect();
    }
    Ok(vec![read_event(text)?])
}

fn decode_binary(mut frame: &[u8]) -> Result<Vec<ServerEvent>, Malformed> {
    let mut events = Vec::new();
    let mut json = Vec::with_capacity(frame.len() * 2);
    while !frame.is_empty() {
        json.clear();
        frame = msgpack::to_json(frame, DEPTH_MAX, &mut json).map_err(|error| Malformed::new(error.to_string()))?;
        // Only whole strings and ASCII are ever written to it.
        events.push(read_event(std::str::from_utf8(&json).unwrap_or_default())?);
    }
    Ok(events)
}

fn read_event(text: &str) -> Result<ServerEvent, Malformed> {
    serde_json::from_str::<Wire<'_>>(text).map_err(|error| not_an_event(&error))?.into_event()
}

fn not_an_event(error: &serde_json::Error) -> Malformed {
    if error.is_data() { Malformed::new(error.to_string()) } else { not_json(error) }
}

/// Every field that some event has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    id: Option<i64>,
    channel: Option<String>,
    position: Option<Position>,
    key: Option<Box<str>>,
    time: Option<u64>,
    priority: Option<Priority>,
    data: Option<RawJson>,
    base: Option<u64>,
    delta: Option<RawJson>,
    trace: Option<Trace>,
    removed: Option<Vec<String>>,
    class: Option<DeliveryClass>,
    recovered: Option<bool>,
    messages: Option<Vec<Message>>,
    expires_at: Option<u64>,
    connection_id: Option<String>,
    user_id: Option<UserId>,
    node: Option<String>,
    nodes: Option<Vec<String>>,
    heartbeat_interval: Option<u64>,
    resume: Option<String>,
    event: Option<String>,
    users: Option<Vec<UserId>>,
    count: Option<u64>,
    complete: Option<bool>,
    duplicate: Option<bool>,
    preferences: Option<RawJson>,
    code: Option<String>,
    message: Option<String>,
    retry_after_ms: Option<u64>,
    reason: Option<String>,
    after_ms: Option<u64>,
}

fn need<T>(value: Option<T>, name: &str) -> Result<T, Malformed> {
    value.ok_or_else(|| Malformed::new(format!("the event has no `{name}`")))
}

impl Wire<'_> {
    fn into_event(self) -> Result<ServerEvent, Malformed> {
        let id = self.id;
        let position = |position| need(position, "position");
        Ok(match &*self.kind {
            "message" if self.delta.is_some() => ServerEvent::Delta(Box::new(self.into_delta()?)),
            "message" => ServerEvent::Message(Box::new(self.into_message()?)),
            "connected" => ServerEvent::Connected(Box::new(self.into_connected()?)),
            "subscribed" => ServerEvent::Subscribed(Box::new(ServerSubscribed {
                id,
                channel: channel(self.channel)?,
                class: need(self.class, "class")?,
                position: self.position,
                recovered: self.recovered.unwrap_or(false),
                messages: self.messages.unwrap_or_default(),
                expires_at_ms: self.expires_at,
            })),
            "dropped" => ServerEvent::Dropped { channel: channel(self.channel)?, count: need(self.count, "count")? },
            "unsubscribed" => ServerEvent::Unsubscribed { id, channel: channel(self.channel)? },
            "acked" => ServerEvent::Acked { id, channel: channel(self.channel)?, position: position(self.position)? },
            "presence" => self.into_presence()?,
            "history" => ServerEvent::History(Box::new(ServerHistory {
                id,
                channel: channel(self.channel)?,
                position: position(self.position)?,
                messages: self.messages.unwrap_or_default(),
                complete: self.complete.unwrap_or(false),
            })),
            "published" => ServerEvent::Published {
                id,
                channel: channel(self.channel)?,
                position: self.position,
                duplicate: self.duplicate.unwrap_or(false),
            },
            "preferences" => ServerEvent::Preferences { id, preferences: need(self.preferences, "preferences")? },
            "refreshed" => ServerEvent::Refreshed { id, expires_at_ms: need(self.expires_at, "expiresAt")? },
            "error" => ServerEvent::Error(Box::new(self.into_error()?)),
            "reset" => ServerEvent::Reset {
                channel: channel(self.channel)?,
                position: position(self.position)?,
                reason: need(self.reason, "reason")?,
            },
            "reconnect" => ServerEvent::Reconnect {
                reason: need(self.reason, "reason")?,
                after_ms: need(self.after_ms, "afterMs")?,
            },
            "pong" => ServerEvent::Pong { id, time_ms: need(self.time, "time")? },
            "heartbeat" => ServerEvent::Heartbeat { time_ms: need(self.time, "time")? },
            unknown => ServerEvent::Unknown { kind: unknown.to_owned() },
        })
    }

    fn into_message(self) -> Result<Message, Malformed> {
        Ok(Message {
            channel: channel(self.channel)?,
            position: self.position,
            key: self.key,
            time_ms: need(self.time, "time")?,
            priority: self.priority.unwrap_or_default(),
            data: self.data.unwrap_or_else(RawJson::null),
            trace: self.trace,
        })
    }

    fn into_delta(self) -> Result<Delta, Malformed> {
        Ok(Delta {
            channel: channel(self.channel)?,
            key: self.key,
            time_ms: need(self.time, "time")?,
            priority: self.priority.unwrap_or_default(),
            base_ms: need(self.base, "base")?,
            changed: need(self.delta, "delta")?,
            removed: self.removed.unwrap_or_default(),
        })
    }

    fn into_connected(self) -> Result<Connected, Malformed> {
        Ok(Connected {
            id: self.id,
            connection_id: need(self.connection_id, "connectionId")?,
            user: need(self.user_id, "userId")?,
            node: need(self.node, "node")?,
            nodes: self.nodes.unwrap_or_default(),
            time_ms: need(self.time, "time")?,
            heartbeat_interval_ms: need(self.heartbeat_interval, "heartbeatInterval")?,
            resume: self.resume,
            expires_at_ms: self.expires_at,
        })
    }

    fn into_presence(self) -> Result<ServerEvent, Malformed> {
        let channel = channel(self.channel)?;
        let joined = match self.event.as_deref() {
            Some("join") => true,
            Some("leave") => false,
            Some(_) => return Err(Malformed::new("`event` must be join or leave")),
            None => {
                let users = need(self.users, "users")?;
                let count = need(self.count, "count")?;
                return Ok(ServerEvent::PresenceList { id: self.id, channel, users, count });
            }
        };
        Ok(ServerEvent::Presence { channel, joined, user: need(self.user_id, "userId")? })
    }

    /// A code of a newer server counts as `internal`; its text is kept.
    fn into_error(self) -> Result<ErrorEvent, Malformed> {
        let code = need(self.code, "code")?;
        Ok(ErrorEvent {
            id: self.id,
            code: ErrorCode::from_wire(&code).unwrap_or(ErrorCode::Internal),
            message: self.message.unwrap_or_default(),
            channel: self.channel,
            retry_after_ms: self.retry_after_ms,
        })
    }
}

fn channel(name: Option<String>) -> Result<ChannelName, Malformed> {
    ChannelName::new(&need(name, "channel")?).map_err(|error| Malformed::new(error.to_string()))
}
