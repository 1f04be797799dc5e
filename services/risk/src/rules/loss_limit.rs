//! How much of the session's loss limit is lost. Fees count; at 1 the session is stopped.

use rust_decimal::Decimal;

use super::{Facts, Kind, Reading, percent};

pub(super) fn reading(facts: &Facts<'_>) -> Option<Reading> {
    let figures = facts.figures?;
    let limit = facts.session.limits.loss_limit;
    let value = figures.loss_utilization(limit);
    // A negated zero would be told as -0.
    let lost = if figures.pnl() < Decimal::ZERO { -figures.pnl() } else { Decimal::ZERO };
    Some(Reading {
        kind: Kind::LossLimit,
        subject: String::new(),
        value,
        rungs: facts.thresholds.loss_limit.rungs_of_a_limit(),
        current: lost.to_string(),
        limit: limit.to_string(),
        text: format!("{lost} of the loss limit of {limit} is lost ({})", percent(value)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{figures, session};
    use crate::{market::Market, rules::Facts, thresholds::Thresholds};

    #[test]
    fn only_a_loss_that_reaches_the_limit_is_all_of_it() {
        let (session, market, thresholds) = (session("s"), Market::default(), Thresholds::default());
        for (lost, value) in [("-500", "0"), ("0", "0"), ("999.999", "0.9999"), ("1000", "1"), ("2000.00", "2")] {
            let figures = figures("s", lost.parse().unwrap(), rust_decimal::Decimal::ZERO);
            let facts = Facts {
                session: &session,
                figures: Some(&figures),
                market: &market,
                thresholds: &thresholds,
                now_ms: 0,
            };
            let reading = super::reading(&facts).unwrap();
            assert_eq!(reading.value, value.parse().unwrap(), "{lost}");
            assert!(!reading.text.starts_with('-'), "{}", reading.text);
            assert_eq!(super::reading(&Facts { figures: None, ..facts }), None);
        }
    }
}
