//! The simulated exchange: where the recording stands, its books, and what a newcomer is told. No I/O, no clock.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    Speed,
    book::{BookFrame, TextBook},
    tape::{Entry, Kind, Tape},
    text::{find, parse_rfc3339_us},
    wire::{Arg, Renewal, STRIDE, Wire},
};

/// The pause between two passes over a looped recording.
const SEAM: Duration = Duration::from_millis(100);

/// Something that goes to everyone who subscribed to its topic.
#[derive(Debug)]
pub(crate) struct Emission {
    /// Its number, from 1.
    pub(crate) number: u64,
    pub(crate) topic: Arc<str>,
    pub(crate) text: String,
    /// A change of a book, which faults may befall.
    pub(crate) is_change: bool,
    /// A book's snapshot.
    pub(crate) is_snapshot: bool,
}

#[derive(Debug)]
pub(crate) struct World {
    wire: &'static dyn Wire,
    tape: Arc<Tape>,
    is_looped: bool,
    speed: Speed,
    /// When this pass began, after the start.
    pass_began: Duration,
    pass: u64,
    next: usize,
    is_started: bool,
    emitted: u64,
    /// Time of the last frame that was made here, microseconds since the epoch.
    made_us: u64,
    books: HashMap<Arc<str>, SymbolBook>,
    /// Depths asked for beside the recorded one, by symbol.
    cuts: BTreeSet<(String, usize, String)>,
}

#[derive(Debug, Default)]
struct SymbolBook {
    book: TextBook,
    /// The book's topic on the tape.
    topic: Option<Arc<str>>,
    /// A snapshot was seen, so the book is whole.
    is_whole: bool,
    /// Of venues whose snapshot comes over HTTP: that body, and the book that it is.
    http: Option<(String, TextBook)>,
    /// Changes that the tape has before that snapshot.
    pending: Vec<BookFrame>,
    /// The time of the last change as its frame says it, microseconds since the epoch.
    changed_us: Option<u64>,
}

impl World {
    pub(crate) fn new(wire: &'static dyn Wire, tape: Arc<Tape>, speed: Speed, is_looped: bool) -> Self {
        Self {
            wire,
            tape,
            is_looped,
            speed,
            pass_began: Duration::ZERO,
            pass: 0,
            next: 0,
            is_started: false,
            emitted: 0,
            made_us: 0,
            books: HashMap::new(),
            cuts: BTreeSet::new(),
        }
    }

    /// The number of the newest emission.
    pub(crate) fn emitted(&self) -> u64 {
        self.emitted
    }

    /// The recording begins with the first subscription: before, nobody would see it.
    pub(crate) fn start(&mut self, now: Duration) -> bool {
        let begins = !self.is_started;
        if begins {
            (self.is_started, self.pass_began) = (true, now);
        }
        begins
    }

    pub(crate) fn has_symbol(&self, symbol: &str) -> bool {
        symbol.is_empty() || self.tape.symbols.contains(symbol)
    }

