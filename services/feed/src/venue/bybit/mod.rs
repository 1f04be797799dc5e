//! Bybit v5, spot and linear.

pub mod instruments;
pub mod limits;
pub(crate) mod messages;
pub(crate) mod parse;
mod subscribe;
mod sync;

use hashbrown::HashMap;

use crate::{
    json::Parsed,
    model::{Body, Channel, Trade, event::TradeId, instant},
    venue::{FaultClass, Protocol, desk::Desk},
};
use messages::{Message, Print};

/// Requests whose answer is waited for.
const REQUESTS_MAX: usize = 256;

/// Bybit's side of a connection.
#[derive(Debug, Default)]
pub(crate) struct Bybit {
    requests: HashMap<u64, Vec<(usize, Channel)>>,
    next_id: u64,
}

impl Bybit {
    fn reply(&mut self, request: Option<u64>, error: Option<&str>, desk: &mut Desk) {
        let topics = request.and_then(|request| self.requests.remove(&request)).unwrap_or_default();
        let unnamed = topics.is_empty();
        for (id, channel) in topics {
            let native = desk.entries[id].native.clone();
            match error {
                // One bad argument refuses them all, and its name stands in the words.
                Some(error) if error.contains(&*native) => desk.fault(FaultClass::Rejected, Some(&native), error),
                Some(_) => {}
                None => desk.subscribed(&native, channel),
            }
        }
        if let (Some(error), true) = (error, unnamed) {
            desk.fault(FaultClass::Rejected, None, error);
        }
    }
}

impl Protocol for Bybit {
    fn connected(&mut self, _: &mut Desk) {
        self.requests.clear();
    }

    fn text(&mut self, text: &str, desk: &mut Desk) -> Parsed<()> {
        let (message, unknown) = parse::parse(text)?;
        desk.counters.unknown_fields += u64::from(unknown);
        match message {
            Message::Book { symbol, is_snapshot, change } => {
                if let Some(id) = desk.find(&symbol, Channel::Orderbook) {
                    sync::book(id, is_snapshot, change, desk);
                }
            }
            Message::Trades { symbol, prints } => {
                if let Some(id) = desk.find(&symbol, Channel::Trades) {
                    for print in &prints {
                        printed(id, print, desk);
                    }
                }
            }
            Message::Ticker { symbol, is_snapshot, time, seq, ticker } => {
                if let Some(id) = desk.find(&symbol, Channel::Ticker) {
                    desk.ticker(id, time.and_then(instant::epoch), seq, &ticker, is_snapshot);
                }
            }
            Message::Candles { symbol, candles } => {
                for (time, candle) in candles {
                    if let Some(id) = desk.find(&symbol, Channel::Candles(candle.interval)) {
                        desk.event(id, time.and_then(instant::epoch), None, Body::Candle(Box::new(candle)));
                    }
                }
            }
            Message::Reply { is_pong: true, .. } => desk.beat = true,
            Message::Reply { request, error, .. } => self.reply(request, error.as_deref(), desk),
            Message::Unknown => desk.counters.unknown_messages += 1,
        }
        Ok(())
    }

    fn subscribe(&mut self, topics: &[(usize, Channel)], desk: &mut Desk) {
        for (request, topics) in subscribe::send("subscribe", topics, &mut self.next_id, desk) {
            if self.requests.len() < REQUESTS_MAX {
                self.requests.insert(request, topics);
            }
        }
    }

    fn unsubscribe(&mut self, topics: &[(usize, Channel)], desk: &mut Desk) {
        subscribe::send("unsubscribe", topics, &mut self.next_id, desk);
    }

    fn resync(&mut self, ids: &[usize], desk: &mut Desk) {
        let books: Vec<_> = ids.iter().map(|id| (*id, Channel::Orderbook)).collect();
        self.unsubscribe(&books, desk);
        self.subscribe(&books, desk);
    }

    fn ping(&mut self, desk: &mut Desk) {
        desk.send(r#"{"op":"ping"}"#.to_owned());
    }
}

fn printed(id: usize, print: &Print<'_>, desk: &mut Desk) {
    let trade = Trade {
        id: Some(TradeId::parse(&print.id)),
        price: print.level.price,
        qty: print.level.qty,
        side: print.side,
        is_snapshot: false,
        aggregate: None,
    };
    desk.trade(id, instant::epoch(print.time), print.seq, trade);
}
