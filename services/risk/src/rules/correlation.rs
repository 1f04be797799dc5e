//! Whether the open positions are one bet: the highest correlation of two of them, counted by their sides, so that it is positive where
//! both would lose together.

use rust_decimal::Decimal;

use super::{Facts, Kind, Reading, statistic};

pub(super) fn reading(facts: &Facts<'_>) -> Option<Reading> {
    let positions = &facts.figures?.positions;
    let levels = facts.thresholds.correlation;
    let mut highest: Option<(f64, &str, &str)> = None;
    for (at, one) in positions.iter().enumerate() {
        for two in positions.iter().skip(at + 1) {
            let Some(correlation) = facts.market.correlation(&one.symbol, &two.symbol) else { continue };
            let is_same_side = (one.quantity >= Decimal::ZERO) == (two.quantity >= Decimal::ZERO);
            let together = if is_same_side { correlation } else { -correlation };
            if highest.is_none_or(|(value, ..)| together > value) {
                highest = Some((together, one.symbol.as_str(), two.symbol.as_str()));
            }
        }
    }
    // Without two positions nothing is correlated, and an earlier alert is over.
    let (value, text) = match highest {
        Some((value, one, two)) => (statistic(value, 4)?, format!("the positions in {one} and {two} move together")),
        None => (Decimal::ZERO, "no two positions move together".to_owned()),
    };
    Some(Reading {
        kind: Kind::Correlation,
        subject: String::new(),
        value,
        rungs: levels.rungs(),
        current: value.to_string(),
        limit: levels.warning.to_string(),
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{figures, instrument, session};
    use crate::{
        market::{Market, SAMPLE_MS},
        rules::Facts,
        thresholds::Thresholds,
    };
    use rust_decimal::Decimal;

    #[test]
    fn opposite_sides_of_what_moves_together_are_no_concentration() {
        let (session, thresholds, mut market) = (session("s"), Thresholds::default(), Market::default());
        for base in ["BTC", "ETH"] {
            market.expect(&instrument(base), 0);
        }
        for n in 0..40_u64 {
            for base in ["BTC", "ETH"] {
                market.price(&instrument(base), Decimal::from(1_000 + n * 7 % 13), n * SAMPLE_MS);
            }
            market.sample();
        }
        let mut figures = figures("s", Decimal::ZERO, Decimal::ONE);
        let read = |figures: &tickwire_trading::Figures| {
            let facts = Facts {
                session: &session,
                figures: Some(figures),
                market: &market,
                thresholds: &thresholds,
                now_ms: 0,
            };
            super::reading(&facts).unwrap().value
        };
        assert!(read(&figures) > Decimal::new(99, 2));
        figures.positions[1].quantity = -Decimal::ONE;
        assert!(read(&figures) < -Decimal::new(99, 2));
        figures.positions.pop();
        assert_eq!(read(&figures), Decimal::ZERO);
    }
}
