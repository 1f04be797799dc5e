//! Kraken spot, versions 2 and 1.

pub mod instruments;
pub mod limits;
pub(crate) mod messages;
pub(crate) mod parse;
mod subscribe;
mod sync;
mod v1;

use crate::{
    book::BookState,
    json::Parsed,
    model::Channel,
    venue::{FaultClass, Protocol, desk::Desk},
};
use messages::{Message, Reply};

/// Kraken's side of a connection.
#[derive(Debug, Default)]
pub(crate) struct Kraken;

impl Kraken {
    fn reply(reply: &Reply<'_>, desk: &mut Desk) {
        let Reply { method, channel, symbol, depth, interval, error } = reply;
        if let Some(error) = error {
            let class = if error.contains("msg rate") { FaultClass::RateLimit } else { FaultClass::Rejected };
            return desk.fault(class, Some(symbol).filter(|symbol| !symbol.is_empty()).map(|symbol| &**symbol), error);
        }
        match (&**method, subscribe::channel(channel, interval.as_deref())) {
            ("subscribe", Some(channel)) => {
                if channel == Channel::Orderbook
                    && let Some(id) = desk.find(symbol, channel)
                {
                    let book = desk.book(id);
                    book.depth = depth.or(book.depth);
                }
                desk.subscribed(symbol, channel);
            }
            // Unsubscribed for a resync: what still comes of the old subscription is dropped until the new snapshot.
            ("unsubscribe", Some(Channel::Orderbook)) => {
                if let Some(id) = desk.known(symbol).filter(|id| desk.book(*id).state == BookState::Resyncing) {
                    subscribe::send("subscribe", &[(id, Channel::Orderbook)], desk);
                }
            }
            ("pong", _) => desk.beat = true,
            _ => {}
        }
    }
}

impl Protocol for Kraken {
    fn connected(&mut self, _: &mut Desk) {}

    fn text(&mut self, text: &str, desk: &mut Desk) -> Parsed<()> {
        let (message, unknown) = parse::parse(text)?;
        desk.counters.unknown_fields += u64::from(unknown);
        match message {
            Message::Books(books) => {
                for book in books {
                    if let Some(id) = desk.find(&book.symbol, Channel::Orderbook) {
                        sync::book(id, book, text, desk);
                    }
                }
            }
            Message::Trades(trades) => {
                for (symbol, time, trade) in trades {
                    if let Some(id) = desk.find(&symbol, Channel::Trades) {
                        desk.trade(id, time, None, trade);
                    }
                }
            }
            Message::Tickers(tickers) => {
                for (symbol, time, ticker) in tickers {
                    if let Some(id) = desk.find(&symbol, Channel::Ticker) {
                        desk.ticker(id, time, None, &ticker, true);
                    }
                }
            }
            Message::Candles(candles) => {
                for (symbol, candle) in candles {
                    if let Some(id) = desk.find(&symbol, Channel::Candles(candle.interval)) {
                        desk.candle(id, None, candle);
                    }
                }
            }
            Message::Reply(reply) => Self::reply(&reply, desk),
            Message::Heartbeat => desk.beat = true,
            Message::Status(system) if system == "maintenance" => {
                desk.fault(FaultClass::AnnouncedClose, None, "status: maintenance");
            }
            Message::Status(_) => {}
            Message::Unknown => desk.counters.unknown_messages += 1,
        }
        Ok(())
    }

    fn subscribe(&mut self, topics: &[(usize, Channel)], desk: &mut Desk) {
        subscribe::send("subscribe", topics, desk);
    }

    fn unsubscribe(&mut self, topics: &[(usize, Channel)], desk: &mut Desk) {
        subscribe::send("unsubscribe", topics, desk);
    }

    /// Unsubscribe, wait for the answer, subscribe.
    fn resync(&mut self, ids: &[usize], desk: &mut Desk) {
        let books: Vec<_> = ids.iter().map(|id| (*id, Channel::Orderbook)).collect();
        subscribe::send("unsubscribe", &books, desk);
    }

    fn ping(&mut self, desk: &mut Desk) {
        desk.send(r#"{"method":"ping"}"#.to_owned());
    }
}
