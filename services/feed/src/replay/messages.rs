//! A recording as subscribers would get it: messages of channels, one a line.
//!
//! `{"channel":"book:binance:BTC/USDT","time":1723075200123,"data":{…}}`; `time` is when the message was received, milliseconds
//! since the epoch, and `data` what [`crate::publish`] publishes. Who reads channels can so be tried on a recording without knowing an
//! exchange.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use crate::{
    book::BookState,
    model::{Body, Event, Exchange, Symbol},
    publish::{
        ladder::{Ladder, Told},
        message::{BookMessage, Payload, Provenance},
    },
    venue::{Adapter, Effect},
};

/// Writes messages of one recording.
#[derive(Debug)]
pub(super) struct Messages {
    exchange: Exchange,
    depth: usize,
    told: BTreeMap<Symbol, Told>,
    received_ns: i64,
}

impl Messages {
    /// With books of the best `depth` levels.
    pub(super) fn new(exchange: Exchange, depth: usize) -> Self {
        Self { exchange, depth, told: BTreeMap::new(), received_ns: 0 }
    }

    /// Writes what `effect` makes known; `connections` hold the books.
    pub(super) fn write<'a>(
        &mut self,
        output: &mut dyn Write,
        effect: &Effect,
        connections: impl Iterator<Item = &'a Adapter>,
    ) -> io::Result<()> {
        match effect {
            Effect::Event(event) => self.event(output, event, connections),
            Effect::State { symbol, state, cause } if *state != BookState::Live => {
                self.told.entry(symbol.clone()).or_default().forget();
                let message = BookMessage::State { reason: cause.map(crate::book::Anomaly::name) };
                let provenance = Provenance { venue_ms: None, received_ns: self.received_ns, is_replayed: true };
                let payload = Payload::Book { message: &message, state: *state, sequence: None };
                self.line(output, "book", symbol, &payload, provenance)
            }
            _ => Ok(()),
        }
    }

    fn event<'a>(
        &mut self,
        output: &mut dyn Write,
        event: &Event,
        mut connections: impl Iterator<Item = &'a Adapter>,
    ) -> io::Result<()> {
        self.received_ns = event.ts_received;
        let venue_ms = event.ts_exchange.map(|at| at / 1_000_000);
        let provenance = Provenance { venue_ms, received_ns: self.received_ns, is_replayed: true };
        let symbol = &event.symbol;
        match &event.body {
            Body::Ticker(ticker) => self.line(output, "ticker", symbol, &Payload::Ticker(ticker), provenance),
            Body::Trade(trade) if !trade.is_snapshot => {
                self.line(output, "trades", symbol, &Payload::Trade(trade), provenance)
            }
            Body::Book(update) if update.state == BookState::Live => {
                let Some(book) =
                    connections.find_map(|adapter| adapter.book(symbol)).filter(|book| book.state() == BookState::Live)
                else {
                    return Ok(());
                };
                let ladder = Ladder::of(&book.levels, self.depth);
                let message = self.told.entry(symbol.clone()).or_default().next(ladder);
                let Some(message) = message else { return Ok(()) };
                let payload = Payload::Book { message: &message, state: update.state, sequence: book.last_seq() };
                self.line(output, "book", symbol, &payload, provenance)
            }
            Body::Trade(_) | Body::Book(_) | Body::Candle(_) => Ok(()),
        }
    }

    fn line(
        &self,
        output: &mut dyn Write,
        namespace: &str,
        symbol: &Symbol,
        payload: &Payload<'_>,
        provenance: Provenance,
    ) -> io::Result<()> {
        let time = u64::try_from(provenance.received_ns / 1_000_000).unwrap_or(0);
        let data = payload.render(self.exchange, symbol, provenance, time)?;
        let channel = format!("{namespace}:{}:{symbol}", self.exchange);
        serde_json::to_writer(&mut *output, &serde_json::json!({"channel": channel, "time": time, "data": data}))?;
        output.write_all(b"\n")
    }
}
