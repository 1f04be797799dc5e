//! What is traded, and where.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest text of an instrument, bytes: the emitter's bound of a symbol.
pub const INSTRUMENT_BYTES_MAX: usize = 100;

/// A symbol at an exchange, as the feed's channels name it: `binance:BTC/USDT`, `bybit:BTC/USDT:USDT`.
///
/// `ticker:{instrument}`, `trades:{instrument}` and `book:{instrument}` are its channels.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instrument(Arc<str>);

/// A text that names no instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an instrument reads exchange:BASE/QUOTE, such as binance:BTC/USDT, and has at most 100 bytes")]
pub struct InvalidInstrument;

impl Instrument {
    /// Checks `text`.
    pub fn new(text: &str) -> Result<Self, InvalidInstrument> {
        let is_printable = text.len() <= INSTRUMENT_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        let (exchange, symbol) = text.split_once(':').ok_or(InvalidInstrument)?;
        let (base, quote) = symbol.split_once('/').ok_or(InvalidInstrument)?;
        let is_lower = exchange.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let is_whole = !exchange.is_empty() && !base.is_empty() && !quote.is_empty() && !quote.starts_with(':');
        if is_printable && is_lower && is_whole { Ok(Self(text.into())) } else { Err(InvalidInstrument) }
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The exchange: `binance`.
    pub fn exchange(&self) -> &str {
        self.0.split_once(':').map_or("", |(exchange, _)| exchange)
    }

    /// The symbol there: `BTC/USDT`.
    pub fn symbol(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, symbol)| symbol)
    }

    /// The currency that prices are in: `USDT`.
    pub fn quote(&self) -> &str {
        let quote = self.symbol().split_once('/').map_or("", |(_, quote)| quote);
        quote.split_once(':').map_or(quote, |(quote, _)| quote)
    }
}

impl fmt::Display for Instrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Instrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Instrument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Instrument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instrument_is_an_exchange_and_its_symbol() {
        let swap = Instrument::new("bybit:BTC/USDT:USDT").unwrap();
        assert_eq!((swap.exchange(), swap.symbol(), swap.quote()), ("bybit", "BTC/USDT:USDT", "USDT"));
        let spot = Instrument::new("binance:ETH/BTC").unwrap();
        assert_eq!((spot.exchange(), spot.symbol(), spot.quote()), ("binance", "ETH/BTC", "BTC"));
    }

    #[test]
    fn what_names_no_market_is_refused() {
        let long = format!("binance:{}/USDT", "B".repeat(100));
        for bad in
            ["", "BTC/USDT", "binance:", "binance:BTC", "binance:/USDT", "binance:BTC/", "Binance:BTC/USDT", &long]
        {
            assert_eq!(Instrument::new(bad), Err(InvalidInstrument), "{bad}");
        }
        assert!(Instrument::new("binance:BTC/US DT").is_err());
    }
}
