//! The venues' protocols, without I/O: frames, time and HTTP answers go in, [`Effect`]s come out.
//!
//! An [`Adapter`] is one connection to one endpoint. It holds the books of its symbols, checks each message by the venue's rule,
//! and says what to send and to fetch. It never connects, sleeps or reads a clock: the caller does, so a recording is replayed
//! through exactly what runs live. Each venue is a directory of the same files: `messages` (what it sends), `parse`, `sync` (its
//! rule for books), `subscribe` (what is sent to it), `limits` (its [`Facts`]), `instruments`.

pub mod adapter;
pub mod binance;
pub mod bybit;
pub mod coinbase;
pub(crate) mod desk;
mod entry;
mod facts;
pub mod fault;
pub mod instruments;
pub mod kraken;
mod liveness;
pub mod okx;
mod wire;

pub use adapter::{Adapter, Frame, Setup};
pub use facts::{Backoff, Endpoint, Facts, Heartbeat, Limits};
pub use fault::{Fault, FaultClass, Remedy};
pub use instruments::{Instrument, Instruments};
pub use liveness::Liveness;

use crate::{
    book::{Anomaly, BookState},
    json::Parsed,
    model::{Channel, Event, Exchange, Symbol, Topic},
};
use desk::Desk;

/// A time: on the connection's clock, and on the wall.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds of a clock that never goes back, from any origin.
    pub mono_ms: u64,
    /// Nanoseconds since the epoch.
    pub wall_ns: i64,
}

impl Moment {
    /// Milliseconds since the epoch.
    pub fn wall_ms(self) -> u64 {
        u64::try_from(self.wall_ns / 1_000_000).unwrap_or(0)
    }
}

/// What an adapter wants done, or tells.
#[allow(clippy::large_enum_variant, reason = "nearly all are events: a box would be an allocation a frame")]
#[derive(Debug, Clone)]
pub enum Effect {
    /// Send this text frame, at the pace of the venue's limit for messages.
    Send(String),
    /// Fetch this, and give the answer to [`Adapter::answered`].
    Fetch(Fetch),
    /// Something normalised happened.
    Event(Event),
    /// A book changed its state. Subscribers must hear of `suspect` at once.
    State {
        /// Whose.
        symbol: Symbol,
        /// The state now.
        state: BookState,
        /// What was found wrong, when it turned suspect.
        cause: Option<Anomaly>,
    },
    /// A message or a book was found wrong; counted, and listed by `replay`.
    Anomaly {
        /// Whose; None: the connection's.
        symbol: Option<Symbol>,
        /// What.
        kind: Anomaly,
    },
    /// The venue confirmed a subscription.
    Subscribed(Topic),
    /// Something went wrong; its class says what to do.
    Fault(Fault),
    /// This connection must be replaced: dead, or past its budget of resyncs.
    Recycle(Fault),
}

/// An HTTP request wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// For whose book.
    pub symbol: Symbol,
    /// GET this.
    pub url: String,
    /// What it costs of the venue's request weight.
    pub weight: u32,
    /// Not before this long from now (milliseconds).
    pub delay_ms: u64,
}

/// How a [`Fetch`] ended.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// Status 200 and its body.
    Body(&'a str),
    /// Another status.
    Status(u16),
    /// No answer.
    Failed,
}

/// What happened on a connection, besides effects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received.
    pub frames: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Frames that could not be read.
    pub parse_errors: u64,
    /// Fields that nothing here knows.
    pub unknown_fields: u64,
    /// Messages of channels that nothing here knows.
    pub unknown_messages: u64,
    /// Messages of topics that were not asked for (any more).
    pub unrequested: u64,
}

/// What a venue does in its own way. The seam between [`Adapter`] and the venues.
pub(crate) trait Protocol: Send {
    /// A new connection: forget what belonged to the old one, say what the venue wants said first.
    fn connected(&mut self, desk: &mut Desk);
    /// A text frame.
    fn text(&mut self, text: &str, desk: &mut Desk) -> Parsed<()>;
    /// Ask for topics, in as few messages as the limits allow.
    fn subscribe(&mut self, topics: &[(usize, Channel)], desk: &mut Desk);
    /// No longer ask for topics.
    fn unsubscribe(&mut self, topics: &[(usize, Channel)], desk: &mut Desk);
    /// Ask for new snapshots of books that are suspect.
    fn resync(&mut self, ids: &[usize], desk: &mut Desk);
    /// The venue's own ping is due.
    fn ping(&mut self, desk: &mut Desk);
    /// An HTTP answer for a book.
    fn answered(&mut self, _id: usize, _answer: Answer<'_>, _desk: &mut Desk) -> Parsed<()> {
        Ok(())
    }
}

/// A venue's facts.
pub fn facts(exchange: Exchange) -> &'static Facts {
    match exchange {
        Exchange::Binance => &binance::limits::FACTS,
        Exchange::Coinbase => &coinbase::limits::FACTS,
        Exchange::Kraken => &kraken::limits::FACTS,
        Exchange::Bybit => &bybit::limits::FACTS,
        Exchange::Okx => &okx::limits::FACTS,
    }
}

/// A venue's protocol, at its start.
fn protocol(exchange: Exchange) -> Box<dyn Protocol> {
    match exchange {
        Exchange::Binance => Box::<binance::Binance>::default(),
        Exchange::Coinbase => Box::<coinbase::Coinbase>::default(),
        Exchange::Kraken => Box::<kraken::Kraken>::default(),
        Exchange::Bybit => Box::<bybit::Bybit>::default(),
        Exchange::Okx => Box::<okx::Okx>::default(),
    }
}
