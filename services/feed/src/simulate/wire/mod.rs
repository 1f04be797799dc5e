//! How each exchange speaks, seen from its own side. One file an exchange; what they share is [`Wire`].

mod binance;
mod bybit;
mod coinbase;
mod kraken;
mod okx;

use std::time::Duration;

use serde_json::Value;

use super::book::{BookFrame, Level, TextBook};
use crate::model::Exchange;

/// Added to sequence numbers and ids for each pass over the recording: more than any recording spans.
pub(crate) const STRIDE: u64 = 1 << 32;

/// Something that a client subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arg {
    /// The recording's name of it: `kind:symbol`, of Kraken's books with the depth.
    pub(crate) topic: String,
    /// The client's own name of it, as JSON text.
    pub(crate) wire: String,
    /// The native symbol in it.
    pub(crate) symbol: String,
}

/// What a client's frame asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Subscribe {
        id: Option<String>,
        args: Vec<Arg>,
    },
    Unsubscribe {
        id: Option<String>,
        args: Vec<Arg>,
    },
    /// A ping, and its answer.
    Ping(String),
    /// Neither; the answer says so.
    Other(String),
}

/// One subscribe or unsubscribe request, to be acknowledged.
#[derive(Debug)]
pub(crate) struct Ack<'a> {
    pub(crate) is_subscribe: bool,
    pub(crate) id: Option<&'a str>,
    /// What was asked for; whether it was refused.
    pub(crate) args: &'a [(Arg, bool)],
    /// Everything that the connection has now.
    pub(crate) all: Vec<&'a Arg>,
    pub(crate) wall_ms: u64,
}

/// How a recorded frame is made to look as if it was sent now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Renewal {
    /// From the time of recording to now.
    pub(crate) shift_ms: i64,
    /// Now, microseconds since the epoch, and later than in the frame before: shifted times would jump back where two frames
    /// came at once.
    pub(crate) at_us: u64,
    /// Passes over the recording that came before this one.
    pub(crate) pass: u64,
    /// The book's sequence number before this frame.
    pub(crate) sequence: Option<u64>,
}

impl Renewal {
    fn offset(&self) -> u64 {
        self.pass.saturating_mul(STRIDE)
    }
}

/// One exchange's language.
pub(crate) trait Wire: std::fmt::Debug + Send + Sync {
    /// The topic of a frame of market data; `None` for anything else.
    fn topic(&self, frame: &str) -> Option<String>;
    /// The levels of a book's frame, or of a snapshot that came over HTTP.
    fn book(&self, frame: &str) -> Option<BookFrame>;
    /// The frame as if it was sent now.
    fn renew(&self, topic: &str, frame: &str, renewal: Renewal) -> String;
    /// What a client's frame asks for.
    fn request(&self, text: &str) -> Request;
    /// What is subscribed by the address alone.
    fn request_by_path(&self, _path: &str) -> Vec<Arg> {
        Vec::new()
    }
    /// The answers to a request.
    fn acknowledge(&self, ack: &Ack<'_>) -> Vec<String>;
    /// A frame with the whole book or a change of it; `None` where the venue sends none in band. `at_us` is its time,
    /// microseconds since the epoch: of no two frames the same, as at the exchange.
    fn render(&self, arg: &Arg, book: &TextBook, frame: &BookFrame, at_us: u64) -> Option<String>;
    /// The frame as a client sees it that used other words for its topic.
    fn address(&self, arg: &Arg, frame: &str) -> String {
        let _ = arg;
        frame.to_owned()
    }
    /// Numbers a frame within its connection, where the venue does so.
    fn stamp(&self, frame: String, _count: u64) -> String {
        frame
    }
    /// What comes before anything was asked.
    fn greeting(&self, _wall_ms: u64) -> Option<String> {
        None
    }
    /// A sign of life, and how often it comes; `wants` are the client's topics.
    fn heartbeat(&self, _wants: &[&Arg], _count: u64, _wall_ms: u64) -> Option<String> {
        None
    }
    /// How often the venue pings on the protocol's own level.
    fn ping_period(&self) -> Option<Duration> {
        None
    }
    /// The announcement before it closes.
    fn maintenance(&self, wall_ms: u64) -> String;
    /// The levels that a book subscription keeps; `None`: all.
    fn depth(&self, _topic: &str) -> Option<usize> {
        None
    }
    /// Whether a symbol that the venue does not have is refused.
    fn refuses_unknown(&self) -> bool {
        true
    }
}

/// The language of `exchange`.
pub(crate) fn of(exchange: Exchange) -> &'static dyn Wire {
    match exchange {
        Exchange::Binance => &binance::Binance,
        Exchange::Coinbase => &coinbase::Coinbase,
        Exchange::Kraken => &kraken::Kraken,
        Exchange::Bybit => &bybit::Bybit,
        Exchange::Okx => &okx::Okx,
    }
}

/// `[["1.0","2"],…]` as levels.
fn pairs(list: Option<&Value>) -> Vec<Level> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let levels = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    levels.iter().map(|level| (text(level.get(0)), text(level.get(1)))).collect()
}

/// Levels as `[["1.0","2"],…]`, each followed by `tail`.
fn render_pairs(levels: &[Level], tail: &str) -> String {
    let pairs: Vec<String> = levels.iter().map(|(price, qty)| format!("[\"{price}\",\"{qty}\"{tail}]")).collect();
    format!("[{}]", pairs.join(","))
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A value as it stands in JSON.
fn json(text: &str) -> String {
    Value::from(text).to_string()
}
