//! The absolute value of all positions as a share of the session's exposure limit, or of its capital where it has none. Orders over it
//! are refused before they are made; prices can carry positions over it all the same.

use rust_decimal::{Decimal, RoundingStrategy};

use super::{Facts, Kind, Reading, percent};

pub(super) fn reading(facts: &Facts<'_>) -> Option<Reading> {
    let exposure = facts.figures?.exposure;
    let limit = facts.session.limits.exposure_limit.unwrap_or(facts.session.capital);
    let share = exposure.checked_div(limit).unwrap_or(Decimal::MAX);
    let value = share.round_dp_with_strategy(4, RoundingStrategy::ToZero);
    Some(Reading {
        kind: Kind::Exposure,
        subject: String::new(),
        value,
        rungs: facts.thresholds.exposure.rungs(),
        current: exposure.to_string(),
        limit: limit.to_string(),
        text: format!("positions are worth {exposure}, {} of the limit of {limit}", percent(value)),
    })
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::super::testing::{figures, session};
    use crate::{market::Market, rules::Facts, thresholds::Thresholds};

    #[test]
    fn it_is_a_share_of_the_limit_or_of_the_capital() {
        let (mut session, market, thresholds) = (session("s"), Market::default(), Thresholds::default());
        let figures = figures("s", Decimal::ZERO, Decimal::from(60));
        for (limit, value) in [(None, "1.2"), (Some(8_000), "1.5"), (Some(0), "79228162514264337593543950335")] {
            session.limits.exposure_limit = limit.map(Decimal::from);
            let facts = Facts {
                session: &session,
                figures: Some(&figures),
                market: &market,
                thresholds: &thresholds,
                now_ms: 0,
            };
            assert_eq!(super::reading(&facts).unwrap().value, value.parse().unwrap(), "{limit:?}");
        }
    }
}
