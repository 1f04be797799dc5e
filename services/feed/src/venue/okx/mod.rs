//! OKX v5, and Okcoin, which speaks the same.

pub mod instruments;
pub mod limits;
pub(crate) mod messages;
pub(crate) mod parse;
mod subscribe;
mod sync;

use crate::{
    book::BookState,
    json::Parsed,
    model::{Channel, Trade, event::TradeId, instant},
    venue::{FaultClass, Protocol, desk::Desk},
};
use messages::{Content, Message, Print};

/// OKX's side of a connection.
#[derive(Debug, Default)]
pub(crate) struct Okx {
    /// Books of which the whole is subscribed, by id.
    whole: Vec<bool>,
}

impl Okx {
    fn has_whole(&self, id: usize) -> bool {
        self.whole.get(id).copied().unwrap_or_default()
    }

    fn note_whole(&mut self, id: usize) {
        if self.whole.len() <= id {
            self.whole.resize(id + 1, false);
        }
        self.whole[id] = true;
    }

    fn event(native: &str, event: &str, channel: &str, code: &str, words: &str, desk: &mut Desk) {
        let topic = subscribe::channel(channel).zip(desk.known(native));
        match event {
            "subscribe" => {
                if let Some((channel, _)) = topic {
                    desk.subscribed(native, channel);
                }
            }
            // Unsubscribed for a resync: only now does a new subscription bring a new snapshot.
            "unsubscribe" => {
                if let Some((Channel::Orderbook, id)) = topic
                    && desk.book(id).state == BookState::Resyncing
                {
                    subscribe::send("subscribe", &[(id, Channel::Orderbook)], desk);
                }
            }
            "notice" => desk.fault(FaultClass::AnnouncedClose, None, words),
            "error" | "channel-conn-count-error" => {
                let class = if code == "60014" { FaultClass::RateLimit } else { FaultClass::Rejected };
                // An error names its instrument in its words only.
                let named = words.split("instId:").nth(1).and_then(|rest| rest.split([' ', ',', '}']).next());
                desk.fault(class, named.or(Some(native)), &format!("{code} {words}"));
            }
            "channel-conn-count" => {}
            _ => desk.counters.unknown_messages += 1,
        }
    }
}

impl Protocol for Okx {
    fn connected(&mut self, _: &mut Desk) {
        self.whole.clear();
    }

    fn text(&mut self, text: &str, desk: &mut Desk) -> Parsed<()> {
        let (Message { instrument, content }, unknown) = parse::parse(text)?;
        desk.counters.unknown_fields += u64::from(unknown);
        match content {
            Content::Books { is_snapshot, changes } => {
                if let Some(id) = desk.find(&instrument, Channel::Orderbook) {
                    self.note_whole(id);
                    for change in changes {
                        sync::book(id, is_snapshot, change, text, desk);
                    }
                }
            }
            Content::Best(changes) => {
                // Beside the whole book they say nothing new; alone they are the book.
                if let Some(id) = desk.find(&instrument, Channel::Orderbook).filter(|id| !self.has_whole(*id)) {
                    for read in changes {
                        desk.install(id, read.change, |_| Ok(()));
                    }
                }
            }
            Content::Trades(prints) => {
                if let Some(id) = desk.find(&instrument, Channel::Trades) {
                    for print in &prints {
                        printed(id, print, desk);
                    }
                }
            }
            Content::Tickers(tickers) => {
                if let Some(id) = desk.find(&instrument, Channel::Ticker) {
                    for (time, ticker) in &tickers {
                        desk.ticker(id, time.and_then(instant::epoch), None, ticker, true);
                    }
                }
            }
            Content::Candles(candles) => {
                for candle in candles {
                    if let Some(id) = desk.find(&instrument, Channel::Candles(candle.interval)) {
                        desk.candle(id, None, candle);
                    }
                }
            }
            Content::Event { event, channel, code, words } => {
                Self::event(&instrument, &event, &channel, &code, &words, desk);
            }
            Content::Pong => desk.beat = true,
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

    /// A second subscription is confirmed but brings no snapshot: unsubscribe, wait for the answer, subscribe.
    fn resync(&mut self, ids: &[usize], desk: &mut Desk) {
        let books: Vec<_> = ids.iter().map(|id| (*id, Channel::Orderbook)).collect();
        subscribe::send("unsubscribe", &books, desk);
    }

    fn ping(&mut self, desk: &mut Desk) {
        desk.send("ping".to_owned());
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
    desk.trade(id, print.time.and_then(instant::epoch), print.seq, trade);
}
