//! What a program receives from a [`crate::Client`].

use std::time::Duration;

use serde::Deserialize;
use tickwire_protocol::{ChannelName, DeliveryClass, Position, UserId, codec::Message};

use crate::{ClientError, DisconnectReason};

/// A message of a subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// It came with the answer to a subscribe (missed, owed or current), not live.
    pub recovered: bool,
}

/// What happens in a subscription.
#[derive(Debug)]
pub enum SubscriptionEvent {
    /// The first answer; the messages that it brought follow as deliveries.
    Subscribed {
        /// What the channel promises.
        class: DeliveryClass,
        /// Where live messages follow on; `None` in a volatile namespace without history.
        position: Option<Position>,
        /// Whether everything after the `since` asked for follows.
        recovered: bool,
    },
    /// A message: for `reliable` and `inbox` channels each once, in order.
    Message(Delivery),
    /// The subscription stands again after a break; the messages missed follow as deliveries. Without `complete` the
    /// history did not reach back that far: fetch a snapshot from its own source.
    Recovered {
        /// Nothing is missing.
        complete: bool,
        /// Where live messages follow on.
        position: Option<Position>,
    },
    /// The channel's history was lost under the live subscription; what follows counts from `position`.
    Reset {
        /// Before the next message.
        position: Position,
        /// `history_lost` or `history_trimmed`.
        reason: String,
    },
    /// Inbox messages that are over, here too: the user acknowledged them on some device, or a critical one expired while
    /// there was no link. A critical message stands for itself, an ordinary one for every ordinary one up to it.
    Acknowledged {
        /// Which.
        positions: Vec<Position>,
    },
    /// The server dropped messages of a volatile channel because this client read too slowly.
    Dropped {
        /// Since the last such event.
        count: u64,
    },
    /// Someone came or went (namespaces with presence).
    Presence {
        /// Who.
        user: UserId,
        /// Came or went.
        joined: bool,
    },
    /// Nothing follows.
    Ended(ClientError),
}

/// Where the connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// The first attempt is under way.
    Connecting,
    /// Authenticated.
    Connected {
        /// The edge's name.
        node: String,
        /// The connection's name in the cluster.
        connection_id: String,
        /// Who the token says.
        user: UserId,
    },
    /// Lost or not yet made; the next attempt is in `delay`.
    Reconnecting {
        /// Attempts since it was last up.
        attempt: u32,
        /// Until the next one.
        delay: Duration,
    },
    /// Stopped for good.
    Disconnected(DisconnectReason),
}

/// A `publish` by a client, or what the emitter did with one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Published {
    /// Where.
    pub channel: ChannelName,
    /// Its position; `None` in a volatile namespace without history.
    #[serde(default)]
    pub position: Option<Position>,
    /// Its idempotency key was known, nothing was published.
    pub duplicate: bool,
}

/// Stored messages of a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The channel's newest position.
    pub position: Position,
    /// The messages asked for.
    pub messages: Vec<Message>,
    /// Nothing between `since` and `position` is missing.
    pub complete: bool,
}

/// Who is in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Presence {
    /// Users, at most as many as the server lists.
    pub users: Vec<UserId>,
    /// All of them.
    pub count: u64,
}
