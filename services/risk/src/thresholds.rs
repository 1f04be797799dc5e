//! What a session's owner may set: where alerts begin.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where warnings and critical alerts of one rule begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Levels {
    /// From this value on a warning.
    #[schema(value_type = String, example = "0.80")]
    pub warning: Decimal,
    /// From this value on a critical alert; at least `warning`.
    #[schema(value_type = String, example = "0.95")]
    pub critical: Decimal,
}

/// A field, its levels, what its critical one must be, and that in words.
type Rule = (&'static str, Levels, fn(Decimal) -> bool, &'static str);

/// A session's thresholds. What a request leaves out has its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Thresholds {
    /// Shares of the session's loss limit; at 1 the session is stopped, whatever stands here.
    pub loss_limit: Levels,
    /// Shares of the session's time limit.
    pub time_limit: Levels,
    /// By how much of its price an instrument typically moves in a minute: the standard deviation of its returns.
    pub volatility: Levels,
    /// Correlation of two open positions' returns, −1 to 1, positive where both would lose together.
    pub correlation: Levels,
    /// Age of the newest price of an instrument, seconds.
    pub stale_seconds: Levels,
    /// Shares of the session's exposure limit (its capital, where it has none), which prices may carry positions over.
    pub exposure: Levels,
    /// A level is left when the value is below its threshold by this share.
    #[schema(value_type = String, example = "0.05")]
    pub release: Decimal,
    /// An alert of the same rule and subject that comes again within this time is counted, not sent, seconds.
    pub repeat_seconds: u32,
}

/// A threshold that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {reason}")]
pub struct InvalidThresholds {
    /// The field, as on the wire.
    pub field: &'static str,
    /// What it should be.
    pub reason: &'static str,
}

const fn levels(warning: u32, critical: u32, scale: u32) -> Levels {
    Levels {
        warning: Decimal::from_parts(warning, 0, 0, false, scale),
        critical: Decimal::from_parts(critical, 0, 0, false, scale),
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            loss_limit: levels(80, 95, 2),
            time_limit: levels(80, 95, 2),
            volatility: levels(10, 30, 3),
            correlation: levels(85, 95, 2),
            stale_seconds: levels(10, 30, 0),
            exposure: levels(105, 125, 2),
            release: Decimal::from_parts(5, 0, 0, false, 2),
            repeat_seconds: 60,
        }
    }
}

impl Thresholds {
    /// Checks every rule that involves values.
    pub fn check(&self) -> Result<(), InvalidThresholds> {
        let share: fn(Decimal) -> bool = |value| value < Decimal::ONE;
        let rules: [Rule; 6] = [
            ("lossLimit", self.loss_limit, share, "below 1: there the session is stopped"),
            ("timeLimit", self.time_limit, share, "below 1: there the session ends"),
            ("volatility", self.volatility, |value| value <= Decimal::TEN, "at most 10"),
            ("correlation", self.correlation, |value| value <= Decimal::ONE, "at most 1"),
            ("staleSeconds", self.stale_seconds, |value| value <= Decimal::from(86_400), "at most a day"),
            ("exposure", self.exposure, |value| value <= Decimal::from(1_000), "at most 1000"),
        ];
        for (field, levels, is_within, reason) in rules {
            let Levels { warning, critical } = levels;
            if warning <= Decimal::ZERO || critical < warning {
                return Err(InvalidThresholds { field, reason: "above 0, and `critical` not below `warning`" });
            }
            if !is_within(critical) {
                return Err(InvalidThresholds { field, reason });
            }
        }
        if self.release < Decimal::ZERO || self.release > Decimal::new(5, 1) {
            return Err(InvalidThresholds { field: "release", reason: "0 to 0.5" });
        }
        if self.repeat_seconds > 86_400 {
            return Err(InvalidThresholds { field: "repeatSeconds", reason: "at most a day" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_their_own_rules_and_what_is_left_out_has_them() {
        assert_eq!(Thresholds::default().check(), Ok(()));
        let given: Thresholds = serde_json::from_str(r#"{"lossLimit":{"warning":"0.5","critical":"0.6"}}"#).unwrap();
        assert_eq!(given.loss_limit, levels(5, 6, 1));
        assert_eq!(given.exposure, Thresholds::default().exposure);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_field() {
        for (json, field) in [
            (r#"{"lossLimit":{"warning":"0.9","critical":"0.8"}}"#, "lossLimit"),
            (r#"{"lossLimit":{"warning":"0.9","critical":"1"}}"#, "lossLimit"),
            (r#"{"timeLimit":{"warning":"0","critical":"0.8"}}"#, "timeLimit"),
            (r#"{"correlation":{"warning":"0.9","critical":"1.1"}}"#, "correlation"),
            (r#"{"release":"0.6"}"#, "release"),
            (r#"{"release":"-0.1"}"#, "release"),
            (r#"{"repeatSeconds":86401}"#, "repeatSeconds"),
        ] {
            let thresholds: Thresholds = serde_json::from_str(json).unwrap();
            assert_eq!(thresholds.check().map_err(|error| error.field), Err(field), "{json}");
        }
        for json in
            [r#"{"x":1}"#, r#"{"lossLimit":{"warning":"0.5"}}"#, r#"{"lossLimit":{"warning":0.5,"critical":"0.6"}}"#]
        {
            assert!(serde_json::from_str::<Thresholds>(json).is_err(), "{json}");
        }
    }
}
