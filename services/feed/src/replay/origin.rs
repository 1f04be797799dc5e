//! Whose recording it is.

use std::path::Path;

use crate::{
    Error,
    model::{Exchange, Market},
    recording::Recording,
};

/// Records looked at to find a recording's venue and market.
const RECORDS_MAX: usize = 200;

/// A venue and a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Whose.
    pub exchange: Exchange,
    /// Which market.
    pub market: Market,
}

/// Hosts of a venue.
const HOSTS: &[(&str, Exchange)] = &[
    ("binance.", Exchange::Binance),
    ("coinbase.", Exchange::Coinbase),
    ("kraken.", Exchange::Kraken),
    ("bybit", Exchange::Bybit),
    ("okx.", Exchange::Okx),
    ("okcoin.", Exchange::Okx),
];

/// What only addresses (or connection names) of linear perpetuals hold.
const LINEAR: &[&str] = &["fstream.", "fapi.", "/linear", "usdm"];

impl Origin {
    /// From the addresses in the recording, its connections' names and its path; `exchange` overrides.
    pub fn of(recording: &mut Recording, path: &Path, exchange: Option<Exchange>) -> Result<Self, Error> {
        let mut found = exchange;
        let mut market = Market::Spot;
        recording.look_ahead(RECORDS_MAX, |record| {
            let url = record.url.as_deref().unwrap_or_default();
            let lower = record.conn.to_lowercase();
            let named = HOSTS.iter().find(|(host, _)| url.contains(host) || lower.starts_with(host));
            found = found.or(named.map(|(_, exchange)| *exchange));
            if LINEAR.iter().any(|sign| url.contains(sign) || lower.contains(sign)) {
                market = Market::Linear;
            }
        })?;
        let in_path = || path.iter().rev().find_map(|part| part.to_str()?.parse().ok());
        let exchange = found.or_else(in_path).ok_or_else(|| Error::UnnamedExchange(path.to_owned()))?;
        Ok(Self { exchange, market })
    }
}

/// The symbol that an address asks for.
pub(super) fn symbol_in_query(url: &str) -> Option<&str> {
    let (_, query) = url.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("symbol="))
}
