//! A recording as the simulator plays it: market data in order, each frame with the topic that a client must have subscribed to.

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead, Read},
    sync::Arc,
    time::Duration,
};

use super::{SimulateError, wire::Wire};
use crate::recording::{Direction, Record};

/// Bytes that a recording may have uncompressed.
const BYTES_MAX: u64 = 512 * 1024 * 1024;

/// What is played.
#[derive(Debug)]
pub(crate) struct Tape {
    /// In order.
    pub(crate) entries: Vec<Entry>,
    /// Native symbols.
    pub(crate) symbols: HashSet<String>,
    /// Those whose book's snapshot came over HTTP.
    pub(crate) over_http: HashSet<Arc<str>>,
    /// From the first entry to the last.
    pub(crate) length: Duration,
}

/// One frame, or one answer over HTTP.
#[derive(Debug)]
pub(crate) struct Entry {
    /// After the first one.
    pub(crate) at: Duration,
    /// When it was recorded, milliseconds since the epoch.
    pub(crate) recorded_ms: u64,
    /// `kind:symbol`; Kraken's books with their depth.
    pub(crate) topic: Arc<str>,
    /// The native symbol.
    pub(crate) symbol: Arc<str>,
    /// As it was sent.
    pub(crate) raw: String,
    /// Whether it is one of a book, and whether it came over HTTP.
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Data,
    Book,
    /// A book's snapshot over HTTP.
    Http,
}

/// Topics that are books.
const BOOKS: [&str; 5] = ["depth", "level2", "book", "orderbook", "books"];

/// Whether `topic` is a book's.
pub(crate) fn is_book(topic: &str) -> bool {
    topic.split(':').next().is_some_and(|kind| BOOKS.contains(&kind))
}

impl Tape {
    /// Reads lines as `captures` have them; gzip is recognised by its first bytes.
    pub(crate) fn read(wire: &dyn Wire, bytes: &[u8]) -> Result<Self, SimulateError> {
        let mut text = String::new();
        let is_gzip = bytes.starts_with(&[0x1f, 0x8b]);
        let read = if is_gzip {
            flate2::read::GzDecoder::new(bytes).take(BYTES_MAX).read_to_string(&mut text)
        } else {
            bytes.take(BYTES_MAX).read_to_string(&mut text)
        };
        read.map_err(SimulateError::Read)?;
        let mut tape = Builder::default();
        for (number, line) in text.as_bytes().lines().enumerate() {
            let line = line.map_err(SimulateError::Read)?;
            let record: Record<'_> =
                serde_json::from_str(&line).map_err(|source| SimulateError::Line { number: number + 1, source })?;
            tape.take(wire, record).ok_or(SimulateError::Time { number: number + 1 })?;
        }
        tape.finish()
    }
}

#[derive(Default)]
struct Builder {
    entries: Vec<Entry>,
    first_us: Option<u64>,
    topics: HashMap<String, Arc<str>>,
    symbols: HashSet<String>,
    depth: Option<String>,
}

impl Builder {
    /// `None` if the line's time is none.
    fn take(&mut self, wire: &dyn Wire, line: Record<'_>) -> Option<()> {
        let recorded_us = microseconds(&line.t)?;
        let raw = line.raw.into_owned();
        if raw.contains("\"depth\":") && line.dir == Direction::Out {
            self.depth = super::text::find(&raw, "depth").map(str::to_owned);
        }
        let (topic, kind) = match line.dir {
            Direction::In => match wire.topic(&raw) {
                Some(topic) if is_book(&topic) => (self.with_depth(wire, topic), Kind::Book),
                Some(topic) => (topic, Kind::Data),
                None => return Some(()),
            },
            Direction::Http => {
                let url = line.url.unwrap_or_default().into_owned();
                let Some((_, symbol)) = url.split_once("symbol=") else { return Some(()) };
                (format!("depth:{}", symbol.split('&').next().unwrap_or_default()), Kind::Http)
            }
            Direction::Out | Direction::Connect => return Some(()),
        };
        let first_us = *self.first_us.get_or_insert(recorded_us);
        let symbol = topic.split(':').nth(1).unwrap_or_default().to_owned();
        self.symbols.insert(symbol.clone());
        let topic = self.topics.entry(topic).or_insert_with_key(|topic| topic.as_str().into());
        self.entries.push(Entry {
            at: Duration::from_micros(recorded_us.saturating_sub(first_us)),
            recorded_ms: recorded_us / 1_000,
            topic: Arc::clone(topic),
            symbol: symbol.as_str().into(),
            raw,
            kind,
        });
        Some(())
    }

    /// A frame of Kraken's does not say which depth was subscribed.
    fn with_depth(&self, wire: &dyn Wire, topic: String) -> String {
        match &self.depth {
            Some(depth) if topic.starts_with("book:") && wire.depth(&topic).is_none() => format!("{topic}:{depth}"),
            _ => topic,
        }
    }

    fn finish(mut self) -> Result<Tape, SimulateError> {
        self.entries.sort_by_key(|entry| entry.at);
        let length = self.entries.last().ok_or(SimulateError::Empty)?.at;
        let over_http = self.entries.iter().filter(|entry| entry.kind == Kind::Http);
        let over_http = over_http.map(|entry| Arc::clone(&entry.symbol)).collect();
        Ok(Tape { entries: self.entries, symbols: self.symbols, over_http, length })
    }
}

/// Unix seconds with a fraction, as text: no float, so that order is kept.
fn microseconds(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(fraction.parse().ok()?)
}
