//! Coinbase Advanced Trade, and the older Exchange feed.

mod exchange;
pub mod instruments;
pub mod limits;
pub(crate) mod messages;
mod minutes;
pub(crate) mod parse;
mod subscribe;
mod sync;

use hashbrown::HashSet;

use crate::{
    json::Parsed,
    model::{Channel, Interval, Trade, event::TradeId},
    venue::{FaultClass, Protocol, desk::Desk},
};
use messages::{Content, Message, Print};

/// Coinbase's side of a connection.
#[derive(Debug, Default)]
pub(crate) struct Coinbase {
    last_seq: Option<u64>,
    /// What the last list of subscriptions held.
    confirmed: Vec<(String, String)>,
    /// What was asked for on this connection: several topics may share one.
    subscribed: HashSet<subscribe::Wire>,
    minutes: minutes::Minutes,
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

    fn printed(&mut self, id: usize, print: &Print<'_>, seq: Option<u64>, desk: &mut Desk) {
        let trade = Trade {
            id: Some(TradeId::parse(&print.id)),
            price: print.level.price,
            qty: print.level.qty,
            side: print.side,
            is_snapshot: print.is_snapshot,
            aggregate: None,
        };
        let made = print.time.filter(|_| makes_minutes(id, desk)).map(|time| (time, trade.clone()));
        if desk.trade(id, print.time, seq, trade)
            && let Some((time, trade)) = made
            && let Some(candle) = self.minutes.take(id, time, &trade)
        {
            desk.candle(id, Some(time), candle);
        }
    }
}

/// Everyone who takes the data of a product: `X-USD` is told to those of `X-USDC` too, as their book is one.
fn takers(product: &str, channel: Channel, desk: &mut Desk) -> impl Iterator<Item = usize> + use<> {
    let other = subscribe::shared(product).filter(|name| desk.known(name).is_some_and(|id| wants(id, channel, desk)));
    let other = other.and_then(|name| desk.known(&name));
    if let (Some(id), Channel::Orderbook) = (other, channel) {
        desk.entries[id].book_seen = true;
    }
    let is_own = desk.known(product).is_some_and(|id| wants(id, channel, desk));
    // One whom nobody wants is counted, or added, by the desk.
    let own = if is_own {
        desk.known(product)
    } else if other.is_none() {
        desk.find(product, channel)
    } else {
        None
    };
    if let (Some(id), Channel::Orderbook) = (own, channel) {
        desk.entries[id].book_seen = true;
    }
    own.into_iter().chain(other)
}

/// Prints are wanted for candles of a minute as well.
fn wants(id: usize, channel: Channel, desk: &Desk) -> bool {
    desk.is_wanted(id, channel) || channel == Channel::Trades && makes_minutes(id, desk)
}

fn makes_minutes(id: usize, desk: &Desk) -> bool {
    desk.entries[id].wanted.has(Channel::Candles(Interval::M1))
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
                    for id in takers(&book.product, Channel::Orderbook, desk) {
                        sync::book(id, &book, seq, text, desk);
                    }
                }
            }
            Content::Trades(prints) => {
                for print in prints {
                    for id in takers(&print.product, Channel::Trades, desk) {
                        self.printed(id, &print, seq, desk);
                    }
                }
            }
            Content::Tickers(tickers) => {
                for (product, ticker) in tickers {
                    for id in takers(&product, Channel::Ticker, desk) {
                        desk.ticker(id, time, seq, &ticker, true);
                    }
                }
            }
            Content::Candles(candles) => {
                for (product, candle) in candles {
                    for id in takers(&product, Channel::Candles(candle.interval), desk) {
                        desk.candle(id, time, candle.clone());
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
        let (mut new, mut again) = (Vec::new(), Vec::new());
        for &(id, channel) in topics {
            let wire = subscribe::wire(&desk.entries[id].native, channel);
            if self.subscribed.insert(wire.clone()) {
                new.push(wire);
            } else if channel == Channel::Orderbook && !new.contains(&wire) {
                // Subscribed for the product that shares its book: only a new subscription brings a snapshot.
                again.push(wire);
            }
        }
        subscribe::send("unsubscribe", &again, desk);
        new.append(&mut again);
        subscribe::send("subscribe", &new, desk);
    }

    fn unsubscribe(&mut self, topics: &[(usize, Channel)], desk: &mut Desk) {
        let wires = topics.iter().map(|&(id, channel)| subscribe::wire(&desk.entries[id].native, channel));
        let over: Vec<_> = wires.filter(|wire| !subscribe::is_wanted(wire, desk)).collect();
        self.subscribed.retain(|wire| !over.contains(wire));
        subscribe::send("unsubscribe", &over, desk);
    }

    /// All at once: a lost message may have been any book's.
    fn resync(&mut self, ids: &[usize], desk: &mut Desk) {
        let books = ids.iter().map(|id| subscribe::wire(&desk.entries[*id].native, Channel::Orderbook));
        let books: Vec<_> = books.collect();
        subscribe::send("unsubscribe", &books, desk);
        subscribe::send("subscribe", &books, desk);
    }

    fn ping(&mut self, _: &mut Desk) {}
}
