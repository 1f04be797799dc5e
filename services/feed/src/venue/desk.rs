//! What every venue's protocol works with: symbols, books, effects.

use std::{
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

use hashbrown::HashMap;

use crate::{
    book::{Anomaly, Book, BookState, Budget},
    model::{
        Body, BookKind, BookUpdate, Candle, Channel, Event, Exchange, Level, Market, Symbol, Ticker, Topic, Trade,
    },
    venue::{
        Counters, Effect, Facts, Fault, FaultClass, Fetch, Instruments, Moment, Setup,
        entry::{Entry, Print},
    },
};

/// How long a book whose subscription the venue refused is left alone: asking again and again would spend the budget of the
/// connection's other books.
const REFUSED_MS: u64 = 600_000;
/// Symbols that one connection holds.
const SYMBOLS_MAX: usize = 5_000;

/// A change of a book as its venue sent it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub(crate) bids: Vec<Level>,
    pub(crate) asks: Vec<Level>,
    pub(crate) first_seq: Option<u64>,
    pub(crate) last_seq: Option<u64>,
    pub(crate) prev_seq: Option<u64>,
    pub(crate) checksum: Option<i64>,
    pub(crate) ts_exchange: Option<i64>,
    /// When and with which frame it came, if not just now.
    pub(crate) arrived: Option<(Moment, u64)>,
}

/// See the module.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Desk {
    pub(crate) exchange: Exchange,
    pub(crate) market: Market,
    pub(crate) conn: Arc<str>,
    pub(crate) facts: &'static Facts,
    pub(crate) instruments: Instruments,
    pub(crate) entries: Vec<Entry>,
    by_native: HashMap<Arc<str>, usize, ahash::RandomState>,
    http: Option<String>,
    accept_all: bool,
    pub(crate) now: Moment,
    /// The number of the frame at hand.
    pub(crate) frame: u64,
    pub(crate) effects: Vec<Effect>,
    pub(crate) counters: Counters,
    pub(crate) resyncs: Budget,
    pub(crate) connected: bool,
    /// The venue's heartbeat was in the frame.
    pub(crate) beat: bool,
    /// A book asks for a resync.
    pub(crate) resync_due: bool,
    hasher: ahash::RandomState,
}

impl Desk {
    pub(crate) fn new(setup: Setup, facts: &'static Facts) -> Self {
        Self {
            exchange: setup.exchange,
            market: setup.market,
            conn: setup.conn,
            facts,
            instruments: setup.instruments,
            entries: Vec::new(),
            by_native: HashMap::default(),
            http: setup.http,
            accept_all: setup.accept_all,
            now: Moment::default(),
            frame: 0,
            effects: Vec::new(),
            counters: Counters::default(),
            resyncs: Budget::new(facts.limits.resyncs),
            connected: false,
            beat: false,
            resync_due: false,
            hasher: ahash::RandomState::new(),
        }
    }

    /// Where HTTP requests go.
    pub(crate) fn http(&self) -> &str {
        let endpoint = self.facts.endpoint(self.market, Channel::Orderbook);
        self.http.as_deref().unwrap_or(endpoint.map_or("", |endpoint| endpoint.http))
    }

    fn add(&mut self, symbol: Symbol, native: Arc<str>) -> Option<usize> {
        if self.entries.len() == SYMBOLS_MAX {
            // Symbols that came and went fill it up: a new connection begins with those that are wanted.
            self.effects.push(Effect::Fault(Fault::new(
                FaultClass::AnnouncedClose,
                None,
                "no room for another symbol",
            )));
            return None;
        }
        let id = self.entries.len();
        self.by_native.insert(native.clone(), id);
        self.entries.push(Entry::new(symbol, native));
        Some(id)
    }

    pub(crate) fn request(&mut self, topic: &Topic) -> Option<(usize, Channel)> {
        if let Channel::Candles(interval) = topic.channel
            && interval.native(self.exchange).is_none()
            && !self.facts.built_candles.contains(&interval)
        {
            let words = format!("{} has no candles of {interval}", self.exchange);
            let fault = Fault::new(FaultClass::Rejected, Some(topic.symbol.clone()), &words);
            self.effects.push(Effect::Fault(fault));
            return None;
        }
        let native = self.instruments.native(&topic.symbol);
        let id = match self.by_native.get(&native) {
            Some(id) => *id,
            None => self.add(topic.symbol.clone(), native)?,
        };
        self.entries[id].wanted.set(topic.channel, true);
        self.entries[id].book_seen |= topic.channel == Channel::Orderbook;
        Some((id, topic.channel))
    }

    pub(crate) fn release(&mut self, topic: &Topic) -> Option<(usize, Channel)> {
        let native = self.instruments.native(&topic.symbol);
        let id = *self.by_native.get(&native)?;
        self.entries[id].wanted.set(topic.channel, false);
        if topic.channel == Channel::Orderbook {
            self.entries[id].book.reset();
            self.tell(id, None);
        }
        Some((id, topic.channel))
    }

