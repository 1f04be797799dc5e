//! The normalised model: what every venue's messages become.

pub mod decimal;
pub mod event;
pub mod instant;
pub mod interval;
pub mod symbol;

pub use event::{Body, BookKind, BookUpdate, Candle, Event, Level, Side, Ticker, Top, Trade};
pub use interval::Interval;
pub use rust_decimal::Decimal;
pub use symbol::Symbol;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A trading venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exchange {
    /// Binance, with binance.us, which speaks the same protocol.
    Binance,
    /// Coinbase Advanced Trade, and the older Coinbase Exchange feed.
    Coinbase,
    /// Kraken spot, versions 2 and 1.
    Kraken,
    /// Bybit v5.
    Bybit,
    /// OKX v5, with Okcoin, which speaks the same protocol.
    Okx,
}

impl Exchange {
    /// Every venue.
    pub const ALL: [Self; 5] = [Self::Binance, Self::Coinbase, Self::Kraken, Self::Bybit, Self::Okx];

    /// The name in channels, configuration and recordings: lowercase.
    pub fn name(self) -> &'static str {
        match self {
            Self::Binance => "binance",
            Self::Coinbase => "coinbase",
            Self::Kraken => "kraken",
            Self::Bybit => "bybit",
            Self::Okx => "okx",
        }
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Exchange {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|exchange| exchange.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| crate::Error::UnknownExchange(text.to_owned()))
    }
}

/// Which of a venue's markets a connection serves. The same native symbol may mean two instruments (Bybit's `BTCUSDT`), so a
/// connection serves one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Market {
    /// Spot.
    Spot,
    /// Perpetual swaps settled in the quote currency.
    Linear,
}

/// What is subscribed of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Price levels: a snapshot, then deltas.
    Orderbook,
    /// Prints, with the taker's side.
    Trades,
    /// Best bid and ask, last price, 24 h figures.
    Ticker,
    /// Open, high, low, close, volume of an interval.
    Candles(Interval),
}

impl Channel {
    /// The normalised name: `orderbook`, `trades`, `ticker`, `candle`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Orderbook => "orderbook",
            Self::Trades => "trades",
            Self::Ticker => "ticker",
            Self::Candles(_) => "candle",
        }
    }
}

/// One subscription: a channel of a symbol.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic {
    /// The canonical symbol.
    pub symbol: Symbol,
    /// What of it.
    pub channel: Channel,
}