    /// When the next frame is due, after the start; `None` while there is none.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        if !self.is_started {
            return None;
        }
        match self.tape.entries.get(self.next) {
            Some(entry) => Some(self.pass_began + self.speed.scale(entry.at)),
            None if self.is_looped => Some(self.pass_began + self.speed.scale(self.tape.length) + SEAM),
            None => None,
        }
    }

    /// Everything due at `now`, at most `limit` entries of the tape.
    pub(crate) fn advance(&mut self, now: Duration, wall_ms: u64, limit: usize) -> Vec<Emission> {
        let mut emissions = Vec::new();
        for _ in 0..limit {
            if self.next_due().is_none_or(|due| due > now) {
                break;
            }
            if self.next < self.tape.entries.len() {
                let tape = Arc::clone(&self.tape);
                self.play(&tape.entries[self.next], wall_ms, &mut emissions);
                self.next += 1;
            } else {
                self.rewind(now, wall_ms, &mut emissions);
            }
        }
        emissions
    }

    fn play(&mut self, entry: &Entry, wall_ms: u64, out: &mut Vec<Emission>) {
        match entry.kind {
            Kind::Http => self.take_http(entry),
            Kind::Data => {
                let text = self.renewed(entry, wall_ms, None);
                self.emit(Arc::clone(&entry.topic), text, false, false, out);
            }
            Kind::Book => self.play_book(entry, wall_ms, out),
        }
    }

    fn play_book(&mut self, entry: &Entry, wall_ms: u64, out: &mut Vec<Emission>) {
        let state = self.books.entry(Arc::clone(&entry.symbol)).or_default();
        let sequence = state.book.sequence;
        let text = self.renewed(entry, wall_ms, sequence);
        let Some(frame) = self.wire.book(&text) else { return };
        let Some(state) = self.books.get_mut(&entry.symbol) else { return };
        state.topic.get_or_insert_with(|| Arc::clone(&entry.topic));
        let waits = self.tape.over_http.contains(&entry.symbol) && !state.is_whole;
        if waits {
            state.pending.push(frame.clone());
        }
        let is_old = state.http.is_some() && frame.sequence <= sequence;
        if waits || is_old {
            // On the tape before its snapshot. Later passes begin with the snapshot's book.
            if self.pass == 0 {
                self.emit(Arc::clone(&entry.topic), text, true, false, out);
            }
            return;
        }
        let before = self.cuts.iter().any(|(symbol, ..)| **symbol == *entry.symbol).then(|| state.book.clone());
        state.book.apply(&frame, self.wire.depth(&entry.topic));
        state.changed_us = find(&text, "timestamp").and_then(parse_rfc3339_us).or(state.changed_us);
        state.is_whole |= frame.is_snapshot;
        self.emit(Arc::clone(&entry.topic), text, !frame.is_snapshot, frame.is_snapshot, out);
        if let Some(before) = before {
            self.emit_cuts(&entry.symbol, &before, frame.is_snapshot, wall_ms, out);
        }
    }

    /// The same change for those who subscribed to another depth than was recorded.
    fn emit_cuts(&mut self, symbol: &str, before: &TextBook, is_snapshot: bool, wall_ms: u64, out: &mut Vec<Emission>) {
        let cuts: Vec<_> = self.cuts.iter().filter(|(cut, ..)| cut == symbol).cloned().collect();
        for (symbol, depth, topic) in cuts {
            let at_us = self.make_us(wall_ms);
            let Some(state) = self.books.get(symbol.as_str()) else { continue };
            let mut frame = before.difference(&state.book, depth, true);
            if is_snapshot {
                frame = whole(&state.book, depth);
            } else if frame.bids.is_empty() && frame.asks.is_empty() {
                continue;
            }
            let arg = Arg { topic: topic.clone(), wire: String::new(), symbol };
            if let Some(text) = self.wire.render(&arg, &state.book, &frame, at_us) {
                self.emit(topic.into(), text, !is_snapshot, is_snapshot, out);
            }
        }
    }

    fn take_http(&mut self, entry: &Entry) {
        let state = self.books.entry(Arc::clone(&entry.symbol)).or_default();
        if self.pass > 0 {
            return;
        }
        let Some(frame) = self.wire.book(&entry.raw) else { return };
        state.book.apply(&frame, None);
        state.http = Some((entry.raw.clone(), state.book.clone()));
        for change in state.pending.drain(..).filter(|change| change.sequence > frame.sequence) {
            state.book.apply(&change, None);
        }
        state.is_whole = true;
    }

    /// Begins the next pass. Books whose snapshot is on the tape are replaced by it; the others are led back by a difference.
    fn rewind(&mut self, now: Duration, wall_ms: u64, out: &mut Vec<Emission>) {
        self.pass += 1;
        (self.next, self.pass_began) = (0, now);
        let symbols: Vec<Arc<str>> = self.books.keys().cloned().collect();
        for symbol in symbols {
            let at_us = self.make_us(wall_ms);
            let Some(state) = self.books.get_mut(&symbol) else { continue };
            let (Some((_, start)), Some(topic)) = (&state.http, &state.topic) else { continue };
            let offset = self.pass.saturating_mul(STRIDE);
            let mut frame = state.book.difference(start, usize::MAX, false);
            frame.sequence = start.sequence.map(|sequence| sequence + offset);
            let topic = Arc::clone(topic);
            let arg = Arg {
                topic: topic.to_string(),
                wire: format!("\"{}@depth\"", symbol.to_lowercase()),
                symbol: symbol.to_string(),
            };
            let text = self.wire.render(&arg, &state.book, &frame, at_us);
            state.book.apply(&frame, None);
            if let Some(text) = text {
                self.emit(topic, text, true, false, out);
            }
        }
    }

    fn renewed(&mut self, entry: &Entry, wall_ms: u64, sequence: Option<u64>) -> String {
        if !self.is_looped {
            return entry.raw.clone();
        }
        let shift_ms = wall_ms.cast_signed() - entry.recorded_ms.cast_signed();
        let at_us = self.make_us(wall_ms);
        self.wire.renew(&entry.topic, &entry.raw, Renewal { shift_ms, at_us, pass: self.pass, sequence })
    }

    fn emit(&mut self, topic: Arc<str>, text: String, is_change: bool, is_snapshot: bool, out: &mut Vec<Emission>) {
        self.emitted += 1;
        out.push(Emission { number: self.emitted, topic, text, is_change, is_snapshot });
    }

    /// What a newcomer to a book is sent; `None` where the recording has not come to its snapshot, or the venue sends none.
    pub(crate) fn snapshot(&mut self, arg: &Arg, wall_ms: u64) -> Option<String> {
        let depth = self.wire.depth(&arg.topic);
        let is_on_tape = self.tape.entries.iter().any(|entry| *entry.topic == *arg.topic);
        if let Some(depth) = depth.filter(|_| !is_on_tape) {
            self.cuts.insert((arg.symbol.clone(), depth, arg.topic.clone()));
        }
        let now_us = self.make_us(wall_ms);
        let state = self.books.get(arg.symbol.as_str()).filter(|state| state.is_whole)?;
        // The changes that follow have times of the tape, where they come from it.
        let at_us = state.changed_us.filter(|_| is_on_tape).unwrap_or(now_us);
        self.wire.render(arg, &state.book, &whole(&state.book, depth.unwrap_or(usize::MAX)), at_us)
    }

    /// The time of a frame that is made now: later than that of the one before, or nobody could tell which is the newer.
    fn make_us(&mut self, wall_ms: u64) -> u64 {
        self.made_us = wall_ms.saturating_mul(1_000).max(self.made_us + 1);
        self.made_us
    }

    /// The best levels of a native symbol's book, once it is whole.
    #[cfg(test)]
    pub(crate) fn best(&self, symbol: &str, depth: usize) -> Option<[Vec<super::book::Level>; 2]> {
        let book = &self.books.get(symbol).filter(|state| state.is_whole)?.book;
        Some([book.bids(depth).cloned().collect(), book.asks(depth).cloned().collect()])
    }

    /// The book of `symbol` as Binance gives it over HTTP: the recorded body while it is the newest, then the current book.
    pub(crate) fn depth(&self, symbol: &str, limit: usize) -> Option<String> {
        let state = self.books.get(symbol).filter(|state| state.is_whole)?;
        let (raw, start) = state.http.as_ref()?;
        if start.sequence == state.book.sequence {
            return Some(raw.clone());
        }
        let side = |levels: Vec<String>| levels.join(",");
        let level = |(price, quantity): &(String, String)| format!("[\"{price}\",\"{quantity}\"]");
        Some(format!(
            r#"{{"lastUpdateId":{},"bids":[{}],"asks":[{}]}}"#,
            state.book.sequence?,
            side(state.book.bids(limit).map(level).collect()),
            side(state.book.asks(limit).map(level).collect()),
        ))
    }
}

fn whole(book: &TextBook, depth: usize) -> BookFrame {
    BookFrame {
        is_snapshot: true,
        bids: book.bids(depth).cloned().collect(),
        asks: book.asks(depth).cloned().collect(),
        sequence: book.sequence,
    }
}
