//! By how much each instrument of the session moves: the standard deviation of its returns over the last two minutes, scaled to one.

use super::{Facts, Kind, Reading, percent, statistic};

pub(super) fn readings(facts: &Facts<'_>) -> Vec<Reading> {
    let levels = facts.thresholds.volatility;
    let reading = |symbol: &tickwire_trading::Instrument| {
        let value = statistic(facts.market.volatility(symbol)?, 6)?;
        Some(Reading {
            kind: Kind::Volatility,
            subject: symbol.as_str().to_owned(),
            value,
            rungs: levels.rungs(),
            current: value.to_string(),
            limit: levels.warning.to_string(),
            text: format!("{symbol} moves by {} a minute", percent(value)),
        })
    };
    facts.session.symbols.iter().filter_map(reading).collect()
}
