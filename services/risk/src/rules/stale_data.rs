//! Whether the prices that the session trades on still come.

use rust_decimal::Decimal;

use super::{Facts, Kind, Reading};

pub(super) fn readings(facts: &Facts<'_>) -> Vec<Reading> {
    let levels = facts.thresholds.stale_seconds;
    let reading = |symbol: &tickwire_trading::Instrument| {
        let age_ms = facts.market.age_ms(symbol, facts.now_ms)?;
        let value = Decimal::from(age_ms / 100).checked_div(Decimal::TEN)?;
        Some(Reading {
            kind: Kind::StaleMarketData,
            subject: symbol.as_str().to_owned(),
            value,
            rungs: levels.rungs(),
            current: value.to_string(),
            limit: levels.warning.to_string(),
            text: format!("no price of {symbol} has come for {value} s"),
        })
    };
    facts.session.symbols.iter().filter_map(reading).collect()
}
