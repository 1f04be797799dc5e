//! What is known of a venue, as data: addresses, limits, heartbeat, backoff.

use crate::{
    book::Rate,
    model::{Channel, Exchange, Interval, Market},
};

/// Where channels of a market are served.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// Which market.
    pub market: Market,
    /// Which channels; a topic goes to the first endpoint that serves it.
    pub serves: fn(Channel) -> bool,
    /// The WebSocket's address.
    pub url: &'static str,
    /// Where its HTTP requests go, without the path.
    pub http: &'static str,
    /// The path that lists its instruments.
    pub instruments: &'static str,
}

/// A venue's limits. Connects are counted per address, messages per connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Attempts to connect from one address: all of these hold.
    pub connects: &'static [Rate],
    /// Messages sent on one connection; pings and pongs count.
    pub messages: Rate,
    /// Topics that one connection carries.
    pub topics_max: usize,
    /// Characters of all topics' names that one connection carries.
    pub topic_chars_max: Option<usize>,
    /// Topics that one request may name.
    pub topics_per_request: usize,
    /// Bytes of one request.
    pub request_bytes_max: usize,
    /// How long a connection lives at most; it is replaced before.
    pub lifetime_ms: Option<u64>,
    /// Subscribe within this after connecting.
    pub first_request_ms: Option<u64>,
    /// The largest frame to expect.
    pub frame_bytes_max: usize,
    /// Resyncs of books on one connection.
    pub resyncs: Rate,
    /// Whether one operation resyncs all books of a connection.
    pub resyncs_together: bool,
    /// HTTP request weight from one address.
    pub http_weight: Rate,
}

/// Delay before connecting again: `initial_ms`, then times `multiplier` up to `max_ms`, each drawn between `1 - jitter` and 1 of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// First delay.
    pub initial_ms: u64,
    /// Growth.
    pub multiplier: f64,
    /// Largest delay.
    pub max_ms: u64,
    /// Share of the delay that is drawn: 1 is full jitter.
    pub jitter: f64,
    /// Delay after a refusal for rate (429, 403, a ban).
    pub limited_ms: u64,
}

/// The backoff that suits all five; venues change what differs.
pub(crate) const BACKOFF: Backoff =
    Backoff { initial_ms: 250, multiplier: 2.0, max_ms: 30_000, jitter: 1.0, limited_ms: 60_000 };

/// How a connection shows that it lives.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat {
    /// Send the venue's own ping when this long nothing was sent or received (see `ping_when_idle`). None: the venue needs none.
    pub ping_every_ms: Option<u64>,
    /// Ping only while nothing arrives, instead of at fixed times.
    pub ping_when_idle: bool,
    /// The venue's usual interval between signs of life, until its own is learned.
    pub expected_ms: u64,
    /// The least silence that counts as death, whatever was learned.
    pub silence_min_ms: u64,
    /// The most silence that is borne, whatever was learned.
    pub silence_max_ms: u64,
}

/// All of it.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Whose.
    pub exchange: Exchange,
    /// Where.
    pub endpoints: &'static [Endpoint],
    /// How much.
    pub limits: Limits,
    /// How soon again.
    pub backoff: Backoff,
    /// How alive.
    pub heartbeat: Heartbeat,
    /// Intervals of candles that the venue does not have and that are made from its trades.
    pub built_candles: &'static [Interval],
    /// Whether book messages are numbered, so that a lost one shows itself at the next.
    pub numbered: bool,
}

impl Facts {
    /// Where a channel of a market is served.
    pub fn endpoint(&self, market: Market, channel: Channel) -> Option<&'static Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.market == market && (endpoint.serves)(channel))
    }
}

/// Serves every channel.
pub(crate) fn all(_: Channel) -> bool {
    true
}
