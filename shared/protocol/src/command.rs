//! What a client asks for, whatever its dialect.

use crate::{ChannelName, DeviceId, Position, RawJson, channel::InvalidChannel};

/// A command with the id its reply carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Comes back in the reply.
    pub id: Option<i64>,
    /// What is asked.
    pub command: Command,
}

/// One command. Each codec produces these; each entry of a list that is wrong by itself is kept as its own error, so
/// that one bad name gets one `error` and the others are served.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Authenticate on a connection whose upgrade carried no token.
    Connect {
        /// A JWT; absent where the upgrade carried one and only `resume` is given.
        token: Option<String>,
        /// What the last `connected` gave.
        resume: Option<String>,
        /// Which of the user's devices this is: it then has a read cursor of its own in the inbox.
        device: Option<DeviceId>,
        /// Messages a second at most from all the connection's `latest` channels together; finite and greater than 0.
        max_rate: Option<f64>,
    },
    /// Subscribe to each entry.
    Subscribe {
        /// In the order given, at least one.
        channels: Vec<Result<SubscriptionRequest, BadChannel>>,
    },
    /// Unsubscribe from each entry.
    Unsubscribe {
        /// In the order given, at least one.
        channels: Vec<Result<ChannelName, BadChannel>>,
    },
    /// Publish as a client (namespaces that allow it).
    Publish {
        /// Where to.
        channel: Result<ChannelName, BadChannel>,
        /// Key of a `latest` channel.
        key: Option<String>,
        /// The payload.
        data: RawJson,
        /// The same key within five minutes publishes nothing more.
        idempotency_key: Option<String>,
    },
    /// Read stored messages; `since` exclusive. Without `since`: from the oldest, or from the newest if `reverse`.
    History {
        /// Whose.
        channel: Result<ChannelName, BadChannel>,
        /// Exclusive.
        since: Option<Position>,
        /// At most this many messages; the edge caps it.
        limit: Option<u32>,
        /// Newest first.
        reverse: bool,
    },
    /// Who is there.
    Presence {
        /// Where.
        channel: Result<ChannelName, BadChannel>,
    },
    /// Acknowledge inbox messages.
    Ack {
        /// The inbox.
        channel: Result<ChannelName, BadChannel>,
        /// At least one.
        positions: Vec<Position>,
    },
    /// Read (`None`) or merge notification preferences: a JSON object.
    Preferences {
        /// Top-level fields to replace; `null` removes one.
        set: Option<RawJson>,
    },
    /// Replace the token of a live connection.
    Refresh {
        /// The new JWT.
        token: String,
    },
    /// Asks for a `pong`.
    Ping,
    /// Sign of life; answered with one.
    Heartbeat,
}

/// One channel of a `subscribe`.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionRequest {
    /// What to subscribe to.
    pub channel: ChannelName,
    /// Recover from here.
    pub since: Option<Position>,
    /// Tag expression, see [`crate::filter`]; not yet compiled, so that its error names the channel.
    pub filter: Option<String>,
    /// Messages a second at most; finite and greater than 0.
    pub max_rate: Option<f64>,
    /// Only these keys of a `latest` channel.
    pub keys: Option<Vec<String>>,
    /// Changed fields instead of whole values where the client has the last one ([`crate::delta`]); `latest` channels.
    pub delta: bool,
    /// Each message says when it passed where, see [`crate::event::Trace`].
    pub trace: bool,
    /// Free: presence and logs see it. A JSON object.
    pub params: Option<RawJson>,
}

impl SubscriptionRequest {
    /// A plain subscription.
    pub fn new(channel: ChannelName) -> Self {
        Self {
            channel,
            since: None,
            filter: None,
            max_rate: None,
            keys: None,
            delta: false,
            trace: false,
            params: None,
        }
    }
}

/// An entry of a command that names no usable channel or carries a bad option.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct BadChannel {
    /// What the client wrote, cut to 64 characters and with control characters replaced: safe to echo and to log.
    pub name: String,
    /// Why it is refused.
    pub reason: BadChannelReason,
}

/// Why an entry is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadChannelReason {
    /// The name itself.
    #[error(transparent)]
    Name(#[from] InvalidChannel),
    /// An option beside the name; the text says which and what it should be.
    #[error("{0}")]
    Option(String),
}
