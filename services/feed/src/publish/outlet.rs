//! What one symbol's subscribers are told: by the leading instance at once, by the others kept for the moment they lead. No I/O.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::Duration,
};

use tickwire_backplane::{Fence, Publish};
use tickwire_protocol::{ChannelName, Priority, book::HEARTBEAT_MS, namespace::Policy};
use tokio::time::Instant;

use super::{
    Names, Update, What,
    ladder::{Ladder, Told},
    message::{BookMessage, Payload, Provenance},
    wanted::Wants,
};
use crate::{
    book::BookState,
    model::{Candle, Exchange, Interval, Symbol, Ticker, Trade},
};

/// How long subscribers of a live book hear nothing at most.
const HEARTBEAT: Duration = Duration::from_millis(HEARTBEAT_MS);
/// Trades kept by one that does not lead: what a leader who died may have left unpublished.
const RECENT_TRADES: usize = 256;
/// Ids remembered, so that a venue that repeats itself is not repeated.
const SEEN_TRADES: usize = 2_048;

/// The right to publish.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lead {
    pub(crate) fence: Fence,
    /// The term's end on this process' own clock. Nothing is published after it, whatever the store says.
    pub(crate) until: Instant,
}

/// What the predecessor published, read after its publishes were fenced off.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inheritance {
    /// The newest trades' ids.
    pub(crate) trades: HashSet<String>,
    /// The newest trade's time at its venue.
    pub(crate) trade_ms: Option<i64>,
}

#[derive(Debug)]
pub(crate) struct Outlet {
    exchange: Exchange,
    symbol: Symbol,
    names: Names,
    pub(crate) wants: Wants,
    lead: Option<Lead>,
    ticker: Option<(Ticker, Provenance)>,
    candles: BTreeMap<Interval, (Candle, Provenance)>,
    recent: VecDeque<(Trade, Provenance)>,
    seen: HashSet<String>,
    seen_order: VecDeque<String>,
    state: BookState,
    book: Option<(Ladder, Option<u64>, Provenance)>,
    told: Told,
    /// When subscribers last heard of the book.
    told_at: Option<Instant>,
    /// The epoch of the book's channel, by the answer to the last publish.
    epoch: Option<u64>,
}

/// What to publish, and whose it is: a book's message that fails must be followed by a snapshot.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) publish: Publish,
    pub(crate) symbol: Symbol,
    pub(crate) is_book: bool,
    pub(crate) received_ns: i64,
    pub(crate) venue_ms: Option<i64>,
}

impl Outlet {
    pub(crate) fn new(exchange: Exchange, symbol: Symbol, names: Names) -> Self {
        Self {
            exchange,
            symbol,
            names,
            wants: Wants::default(),
            lead: None,
            ticker: None,
            candles: BTreeMap::new(),
            recent: VecDeque::new(),
            seen: HashSet::new(),
            seen_order: VecDeque::new(),
            state: BookState::Idle,
            book: None,
            told: Told::default(),
            told_at: None,
            epoch: None,
        }
    }

    /// Whether this instance publishes the symbol.
    pub(crate) fn leads(&self) -> bool {
        self.lead.is_some_and(|lead| Instant::now() < lead.until)
    }

    pub(crate) fn book_state(&self) -> BookState {
        self.state
    }

    /// Something new from the venue. The answer says whether the book turned suspect or live again.
    pub(crate) fn take(&mut self, update: Update, out: &mut Vec<Outgoing>) -> Option<BookState> {
        let Update { what, provenance, .. } = update;
        match what {
            What::Ticker(ticker) => {
                self.ticker = Some((*ticker, provenance));
                self.tell_ticker(out);
                None
            }
            What::Candle(candle) => {
                let interval = candle.interval;
                self.candles.insert(interval, (*candle, provenance));
                self.tell_candle(interval, out);
                None
            }
            What::Trade(trade) => {
                self.take_trade(trade, provenance, out);
                None
            }
            What::Book { ladder, sequence } => {
                let turned = self.turn(BookState::Live);
                self.book = Some((*ladder, sequence, provenance));
                self.tell_book(out);
                turned
            }
            What::State { state, reason } => {
                let turned = self.turn(state);
                if state != BookState::Live {
                    self.book = None;
                    self.told.forget();
                    self.tell_state(reason, provenance, out);
                }
                turned
            }
        }
    }

