//! How much of the session's time is over. The session service ends it at its time; one that still runs [`GRACE_MS`] later is stopped
//! as an emergency.

use rust_decimal::{Decimal, RoundingStrategy};

use super::{Facts, Kind, Reading, percent};
use crate::level::Rungs;

/// How long the session service may take to end a session whose time is over.
const GRACE_MS: u64 = 10_000;

pub(super) fn reading(facts: &Facts<'_>) -> Option<Reading> {
    let limit_ms = facts.session.limits.time_limit_ms?;
    facts.session.expires_at()?;
    let elapsed_ms = facts.session.elapsed_ms(facts.now_ms);
    let share = |ms: u64| Decimal::from(ms).checked_div(Decimal::from(limit_ms)).unwrap_or(Decimal::MAX);
    let value = share(elapsed_ms).round_dp_with_strategy(4, RoundingStrategy::ToZero);
    let (elapsed, limit) = (seconds(elapsed_ms), seconds(limit_ms));
    let rungs = facts.thresholds.time_limit.rungs_of_a_limit();
    Some(Reading {
        kind: Kind::TimeLimit,
        subject: String::new(),
        value,
        rungs: Rungs { emergency: Some(share(limit_ms.saturating_add(GRACE_MS))), ..rungs },
        text: format!("{elapsed} s of {limit} s are over ({})", percent(value)),
        current: elapsed,
        limit,
    })
}

fn seconds(ms: u64) -> String {
    Decimal::from(ms / 100).checked_div(Decimal::TEN).unwrap_or_default().normalize().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::testing::session;
    use crate::{
        level::{Ladder, Level},
        market::Market,
        rules::Facts,
        thresholds::Thresholds,
    };

    #[test]
    fn a_session_that_nobody_ended_in_time_is_an_emergency_after_the_grace() {
        let (session, market, thresholds) = (session("s"), Market::default(), Thresholds::default());
        for (now_ms, level) in [
            (79_990, None),
            (80_000, Some(Level::Warning)),
            (95_000, Some(Level::Critical)),
            (109_900, Some(Level::Critical)),
            (110_000, Some(Level::Emergency)),
        ] {
            let facts = Facts { session: &session, figures: None, market: &market, thresholds: &thresholds, now_ms };
            let reading = super::reading(&facts).unwrap();
            assert_eq!(Ladder::default().step(reading.value, &reading.rungs, thresholds.release), level, "{now_ms}");
        }
    }
}
