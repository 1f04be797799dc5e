//! What the cluster says, turned into inputs: sessions and accounts by the directories of `tickwire-trading`, tickers by subscriptions of the
//! client. All of it is absolute and the latest of its kind, so a reader that misses something is put right by what follows.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use rust_decimal::Decimal;
use serde::{Deserialize, de::DeserializeOwned};
use tickwire_client::{Client, SubscribeOptions, SubscriptionEvent};
use tickwire_protocol::ChannelName;
use tickwire_trading::{
    Instrument,
    directory::{Directory, Listed},
};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
};

use crate::metrics::Metrics;

/// The price of a ticker: the middle of the book where both sides are there, else the last trade.
#[derive(Debug, Deserialize)]
struct Ticker {
    #[serde(default)]
    bid: Option<Decimal>,
    #[serde(default)]
    ask: Option<Decimal>,
    #[serde(default)]
    last: Option<Decimal>,
}

impl Ticker {
    fn price(&self) -> Option<Decimal> {
        let middle = self.bid.zip(self.ask).and_then(|(bid, ask)| bid.checked_add(ask)?.checked_div(Decimal::TWO));
        middle.or(self.last).filter(|price| *price > Decimal::ZERO)
    }
}

/// Passes on what changes in a directory, until nobody listens. Who listens keeps the values, the directory does not: it would grow
/// with every session there ever was.
pub(crate) async fn changes<T: Listed + Clone, M>(
    directory: Arc<Directory<T>>,
    out: mpsc::Sender<M>,
    wrap: fn(T) -> M,
) {
    loop {
        for value in directory.take_changes().await {
            if out.send(wrap(Arc::unwrap_or_clone(value))).await.is_err() {
                return;
            }
        }
    }
}

/// Follows a channel until nobody listens or the subscription ends for good.
pub(crate) async fn follow<T: DeserializeOwned, M>(
    client: Client,
    channel: ChannelName,
    metrics: Arc<Metrics>,
    out: mpsc::Sender<M>,
    wrap: impl Fn(T) -> Option<M>,
) {
    let name = channel.clone();
    let mut subscription = match client.subscribe(channel, SubscribeOptions::default()).await {
        Ok(subscription) => subscription,
        Err(error) => return tracing::error!(channel = %name, %error, "a channel cannot be followed"),
    };
    while let Some(event) = subscription.next_event().await {
        match event {
            SubscriptionEvent::Message(delivery) => {
                let Ok(value) = delivery.message.data.to::<T>() else {
                    metrics.unreadable.inc();
                    continue;
                };
                if let Some(message) = wrap(value)
                    && out.send(message).await.is_err()
                {
                    return;
                }
            }
            SubscriptionEvent::Ended(error) => {
                return tracing::error!(channel = %name, %error, "a channel is no longer followed");
            }
            _ => {}
        }
    }
}

/// Follows the tickers of a set of instruments that changes, until nobody wants prices.
pub(crate) async fn prices<M: Send + 'static>(
    mut wanted: watch::Receiver<BTreeSet<Instrument>>,
    client: Client,
    metrics: Arc<Metrics>,
    out: mpsc::Sender<M>,
    wrap: fn(&Instrument, Decimal) -> M,
) {
    let mut tasks = JoinSet::new();
    let mut followed: HashMap<Instrument, AbortHandle> = HashMap::new();
    loop {
        let now = wanted.borrow_and_update().clone();
        followed.retain(|instrument, task| {
            let is_wanted = now.contains(instrument) && !task.is_finished();
            if !is_wanted {
                task.abort();
            }
            is_wanted
        });
        for instrument in now {
            if followed.contains_key(&instrument) {
                continue;
            }
            let Ok(channel) = ChannelName::new(&format!("ticker:{instrument}")) else { continue };
            let priced = instrument.clone();
            let passed_on = move |ticker: Ticker| ticker.price().map(|price| wrap(&priced, price));
            let task = tasks.spawn(follow(client.clone(), channel, Arc::clone(&metrics), out.clone(), passed_on));
            followed.insert(instrument, task);
        }
        // Those that ended are taken out of the set, so that it does not grow.
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            Some(_) = tasks.join_next() => tokio::time::sleep(std::time::Duration::from_secs(1)).await,
        }
    }
}
