//! How bad a value is, and the steps it climbs. A step is taken at once and left only with a margin: a value at the line does not flap.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How bad it is, as `alertLevel` on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Someone should look.
    Warning,
    /// Someone must look.
    Critical,
    /// The session is stopped.
    Emergency,
}

/// At which values the levels begin. `emergency` is there only where reaching it stops the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rungs {
    /// From here on a warning.
    pub warning: Decimal,
    /// From here on critical.
    pub critical: Decimal,
    /// From here on an emergency.
    pub emergency: Option<Decimal>,
}

impl Rungs {
    /// The highest level whose rung is at or below `value`.
    fn reached(&self, value: Decimal) -> Option<Level> {
        match value {
            _ if self.emergency.is_some_and(|rung| value >= rung) => Some(Level::Emergency),
            _ if value >= self.critical => Some(Level::Critical),
            _ if value >= self.warning => Some(Level::Warning),
            _ => None,
        }
    }

    /// Where `level` begins.
    pub fn of(&self, level: Level) -> Decimal {
        match level {
            Level::Warning => self.warning,
            Level::Critical => self.critical,
            Level::Emergency => self.emergency.unwrap_or(Decimal::MAX),
        }
    }
}

/// Where one value stands. An emergency is never left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ladder {
    level: Option<Level>,
}

impl Ladder {
    /// A ladder that was left at `level` by an earlier holder.
    pub const fn at(level: Option<Level>) -> Self {
        Self { level }
    }

    /// The level now.
    pub const fn level(self) -> Option<Level> {
        self.level
    }

    /// Takes a value. Answers the new level if it is higher than before; lower levels are taken silently, once the value is below
    /// the left level's rung by the share `release`.
    pub fn step(&mut self, value: Decimal, rungs: &Rungs, release: Decimal) -> Option<Level> {
        let reached = rungs.reached(value);
        if reached > self.level {
            self.level = reached;
            return reached;
        }
        if self.level == Some(Level::Emergency) {
            return None;
        }
        // Step by step: each rung keeps its own margin.
        while let Some(level) = self.level.filter(|&level| Some(level) > reached) {
            let rung = rungs.of(level);
            let margin = rung.checked_mul(release).unwrap_or_default();
            if value >= rung - margin {
                break;
            }
            self.level = (level == Level::Critical).then_some(Level::Warning);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RUNGS: Rungs = Rungs {
        warning: Decimal::from_parts(80, 0, 0, false, 2),
        critical: Decimal::from_parts(95, 0, 0, false, 2),
        emergency: Some(Decimal::ONE),
    };

    fn release() -> Decimal {
        Decimal::new(5, 2)
    }

    fn climb(values: impl IntoIterator<Item = Decimal>) -> (Vec<Level>, Ladder) {
        let mut ladder = Ladder::default();
        let levels = values.into_iter().filter_map(|value| ladder.step(value, &RUNGS, release())).collect();
        (levels, ladder)
    }

    #[test]
    fn each_level_begins_exactly_at_its_rung() {
        for (value, level) in [
            ("0.7999", None),
            ("0.80", Some(Level::Warning)),
            ("0.9499", Some(Level::Warning)),
            ("0.95", Some(Level::Critical)),
            ("0.9999", Some(Level::Critical)),
            ("1", Some(Level::Emergency)),
        ] {
            assert_eq!(climb([value.parse().unwrap()]).1.level(), level, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_value_that_only_grows_gives_each_level_once_and_in_order(mut values in prop::collection::vec(0_i64..15_000, 1..200)) {
            values.sort_unstable();
            let (levels, ladder) = climb(values.iter().map(|&value| Decimal::new(value, 4)));
            prop_assert!(levels.is_sorted_by(|a, b| a < b), "{levels:?}");
            prop_assert_eq!(ladder.level(), levels.last().copied());
            prop_assert_eq!(levels.last() == Some(&Level::Emergency), values.last().is_some_and(|&last| last >= 10_000));
        }

        #[test]
        fn a_value_that_stays_within_the_margin_of_a_rung_never_alerts_twice(
            rung in prop_oneof![Just(8_000_i64), Just(9_500)],
            steps in prop::collection::vec(-390_i64..390, 1..200),
        ) {
            let values = steps.iter().map(|step| Decimal::new(rung + step, 4));
            let (levels, _) = climb(std::iter::once(Decimal::new(rung, 4)).chain(values));
            prop_assert_eq!(levels.len(), 1, "{:?}", levels);
        }

        #[test]
        fn the_level_is_never_below_what_the_value_has_reached(values in prop::collection::vec(0_i64..15_000, 1..200)) {
            let mut ladder = Ladder::default();
            let mut was_emergency = false;
            for value in values {
                let value = Decimal::new(value, 4);
                ladder.step(value, &RUNGS, release());
                prop_assert!(ladder.level() >= RUNGS.reached(value));
                was_emergency |= value >= Decimal::ONE;
                prop_assert_eq!(ladder.level() == Some(Level::Emergency), was_emergency);
            }
        }

        #[test]
        fn far_below_the_lowest_rung_nothing_is_left_but_an_emergency(values in prop::collection::vec(0_i64..9_999, 0..50)) {
            let (_, mut ladder) = climb(values.iter().map(|&value| Decimal::new(value, 4)));
            ladder.step(Decimal::new(75, 2), &RUNGS, release());
            prop_assert_eq!(ladder.level(), None);
        }
    }
}
