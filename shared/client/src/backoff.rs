//! How long to wait before trying again.

use std::time::Duration;

/// Full-jitter exponential backoff. The first delay is uniform in `0..first_max`, so that the clients of a node that fell
/// over spread at once; later ones are uniform in `min..min(max, base · 2^n)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first delay.
    pub first_max: Duration,
    /// Lower bound of later delays.
    pub min: Duration,
    /// Doubles with every attempt.
    pub base: Duration,
    /// No delay is longer.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first_max: Duration::from_secs(2),
            min: Duration::from_millis(250),
            base: Duration::from_secs(1),
            max: Duration::from_secs(10),
        }
    }
}

impl Backoff {
    /// The delay before attempt `attempt` (0 is the first), for a `roll` in `0.0..1.0`.
    pub fn delay(&self, attempt: u32, roll: f64) -> Duration {
        let roll = roll.clamp(0.0, 1.0);
        if attempt == 0 {
            return self.first_max.min(self.max).mul_f64(roll);
        }
        let doubled = self.base.saturating_mul(1_u32.checked_shl(attempt.min(31)).unwrap_or(u32::MAX));
        let top = doubled.min(self.max);
        let bottom = self.min.min(top);
        bottom + top.saturating_sub(bottom).mul_f64(roll)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_delay_spreads_over_two_seconds() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(0, 0.0), Duration::ZERO);
        assert_eq!(backoff.delay(0, 1.0), Duration::from_secs(2));
    }

    #[test]
    fn later_delays_double_up_to_the_maximum_and_never_fall_below_the_minimum() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(1, 0.0), Duration::from_millis(250));
        assert_eq!(backoff.delay(1, 1.0), Duration::from_secs(2));
        assert_eq!(backoff.delay(2, 1.0), Duration::from_secs(4));
        for attempt in 4..200 {
            assert_eq!(backoff.delay(attempt, 1.0), Duration::from_secs(10));
        }
    }
}
