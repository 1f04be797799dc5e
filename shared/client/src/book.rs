//! A book as a subscription shows it, whole or the best levels.

use tickwire_protocol::book::{Book, BookUpdate, Level, State};

use crate::{ClientError, SubscriptionEvent};

/// Puts a book together from the events of a subscription to `book:{exchange}:{symbol}`, with or without a depth
/// ([`crate::SubscribeOptions::depth`]).
///
/// Its levels may be acted on only while [`BookView::is_live`]. While the client is not connected nothing comes, so nobody says
/// that they are old: call [`BookView::suspend`] when [`crate::ConnectionState`] is not `Connected`; the snapshot that comes after
/// the reconnect makes it live again.
#[derive(Debug, Clone, Default)]
pub struct BookView {
    book: Book,
    newest: Option<BookUpdate>,
}

impl BookView {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next event, in order. An error: the message is no book's; the view is not live until the next snapshot.
    pub fn apply(&mut self, event: &SubscriptionEvent) -> Result<(), ClientError> {
        match event {
            SubscriptionEvent::Message(delivery) => self.take(delivery.message.data.to::<BookUpdate>()),
            SubscriptionEvent::Recovered { complete: true, .. }
            | SubscriptionEvent::Acknowledged { .. }
            | SubscriptionEvent::Presence { .. } => Ok(()),
            SubscriptionEvent::Subscribed { .. }
            | SubscriptionEvent::Recovered { complete: false, .. }
            | SubscriptionEvent::Reset { .. }
            | SubscriptionEvent::Dropped { .. }
            | SubscriptionEvent::Ended(_) => {
                self.suspend();
                Ok(())
            }
        }
    }

    fn take(&mut self, update: Result<BookUpdate, serde_json::Error>) -> Result<(), ClientError> {
        let applied = update.map_err(|error| error.to_string()).and_then(|update| {
            let applied = self.book.apply(&update).map_err(|error| error.to_string());
            self.newest = Some(BookUpdate { bids: Vec::new(), asks: Vec::new(), ..update });
            applied
        });
        applied.map_err(|why| {
            self.suspend();
            ClientError::Unexpected(format!("no message of a book: {why}"))
        })
    }

    /// Believes nothing until the next snapshot.
    pub fn suspend(&mut self) {
        self.book.lose();
    }

    /// Whether the levels are what the venue has, as far as the cluster knows.
    pub fn is_live(&self) -> bool {
        self.book.is_live()
    }

    /// What the feed said last of the book; `None` before the first message.
    pub fn state(&self) -> Option<&State> {
        self.newest.as_ref().map(|newest| &newest.state)
    }

    /// The newest message without its levels: times, sequence, whether it is a replay.
    pub fn newest(&self) -> Option<&BookUpdate> {
        self.newest.as_ref()
    }

    /// Highest first.
    pub fn bids(&self) -> impl Iterator<Item = Level> + '_ {
        self.book.bids()
    }

    /// Lowest first.
    pub fn asks(&self) -> impl Iterator<Item = Level> + '_ {
        self.book.asks()
    }
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::{ChannelName, DeliveryClass, Priority, RawJson, codec::Message};

    use super::*;
    use crate::Delivery;

    fn message(data: &str) -> SubscriptionEvent {
        let message = Message {
            channel: ChannelName::new("book:okx:BTC/USDT").unwrap(),
            position: None,
            key: None,
            time_ms: 1,
            priority: Priority::Medium,
            data: RawJson::parse(data.to_owned()).unwrap(),
            trace: None,
        };
        SubscriptionEvent::Message(Delivery { message, recovered: false })
    }

    const SNAPSHOT: &str =
        r#"{"type":"book","kind":"snapshot","state":"live","bids":[["1.5","2"],["1.4","3"]],"asks":[["1.6","1"]]}"#;
    const DELTA: &str = r#"{"type":"book","kind":"delta","state":"live","bids":[["1.50","0"]],"sequence":7}"#;

    #[test]
    fn a_view_is_live_from_a_snapshot_until_something_is_lost() {
        let mut view = BookView::new();
        view.apply(&message(DELTA)).unwrap();
        assert!(!view.is_live());
        let lost = || SubscriptionEvent::Recovered { complete: false, position: None };
        let subscribed =
            SubscriptionEvent::Subscribed { class: DeliveryClass::Volatile, position: None, recovered: false };
        view.apply(&subscribed).unwrap();
        for _ in 0..2 {
            view.apply(&message(SNAPSHOT)).unwrap();
            view.apply(&message(DELTA)).unwrap();
            assert!(view.is_live());
            assert_eq!(view.bids().map(|level| level.price.to_string()).collect::<Vec<_>>(), ["1.4"]);
            assert_eq!(view.asks().count(), 1);
            assert_eq!(view.newest().unwrap().sequence, Some(7));
            view.apply(&lost()).unwrap();
            assert!(!view.is_live() && view.bids().next().is_none());
        }
    }

    #[test]
    fn what_is_no_message_of_a_book_is_an_error_and_no_book() {
        let mut view = BookView::new();
        view.apply(&message(SNAPSHOT)).unwrap();
        assert!(matches!(view.apply(&message(r#"{"bids":1}"#)), Err(ClientError::Unexpected(_))));
        assert!(!view.is_live());
    }
}
