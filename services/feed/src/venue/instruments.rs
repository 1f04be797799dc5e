//! Native names to canonical symbols and back.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::{Exchange, Market, Symbol};

/// An instrument as a venue's metadata describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instrument {
    /// The venue's name of it.
    pub native: Arc<str>,
    /// The canonical symbol.
    pub symbol: Symbol,
    /// Whether it is traded now.
    pub trading: bool,
}

/// Instruments kept; the largest venue lists 3,000.
const INSTRUMENTS_MAX: usize = 50_000;

/// The instruments of one market of a venue. Without metadata (a recording), names are derived by the venue's rule.
#[derive(Debug, Clone)]
pub struct Instruments {
    exchange: Exchange,
    market: Market,
    by_native: HashMap<Arc<str>, Symbol, ahash::RandomState>,
    by_symbol: HashMap<Symbol, Arc<str>, ahash::RandomState>,
}

impl Instruments {
    /// Without metadata.
    pub fn derived(exchange: Exchange, market: Market) -> Self {
        Self { exchange, market, by_native: HashMap::default(), by_symbol: HashMap::default() }
    }

    /// From metadata. What is beyond the bound is derived.
    pub fn new(exchange: Exchange, market: Market, instruments: impl IntoIterator<Item = Instrument>) -> Self {
        let mut table = Self::derived(exchange, market);
        for instrument in instruments.into_iter().take(INSTRUMENTS_MAX) {
            table.by_symbol.insert(instrument.symbol.clone(), instrument.native.clone());
            table.by_native.insert(instrument.native, instrument.symbol);
        }
        table
    }

    /// Reads the body that the endpoint's `instruments` path answers with.
    pub fn parse(exchange: Exchange, market: Market, body: &str, at_ms: u64) -> Result<Self, crate::json::ParseError> {
        let instruments = match exchange {
            Exchange::Binance => super::binance::instruments::parse(body, at_ms)?,
            Exchange::Coinbase => super::coinbase::instruments::parse(body, at_ms)?,
            Exchange::Kraken => super::kraken::instruments::parse(body, at_ms)?,
            Exchange::Bybit => super::bybit::instruments::parse(body, at_ms)?,
            Exchange::Okx => super::okx::instruments::parse(body, at_ms)?,
        };
        let wanted = instruments.into_iter().filter(|instrument| {
            let perpetual = matches!(instrument.symbol.parts(), Some((_, _, Some(_))));
            perpetual == (market == Market::Linear)
        });
        Ok(Self::new(exchange, market, wanted))
    }

    /// Every instrument of the metadata.
    pub fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.by_symbol.keys()
    }

    /// The canonical symbol of a native name at a time.
    pub fn symbol(&self, native: &str, at_ms: u64) -> Symbol {
        if let Some(symbol) = self.by_native.get(native) {
            return symbol.clone();
        }
        match self.exchange {
            Exchange::Binance => super::binance::instruments::derive(native, self.market, at_ms),
            Exchange::Coinbase => super::coinbase::instruments::derive(native, at_ms),
            Exchange::Kraken => super::kraken::instruments::derive(native, at_ms),
            Exchange::Bybit => super::bybit::instruments::derive(native, self.market, at_ms),
            Exchange::Okx => super::okx::instruments::derive(native, at_ms),
        }
    }

    /// The native name of a canonical symbol.
    pub fn native(&self, symbol: &Symbol) -> Arc<str> {
        if let Some(native) = self.by_symbol.get(symbol) {
            return native.clone();
        }
        let Some((base, quote, settle)) = symbol.parts() else { return symbol.as_str().into() };
        match self.exchange {
            Exchange::Binance | Exchange::Bybit => format!("{base}{quote}"),
            Exchange::Kraken => format!("{base}/{quote}"),
            Exchange::Okx if settle.is_some() => format!("{base}-{quote}-SWAP"),
            Exchange::Okx | Exchange::Coinbase => format!("{base}-{quote}"),
        }
        .into()
    }
}

/// Quote currencies that a name without a separator may end with, longest first where one ends another.
const QUOTES: &[&str] = &[
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDE", "USD1", "USDP", "BIDR", "IDRT", "USD", "EUR", "GBP", "TRY", "BRL",
    "JPY", "AUD", "ARS", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON", "MXN", "CZK", "COP", "PAX", "DAI", "BTC", "ETH",
    "BNB", "XRP", "TRX", "DOGE", "SOL",
];

/// Splits `BTCUSDT` at its quote currency.
pub(crate) fn split_quote(native: &str) -> Option<(&str, &str)> {
    QUOTES.iter().find_map(|quote| {
        let base = native.strip_suffix(quote)?;
        (!base.is_empty()).then_some((base, *quote))
    })
}
