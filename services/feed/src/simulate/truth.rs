//! A book shown as live is never silently wrong: whatever is lost, repeated, swapped or broken on the way, what a subscriber holds of a
//! live book is a book that the exchange had, and had a moment ago.
//!
//! Everything between is what runs: the simulated exchange, a venue's adapter, the feed, the outlet, the subscriber's book. The exchange's own
//! book is the oracle: it keeps levels as text and shares no code with the adapters. Time is made up, nothing waits.

use std::{collections::HashMap, sync::Arc, time::Duration};

use proptest::prelude::*;
use rust_decimal::Decimal;
use tickwire_backplane::Fence;
use tickwire_protocol::{
    book::{Book, BookUpdate},
    namespace::Namespaces,
};
use tokio::sync::mpsc;

use super::{
    Speed,
    fault::{Fault, FaultKind, Plan},
    recording,
    session::{Output, Session, Venue},
    tape::{Tape, is_book},
    wire::{self, Wire},
    world::World,
};
use crate::{
    metrics::Metrics,
    model::{Channel, Exchange, Market, Symbol, Topic},
    publish::{
        Input, Names,
        outlet::{Inheritance, Lead, Outlet},
    },
    status::Board,
    supervise::feed::{Feed, Role},
    venue::{Adapter, Answer, Effect, Fetch, Frame, Instruments, Moment, Setup},
};

/// Levels a side that are published and compared.
const DEPTH: usize = 10;
/// How many changes of its book behind a subscriber may be: faults take fewer in a row, and the next frame shows them.
const BEHIND_MAX: usize = 8;
/// Frames of the recording in one run.
const FRAMES: usize = 1_500;

/// Best levels of both sides, as numbers.
type Top = [Vec<(Decimal, Decimal)>; 2];

/// One symbol: what its book was at the exchange, and what a subscriber holds.
struct Watched {
    native: Arc<str>,
    truth: Vec<Top>,
    /// Nothing older than what was shown is shown later.
    shown: usize,
    outlet: Outlet,
    book: Book,
}

/// An exchange, a connection to it, and subscribers.
struct Scene {
    exchange: Exchange,
    wire: &'static dyn Wire,
    world: World,
    plan: Plan,
    session: Session,
    adapter: Adapter,
    topics: Vec<Topic>,
    feed: Feed,
    inputs: mpsc::Receiver<Input>,
    watched: HashMap<Symbol, Watched>,
    fetches: Vec<(u64, Fetch)>,
    now_ms: u64,
    /// Connections so far. What belongs to one that is over goes nowhere.
    links: u64,
    lives: u64,
    suspects: u64,
}

fn adapter(exchange: Exchange) -> Adapter {
    let instruments = Instruments::derived(exchange, Market::Spot);
    let (market, conn) = (Market::Spot, Arc::from("truth"));
    Adapter::new(Setup { exchange, market, conn, instruments, http: None, accept_all: false })
}

impl Scene {
    fn new(exchange: Exchange, faults: Vec<Fault>) -> Self {
        let wire = wire::of(exchange);
        let tape = Arc::new(Tape::read(wire, recording(exchange)).unwrap());
        let (sender, inputs) = mpsc::channel(10_000);
        let instruments = Instruments::derived(exchange, Market::Spot);
        let books = tape.entries.iter().filter(|entry| is_book(&entry.topic)).map(|entry| Arc::clone(&entry.symbol));
        let mut watched = HashMap::new();
        for native in books {
            let symbol = instruments.symbol(&native, 0);
            // Perpetuals have a connection of their own.
            if instruments.native(&symbol) != native || symbol.as_str().contains(':') {
                continue;
            }
            let names = Names::of(&Namespaces::default(), exchange, &symbol).unwrap();
            let mut outlet = Outlet::new(exchange, symbol.clone(), names);
            outlet.wants.book = true;
            let until = tokio::time::Instant::now() + Duration::from_secs(86_400);
            outlet.elected(Lead { fence: Fence(1), until }, &Inheritance::default(), &mut Vec::new());
            let truth = Vec::new();
            watched.entry(symbol).or_insert(Watched { native, truth, shown: 0, outlet, book: Book::default() });
        }
        let topic = |symbol: &Symbol| Topic { symbol: symbol.clone(), channel: Channel::Orderbook };
        let topics: Vec<Topic> = watched.keys().map(topic).collect();
        let feed = Feed::new(exchange, DEPTH, sender, Arc::new(Board::default()), Arc::new(Metrics::default()));
        let world = World::new(wire, tape, Speed::Recorded, true);
        let (plan, session, adapter) = (Plan::new(faults), Session::default(), adapter(exchange));
        let mut scene = Self {
            exchange,
            wire,
            world,
            plan,
            session,
            adapter,
            topics,
            feed,
            inputs,
            watched,
            fetches: Vec::new(),
            now_ms: 0,
            links: 0,
            lives: 0,
            suspects: 0,
        };
        scene.connect();
        scene
    }