    /// The symbol of a native name; None: nobody asked for this channel of it.
    pub(crate) fn find(&mut self, native: &str, channel: Channel) -> Option<usize> {
        let id = self.by_native.get(native).copied();
        if let Some(id) = id.filter(|id| self.accept_all || self.entries[*id].wanted.has(channel)) {
            if channel == Channel::Orderbook {
                self.entries[id].book_seen = true;
            }
            return Some(id);
        }
        if self.accept_all {
            let symbol = self.instruments.symbol(native, self.now.wall_ms());
            let id = self.add(symbol, native.into());
            if let (Some(id), Channel::Orderbook) = (id, channel) {
                self.entries[id].book_seen = true;
            }
            return id;
        }
        self.counters.unrequested += 1;
        None
    }

    /// Whether a channel of a symbol goes to anybody.
    pub(crate) fn is_wanted(&self, id: usize, channel: Channel) -> bool {
        self.accept_all || self.entries[id].wanted.has(channel)
    }

    /// The symbol of a native name, whatever was asked of it.
    pub(crate) fn known(&self, native: &str) -> Option<usize> {
        self.by_native.get(native).copied()
    }

    pub(crate) fn book(&mut self, id: usize) -> &mut Book {
        &mut self.entries[id].book
    }

    /// All books from nothing.
    pub(crate) fn reset(&mut self) {
        for id in 0..self.entries.len() {
            let was = self.entries[id].book.state;
            self.entries[id].reset();
            if was != BookState::Idle {
                self.tell(id, None);
            }
        }
    }

    fn tell(&mut self, id: usize, cause: Option<Anomaly>) {
        let Entry { symbol, book, .. } = &self.entries[id];
        self.effects.push(Effect::State { symbol: symbol.clone(), state: book.state, cause });
    }

    /// The book waits for something in this state; after `patience_ms` a new snapshot is asked for.
    pub(crate) fn wait(&mut self, id: usize, state: BookState, patience_ms: u64) {
        let patience_ms = if self.entries[id].is_refused { patience_ms.max(REFUSED_MS) } else { patience_ms };
        let at = self.now.mono_ms + patience_ms;
        let book = self.book(id);
        book.resync_at_ms = Some(at);
        if book.state != state {
            book.state = state;
            self.tell(id, None);
        }
    }

    /// Notes what was found wrong; the book is not affected (a duplicate that is ignored).
    pub(crate) fn anomaly(&mut self, id: Option<usize>, kind: Anomaly) {
        let symbol = id.map(|id| self.entries[id].symbol.clone());
        self.effects.push(Effect::Anomaly { symbol, kind });
    }

    /// The book is not to be believed any more.
    pub(crate) fn suspect(&mut self, id: usize, kind: Anomaly) {
        self.anomaly(Some(id), kind);
        let now_ms = self.now.mono_ms;
        let book = self.book(id);
        book.resync_at_ms = Some(now_ms);
        book.counts.suspected += 1;
        if book.state != BookState::Suspect {
            book.state = BookState::Suspect;
            self.tell(id, Some(kind));
        }
        self.resync_due = true;
    }

    /// Every live book of the connection.
    pub(crate) fn suspect_all(&mut self, kind: Anomaly) {
        self.suspect_where(kind, |_| true);
    }

    /// The live books that `doubtful` picks.
    pub(crate) fn suspect_where(&mut self, kind: Anomaly, doubtful: impl Fn(&Book) -> bool) {
        for id in 0..self.entries.len() {
            let book = &self.entries[id].book;
            if book.state == BookState::Live && doubtful(book) {
                self.suspect(id, kind);
            }
        }
    }

    /// A whole new book. `verify` checks the venue's evidence on it.
    pub(crate) fn install(&mut self, id: usize, change: Change, verify: impl FnOnce(&mut Book) -> Result<(), Anomaly>) {
        let book = self.book(id);
        let result = book.replace(&change.bids, &change.asks, change.last_seq).and_then(|()| verify(book));
        self.settle(id, BookKind::Snapshot, change, result);
    }

    /// A change whose sequence is right.
    pub(crate) fn change(&mut self, id: usize, change: Change, verify: impl FnOnce(&mut Book) -> Result<(), Anomaly>) {
        let book = self.book(id);
        let result = book.apply(&change.bids, &change.asks, change.last_seq).and_then(|()| verify(book));
        self.settle(id, BookKind::Delta, change, result);
    }

    fn settle(&mut self, id: usize, kind: BookKind, change: Change, result: Result<(), Anomaly>) {
        if let Err(anomaly) = result {
            return self.suspect(id, anomaly);
        }
        self.entries[id].is_refused = false;
        let book = &mut self.entries[id].book;
        book.resync_at_ms = None;
        if book.state != BookState::Live {
            book.state = BookState::Live;
            self.tell(id, None);
        }
        let top = self.entries[id].book.top();
        let update = BookUpdate {
            kind,
            bids: change.bids,
            asks: change.asks,
            first_seq: change.first_seq,
            last_seq: change.last_seq,
            prev_seq: change.prev_seq,
            checksum: change.checksum,
            state: BookState::Live,
            top,
        };
        let (arrived, frame) = change.arrived.unwrap_or((self.now, self.frame));
        let event = self.envelope(id, change.ts_exchange, change.last_seq, Body::Book(update));
        self.effects.push(Effect::Event(Event { ts_received: arrived.wall_ns, frame, ..event }));
    }