    /// From live to something else, or back.
    fn turn(&mut self, state: BookState) -> Option<BookState> {
        let before = std::mem::replace(&mut self.state, state);
        ((before == BookState::Live) != (state == BookState::Live) || (state == BookState::Suspect && before != state))
            .then_some(state)
    }

    fn take_trade(&mut self, trade: Trade, provenance: Provenance, out: &mut Vec<Outgoing>) {
        let id = trade.id.as_ref().map(ToString::to_string);
        if let Some(id) = &id {
            if !self.seen.insert(id.clone()) {
                return;
            }
            self.seen_order.push_back(id.clone());
            if self.seen_order.len() > SEEN_TRADES
                && let Some(oldest) = self.seen_order.pop_front()
            {
                self.seen.remove(&oldest);
            }
        }
        // What a venue repeats upon subscribing is the past; after a reconnect it fills what was missed meanwhile.
        let newest = self.recent.back().and_then(|(_, provenance)| provenance.venue_ms);
        let is_past = trade.is_snapshot && newest.is_none_or(|newest| provenance.venue_ms.is_none_or(|at| at < newest));
        if self.leads() && !is_past {
            self.tell_trade(&trade, provenance, out);
        }
        if self.recent.len() >= RECENT_TRADES {
            self.recent.pop_front();
        }
        self.recent.push_back((trade, provenance));
    }

    /// This instance leads from now on: what the predecessor has not told is told, everything else that is newest as well.
    pub(crate) fn elected(&mut self, lead: Lead, inherited: &Inheritance, out: &mut Vec<Outgoing>) {
        self.lead = Some(lead);
        self.told.forget();
        if !self.leads() {
            return;
        }
        // Nothing published yet: the past before this instance listened is nobody's debt.
        if let Some(since_ms) = inherited.trade_ms {
            let owed = |(trade, provenance): &&(Trade, Provenance)| {
                let is_told = trade.id.as_ref().is_some_and(|id| inherited.trades.contains(&id.to_string()));
                !is_told && provenance.venue_ms.is_some_and(|at_ms| at_ms >= since_ms)
            };
            let owed: Vec<_> = self.recent.iter().filter(owed).cloned().collect();
            for (trade, provenance) in owed {
                self.tell_trade(&trade, provenance, out);
            }
        }
        self.tell_ticker(out);
        let intervals: Vec<Interval> = self.candles.keys().copied().collect();
        for interval in intervals {
            self.tell_candle(interval, out);
        }
        if self.state == BookState::Live {
            self.tell_book(out);
        } else if self.wants.book {
            self.tell_state(None, now(), out);
        }
    }

    /// The lease goes on.
    pub(crate) fn prolonged(&mut self, until: Instant) {
        if let Some(lead) = &mut self.lead {
            lead.until = until;
        }
    }

    /// Another leads, or nobody.
    pub(crate) fn lost(&mut self) {
        self.lead = None;
        self.told.forget();
    }

    /// A book's message was not published: followers have a hole.
    pub(crate) fn book_failed(&mut self) {
        self.told.forget();
    }

    /// A book's message was published in this epoch. In a new one the store has lost what was before: the book is told as a whole at
    /// once, so that nobody waits for a snapshot.
    pub(crate) fn book_published(&mut self, epoch: u64, out: &mut Vec<Outgoing>) {
        if self.epoch.replace(epoch).is_some_and(|before| before != epoch) && self.state == BookState::Live {
            self.told.forget();
            self.tell_book(out);
        }
    }

