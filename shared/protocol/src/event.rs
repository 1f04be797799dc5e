//! What an edge tells a client, whatever its dialect.

use std::sync::Arc;

use serde::Deserialize;

use crate::{ChannelName, DeliveryClass, Delta, ErrorCode, Position, Publication, RawJson, UserId};

/// One event. `id` is that of the request it answers.
#[derive(Debug, Clone)]
pub enum Event {
    /// The connection is authenticated.
    Connected(Box<Connected>),
    /// Reply per channel subscribed.
    Subscribed(Box<Subscribed>),
    /// Reply per channel left, or told when a grant ended.
    Unsubscribed {
        /// Of the request; absent when the edge ended it.
        id: Option<i64>,
        /// Where.
        channel: ChannelName,
    },
    /// A message.
    Message(Arc<Publication>),
    /// The same for a subscription with `delta`: what changed since the last value of the key. Native dialects only.
    Delta(Box<Delta>),
    /// The same for a subscription with `trace`: with the [`Trace`] of its way. Native dialects only.
    Traced {
        /// What.
        publication: Arc<Publication>,
        /// See [`Trace::edge_ms`].
        edge_ms: u64,
    },
    /// Messages of a volatile channel that were dropped because the client read too slowly, since the last such event:
    /// `{"type":"dropped","channel","count"}`. Native dialects only.
    Dropped {
        /// Where.
        channel: ChannelName,
        /// How many.
        count: u64,
    },
    /// Reply to `ack`: the last position acknowledged.
    Acked {
        /// Of the request.
        id: Option<i64>,
        /// The inbox.
        channel: ChannelName,
        /// The greatest one acknowledged.
        position: Position,
    },
    /// Someone came or went.
    Presence {
        /// Where.
        channel: ChannelName,
        /// Came (`join`) or went (`leave`).
        joined: bool,
        /// Who.
        user: UserId,
    },
    /// Reply to `presence`: `{"type":"presence","channel","users":[…],"count":n}`.
    PresenceList {
        /// Of the request.
        id: Option<i64>,
        /// Where.
        channel: ChannelName,
        /// Distinct users, perhaps not all of `count`.
        users: Vec<UserId>,
        /// All distinct users.
        count: u64,
    },
    /// Reply to `history`: `{"type":"history","channel","position","messages":[…],"complete":true}`.
    History {
        /// Of the request.
        id: Option<i64>,
        /// Where.
        channel: ChannelName,
        /// The channel's newest.
        position: Position,
        /// In the order asked for.
        messages: Vec<Arc<Publication>>,
        /// Nothing between `since` and `position` is missing.
        complete: bool,
    },
    /// Reply to `publish`: `{"type":"published","channel","position"?,"duplicate":false}`.
    Published {
        /// Of the request.
        id: Option<i64>,
        /// Where.
        channel: ChannelName,
        /// Where it stands; `None` in a volatile namespace without history.
        position: Option<Position>,
        /// The idempotency key was known; `position` is the first one's.
        duplicate: bool,
    },
    /// Reply to `preferences`: `{"type":"preferences","preferences":{…}}`.
    Preferences {
        /// Of the request.
        id: Option<i64>,
        /// A JSON object.
        preferences: RawJson,
    },
    /// Reply to `refresh`: `{"type":"refreshed","expiresAt":…}`.
    Refreshed {
        /// Of the request.
        id: Option<i64>,
        /// When the new token ends.
        expires_at_ms: u64,
    },
    /// Something was refused.
    Error(Box<ErrorEvent>),
    /// The channel's history was lost under a live subscription.
    Reset {
        /// Where.
        channel: ChannelName,
        /// What follows counts from here.
        position: Position,
        /// Why.
        reason: ResetReason,
    },
    /// Reconnect after the delay.
    Reconnect {
        /// Such as `draining`.
        reason: &'static str,
        /// Not earlier than this from now.
        after_ms: u64,
    },
    /// Reply to `ping`.
    Pong {
        /// Of the request.
        id: Option<i64>,
        /// Now.
        time_ms: u64,
    },
    /// Sign of life.
    Heartbeat {
        /// Now.
        time_ms: u64,
    },
}

/// Where a message's time went: `"trace":{"emit":…,"backplane":…,"edge":…}`, milliseconds since the Unix epoch, each by the
/// clock of the machine that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Trace {
    /// When the emitter accepted it: the message's `time`.
    #[serde(rename = "emit")]
    pub emit_ms: u64,
    /// When the store gave it its position; absent where that is not known, as of a message that was read from history.
    #[serde(rename = "backplane", default)]
    pub backplane_ms: Option<u64>,
    /// When the edge queued it for this connection.
    #[serde(rename = "edge")]
    pub edge_ms: u64,
}

impl Trace {
    /// That of a message that an edge queues at `edge_ms`.
    pub fn of(publication: &Publication, edge_ms: u64) -> Self {
        Self { emit_ms: publication.time_ms, backplane_ms: publication.stored_ms, edge_ms }
    }
}

/// Fields of `connected`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Absent where the token came with the upgrade.
    pub id: Option<i64>,
    /// Unique over the cluster.
    pub connection_id: String,
    /// Who the token says.
    pub user: UserId,
    /// The edge's name.
    pub node: String,
    /// Other edges' public addresses, where configured; left out when empty.
    pub nodes: Vec<String>,
    /// Now.
    pub time_ms: u64,
    /// How often the server pings, milliseconds.
    pub heartbeat_interval_ms: u64,
    /// Opaque; given back in the next `connect`.
    pub resume: Option<String>,
    /// When the token ends.
    pub expires_at_ms: Option<u64>,
}

/// Fields of `subscribed`.
#[derive(Debug, Clone)]
pub struct Subscribed {
    /// Of the `subscribe`.
    pub id: Option<i64>,
    /// The channel.
    pub channel: ChannelName,
    /// Its namespace's class.
    pub class: DeliveryClass,
    /// Where live delivery begins: the next message comes after it. `None` in a volatile namespace without history.
    pub position: Option<Position>,
    /// True only if `messages` holds everything after `since`.
    pub recovered: bool,
    /// What was missed, or the current values of a `latest` channel, or what an inbox owes.
    pub messages: Vec<Arc<Publication>>,
    /// With `trace`: the [`Trace::edge_ms`] of `messages`.
    pub traced_ms: Option<u64>,
    /// When the grant ends, where it does.
    pub expires_at_ms: Option<u64>,
}

/// Fields of `error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorEvent {
    /// Of the request.
    pub id: Option<i64>,
    /// What kind.
    pub code: ErrorCode,
    /// For a human; says what to do, never a secret.
    pub message: String,
    /// The channel concerned, as the client wrote it (cut and cleaned).
    pub channel: Option<String>,
    /// When to try again.
    pub retry_after_ms: Option<u64>,
}

/// Why a `reset` came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetReason {
    /// The store lost it, or numbers from a new epoch.
    HistoryLost,
    /// It was trimmed before it could be delivered.
    HistoryTrimmed,
}

impl ResetReason {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HistoryLost => "history_lost",
            Self::HistoryTrimmed => "history_trimmed",
        }
    }
}
