//! From a link's effects to the publisher's inputs.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use tokio::{
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::{
    book::{Anomaly, BookState},
    metrics::{self, Metrics},
    model::{Body, Channel, Event, Exchange, Symbol, Topic},
    publish::{Input, Ladder, Provenance, Update, What},
    status::{Board, SymbolStatus},
    venue::{Adapter, Counters, Effect, Moment},
};

/// Which of a lane's two links something came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything counts.
    Primary,
    /// The replacement, until it takes over: only its trades count, which are told apart by their ids.
    Spare,
}

pub(crate) struct Feed {
    exchange: Exchange,
    book_depth: usize,
    publisher: mpsc::Sender<Input>,
    pub(crate) board: Arc<Board>,
    pub(crate) metrics: Arc<Metrics>,
    /// When each symbol's newest event came.
    heard: HashMap<Symbol, Instant>,
    /// States that found the queue full. They are told before anything else: a suspect book must not look live. One a symbol.
    owed: VecDeque<(Symbol, Input)>,
    counted: Counters,
    resyncs: HashMap<Symbol, u64>,
}

impl Feed {
    pub(crate) fn new(
        exchange: Exchange,
        book_depth: usize,
        publisher: mpsc::Sender<Input>,
        board: Arc<Board>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            exchange,
            book_depth,
            publisher,
            board,
            metrics,
            heard: HashMap::new(),
            owed: VecDeque::new(),
            counted: Counters::default(),
            resyncs: HashMap::new(),
        }
    }

    pub(crate) fn take(&mut self, effects: Vec<Effect>, role: Role, adapter: &Adapter, is_replayed: bool) {
        let mut books: BTreeSet<Symbol> = BTreeSet::new();
        let mut last: HashMap<Symbol, Provenance> = HashMap::new();
        for effect in effects {
            match effect {
                Effect::Event(event) => {
                    if let Some(provenance) = self.event(event, role, is_replayed) {
                        last.insert(provenance.0.clone(), provenance.1);
                        books.insert(provenance.0);
                    }
                }
                Effect::State { symbol, state, cause } if role == Role::Primary => {
                    // What was released is told, and not counted any more.
                    if adapter.topics().iter().any(|topic| topic.symbol == symbol) {
                        self.metrics.state(self.exchange, &symbol, state);
                    }
                    if state == BookState::Live {
                        books.insert(symbol);
                    } else {
                        self.state(symbol, state, cause.map(Anomaly::name), is_replayed);
                    }
                }
                Effect::Anomaly { symbol, kind } => self.metrics.anomaly(self.exchange, symbol.as_ref(), kind),
                _ => {}
            }
        }
        if role == Role::Primary {
            for symbol in books {
                let provenance = last.get(&symbol).copied();
                self.book(&symbol, adapter, provenance, is_replayed);
            }
        }
    }

    /// Of a live book's change: whose, and when; it is told once, as it stands after all of this.
    fn event(&mut self, event: Event, role: Role, is_replayed: bool) -> Option<(Symbol, Provenance)> {
        let provenance = Provenance {
            venue_ms: event.ts_exchange.map(|ns| ns.div_euclid(1_000_000)),
            received_ns: event.ts_received,
            is_replayed,
        };
        self.heard.insert(event.symbol.clone(), Instant::now());
        let what = match event.body {
            Body::Trade(trade) => What::Trade(trade),
            _ if role == Role::Spare => return None,
            Body::Book(_) => return Some((event.symbol, provenance)),
            Body::Ticker(ticker) => What::Ticker(ticker),
            Body::Candle(candle) => What::Candle(candle),
        };
        self.send(Update { symbol: event.symbol, what, provenance });
        None
    }

    fn book(&mut self, symbol: &Symbol, adapter: &Adapter, provenance: Option<Provenance>, is_replayed: bool) {
        // What a later effect made suspect is not told as live.
        let Some(book) = adapter.book(symbol).filter(|book| book.state() == BookState::Live) else { return };
        let what =
            What::Book { ladder: Box::new(Ladder::of(&book.levels, self.book_depth)), sequence: book.last_seq() };
        let provenance = provenance.unwrap_or_else(|| now(is_replayed));
        self.send(Update { symbol: symbol.clone(), what, provenance });
    }

    fn state(&mut self, symbol: Symbol, state: BookState, reason: Option<&'static str>, is_replayed: bool) {
        self.send(Update { symbol, what: What::State { state, reason }, provenance: now(is_replayed) });
    }

    fn send(&mut self, update: Update) {
        while let Some((symbol, input)) = self.owed.pop_front() {
            if let Err(error) = self.publisher.try_send(input) {
                self.owed.push_front((symbol, error.into_inner()));
                break;
            }
        }
        let is_state = matches!(update.what, What::State { .. });
        let symbol = update.symbol.clone();
        let input = Input::Update(update);
        let refused = if self.owed.is_empty() {
            match self.publisher.try_send(input) {
                Ok(()) => return,
                Err(error) => error.into_inner(),
            }
        } else {
            input
        };
        self.metrics.dropped.get_or_create(&metrics::venue(self.exchange)).inc();
        if is_state {
            self.owed.retain(|(other, _)| *other != symbol);
            self.owed.push_back((symbol, refused));
        }
    }

    /// The replacement took over: its books are told as they stand.
    pub(crate) fn changed(&mut self, adapter: &Adapter, is_replayed: bool) {
        let books: Vec<(Symbol, BookState)> =
            adapter.books().map(|(symbol, book)| (symbol.clone(), book.state())).collect();
        self.counted = Counters::default();
        for (symbol, state) in books {
            self.metrics.state(self.exchange, &symbol, state);
            if state == BookState::Live {
                self.book(&symbol, adapter, None, is_replayed);
            } else {
                self.state(symbol, state, Some("replaced"), is_replayed);
            }
        }
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self, topics: &[Topic], _now: Moment) {
        self.counted = Counters::default();
        for topic in topics.iter().filter(|topic| topic.channel == Channel::Orderbook) {
            self.metrics.state(self.exchange, &topic.symbol, BookState::Suspect);
            self.state(topic.symbol.clone(), BookState::Suspect, Some("disconnected"), false);
            let age = self.heard.get(&topic.symbol).map(|heard| millis(heard.elapsed()));
            let status = SymbolStatus::new(Some((BookState::Suspect, crate::book::Counts::default())), age);
            self.board.symbol(self.exchange, &topic.symbol, status);
        }
    }

    /// Status and metrics, once a second.
    pub(crate) fn upkeep(&mut self, adapter: &Adapter, _open: Duration) {
        self.metrics.counted(self.exchange, &self.counted, adapter.counters());
        self.counted = *adapter.counters();
        let symbols: BTreeSet<&Symbol> = adapter.topics().iter().map(|topic| &topic.symbol).collect();
        self.heard.retain(|symbol, _| symbols.contains(symbol));
        self.resyncs.retain(|symbol, _| symbols.contains(symbol));
        for symbol in symbols {
            let age = self.heard.get(symbol).map(Instant::elapsed);
            let wants_book =
                adapter.topics().iter().any(|topic| topic.symbol == *symbol && topic.channel == Channel::Orderbook);
            let book = adapter.book(symbol).filter(|_| wants_book).map(|book| (book.state(), book.counts));
            if let Some(age) = age {
                self.metrics.age(self.exchange, symbol, age.as_secs_f64());
            }
            if let Some((state, counts)) = book {
                self.metrics.begin_book(self.exchange, symbol);
                self.metrics.state(self.exchange, symbol, state);
                let before = self.resyncs.insert(symbol.clone(), counts.resyncs).unwrap_or_default();
                let resyncs = self.metrics.resyncs.get_or_create(&metrics::symbol(self.exchange, symbol)).clone();
                resyncs.inc_by(counts.resyncs.saturating_sub(before));
            }
            self.board.symbol(self.exchange, symbol, SymbolStatus::new(book, age.map(millis)));
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn now(is_replayed: bool) -> Provenance {
    let now_ms = i64::try_from(tickwire_protocol::time::now_ms()).unwrap_or(0);
    Provenance { venue_ms: None, received_ns: now_ms.saturating_mul(1_000_000), is_replayed }
}
