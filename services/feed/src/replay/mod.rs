//! A recording through the parsers and books that run live.

mod events;
mod messages;
mod origin;
mod summary;

use messages::Messages;
pub use origin::Origin;
pub use summary::Summary;

use std::{collections::BTreeMap, io::Write, path::Path, sync::Arc};

use crate::{
    Error,
    model::{Exchange, Symbol},
    recording::{Direction, Record, Recording},
    venue::{Adapter, Answer, Effect, Frame, Instruments, Moment, Setup},
};

/// Connections that one recording may hold.
const CONNECTIONS_MAX: usize = 1_000;

/// A recording being replayed.
#[derive(Debug)]
pub struct Replay {
    origin: Origin,
    connections: BTreeMap<String, Adapter>,
    summary: Summary,
}

impl Replay {
    /// Of the venue and market that the recording names.
    pub fn new(origin: Origin) -> Self {
        let summary = Summary::new(origin.exchange);
        Self { origin, connections: BTreeMap::new(), summary }
    }

    /// Replays a file; with `events`, writes one normalised event a line.
    pub fn run(path: &Path, exchange: Option<Exchange>, mut events: Option<&mut dyn Write>) -> Result<Summary, Error> {
        let mut recording = Recording::open(path)?;
        let mut replay = Self::new(Origin::of(&mut recording, path, exchange)?);
        let mut seen = Vec::new();
        while let Some(record) = recording.next_record()? {
            replay.record(&record, |effect| {
                if events.is_some() {
                    seen.push(effect.clone());
                }
            })?;
            if let Some(output) = events.as_deref_mut() {
                for effect in seen.drain(..) {
                    events::write(output, &effect).map_err(Error::Output)?;
                }
            }
        }
        replay.finish();
        Ok(replay.summary)
    }

    /// Replays a file into messages of channels, with books of the best `depth` levels.
    pub fn messages(
        path: &Path,
        exchange: Option<Exchange>,
        depth: usize,
        output: &mut dyn Write,
    ) -> Result<Summary, Error> {
        let mut recording = Recording::open(path)?;
        let mut replay = Self::new(Origin::of(&mut recording, path, exchange)?);
        let mut messages = Messages::new(replay.origin.exchange, depth);
        let mut seen = Vec::new();
        while let Some(record) = recording.next_record()? {
            replay.record(&record, |effect| seen.push(effect.clone()))?;
            for effect in seen.drain(..) {
                messages.write(output, &effect, replay.connections.values()).map_err(Error::Output)?;
            }
        }
        replay.finish();
        Ok(replay.summary)
    }

    /// One record; `effect` sees everything that comes of it.
    pub fn record(&mut self, record: &Record<'_>, mut effect: impl FnMut(&Effect)) -> Result<(), Error> {
        let now = Moment {
            mono_ms: u64::try_from(record.received_ns() / 1_000_000).unwrap_or(0),
            wall_ns: record.received_ns(),
        };
        match record.dir {
            Direction::Out => return Ok(()),
            Direction::Connect => {
                if let Some(adapter) = self.connection(&record.conn, now) {
                    adapter.connected(now);
                }
            }
            Direction::In => {
                let number = self.summary.frame();
                if let Some(adapter) = self.connection(&record.conn, now) {
                    adapter.number(number);
                    adapter.frame(Frame::Text(&record.raw), now);
                }
            }
            Direction::Http => self.answer(record, now),
        }
        for adapter in self.connections.values_mut() {
            for done in adapter.effects() {
                self.summary.effect(&done)?;
                effect(&done);
            }
        }
        Ok(())
    }

    fn connection(&mut self, conn: &str, now: Moment) -> Option<&mut Adapter> {
        if !self.connections.contains_key(conn) {
            if self.connections.len() == CONNECTIONS_MAX {
                return None;
            }
            let Origin { exchange, market } = self.origin;
            let mut adapter = Adapter::new(Setup {
                exchange,
                market,
                conn: Arc::from(conn),
                instruments: Instruments::derived(exchange, market),
                http: None,
                accept_all: true,
            });
            adapter.connected(now);
            self.connections.insert(conn.to_owned(), adapter);
        }
        self.connections.get_mut(conn)
    }

    /// A snapshot: for the connection that has a book of its symbol.
    fn answer(&mut self, record: &Record<'_>, now: Moment) {
        let Some(native) = record.url.as_deref().and_then(origin::symbol_in_query) else { return };
        for adapter in self.connections.values_mut() {
            let symbol: Option<Symbol> =
                adapter.books().map(|(symbol, _)| symbol).find(|symbol| *adapter.native(symbol) == *native).cloned();
            if let Some(symbol) = symbol {
                adapter.answered(&symbol, Answer::Body(&record.raw), now);
            }
        }
    }

    /// The end of the recording: what the books hold goes into the summary.
    pub fn finish(&mut self) {
        for adapter in self.connections.values() {
            self.summary.books(adapter);
        }
    }

    /// What was replayed so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The connections, by name.
    pub fn connections(&self) -> impl Iterator<Item = &Adapter> {
        self.connections.values()
    }
}
