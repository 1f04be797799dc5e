//! The wider platform's events, in the form of `grekko-v1`: `topic`, `type`, `data`, `timestamp`, `signature`?.
//!
//! [`ROUTES`] is the whole table: a key `service.topic.type` stands for one closed struct and for the channel that is named after
//! the topic. What no row names is a dead letter.

mod agents;
mod sentiment;
mod trading;
mod wallet;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tickwire_protocol::{RawJson, UserId};
use utoipa::ToSchema;

use super::{InvalidEvent, Message, Stamp};

pub(crate) use agents::{AgentMetrics, TradingSignal};
pub(crate) use sentiment::{Article, Sentiment};
pub(crate) use trading::{OrderCancelled, OrderFilled, PositionOpened};
pub(crate) use wallet::{BalanceUpdate, TransactionConfirmed};

/// An event as a service of the wider platform sends it; the service stands in the path.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PlatformBody {
    #[schema(example = "balance-updates")]
    pub(crate) topic: String,
    #[schema(example = "balance-update")]
    pub(crate) r#type: String,
    /// What the key `service.topic.type` stands for; its text is what a signature is made over.
    #[schema(value_type = Object)]
    pub(crate) data: RawJson,
    /// When it happened, milliseconds since the Unix epoch; at most 60 s from now.
    pub(crate) timestamp: u64,
    /// HMAC-SHA256 as hex over the key `service.topic.type`, the timestamp and `data`, as the description of this API says.
    pub(crate) signature: Option<String>,
    /// The same key within 5 minutes publishes nothing and gets the first answer.
    pub(crate) idempotency_key: Option<String>,
}

/// One row: what a key stands for.
pub(crate) struct Route {
    pub(crate) service: &'static str,
    /// Also the namespace of its channel.
    pub(crate) topic: &'static str,
    pub(crate) r#type: &'static str,
    /// Reads the data and makes the messages.
    messages: fn(&Self, &str, &Stamp) -> Result<Vec<Message>, Unreadable>,
}

/// Why the data of a known key makes no message.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Data(serde_path_to_error::Error<serde_json::Error>),
    Event(InvalidEvent),
}

impl<E: Into<InvalidEvent>> From<E> for Unreadable {
    fn from(error: E) -> Self {
        Self::Event(error.into())
    }
}

/// Whom an event is for.
pub(crate) enum Audience<'a> {
    /// `{topic}:{user}`.
    User(&'a UserId),
    /// `{topic}`, under this key where the namespace keeps the latest of each.
    Everyone(Option<&'a str>),
}

/// The data of one type.
pub(crate) trait PlatformData: DeserializeOwned + Serialize + ToSchema {
    fn audience(&self) -> Audience<'_>;

    /// Messages beside the one that the topic names.
    fn further(&self, _: &RawJson) -> Result<Vec<Message>, InvalidEvent> {
        Ok(Vec::new())
    }
}

/// Every key there is.
pub(crate) static ROUTES: &[Route] = &[
    Route::to::<BalanceUpdate>("wallet", "balance-updates", "balance-update"),
    Route::to::<BalanceUpdate>("wallet", "wallet-events", "balance-update"),
    Route::to::<TransactionConfirmed>("wallet", "transaction-status", "transaction-confirmed"),
    Route::to::<TransactionConfirmed>("wallet", "wallet-events", "transaction-confirmed"),
    Route::to::<OrderFilled>("trading", "order-updates", "order-filled"),
    Route::to::<OrderFilled>("trading", "execution-events", "order-filled"),
    Route::to::<OrderCancelled>("trading", "order-updates", "order-cancelled"),
    Route::to::<PositionOpened>("trading", "position-changes", "position-opened"),
    Route::to::<TradingSignal>("agents", "agent-signals", "trading-signal"),
    Route::to::<AgentMetrics>("agents", "performance-updates", "metrics"),
    Route::to::<Sentiment>("sentiment", "sentiment-updates", "score"),
    Route::to::<Article>("sentiment", "news-events", "article"),
];

impl Route {
    const fn to<T: PlatformData>(service: &'static str, topic: &'static str, r#type: &'static str) -> Self {
        Self { service, topic, r#type, messages: read::<T> }
    }

    /// The row of a key.
    pub(crate) fn of(service: &str, topic: &str, r#type: &str) -> Option<&'static Self> {
        ROUTES.iter().find(|route| (route.service, route.topic, route.r#type) == (service, topic, r#type))
    }

    /// The messages of `data`, in order.
    pub(crate) fn messages(&self, data: &RawJson, stamp: &Stamp) -> Result<Vec<Message>, Unreadable> {
        (self.messages)(self, data.as_str(), stamp)
    }
}

fn read<T: PlatformData>(route: &Route, text: &str, stamp: &Stamp) -> Result<Vec<Message>, Unreadable> {
    let event: T =
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(Unreadable::Data)?;
    let data = stamp.data(route.r#type, &event)?;
    let message = match event.audience() {
        Audience::User(user) => Message::new(&format!("{}:{user}", route.topic), data.clone())?,
        Audience::Everyone(key) => Message { key: key.map(str::to_owned), ..Message::new(route.topic, data.clone())? },
    };
    let mut messages = vec![message];
    messages.extend(event.further(&data)?);
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::{ChannelName, namespace::Namespaces};

    use super::*;

    #[test]
    fn every_key_stands_once_and_names_a_namespace() {
        let namespaces = Namespaces::default();
        for (at, Route { service, topic, r#type, .. }) in ROUTES.iter().enumerate() {
            assert!(namespaces.policy(&ChannelName::new(&format!("{topic}:7")).unwrap()).is_some(), "{topic}");
            let first = ROUTES.iter().position(|route| std::ptr::eq(route, Route::of(service, topic, r#type).unwrap()));
            assert_eq!(first, Some(at), "{service}.{topic}.{type} stands twice");
        }
    }
}
