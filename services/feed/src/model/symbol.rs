//! Canonical symbols and asset names.

use std::{fmt, sync::Arc};

use crate::model::Exchange;

/// `BASE/QUOTE`, or `BASE/QUOTE:SETTLE` for a perpetual. What cannot be split (a dated future) keeps the venue's own name.
/// Cloning is a count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(Arc<str>);

impl Symbol {
    /// A symbol as given.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// `BASE/QUOTE`.
    pub fn spot(base: &str, quote: &str) -> Self {
        Self(format!("{base}/{quote}").into())
    }

    /// `BASE/QUOTE:SETTLE`.
    pub fn perpetual(base: &str, quote: &str, settle: &str) -> Self {
        Self(format!("{base}/{quote}:{settle}").into())
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Base, quote and, for a perpetual, the settlement currency. None for a symbol in the venue's own name.
    pub fn parts(&self) -> Option<(&str, &str, Option<&str>)> {
        let (base, rest) = self.0.split_once('/')?;
        match rest.split_once(':') {
            Some((quote, settle)) => Some((base, quote, Some(settle))),
            None => Some((base, rest, None)),
        }
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A venue's name of an asset that is not the canonical one, and from when until when (milliseconds since the epoch) it holds.
struct Alias {
    exchange: Option<Exchange>,
    native: &'static str,
    canonical: &'static str,
    from_ms: u64,
    until_ms: u64,
}

const ALWAYS: u64 = u64::MAX;

/// Renames keep the old code in recordings from before: a table with dates, never a replacement in the text.
/// Kraken's `X`- and `Z`-prefixed names are those of its REST metadata; its version 1 socket says XBT and XDG.
const ALIASES: &[Alias] = &[
    kraken("XBT", "BTC"),
    kraken("XXBT", "BTC"),
    kraken("XDG", "DOGE"),
    kraken("XXDG", "DOGE"),
    kraken("XETH", "ETH"),
    kraken("XLTC", "LTC"),
    kraken("XXRP", "XRP"),
    kraken("XXMR", "XMR"),
    kraken("XXLM", "XLM"),
    kraken("XZEC", "ZEC"),
    kraken("XETC", "ETC"),
    kraken("ZUSD", "USD"),
    kraken("ZEUR", "EUR"),
    kraken("ZGBP", "GBP"),
    kraken("ZCAD", "CAD"),
    kraken("ZJPY", "JPY"),
    kraken("ZAUD", "AUD"),
    // POL replaced MATIC on 2024-09-04, S replaced FTM on 2025-01-16, A replaced EOS on 2025-05-14.
    renamed("MATIC", "POL", 1_725_408_000_000),
    renamed("FTM", "S", 1_736_985_600_000),
    renamed("EOS", "A", 1_747_180_800_000),
];

const fn kraken(native: &'static str, canonical: &'static str) -> Alias {
    Alias { exchange: Some(Exchange::Kraken), native, canonical, from_ms: 0, until_ms: ALWAYS }
}

const fn renamed(native: &'static str, canonical: &'static str, from_ms: u64) -> Alias {
    Alias { exchange: None, native, canonical, from_ms, until_ms: ALWAYS }
}

/// The canonical name of a venue's asset at a time.
pub fn canonical_asset(exchange: Exchange, native: &str, at_ms: u64) -> &str {
    ALIASES
        .iter()
        .find(|alias| {
            alias.native == native
                && alias.exchange.is_none_or(|only| only == exchange)
                && (alias.from_ms..alias.until_ms).contains(&at_ms)
        })
        .map_or(native, |alias| alias.canonical)
}

#[cfg(test)]
mod tests {
    use super::{Exchange, Symbol, canonical_asset};

    #[test]
    fn a_rename_holds_from_its_date() {
        assert_eq!(canonical_asset(Exchange::Binance, "MATIC", 1_600_000_000_000), "MATIC");
        assert_eq!(canonical_asset(Exchange::Binance, "MATIC", 1_760_000_000_000), "POL");
    }

    #[test]
    fn an_alias_is_the_venues_own() {
        assert_eq!(canonical_asset(Exchange::Kraken, "XBT", 0), "BTC");
        assert_eq!(canonical_asset(Exchange::Binance, "XBT", 0), "XBT");
    }

    #[test]
    fn a_perpetual_has_three_parts() {
        assert_eq!(Symbol::new("BTC/USDT:USDT").parts(), Some(("BTC", "USDT", Some("USDT"))));
        assert_eq!(Symbol::new("BTC/USD").parts(), Some(("BTC", "USD", None)));
        assert_eq!(Symbol::new("BTC-USD-220527").parts(), None);
    }
}
