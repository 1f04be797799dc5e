//! Typed events: what a backend says happened, and the messages that make it known.
//!
//! Each event is a closed struct: an unknown field is refused. [`Event::messages`] is the whole table of where a kind goes;
//! nothing else knows a channel's name.

mod market;
pub(crate) mod platform;
mod risk;
mod session;
mod system;
mod trading;

use serde::{Serialize, de::DeserializeOwned};
use tickwire_backplane::AlertId;
use tickwire_protocol::{ChannelName, Priority, RawJson, UserId, channel::InvalidChannel};
use utoipa::ToSchema;

pub(crate) use market::{MarketData, VolatilityAlert};
pub(crate) use risk::{EmergencyStop, LossLimitWarning, RiskAlert};
pub(crate) use session::{AlgorithmDecision, SessionCompleted, SessionStarted, SessionStatus};
pub(crate) use system::SystemNotification;
pub(crate) use trading::{OrderUpdate, PositionUpdate, StrategyUpdate, TradeExecuted};

/// One kind of event.
pub(crate) trait Event: DeserializeOwned + ToSchema + Send + Sync + 'static {
    /// Last segment of its path.
    const KIND: &'static str;
    /// What it means and where it goes, for the API's description.
    const SUMMARY: &'static str;

    /// When it happened, milliseconds since the Unix epoch, if the caller said.
    fn timestamp_ms(&self) -> Option<u64>;

    /// The caller's idempotency key, where it stands in the body.
    fn idempotency_key(&self) -> Option<&str>;

    /// Rules that involve more than one value.
    fn check(&self) -> Result<(), InvalidEvent> {
        Ok(())
    }

    /// Whose inbox it reaches, if any: an alert is tracked for it.
    fn alerts(&self) -> Option<&UserId> {
        None
    }

    /// The messages to publish, in order.
    fn messages(&self, stamp: &Stamp) -> Result<Vec<Message>, InvalidEvent>;
}

/// A field that breaks a rule.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidEvent {
    #[error("`{field}`: {reason}")]
    Field { field: &'static str, reason: &'static str },
    #[error("no channel can be named after it: {0}")]
    Channel(#[from] InvalidChannel),
    #[error("it cannot be rendered: {0}")]
    Render(#[from] serde_json::Error),
}

/// What the emitter adds to an event.
pub(crate) struct Stamp {
    /// When it happened, or now.
    pub(crate) timestamp_ms: u64,
    /// The alert it makes.
    pub(crate) alert: Option<AlertId>,
}

/// One message of an event.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) channel: ChannelName,
    pub(crate) data: RawJson,
    pub(crate) priority: Priority,
    pub(crate) key: Option<String>,
    /// Recorded as the channel's owner.
    pub(crate) owner: Option<UserId>,
    /// It carries the alert of [`Stamp::alert`].
    pub(crate) is_alert: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stamped<'a, T> {
    r#type: &'static str,
    #[serde(flatten)]
    fields: &'a T,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert_id: Option<&'a str>,
}

impl Stamp {
    /// `fields` with `type`, `timestamp` and, where there is one, `alertId`.
    fn data<T: Serialize>(&self, r#type: &'static str, fields: &T) -> Result<RawJson, serde_json::Error> {
        let alert_id = self.alert.as_ref().map(AlertId::as_str);
        RawJson::of(&Stamped { r#type, fields, timestamp: self.timestamp_ms, alert_id })
    }
}

impl Message {
    fn new(channel: &str, data: RawJson) -> Result<Self, InvalidChannel> {
        let channel = ChannelName::new(channel)?;
        Ok(Self { channel, data, priority: Priority::Medium, key: None, owner: None, is_alert: false })
    }

    fn inbox(user: &UserId, data: RawJson) -> Result<Self, InvalidChannel> {
        Ok(Self { is_alert: true, ..Self::new(&format!("user:{user}"), data)? })
    }

    fn priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    fn owned_by(self, user: &UserId) -> Self {
        Self { owner: Some(user.clone()), ..self }
    }
}

/// The fields every event may carry, read from the struct's own.
macro_rules! common_fields {
    () => {
        fn timestamp_ms(&self) -> Option<u64> {
            self.timestamp
        }

        fn idempotency_key(&self) -> Option<&str> {
            self.idempotency_key.as_deref()
        }
    };
}
use common_fields;

/// Which way a trade goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    #[serde(alias = "BUY")]
    Buy,
    #[serde(alias = "SELL")]
    Sell,
}
