//! Markets that bots look at: subscribed once an instrument, whatever the number of bots.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::SelectAll};
use tickwire_client::{Client, ConnectionState, SubscribeOptions, SubscriptionEvent};
use tickwire_protocol::{ChannelName, book::Depth, time::now_ms};
use tickwire_trading::Instrument;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{mailbox::Mailbox, metrics::Metrics};
use crate::market::{DEPTH, Market, Quote, Source};

/// Pause before a market whose subscriptions ended is subscribed again.
const RESUBSCRIBE: Duration = Duration::from_secs(2);

/// How often it is seen whether a market is still wanted.
const LOOK: Duration = Duration::from_secs(5);

/// Every market that some bot looks at.
pub(crate) struct Markets {
    client: Client,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
    by_instrument: Mutex<BTreeMap<Instrument, Listeners>>,
}

#[derive(Default)]
struct Listeners {
    mailboxes: Vec<Weak<Mailbox>>,
    newest: Option<Arc<Quote>>,
}

impl Markets {
    pub(crate) fn new(client: Client, metrics: Arc<Metrics>, shutdown: CancellationToken) -> Arc<Self> {
        Arc::new(Self { client, metrics, shutdown, by_instrument: Mutex::default() })
    }

    /// Quotes of `instruments` go to `mailbox` for as long as it lives.
    pub(crate) fn join(self: &Arc<Self>, instruments: &[Instrument], mailbox: &Arc<Mailbox>) {
        let mut markets = self.by_instrument.lock().unwrap_or_else(PoisonError::into_inner);
        for instrument in instruments {
            let is_new = !markets.contains_key(instrument);
            let listeners = markets.entry(instrument.clone()).or_default();
            listeners.mailboxes.push(Arc::downgrade(mailbox));
            if let Some(newest) = &listeners.newest {
                mailbox.put(newest, Instant::now());
            }
            if is_new {
                tokio::spawn(Arc::clone(self).follow(instrument.clone()));
            }
        }
        self.metrics.markets.set(i64::try_from(markets.len()).unwrap_or(i64::MAX));
    }

    /// A quote as if its messages had come.
    #[cfg(test)]
    pub(crate) fn offer(&self, quote: &Arc<Quote>) {
        let markets = self.by_instrument.lock().unwrap_or_else(PoisonError::into_inner);
        for mailbox in markets.get(&quote.instrument).iter().flat_map(|listeners| &listeners.mailboxes) {
            if let Some(mailbox) = mailbox.upgrade() {
                mailbox.put(quote, Instant::now());
            }
        }
    }

    /// Until nobody looks any more.
    async fn follow(self: Arc<Self>, instrument: Instrument) {
        let mut market = Market::new(instrument.clone());
        loop {
            let ended = self.shutdown.run_until_cancelled(self.subscribed(&mut market, &instrument)).await;
            market.suspend();
            if ended.is_none_or(|goes_on| !goes_on) || !self.tell(&market, Instant::now()) {
                return;
            }
            if self.shutdown.run_until_cancelled(tokio::time::sleep(RESUBSCRIBE)).await.is_none() {
                return;
            }
        }
    }

    /// Takes messages until a subscription ends (true) or nobody listens (false).
    async fn subscribed(&self, market: &mut Market, instrument: &Instrument) -> bool {
        let mut streams = SelectAll::new();
        for source in Source::ALL {
            let Ok(channel) = ChannelName::new(&format!("{}:{instrument}", source.namespace())) else { return true };
            let mut options = SubscribeOptions::default();
            if let (Source::Book, Ok(depth)) = (source, Depth::try_from(DEPTH)) {
                options = options.depth(depth);
            }
            match self.client.subscribe(channel, options).await {
                Ok(subscription) => streams.push(subscription.map(move |event| (source, event)).boxed()),
                Err(error) => {
                    tracing::debug!(%error, %instrument, "a market cannot be subscribed to");
                    return true;
                }
            }
        }
        let mut link = self.client.state();
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // A market without news has to be let go of too.
                _ = looks.tick() => {
                    if !self.is_wanted(instrument) {
                        return false;
                    }
                }
                next = streams.next() => {
                    let Some((source, event)) = next else { return true };
                    if let SubscriptionEvent::Ended(error) = &event {
                        tracing::warn!(%error, %instrument, "a market's subscription ended");
                        return true;
                    }
                    if self.take(market, source, &event) && !self.tell(market, Instant::now()) {
                        return false;
                    }
                }
                changed = link.changed() => {
                    if changed.is_err() {
                        return true;
                    }
                    if !matches!(*link.borrow_and_update(), ConnectionState::Connected { .. }) {
                        market.suspend();
                        self.tell(market, Instant::now());
                    }
                }
            }
        }
    }

    /// Whether there is anything to tell.
    fn take(&self, market: &mut Market, source: Source, event: &SubscriptionEvent) -> bool {
        match event {
            SubscriptionEvent::Message(delivery) => {
                self.metrics.ticks.inc();
                if let Err(error) = market.take(source, &delivery.message.data, now_ms()) {
                    self.metrics.unreadable.inc();
                    tracing::debug!(%error, channel = %delivery.message.channel, "a market's message is passed over");
                }
                true
            }
            SubscriptionEvent::Subscribed { .. }
            | SubscriptionEvent::Recovered { complete: false, .. }
            | SubscriptionEvent::Reset { .. }
            | SubscriptionEvent::Dropped { .. }
                if source == Source::Book =>
            {
                market.suspend();
                true
            }
            _ => false,
        }
    }

    /// Whether anybody still listens; otherwise the market is forgotten.
    fn tell(&self, market: &Market, at: Instant) -> bool {
        let quote = market.quote();
        let mut markets = self.by_instrument.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(listeners) = markets.get_mut(&quote.instrument) else { return false };
        for mailbox in listeners.mailboxes.iter().filter_map(Weak::upgrade) {
            mailbox.put(&quote, at);
        }
        listeners.newest = Some(quote);
        self.keep_wanted(&mut markets, market.instrument())
    }

    fn is_wanted(&self, instrument: &Instrument) -> bool {
        self.keep_wanted(&mut self.by_instrument.lock().unwrap_or_else(PoisonError::into_inner), instrument)
    }

    /// Forgets those who listen no more, and a market without any. Whether it is still there.
    fn keep_wanted(&self, markets: &mut BTreeMap<Instrument, Listeners>, instrument: &Instrument) -> bool {
        let Some(listeners) = markets.get_mut(instrument) else { return false };
        listeners.mailboxes.retain(|mailbox| mailbox.strong_count() > 0);
        if listeners.mailboxes.is_empty() {
            markets.remove(instrument);
            self.metrics.markets.set(i64::try_from(markets.len()).unwrap_or(i64::MAX));
            return false;
        }
        true
    }
}
