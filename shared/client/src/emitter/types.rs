//! Bodies of the emitter's API, as its caller sees them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tickwire_protocol::{ChannelName, ErrorCode, Position, Priority, RawJson, UserId, publication::Tags};

use crate::{ClientError, Published};

/// A message to publish.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outgoing {
    /// Where.
    pub channel: ChannelName,
    /// The payload.
    pub data: RawJson,
    /// Whose newest value it is, in a `latest` channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Urgency; medium if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// For subscribers' filters.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Names the message, so that it is published once; one is made if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// When it happened, milliseconds since the Unix epoch; refused if older than 60 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    /// HMAC-SHA256 in hex over the canonical bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// In a `latest` channel: when the value ceases to be one and its key makes room, milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

impl Outgoing {
    /// A message with defaults for everything else.
    pub fn new(channel: ChannelName, data: RawJson) -> Self {
        Self {
            channel,
            data,
            key: None,
            priority: None,
            tags: Tags::new(),
            idempotency_key: None,
            timestamp: None,
            signature: None,
            expires_at: None,
        }
    }
}

/// The same data for several channels.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Broadcast {
    /// Where.
    pub channels: Vec<ChannelName>,
    /// The payload.
    pub data: RawJson,
    /// Urgency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// As in [`Outgoing`], scoped to each channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// What a user shall read.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// What kind, for the application.
    #[serde(rename = "type")]
    pub kind: String,
    /// Headline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `critical` ones are kept until acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// A JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<RawJson>,
    /// Not to be delivered after this, milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Escalates if not acknowledged for this long, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalate_after_ms: Option<u64>,
    /// Names the notification, so that it is made once, also over calls; each call makes one if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// What a notify did.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notified {
    /// Where in the inbox; `None` where it was suppressed.
    #[serde(default)]
    pub position: Option<Position>,
    /// To ask for its state with [`crate::Emitter::alert`].
    pub alert_id: String,
    /// The user's preferences mute it: nothing was stored, and there is no alert.
    #[serde(default)]
    pub suppressed: bool,
}

/// What an event did.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventReceipt {
    /// Every message that it made.
    pub results: Vec<Published>,
    /// Where it made an alert.
    #[serde(default)]
    pub alert_id: Option<String>,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertStatus {
    /// Stored, not yet written to any connection.
    Queued,
    /// Written to at least one.
    Delivered,
    /// The user acknowledged it.
    Acknowledged,
    /// Its deadline passed.
    Escalated,
}

/// An alert's state.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertState {
    /// Where it stands.
    pub status: AlertStatus,
    /// Connections that it was written to.
    pub delivered_to: u64,
    /// When, milliseconds since the Unix epoch.
    #[serde(default)]
    pub acknowledged_at: Option<u64>,
    /// When the escalation webhook took it, milliseconds since the Unix epoch.
    #[serde(default)]
    pub escalated_at: Option<u64>,
    /// Calls of the escalation webhook that were begun.
    #[serde(default)]
    pub attempts: u32,
}

/// A message out of a channel's history.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StoredMessage {
    /// Where it stands.
    pub position: Position,
    /// When the emitter accepted it, milliseconds since the Unix epoch.
    #[serde(rename = "time")]
    pub time_ms: u64,
    /// The payload.
    pub data: RawJson,
}

/// A stretch of a channel's history.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StoredMessages {
    /// The channel's newest position.
    pub position: Position,
    /// In order.
    pub messages: Vec<StoredMessage>,
    /// Nothing between `since` and `position` is missing.
    pub complete: bool,
}

/// A channel that somebody reads.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ChannelCount {
    /// Which.
    pub channel: ChannelName,
    /// By how many connections.
    pub subscribers: u64,
}

/// Which tokens to make void.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", untagged)]
pub enum Revocation {
    /// One token.
    Token {
        /// Its id.
        jti: String,
    },
    /// A user's tokens issued up to a time.
    User {
        /// Whose.
        user_id: UserId,
        /// Seconds since the Unix epoch; until now if not given.
        #[serde(skip_serializing_if = "Option::is_none")]
        iat: Option<u64>,
    },
}

#[derive(Deserialize)]
pub(super) struct Channels {
    pub(super) channels: Vec<ChannelCount>,
}

#[derive(Deserialize)]
pub(super) struct Results {
    pub(super) results: Vec<Outcome>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    Done(Published),
    Refused(ErrorBody),
}

#[derive(Deserialize)]
pub(super) struct ErrorBody {
    pub(super) error: ErrorFields,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorFields {
    pub(super) code: ErrorCode,
    pub(super) message: String,
    #[serde(default)]
    retry_after_ms: Option<u64>,
}

impl Outcome {
    pub(super) fn into_result(self) -> Result<Published, ClientError> {
        match self {
            Self::Done(published) => Ok(published),
            Self::Refused(ErrorBody { error }) => Err(ClientError::Server {
                code: error.code,
                message: error.message,
                retry_after: error.retry_after_ms.map(Duration::from_millis),
            }),
        }
    }
}
