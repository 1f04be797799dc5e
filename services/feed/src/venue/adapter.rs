//! One connection to one endpoint of a venue.

use std::sync::Arc;

use crate::{
    book::{Anomaly, Book, BookState},
    model::{Channel, Exchange, Market, Symbol, Topic},
    venue::{
        Answer, Counters, Effect, Facts, Fault, FaultClass, Instruments, Liveness, Moment, Protocol, desk::Desk, facts,
        protocol,
    },
};

/// How long a snapshot is waited for before it is asked for again.
const PATIENCE_MS: u64 = 15_000;

/// What an adapter is made from.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Whose connection.
    pub exchange: Exchange,
    /// Which market; the same native name may stand in two.
    pub market: Market,
    /// The connection's name: stamped on every event.
    pub conn: Arc<str>,
    /// Names of instruments.
    pub instruments: Instruments,
    /// Where HTTP requests go, if not to the endpoint's own host (a simulator).
    pub http: Option<String>,
    /// Accept every topic that arrives, asked for or not: recordings do not say what was wanted.
    pub accept_all: bool,
}

/// What arrived.
#[derive(Debug, Clone, Copy)]
pub enum Frame<'a> {
    /// A text frame.
    Text(&'a str),
    /// A binary frame: no venue here sends any.
    Binary(&'a [u8]),
    /// A ping; the caller has answered it.
    Ping,
    /// A pong.
    Pong,
}

/// A connection's state machine. Effects gather inside; take them with [`Self::effects`] after each call.
pub struct Adapter {
    desk: Desk,
    protocol: Box<dyn Protocol>,
    liveness: Liveness,
    topics: Vec<Topic>,
    recycled: bool,
}

impl std::fmt::Debug for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapter").field("conn", &self.desk.conn).finish_non_exhaustive()
    }
}

impl Adapter {
    /// Not connected, wanting nothing.
    pub fn new(setup: Setup) -> Self {
        let facts = facts(setup.exchange);
        Self {
            protocol: protocol(setup.exchange),
            liveness: Liveness::new(facts.heartbeat, 0),
            topics: Vec::new(),
            recycled: false,
            desk: Desk::new(setup, facts),
        }
    }