    fn moment(&self) -> Moment {
        Moment { mono_ms: self.now_ms, wall_ns: i64::try_from(self.now_ms).unwrap() * 1_000_000 }
    }

    fn venue<T>(&mut self, act: impl FnOnce(&mut Session, &mut Venue<'_>) -> T) -> T {
        let Self { wire, world, plan, session, now_ms, .. } = self;
        act(session, &mut Venue { wire: *wire, world, plan, wall_ms: *now_ms })
    }

    fn connect(&mut self) {
        self.links += 1;
        self.feed.disconnected(&self.topics, self.moment());
        (self.session, self.adapter) = (Session::default(), adapter(self.exchange));
        self.fetches.clear();
        let now = self.moment();
        self.adapter.connected(now);
        self.adapter.want(&self.topics, now);
        let opening = self.venue(|session, venue| session.open("/", venue));
        self.settle();
        self.receive(opening);
    }

    /// Frames arrive, each followed by what it brings about.
    fn receive(&mut self, outputs: Vec<Output>) {
        let link = self.links;
        for output in outputs {
            if self.links != link {
                return;
            }
            let now = self.moment();
            match &output {
                Output::Text(text) => self.adapter.frame(Frame::Text(text), now),
                Output::Binary(bytes) => self.adapter.frame(Frame::Binary(bytes), now),
                other => panic!("no fault here does {other:?}"),
            }
            self.settle();
        }
    }

    fn settle(&mut self) {
        let effects: Vec<Effect> = self.adapter.effects().collect();
        let (mut sends, mut others, mut is_over) = (Vec::new(), Vec::new(), false);
        for effect in effects {
            match effect {
                Effect::Send(text) => sends.push(text),
                Effect::Fetch(fetch) => self.fetches.push((self.now_ms + 40 + fetch.delay_ms, fetch)),
                Effect::Recycle(_) => is_over = true,
                other => others.push(other),
            }
        }
        self.feed.take(others, Role::Primary, &self.adapter, true);
        self.publish();
        if is_over {
            return self.connect();
        }
        let link = self.links;
        for text in sends {
            if self.links != link {
                return;
            }
            let answers = self.venue(|session, venue| session.on_text(&text, venue));
            if self.session.is_subscribed() {
                self.world.start(Duration::from_millis(self.now_ms));
            }
            self.receive(answers);
        }
    }

    /// What the feed says goes through the outlet to the subscriber.
    fn publish(&mut self) {
        while let Ok(Input::Update(update)) = self.inputs.try_recv() {
            let watched = self.watched.get_mut(&update.symbol).unwrap();
            let mut out = Vec::new();
            watched.outlet.take(update, &mut out);
            for outgoing in out {
                let update: BookUpdate = outgoing.publish.data.to().unwrap();
                let was_live = watched.book.is_live();
                watched.book.apply(&update).unwrap();
                self.lives += u64::from(watched.book.is_live());
                self.suspects += u64::from(was_live && !watched.book.is_live());
            }
        }
        self.judge();
    }

    fn judge(&mut self) {
        for (symbol, watched) in &mut self.watched {
            if !watched.book.is_live() {
                continue;
            }
            let held: Top = [
                watched.book.bids().map(|level| (level.price, level.qty)).collect(),
                watched.book.asks().map(|level| (level.price, level.qty)).collect(),
            ];
            let newest = watched.truth.len();
            let from = watched.shown.max(newest.saturating_sub(BEHIND_MAX + 1));
            let found = watched.truth[from..].iter().position(|top| *top == held);
            let Some(found) = found else {
                let truth = watched.truth.last();
                panic!("{} {symbol} at {} ms: live and wrong:\n{held:?}\n{truth:?}", self.exchange, self.now_ms)
            };
            watched.shown = from + found;
        }
    }

    /// The exchange's books as they are now.
    fn note_truth(&mut self) {
        for watched in self.watched.values_mut() {
            let Some(best) = self.world.best(&watched.native, DEPTH) else { continue };
            let number = |text: &str| text.parse().or_else(|_| Decimal::from_scientific(text)).unwrap();
            let top: Top = best.map(|side| side.iter().map(|(price, qty)| (number(price), number(qty))).collect());
            if watched.truth.last() != Some(&top) {
                watched.truth.push(top);
            }
        }
    }

    fn answer_fetches(&mut self) {
        let now_ms = self.now_ms;
        let due: Vec<Fetch> =
            self.fetches.extract_if(.., |(at_ms, _)| *at_ms <= now_ms).map(|(_, fetch)| fetch).collect();
        for fetch in due {
            let native = self.adapter.native(&fetch.symbol);
            let body = self.world.depth(&native, 1_000);
            let answer = body.as_deref().map_or(Answer::Status(503), Answer::Body);
            let now = self.moment();
            self.adapter.answered(&fetch.symbol, answer, now);
            self.settle();
        }
    }

    /// One frame of the recording, or a second.
    fn step(&mut self) {
        let second = (self.now_ms / 1_000 + 1) * 1_000;
        let due = self.world.next_due().map_or(second, |due| u64::try_from(due.as_millis()).unwrap() + 1);
        let fetch = self.fetches.iter().map(|(at_ms, _)| *at_ms).min().unwrap_or(second);
        self.now_ms = due.min(second).min(fetch).max(self.now_ms);
        self.answer_fetches();
        for emission in self.world.advance(Duration::from_millis(self.now_ms), self.now_ms, 1) {
            self.note_truth();
            let outputs = self.venue(|session, venue| session.on_emission(&emission, venue));
            self.receive(outputs);
        }
        if self.now_ms == second {
            let beat = self.session.heartbeat(self.wire, self.now_ms);
            self.receive(beat.into_iter().collect());
        }
        let now = self.moment();
        if self.adapter.wake_at_ms().is_some_and(|at_ms| at_ms <= now.mono_ms) {
            self.adapter.poll(now);
            self.settle();
        }
    }
}

/// Faults that leave the connection open, `gap` changes apart. A wrong digit shows itself where there is a checksum only.
fn faults(exchange: Exchange) -> impl Strategy<Value = Vec<Fault>> {
    let mut kinds = vec![
        FaultKind::Drop,
        FaultKind::Duplicate,
        FaultKind::Swap,
        FaultKind::Truncate,
        FaultKind::Binary,
        FaultKind::Cross,
    ];
    if exchange == Exchange::Kraken {
        kinds.push(FaultKind::Corrupt);
    }
    let one = (prop::sample::select(kinds), 4_u64..60, 1_u64..=2);
    prop::collection::vec(one, 1..20).prop_map(|all| {
        let mut at = 20;
        let place = |(kind, gap, times)| {
            at += gap;
            Fault { kind, at, times }
        };
        all.into_iter().map(place).collect()
    })
}

fn holds(exchange: Exchange, faults: Vec<Fault>) -> (u64, u64) {
    let mut scene = Scene::new(exchange, faults);
    for _ in 0..FRAMES {
        scene.step();
    }
    (scene.lives, scene.suspects)
}

macro_rules! venues {
    ($($name:ident: $exchange:ident),*) => {
        proptest! {
            #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 200, ..ProptestConfig::default() })]
            $(#[test]
            fn $name(faults in faults(Exchange::$exchange)) {
                let (lives, _) = holds(Exchange::$exchange, faults);
                prop_assert!(lives > 20, "nothing was shown: {lives}");
            })*
        }
    };
}

venues!(binance: Binance, coinbase: Coinbase, kraken: Kraken, bybit: Bybit, okx: Okx);

/// The property is not kept by showing nothing, nor by faults that never happen.
#[test]
fn faults_are_seen_and_healed() {
    for exchange in [Exchange::Binance, Exchange::Coinbase, Exchange::Kraken, Exchange::Okx] {
        let faults = (1..=5).map(|nth| Fault { kind: FaultKind::Drop, at: 30 * nth, times: 1 }).collect();
        let (lives, suspects) = holds(exchange, faults);
        assert!(suspects >= 2, "{exchange}: {suspects} of five faults were seen");
        assert!(lives > 100, "{exchange}: {lives}");
    }
}
