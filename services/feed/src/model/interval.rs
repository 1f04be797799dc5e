//! Candle intervals, and what each venue calls them.

use std::fmt;

use crate::model::Exchange;

/// The length of a candle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Interval {
    /// One second.
    S1,
    /// One minute.
    M1,
    /// Three minutes.
    M3,
    /// Five minutes.
    M5,
    /// Fifteen minutes.
    M15,
    /// Thirty minutes.
    M30,
    /// One hour.
    H1,
    /// Two hours.
    H2,
    /// Four hours.
    H4,
    /// Six hours.
    H6,
    /// Twelve hours.
    H12,
    /// One day, opening at 00:00 UTC.
    D1,
    /// One week.
    W1,
    /// Fifteen days (Kraken's 21600 minutes).
    D15,
    /// One calendar month.
    Month,
}

/// One row an interval: canonical, Binance, Bybit, OKX, Kraken (minutes); an empty name: the venue has no such interval.
/// OKX's `1D` opens at 16:00 UTC, so days are its `1Dutc`.
const NAMES: &[(Interval, &str, &str, &str, &str, &str)] = &[
    (Interval::S1, "1s", "1s", "", "candle1s", ""),
    (Interval::M1, "1m", "1m", "1", "candle1m", "1"),
    (Interval::M3, "3m", "3m", "3", "candle3m", ""),
    (Interval::M5, "5m", "5m", "5", "candle5m", "5"),
    (Interval::M15, "15m", "15m", "15", "candle15m", "15"),
    (Interval::M30, "30m", "30m", "30", "candle30m", "30"),
    (Interval::H1, "1h", "1h", "60", "candle1H", "60"),
    (Interval::H2, "2h", "2h", "120", "candle2H", ""),
    (Interval::H4, "4h", "4h", "240", "candle4H", "240"),
    (Interval::H6, "6h", "6h", "360", "candle6Hutc", ""),
    (Interval::H12, "12h", "12h", "720", "candle12Hutc", ""),
    (Interval::D1, "1d", "1d", "D", "candle1Dutc", "1440"),
    (Interval::W1, "1w", "1w", "W", "candle1Wutc", "10080"),
    (Interval::D15, "15d", "", "", "", "21600"),
    (Interval::Month, "1M", "1M", "M", "candle1Mutc", ""),
];

impl Interval {
    /// The canonical name: `1m`, `1h`, `1d`, `1M`.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// By canonical name.
    pub fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// What the venue calls it; None if it has none. Coinbase has five minutes only.
    pub fn native(self, exchange: Exchange) -> Option<&'static str> {
        let row = NAMES.iter().find(|row| row.0 == self)?;
        let name = match exchange {
            Exchange::Binance => row.2,
            Exchange::Bybit => row.3,
            Exchange::Okx => row.4,
            Exchange::Kraken => row.5,
            Exchange::Coinbase => return (self == Self::M5).then_some("5m"),
        };
        (!name.is_empty()).then_some(name)
    }

    /// By the venue's name.
    pub fn from_native(exchange: Exchange, name: &str) -> Option<Self> {
        NAMES.iter().map(|row| row.0).find(|interval| interval.native(exchange) == Some(name))
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{Exchange, Interval, NAMES};

    #[test]
    fn every_name_leads_back() {
        for row in NAMES {
            assert_eq!(Interval::parse(row.0.name()), Some(row.0));
            for exchange in Exchange::ALL {
                if let Some(name) = row.0.native(exchange) {
                    assert_eq!(Interval::from_native(exchange, name), Some(row.0), "{exchange} {name}");
                }
            }
        }
    }

    #[test]
    fn minutes_and_months_differ() {
        assert_eq!(Interval::from_native(Exchange::Binance, "1M"), Some(Interval::Month));
        assert_eq!(Interval::from_native(Exchange::Binance, "1m"), Some(Interval::M1));
    }
}
