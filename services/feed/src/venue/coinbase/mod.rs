//! Coinbase Advanced Trade, and the older Exchange feed.

mod exchange;
pub mod instruments;
pub mod limits;
pub(crate) mod messages;
pub(crate) mod parse;
mod subscribe;
mod sync;

use crate::{
    json::Parsed,
    model::{Channel, Trade, event::TradeId},
    venue::{FaultClass, Protocol, desk::Desk},
};
use messages::{Content, Message, Print};

/// Coinbase's side of a connection.
#[derive(Debug, Default)]
pub(crate) struct Coinbase {
    last_seq: Option<u64>,
    /// What the last list of subscriptions held.
    confirmed: Vec<(String, String)>,
}

impl Coinbase {
    /// The list is of all subscriptions, each time: what is new in it was confirmed now.
    fn confirm(&mut self, subscriptions: Vec<(String, String)>, desk: &mut Desk) {
        for pair in subscriptions.iter().filter(|pair| !self.confirmed.contains(pair)) {
            if let Some(channel) = subscribe::channel(&pair.0) {
                desk.subscribed(&pair.1, channel);
            }
        }
        self.confirmed = subscriptions;
    }
}

/// Subscribing `XXX-USDC` brings data of `XXX-USD`: their book is one.
fn find(product: &str, channel: Channel, desk: &mut Desk) -> Option<usize> {
    if product.ends_with("-USD") && !desk.known(product).is_some_and(|id| desk.is_wanted(id, channel)) {
        let shared = desk.known(&format!("{product}C")).filter(|id| desk.is_wanted(*id, channel));
        if shared.is_some() {
            return shared;
        }
    }
    desk.find(product, channel)
}

impl Protocol for Coinbase {
    /// Without `heartbeats`, most channels are closed after a minute without data.
    fn connected(&mut self, desk: &mut Desk) {
        *self = Self::default();
        desk.send(r#"{"type":"subscribe","channel":"heartbeats"}"#.to_owned());
    }

    fn text(&mut self, text: &str, desk: &mut Desk) -> Parsed<()> {
        let (Message { seq, time, content }, unknown) = parse::parse(text)?;
        desk.counters.unknown_fields += u64::from(unknown);
        if let Some(seq) = seq
            && !sync::number(&mut self.last_seq, seq, desk)
        {
            return Ok(());
        }
        match content {
            Content::Books(books) => {
                for book in books {
                    if let Some(id) = find(&book.product, Channel::Orderbook, desk) {
                        sync::book(id, book, seq, text, desk);
                    }
                }
            }
            Content::Trades(prints) => {
                for print in prints {
                    if let Some(id) = find(&print.product, Channel::Trades, desk) {
                        printed(id, &print, seq, desk);
                    }
                }
            }
            Content::Tickers(tickers) => {
                for (product, ticker) in tickers {
                    if let Some(id) = find(&product, Channel::Ticker, desk) {
                        desk.ticker(id, time, seq, &ticker, true);
                    }
                }
            }
            Content::Candles(candles) => {
                for (product, candle) in candles {
                    if let Some(id) = find(&product, Channel::Candles(candle.interval), desk) {
                        desk.candle(id, time, candle);
                    }
                }
            }
            Content::Subscriptions(subscriptions) => self.confirm(subscriptions, desk),
            Content::Heartbeat => desk.beat = true,
            Content::Error(words) => {
                let class = match &*words {
                    words if words.contains("authentication") => FaultClass::Auth,
                    words if words.contains("rate limit") => FaultClass::RateLimit,
                    _ => FaultClass::Rejected,
                };
                desk.fault(class, None, &words);
            }
            Content::Unknown => desk.counters.unknown_messages += 1,
        }
        Ok(())
    }

    fn subscribe(&mut self, topics: &[(usize, Channel)], desk: &mut Desk) {
        subscribe::send("subscribe", topics, desk);
    }

    fn unsubscribe(&mut self, topics: &[(usize, Channel)], desk: &mut Desk) {
        subscribe::send("unsubscribe", topics, desk);
    }

    /// All at once: a lost message may have been any book's.
    fn resync(&mut self, ids: &[usize], desk: &mut Desk) {
        let books: Vec<_> = ids.iter().map(|id| (*id, Channel::Orderbook)).collect();
        subscribe::send("unsubscribe", &books, desk);
        subscribe::send("subscribe", &books, desk);
    }

    fn ping(&mut self, _: &mut Desk) {}
}

fn printed(id: usize, print: &Print<'_>, seq: Option<u64>, desk: &mut Desk) {
    let trade = Trade {
        id: Some(TradeId::parse(&print.id)),
        price: print.level.price,
        qty: print.level.qty,
        side: print.side,
        is_snapshot: print.is_snapshot,
        aggregate: None,
    };
    desk.trade(id, print.time, seq, trade);
}
