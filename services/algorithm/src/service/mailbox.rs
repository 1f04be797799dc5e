//! Quotes on their way to a bot: the newest of each instrument, and a bell.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tickwire_trading::Instrument;
use tokio::sync::Notify;

use crate::market::Quote;

/// A quote and when its message came.
pub(crate) type Arrived = (Arc<Quote>, Instant);

/// Holds one quote an instrument: a bot that is busy finds the newest, never a queue.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    quotes: Mutex<BTreeMap<Instrument, Arrived>>,
    news: Notify,
}

impl Mailbox {
    pub(crate) fn put(&self, quote: &Arc<Quote>, at: Instant) {
        let mut quotes = self.quotes.lock().unwrap_or_else(PoisonError::into_inner);
        quotes.insert(quote.instrument.clone(), (Arc::clone(quote), at));
        drop(quotes);
        self.news.notify_one();
    }

    /// Everything that came since the last call, once there is something.
    pub(crate) async fn next(&self) -> Vec<Arrived> {
        loop {
            let waiting = self.take();
            if !waiting.is_empty() {
                return waiting;
            }
            self.news.notified().await;
        }
    }

    pub(crate) fn take(&self) -> Vec<Arrived> {
        let mut quotes = self.quotes.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *quotes).into_values().collect()
    }
}