    /// Nobody wants the book any more, or this process ends: what is in the history must not be taken for live.
    pub(crate) fn retire(&mut self, reason: &'static str, out: &mut Vec<Outgoing>) {
        if self.state == BookState::Live && self.leads() {
            self.state = BookState::Idle;
            self.tell_state(Some(reason), now(), out);
        }
        (self.state, self.book) = (BookState::Idle, None);
        self.told.forget();
    }

    fn tell_ticker(&mut self, out: &mut Vec<Outgoing>) {
        let Some((ticker, provenance)) = self.ticker.clone() else { return };
        if self.wants.ticker {
            let target = self.names.ticker.clone();
            self.tell(target, &Payload::Ticker(&ticker), provenance, Priority::Medium, None, out);
        }
        if self.wants.prices {
            let (target, key) = (self.names.prices.clone(), self.exchange.name());
            self.tell(target, &Payload::Price(&ticker), provenance, Priority::Medium, Some(key), out);
        }
    }

    fn tell_candle(&mut self, interval: Interval, out: &mut Vec<Outgoing>) {
        let Some((candle, provenance)) = self.candles.get(&interval).cloned() else { return };
        let Some(target) = self.names.candles(interval) else { return };
        self.tell(target, &Payload::Candle(&candle), provenance, Priority::Medium, None, out);
    }

    fn tell_trade(&mut self, trade: &Trade, provenance: Provenance, out: &mut Vec<Outgoing>) {
        let target = self.names.trades.clone();
        self.tell(target, &Payload::Trade(trade), provenance, Priority::Medium, None, out);
    }

    fn tell_book(&mut self, out: &mut Vec<Outgoing>) {
        if !self.leads() {
            return;
        }
        let Some((ladder, sequence, provenance)) = self.book.clone() else { return };
        let Some(message) = self.told.next(ladder) else { return };
        let payload = Payload::Book { message: &message, state: BookState::Live, sequence };
        let target = self.names.book.clone();
        self.told_at = Some(Instant::now());
        self.tell(target, &payload, provenance, Priority::Medium, None, out);
    }

    /// Vouches for a live book of which nothing was to be said for a while: else nobody could tell it from one whose feeds all died.
    pub(crate) fn beat(&mut self, out: &mut Vec<Outgoing>) {
        let is_due = self.told_at.is_none_or(|at| at.elapsed() >= HEARTBEAT);
        if self.state != BookState::Live || !self.leads() || !is_due {
            return;
        }
        let Some(message) = self.told.beat() else { return self.tell_book(out) };
        let Some((_, sequence, provenance)) = &self.book else { return };
        let payload = Payload::Book { message: &message, state: BookState::Live, sequence: *sequence };
        let (target, provenance, before) = (self.names.book.clone(), *provenance, out.len());
        self.told_at = Some(Instant::now());
        self.tell(target, &payload, provenance, Priority::Medium, None, out);
        for beat in &mut out[before..] {
            // Nothing was received: no latency is to be learned from it.
            (beat.received_ns, beat.venue_ms) = (now().received_ns, None);
        }
    }

    /// Ahead of everything that waits on the same connections: a wrong book is worse than a missing one.
    fn tell_state(&mut self, reason: Option<&'static str>, provenance: Provenance, out: &mut Vec<Outgoing>) {
        let message = BookMessage::State { reason };
        let payload = Payload::Book { message: &message, state: self.state, sequence: None };
        let target = self.names.book.clone();
        self.tell(target, &payload, provenance, Priority::High, None, out);
    }

