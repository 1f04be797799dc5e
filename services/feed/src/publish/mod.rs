//! Normalised events into the channels of the cluster.
//!
//! Invariants:
//! - Of all instances only the holder of a symbol's lease publishes it, under the lease's fence, and nothing after its term.
//! - A book's message has its state; only what was live at the venue's own rule is published as live.
//! - Queues between connections and the backplane are bounded; what does not fit is dropped and counted, and a book that lost a
//!   message goes on with a snapshot.

mod alerts;
mod election;
pub mod ladder;
pub mod message;
pub(crate) mod outlet;
mod publisher;
mod wanted;

use tickwire_protocol::{
    ChannelName,
    namespace::{Namespaces, Policy},
};

use crate::{
    book::BookState,
    model::{Candle, Exchange, Interval, Symbol, Ticker, Trade},
};

pub(crate) use election::Election;
pub(crate) use ladder::Ladder;
pub(crate) use message::Provenance;
pub(crate) use publisher::{Input, Publisher, QUEUE};
pub(crate) use wanted::{NAMESPACES, VenueWants, Wanted, market};

/// Something new of a symbol, on its way from a connection to the channels.
#[derive(Debug, Clone)]
pub(crate) struct Update {
    pub(crate) symbol: Symbol,
    pub(crate) what: What,
    pub(crate) provenance: Provenance,
}

/// What is new.
#[derive(Debug, Clone)]
pub(crate) enum What {
    Ticker(Box<Ticker>),
    Trade(Trade),
    Candle(Box<Candle>),
    /// A live book's best levels.
    Book {
        ladder: Box<Ladder>,
        sequence: Option<u64>,
    },
    /// A book's state, other than by a live update.
    State {
        state: BookState,
        reason: Option<&'static str>,
    },
}

/// The channels of a symbol, with the policies of their namespaces.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: String,
    candles: Policy,
    pub(crate) ticker: (ChannelName, Policy),
    pub(crate) prices: (ChannelName, Policy),
    pub(crate) trades: (ChannelName, Policy),
    pub(crate) book: (ChannelName, Policy),
    /// The lease of whoever publishes them.
    pub(crate) lease: ChannelName,
}

impl Names {
    /// `None` where the symbol cannot stand in a channel's name, or a namespace was configured away.
    pub(crate) fn of(namespaces: &Namespaces, exchange: Exchange, symbol: &Symbol) -> Option<Self> {
        let name = |text: String| {
            let channel = ChannelName::new(&text).ok()?;
            let policy = namespaces.policy(&channel)?.clone();
            Some((channel, policy))
        };
        let prefix = format!("candles:{exchange}:{symbol}:");
        Some(Self {
            candles: name(format!("{prefix}1m"))?.1,
            prefix,
            ticker: name(format!("ticker:{exchange}:{symbol}"))?,
            prices: name(format!("prices:{symbol}"))?,
            trades: name(format!("trades:{exchange}:{symbol}"))?,
            book: name(format!("book:{exchange}:{symbol}"))?,
            lease: ChannelName::new(&format!("feed:{exchange}:{symbol}")).ok()?,
        })
    }

    pub(crate) fn candles(&self, interval: Interval) -> Option<(ChannelName, Policy)> {
        let channel = ChannelName::new(&format!("{}{}", self.prefix, interval.name())).ok()?;
        Some((channel, self.candles.clone()))
    }
}