    /// What the venue is known to want.
    pub fn facts(&self) -> &'static Facts {
        self.desk.facts
    }

    /// The effects since the last call.
    pub fn effects(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.desk.effects.drain(..)
    }

    /// The book of a symbol, if it was ever asked for.
    pub fn book(&self, symbol: &Symbol) -> Option<&Book> {
        self.books().find(|(held, _)| *held == symbol).map(|(_, book)| book)
    }

    /// Every book, in the order of asking.
    pub fn books(&self) -> impl Iterator<Item = (&Symbol, &Book)> {
        let entries = self.desk.entries.iter();
        entries.filter(|entry| entry.book_seen).map(|entry| (&entry.symbol, &entry.book))
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.desk.counters
    }

    /// The topics wanted.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// The venue's name of a symbol.
    pub fn native(&self, symbol: &Symbol) -> Arc<str> {
        self.desk.instruments.native(symbol)
    }

    /// The socket is open: every book starts from nothing, every topic is asked for.
    pub fn connected(&mut self, now: Moment) {
        self.desk.now = now;
        self.liveness = Liveness::new(self.desk.facts.heartbeat, now.mono_ms);
        self.recycled = false;
        self.desk.connected = true;
        self.desk.reset();
        self.protocol.connected(&mut self.desk);
        let topics = std::mem::take(&mut self.topics);
        self.want(&topics, now);
    }

    /// The socket is gone: every book is idle.
    pub fn disconnected(&mut self, now: Moment) {
        self.desk.now = now;
        self.desk.connected = false;
        self.desk.reset();
    }

    /// Exactly these topics from now on: what is new is subscribed, what is missing unsubscribed.
    pub fn want(&mut self, topics: &[Topic], now: Moment) {
        self.desk.now = now;
        let added: Vec<_> = topics.iter().filter(|topic| !self.topics.contains(topic)).cloned().collect();
        let removed: Vec<_> = self.topics.iter().filter(|topic| !topics.contains(topic)).cloned().collect();
        self.topics = topics.to_vec();
        let removed: Vec<_> = removed.iter().filter_map(|topic| self.desk.release(topic)).collect();
        let added: Vec<_> = added.iter().filter_map(|topic| self.desk.request(topic)).collect();
        if !self.desk.connected {
            return;
        }
        if !removed.is_empty() {
            self.protocol.unsubscribe(&removed, &mut self.desk);
        }
        if !added.is_empty() {
            self.protocol.subscribe(&added, &mut self.desk);
        }
        for (id, channel) in added {
            if channel == Channel::Orderbook {
                self.desk.wait(id, BookState::Subscribing, PATIENCE_MS);
            }
        }
    }

    /// A frame arrived.
    pub fn frame(&mut self, frame: Frame<'_>, now: Moment) {
        self.desk.now = now;
        self.liveness.heard(now.mono_ms);
        self.desk.counters.frames += 1;
        self.desk.frame += 1;
        match frame {
            Frame::Text(text) => self.text(text),
            Frame::Binary(bytes) => {
                self.desk.counters.bytes += bytes.len() as u64;
                self.unreadable("a binary frame");
            }
            Frame::Ping | Frame::Pong => self.liveness.beat(now.mono_ms),
        }
        if std::mem::take(&mut self.desk.beat) {
            self.liveness.beat(now.mono_ms);
        }
        if self.desk.resync_due {
            self.resync();
        }
    }

    fn text(&mut self, text: &str) {
        self.desk.counters.bytes += text.len() as u64;
        if text.len() > self.desk.facts.limits.frame_bytes_max {
            return self.unreadable("a frame beyond the venue's largest");
        }
        if let Err(error) = self.protocol.text(text, &mut self.desk) {
            self.unreadable(&error.to_string());
        }
    }

    /// What it said is not known, so no book whose messages are not numbered may be believed; those with a number show the gap
    /// themselves. Kraken's checksum shows it within its ten levels only, OKX's former one within 25, and Coinbase Exchange has none.
    fn unreadable(&mut self, detail: &str) {
        self.desk.counters.parse_errors += 1;
        self.desk.effects.push(Effect::Fault(Fault::new(FaultClass::Protocol, None, detail)));
        let numbered = self.desk.facts.numbered;
        self.desk.suspect_where(Anomaly::Gap, |book| !(numbered && book.last_seq.is_some()));
    }

    /// The next frame has this number: a recording counts over all its connections.
    pub fn number(&mut self, frame: u64) {
        self.desk.frame = frame.saturating_sub(1);
    }

    /// The answer to a fetch.
    pub fn answered(&mut self, symbol: &Symbol, answer: Answer<'_>, now: Moment) {
        self.desk.now = now;
        let Some(id) = self.desk.entries.iter().position(|entry| entry.symbol == *symbol) else { return };
        if let Answer::Status(status) = answer {
            let class = super::fault::of_http_status(status);
            let fault = Fault::new(class, Some(symbol.clone()), &format!("HTTP status {status}"));
            self.desk.effects.push(Effect::Fault(fault));
        }
        if let Err(error) = self.protocol.answered(id, answer, &mut self.desk) {
            self.desk.counters.parse_errors += 1;
            let fault = Fault::new(FaultClass::Protocol, Some(symbol.clone()), &error.to_string());
            self.desk.effects.push(Effect::Fault(fault));
        }
        if self.desk.resync_due {
            self.resync();
        }
    }

    /// Time has passed: pings, silence, resyncs that are due.
    pub fn poll(&mut self, now: Moment) {
        self.desk.now = now;
        if !self.desk.connected {
            return;
        }
        if self.liveness.ping_at_ms().is_some_and(|at| at <= now.mono_ms) {
            self.liveness.pinged(now.mono_ms);
            self.protocol.ping(&mut self.desk);
        }
        if self.liveness.deadline_ms() <= now.mono_ms {
            let silence = now.mono_ms.saturating_sub(self.liveness.deadline_ms()) + self.liveness.silence_ms();
            self.desk.suspect_all(Anomaly::Silence);
            self.recycle(Fault::new(FaultClass::Network, None, &format!("silent for {silence} ms")));
        }
        self.resync();
    }

    /// When to call [`Self::poll`] next, on the connection's clock.
    pub fn wake_at_ms(&self) -> Option<u64> {
        if !self.desk.connected {
            return None;
        }
        let resync = self.desk.entries.iter().filter_map(|entry| entry.book.resync_at_ms).min();
        let deadline = (!self.recycled).then(|| self.liveness.deadline_ms());
        [self.liveness.ping_at_ms(), deadline, resync].into_iter().flatten().min()
    }

    fn recycle(&mut self, fault: Fault) {
        if !std::mem::replace(&mut self.recycled, true) {
            self.desk.effects.push(Effect::Recycle(fault));
        }
    }

    /// Begins the resyncs that are due, within the venue's budget.
    fn resync(&mut self) {
        self.desk.resync_due = false;
        let now_ms = self.desk.now.mono_ms;
        let due = |book: &Book| book.resync_at_ms.is_some_and(|at| at <= now_ms);
        let ids: Vec<_> = (0..self.desk.entries.len()).filter(|id| due(&self.desk.entries[*id].book)).collect();
        // One operation of Coinbase's is for all books of the connection, those of the others for one.
        let cost = if self.desk.facts.limits.resyncs_together { 1 } else { ids.len() };
        let mut granted = Vec::new();
        for (nth, id) in ids.into_iter().enumerate() {
            let token = u32::from(nth < cost);
            match self.desk.resyncs.take(token, now_ms) {
                Ok(()) => {
                    self.desk.book(id).counts.resyncs += 1;
                    self.desk.wait(id, BookState::Resyncing, PATIENCE_MS);
                    granted.push(id);
                }
                Err(wait) => {
                    self.desk.book(id).resync_at_ms = Some(now_ms + wait.unwrap_or(PATIENCE_MS).max(1));
                    let symbol = self.desk.entries[id].symbol.clone();
                    self.recycle(Fault::new(FaultClass::Integrity, Some(symbol), "the budget of resyncs is spent"));
                }
            }
        }
        if !granted.is_empty() {
            self.protocol.resync(&granted, &mut self.desk);
        }
    }
}