    fn tell(
        &self,
        (channel, policy): (ChannelName, Policy),
        payload: &Payload<'_>,
        provenance: Provenance,
        priority: Priority,
        key: Option<&str>,
        out: &mut Vec<Outgoing>,
    ) {
        let Some(lead) = self.lead.filter(|lead| Instant::now() < lead.until) else { return };
        let published_ms = tickwire_protocol::time::now_ms();
        let data = match payload.render(self.exchange, &self.symbol, provenance, published_ms) {
            Ok(data) => data,
            Err(error) => {
                tracing::error!(%error, symbol = %self.symbol, "a message cannot be rendered");
                return;
            }
        };
        let publish = Publish {
            priority,
            key: key.map(str::to_owned),
            // The leaders of several venues write to a symbol's price: their fences know nothing of each other.
            fence: (!matches!(payload, Payload::Price(_))).then_some(lead.fence),
            ..Publish::new(channel, policy, data)
        };
        out.push(Outgoing {
            publish,
            symbol: self.symbol.clone(),
            is_book: matches!(payload, Payload::Book { .. }),
            received_ns: provenance.received_ns,
            venue_ms: provenance.venue_ms,
        });
    }
}

fn now() -> Provenance {
    let now_ms = i64::try_from(tickwire_protocol::time::now_ms()).unwrap_or(0);
    Provenance { venue_ms: None, received_ns: now_ms.saturating_mul(1_000_000), is_replayed: false }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;
    use tickwire_protocol::namespace::Namespaces;

    use super::*;
    use crate::model::Level;

    fn leading() -> Outlet {
        let symbol = Symbol::new("BTC/USDT");
        let names = Names::of(&Namespaces::default(), Exchange::Okx, &symbol).unwrap();
        let mut outlet = Outlet::new(Exchange::Okx, symbol, names);
        outlet.wants.book = true;
        let lead = Lead { fence: Fence(1), until: Instant::now() + Duration::from_secs(60) };
        outlet.elected(lead, &Inheritance::default(), &mut Vec::new());
        outlet
    }

    fn book(outlet: &mut Outlet, qty: u32) -> Vec<String> {
        let level = |price: i64| Level { price: Decimal::from(price), qty: Decimal::from(qty) };
        let ladder = Box::new(Ladder { bids: vec![level(1)], asks: vec![level(2)] });
        let what = What::Book { ladder, sequence: None };
        let mut out = Vec::new();
        outlet.take(Update { symbol: Symbol::new("BTC/USDT"), what, provenance: now() }, &mut out);
        texts(&out)
    }

    fn texts(out: &[Outgoing]) -> Vec<String> {
        out.iter().map(|outgoing| outgoing.publish.data.as_str().to_owned()).collect()
    }

    fn is_snapshot(texts: &[String]) -> bool {
        texts.len() == 1 && texts[0].contains(r#""kind":"snapshot""#)
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_new_epoch_the_whole_book_is_told_at_once() {
        let mut outlet = leading();
        assert!(is_snapshot(&book(&mut outlet, 1)));
        let mut out = Vec::new();
        outlet.book_published(7, &mut out);
        assert!(!is_snapshot(&book(&mut outlet, 2)));
        outlet.book_published(7, &mut out);
        assert!(out.is_empty(), "the same epoch");
        outlet.book_published(8, &mut out);
        assert!(is_snapshot(&texts(&out)));
        outlet.book_published(8, &mut out);
        assert_eq!(out.len(), 1, "once");
        assert!(!is_snapshot(&book(&mut outlet, 3)), "and changes follow it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_live_book_that_does_not_change_is_vouched_for() {
        let mut outlet = leading();
        book(&mut outlet, 1);
        let mut beats = Vec::new();
        for _ in 0..1_050 {
            tokio::time::advance(Duration::from_secs(1)).await;
            outlet.prolonged(Instant::now() + Duration::from_secs(2));
            let mut out = Vec::new();
            outlet.beat(&mut out);
            beats.extend(texts(&out));
        }
        assert_eq!(beats.len(), 210);
        let whole: Vec<usize> = (0..beats.len()).filter(|at| beats[*at].contains("snapshot")).collect();
        assert_eq!(whole, [100, 201], "the history always holds the whole");
        assert!(beats[0].contains(r#""state":"live","bids":[],"asks":[]"#), "{}", beats[0]);
        outlet.lost();
        tokio::time::advance(Duration::from_secs(60)).await;
        let mut out = Vec::new();
        outlet.beat(&mut out);
        assert!(out.is_empty(), "another vouches for it");
    }
}
