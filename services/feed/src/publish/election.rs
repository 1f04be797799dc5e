//! Who publishes a symbol: one lease a symbol and venue, so that the instances share the work and one takes over from another.
//!
//! Every instance listens to the venues; only the holder of the lease publishes. A holder that dies is replaced when its term is
//! over: at the latest after [`TERM`] and one [`ROUND`]. One that stops gives its leases back.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use tickwire_backplane::{Backplane, BackplaneError, Fence, HistoryQuery, Taken};
use tickwire_protocol::{ChannelName, namespace::Namespaces};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    Names, VenueWants,
    outlet::{Inheritance, Lead},
    publisher::Input,
};
use crate::{
    metrics::Metrics,
    model::{Exchange, Symbol},
};

/// How long a lease lasts unless it is prolonged.
pub(crate) const TERM: Duration = Duration::from_millis(1_500);
/// How often leases are prolonged and tried for.
const ROUND: Duration = Duration::from_millis(400);
/// Leases in one call.
const BATCH: usize = 256;
/// Trades of the predecessor's that are read.
const INHERITED_TRADES: usize = 100;

/// Runs for the symbols of one venue.
pub(crate) struct Election {
    pub(crate) exchange: Exchange,
    /// This process, as no other is called.
    pub(crate) holder: String,
    pub(crate) backplane: Arc<dyn Backplane>,
    pub(crate) namespaces: Arc<Namespaces>,
    pub(crate) wanted: watch::Receiver<Arc<VenueWants>>,
    pub(crate) publisher: mpsc::Sender<Input>,
    pub(crate) metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Held(BTreeMap<Symbol, (Names, Fence)>);

/// Of the history's messages, what identifies a trade.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublishedTrade {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    venue_time: Option<i64>,
}

impl Election {
    /// Until `shutdown`; then the leases are given back.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut held = Held::default();
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = rounds.tick() => {}
                // Something new is wanted: no need to wait for the round.
                changed = self.wanted.changed() => if changed.is_err() { break },
            }
            self.round(&mut held).await;
        }
        let leases: Vec<_> = held.0.into_values().map(|(names, fence)| (names.lease, fence)).collect();
        if let Err(error) = self.backplane.release_leases(&leases).await {
            tracing::debug!(%error, exchange = %self.exchange, "leases end by themselves");
        }
    }

    async fn round(&mut self, held: &mut Held) {
        let wanted = Arc::clone(&self.wanted.borrow_and_update());
        self.release(held, &wanted).await;
        self.prolong(held).await;
        let free: Vec<(Symbol, Names)> = wanted
            .keys()
            .filter(|symbol| !held.0.contains_key(*symbol))
            .filter_map(|symbol| Some((symbol.clone(), Names::of(&self.namespaces, self.exchange, symbol)?)))
            .collect();
        for batch in free.chunks(BATCH) {
            self.take(held, batch).await;
        }
        let leading = i64::try_from(held.0.len()).unwrap_or(i64::MAX);
        self.metrics.leading(self.exchange).set(leading);
    }

    async fn release(&self, held: &mut Held, wanted: &VenueWants) {
        let over: Vec<Symbol> = held.0.keys().filter(|symbol| !wanted.contains_key(*symbol)).cloned().collect();
        let over: Vec<_> = over.iter().filter_map(|symbol| held.0.remove(symbol)).collect();
        let leases: Vec<_> = over.into_iter().map(|(names, fence)| (names.lease, fence)).collect();
        if !leases.is_empty()
            && let Err(error) = self.backplane.release_leases(&leases).await
        {
            tracing::debug!(%error, exchange = %self.exchange, "leases end by themselves");
        }
    }

    async fn prolong(&self, held: &mut Held) {
        let symbols: Vec<Symbol> = held.0.keys().cloned().collect();
        for batch in symbols.chunks(BATCH) {
            let leases: Vec<_> = batch
                .iter()
                .filter_map(|symbol| held.0.get(symbol))
                .map(|(names, fence)| (names.lease.clone(), *fence))
                .collect();
            // The term counts from before the call: the answer may be late, the store's clock is not.
            let until = Instant::now() + TERM;
            let answers = self.backplane.renew_leases(&leases, TERM).await;
            for (symbol, answer) in batch.iter().zip(answers) {
                match answer {
                    Ok(true) => self.tell(Input::Prolonged { symbol: symbol.clone(), until }).await,
                    Ok(false) => {
                        held.0.remove(symbol);
                        self.metrics.leases_lost.inc();
                        self.tell(Input::Lost { symbol: symbol.clone() }).await;
                    }
                    // The term runs out by itself if this goes on.
                    Err(error) => self.failed(&error),
                }
            }
        }
    }

    async fn take(&self, held: &mut Held, batch: &[(Symbol, Names)]) {
        let leases: Vec<ChannelName> = batch.iter().map(|(_, names)| names.lease.clone()).collect();
        let until = Instant::now() + TERM;
        let answers = self.backplane.take_leases(&leases, &self.holder, TERM).await;
        for ((symbol, names), answer) in batch.iter().zip(answers) {
            match answer {
                Ok(Taken::Held(fence)) => match self.inherit(symbol, names, fence).await {
                    Ok(inherited) => {
                        held.0.insert(symbol.clone(), (names.clone(), fence));
                        let lead = Lead { fence, until };
                        self.tell(Input::Elected { symbol: symbol.clone(), lead, inherited: Box::new(inherited) })
                            .await;
                    }
                    // Not fenced off: the next round asks again, and gets the same lease while its term lasts.
                    Err(error) => self.failed(&error),
                },
                Ok(Taken::Elsewhere { .. }) => {}
                Err(error) => self.failed(&error),
            }
        }
    }

    /// Fences off whoever published before, and reads what they published last.
    async fn inherit(&self, symbol: &Symbol, names: &Names, fence: Fence) -> Result<Inheritance, BackplaneError> {
        for (channel, policy) in [&names.trades, &names.book, &names.ticker] {
            self.backplane.fence(channel, policy, fence).await?;
        }
        // Those that are wanted now: one wanted later is fenced by its first publish.
        let intervals = self.wanted.borrow().get(symbol).map(|wants| wants.candles.clone()).unwrap_or_default();
        for (channel, policy) in intervals.into_iter().filter_map(|interval| names.candles(interval)) {
            self.backplane.fence(&channel, &policy, fence).await?;
        }
        let (channel, policy) = &names.trades;
        let mut inherited = Inheritance { trades: HashSet::new(), trade_ms: None };
        if policy.history_count == 0 {
            return Ok(inherited);
        }
        let query = HistoryQuery { since: None, limit: INHERITED_TRADES, reverse: true };
        for publication in self.backplane.history(channel, policy, query).await?.publications {
            let Ok(trade) = publication.data.to::<PublishedTrade>() else { continue };
            inherited.trade_ms = inherited.trade_ms.max(trade.venue_time);
            inherited.trades.extend(trade.id);
        }
        Ok(inherited)
    }

    async fn tell(&self, input: Input) {
        // Closed only while the process ends.
        let _closed = self.publisher.send(input).await;
    }

    fn failed(&self, error: &BackplaneError) {
        self.metrics.election_failures.inc();
        tracing::debug!(%error, exchange = %self.exchange, "an election's call failed");
    }
}
