//! Binance spot and USD-M futures, and binance.us.

pub mod instruments;
pub mod limits;
pub mod messages;
pub mod parse;
mod subscribe;
mod sync;

use hashbrown::HashMap;

use crate::{
    book::{Anomaly, BookState, audit},
    json::Parsed,
    model::{Body, Channel, Ticker, Trade, event::TradeId, instant},
    venue::{Answer, FaultClass, Protocol, desk::Desk},
};
use messages::{Message, Print, Quote};
use sync::Buffer;

/// Requests whose answer is waited for.
const REQUESTS_MAX: usize = 256;

/// Binance's side of a connection.
#[derive(Debug, Default)]
pub(crate) struct Binance {
    buffers: Vec<Buffer>,
    requests: HashMap<u64, Vec<(usize, Channel)>>,
    next_id: u64,
}

impl Binance {
    fn buffer(&mut self, id: usize) -> &mut Buffer {
        if self.buffers.len() <= id {
            self.buffers.resize_with(id + 1, Buffer::default);
        }
        &mut self.buffers[id]
    }

    fn reply(&mut self, id: Option<u64>, error: Option<&str>, desk: &mut Desk) {
        let topics = id.and_then(|id| self.requests.remove(&id)).unwrap_or_default();
        for (id, channel) in topics {
            let native = desk.entries[id].native.clone();
            if let Some(error) = error {
                desk.fault(FaultClass::Rejected, Some(&native), error);
                continue;
            }
            desk.subscribed(&native, channel);
            // A quiet symbol sends no delta for long: its book need not wait for one.
            if channel == Channel::Orderbook && desk.book(id).state == BookState::Subscribing {
                sync::begin(self.buffer(id), id, desk);
            }
        }
        if let (None, Some(error)) = (id, error) {
            desk.fault(FaultClass::Protocol, None, error);
        }
    }
}

impl Protocol for Binance {
    fn connected(&mut self, _: &mut Desk) {
        self.buffers.clear();
        self.requests.clear();
    }

    fn text(&mut self, text: &str, desk: &mut Desk) -> Parsed<()> {
        let (message, unknown) = parse::parse(text)?;
        desk.counters.unknown_fields += u64::from(unknown);
        match message {
            Message::Depth(depth) => {
                if let Some(id) = desk.find(&depth.symbol, Channel::Orderbook) {
                    sync::depth(self.buffer(id), id, depth, desk);
                }
            }
            Message::Partial(partial) => {
                if let Some(id) = desk.find(&partial.symbol, Channel::Orderbook) {
                    sync::audit(id, &partial, desk);
                }
            }
            Message::Quote(quote) => quoted(&quote, desk),
            Message::Print(print) => printed(&print, desk),
            Message::Day { symbol, time, ticker } => {
                if let Some(id) = desk.find(&symbol, Channel::Ticker) {
                    desk.ticker(id, instant::epoch(time), None, &ticker, false);
                }
            }
            Message::Kline { symbol, time, candle } => {
                if let Some(id) = desk.find(&symbol, Channel::Candles(candle.interval)) {
                    desk.event(id, instant::epoch(time), None, Body::Candle(candle));
                }
            }
            Message::Reply { id, error } => self.reply(id, error.as_deref(), desk),
            Message::Shutdown => desk.fault(FaultClass::AnnouncedClose, None, "serverShutdown"),
            Message::Unknown => desk.counters.unknown_messages += 1,
        }
        Ok(())
    }

    fn subscribe(&mut self, topics: &[(usize, Channel)], desk: &mut Desk) {
        for (id, topics) in subscribe::send("SUBSCRIBE", topics, &mut self.next_id, desk) {
            if self.requests.len() < REQUESTS_MAX {
                self.requests.insert(id, topics);
            }
        }
    }

    fn unsubscribe(&mut self, topics: &[(usize, Channel)], desk: &mut Desk) {
        for &(id, channel) in topics {
            if channel == Channel::Orderbook {
                self.buffer(id).clear();
            }
        }
        subscribe::send("UNSUBSCRIBE", topics, &mut self.next_id, desk);
    }

    fn resync(&mut self, ids: &[usize], desk: &mut Desk) {
        for &id in ids {
            sync::resync(self.buffer(id), id, desk);
        }
    }

    fn ping(&mut self, _: &mut Desk) {}

    fn answered(&mut self, id: usize, answer: Answer<'_>, desk: &mut Desk) -> Parsed<()> {
        let Answer::Body(body) = answer else {
            sync::failed(self.buffer(id), id, desk);
            return Ok(());
        };
        match parse::snapshot(body) {
            Ok(snapshot) => sync::snapshot(self.buffer(id), id, snapshot, desk),
            Err(error) => {
                sync::failed(self.buffer(id), id, desk);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// A quote is a ticker, and audits the book.
fn quoted(quote: &Quote<'_>, desk: &mut Desk) {
    let Some(id) = desk.known(&quote.symbol).or_else(|| desk.find(&quote.symbol, Channel::Ticker)) else { return };
    let Quote { bid, ask, last, time, .. } = *quote;
    let now_ms = desk.now.mono_ms;
    let book = desk.book(id);
    if book.state == BookState::Live {
        let quote = audit::Quote { seq: last, bid, ask };
        match book.last_seq {
            Some(seq) if seq > last => {}
            Some(seq) if seq == last => {
                book.counts.audited += 1;
                if !quote.fits(&book.top()) {
                    desk.suspect(id, Anomaly::Audit);
                }
            }
            _ => {
                if book.audit.keep(quote, now_ms) {
                    desk.suspect(id, Anomaly::Silence);
                }
            }
        }
    }
    if desk.is_wanted(id, Channel::Ticker) {
        let ticker = Ticker {
            bid: Some(bid.price),
            bid_qty: Some(bid.qty),
            ask: Some(ask.price),
            ask_qty: Some(ask.qty),
            ..Ticker::default()
        };
        desk.ticker(id, time.and_then(instant::epoch), Some(last), &ticker, false);
    }
}

fn printed(print: &Print<'_>, desk: &mut Desk) {
    let Some(id) = desk.find(&print.symbol, Channel::Trades) else { return };
    let trade = Trade {
        id: Some(TradeId::Number(print.id)),
        price: print.price,
        qty: print.qty,
        side: print.side,
        is_snapshot: false,
        aggregate: print.aggregate,
    };
    desk.trade(id, instant::epoch(print.time), Some(print.id), trade);
}