    /// Whether deltas may be applied now; those that may not are counted.
    pub(crate) fn is_live(&mut self, id: usize) -> bool {
        let book = self.book(id);
        let live = book.state == BookState::Live;
        if !live {
            book.counts.dropped += 1;
        }
        live
    }

    /// Whether this text is the last one again: for venues that number nothing.
    pub(crate) fn is_repeated(&mut self, id: usize, text: &str) -> bool {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(text.as_bytes());
        let hash = hasher.finish();
        self.book(id).last_hash.replace(hash) == Some(hash)
    }

    pub(crate) fn event(&mut self, id: usize, ts_exchange: Option<i64>, seq: Option<u64>, body: Body) {
        let event = self.envelope(id, ts_exchange, seq, body);
        self.effects.push(Effect::Event(event));
    }

    fn envelope(&self, id: usize, ts_exchange: Option<i64>, seq: Option<u64>, body: Body) -> Event {
        let entry = &self.entries[id];
        Event {
            exchange: self.exchange,
            symbol: entry.symbol.clone(),
            native_symbol: entry.native.clone(),
            conn: self.conn.clone(),
            frame: self.frame,
            ts_exchange,
            ts_received: self.now.wall_ns,
            seq,
            body,
        }
    }

    /// A print, unless it was seen. Told to those who want prints; the answer is whether it is new.
    pub(crate) fn trade(&mut self, id: usize, ts_exchange: Option<i64>, seq: Option<u64>, trade: Trade) -> bool {
        if let Some(trade_id) = &trade.id {
            let print = self.entries[id].trades.note(trade_id);
            match print {
                // What a snapshot repeats is no fault of the venue's.
                Print::Repeated if trade.is_snapshot => return false,
                Print::Repeated => {
                    self.anomaly(Some(id), Anomaly::Duplicate);
                    return false;
                }
                Print::Late if !trade.is_snapshot => self.anomaly(Some(id), Anomaly::OutOfOrder),
                Print::Late | Print::New => {}
            }
        }
        if self.is_wanted(id, Channel::Trades) {
            self.event(id, ts_exchange, seq, Body::Trade(trade));
        }
        true
    }

    /// What changed of a ticker: the rest is kept from before, unless this is `whole`.
    pub(crate) fn ticker(
        &mut self,
        id: usize,
        ts_exchange: Option<i64>,
        seq: Option<u64>,
        ticker: &Ticker,
        whole: bool,
    ) {
        let held = &mut self.entries[id].ticker;
        if whole {
            *held = Ticker::default();
        }
        held.merge(ticker);
        let body = Body::Ticker(Box::new(held.clone()));
        self.event(id, ts_exchange, seq, body);
    }

    /// A candle. Where the venue does not say that one is closed, a later one says it of the one before.
    pub(crate) fn candle(&mut self, id: usize, ts_exchange: Option<i64>, candle: Candle) {
        if candle.closed.is_none() {
            let held = &mut self.entries[id].candles;
            let before = match held.iter_mut().find(|held| held.interval == candle.interval) {
                Some(held) if candle.open_time < held.open_time => None,
                Some(held) => Some(std::mem::replace(held, candle.clone())),
                None => {
                    held.push(candle.clone());
                    None
                }
            };
            if let Some(before) = before.filter(|before| before.open_time < candle.open_time) {
                let closed = Candle { closed: Some(true), derived: true, ..before };
                self.event(id, ts_exchange, None, Body::Candle(Box::new(closed)));
            }
        }
        self.event(id, ts_exchange, None, Body::Candle(Box::new(candle)));
    }

    pub(crate) fn send(&mut self, text: String) {
        self.effects.push(Effect::Send(text));
    }

    pub(crate) fn fetch(&mut self, id: usize, path: &str, weight: u32, delay_ms: u64) {
        let url = format!("{}{path}", self.http());
        let symbol = self.entries[id].symbol.clone();
        self.effects.push(Effect::Fetch(Fetch { symbol, url, weight, delay_ms }));
    }

    /// The venue confirmed a subscription.
    pub(crate) fn subscribed(&mut self, native: &str, channel: Channel) {
        if let Some(id) = self.known(native) {
            let symbol = self.entries[id].symbol.clone();
            self.effects.push(Effect::Subscribed(Topic { symbol, channel }));
        }
    }

    pub(crate) fn fault(&mut self, class: FaultClass, native: Option<&str>, detail: &str) {
        let id = native.and_then(|native| self.known(native));
        let symbol = id.map(|id| self.entries[id].symbol.clone());
        self.effects.push(Effect::Fault(Fault::new(class, symbol, detail)));
        if let Some(id) = id.filter(|id| class == FaultClass::Rejected && self.entries[*id].book.resync_at_ms.is_some())
        {
            self.entries[id].is_refused = true;
            self.entries[id].book.resync_at_ms = Some(self.now.mono_ms + REFUSED_MS);
        }
    }
}
