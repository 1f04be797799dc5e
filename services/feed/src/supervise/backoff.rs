//! When to try again.

use std::time::Duration;

use crate::venue::{Backoff, FaultClass};

/// The delay before attempt `attempt` (0 is the first repetition) after a fault of `class`, for a `roll` in `0.0..1.0`.
pub(crate) fn delay(backoff: &Backoff, attempt: u32, class: FaultClass, roll: f64) -> Duration {
    let roll = roll.clamp(0.0, 1.0);
    if class.remedy().long_wait {
        // Up to half as long again, so that those who were banned together do not come back together.
        return Duration::from_millis(backoff.limited_ms).mul_f64(1.0 + roll / 2.0);
    }
    let mut bound_ms = Duration::from_millis(backoff.initial_ms.max(1));
    let max = Duration::from_millis(backoff.max_ms.max(1));
    for _ in 0..attempt.min(64) {
        bound_ms = bound_ms.mul_f64(backoff.multiplier.clamp(1.0, 10.0)).min(max);
    }
    let bound = bound_ms.min(max);
    // Full jitter may draw zero; a venue that refuses is not asked again at once.
    bound.mul_f64(1.0 - backoff.jitter.clamp(0.0, 1.0) * (1.0 - roll)).max(bound / 10)
}

/// Attempts since something worked.
#[derive(Debug, Default)]
pub(crate) struct Retry {
    attempt: u32,
}

impl Retry {
    /// Something failed: how long to wait.
    pub(crate) fn failed(&mut self, backoff: &Backoff, class: FaultClass, roll: f64) -> Duration {
        let delay = delay(backoff, self.attempt, class, roll);
        self.attempt = self.attempt.saturating_add(1);
        delay
    }

    /// A connection brought data for long enough to count as working.
    pub(crate) fn worked(&mut self) {
        self.attempt = 0;
    }

    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { initial_ms: 250, multiplier: 2.0, max_ms: 30_000, jitter: 1.0, limited_ms: 60_000 };

    #[test]
    fn delays_grow_to_the_bound_and_stay_there() {
        let mut retry = Retry::default();
        let delays: Vec<u128> = (0..9).map(|_| retry.failed(&BACKOFF, FaultClass::Network, 1.0).as_millis()).collect();
        assert_eq!(delays, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        retry.worked();
        assert_eq!(retry.failed(&BACKOFF, FaultClass::Network, 1.0).as_millis(), 250);
    }

    #[test]
    fn jitter_spreads_and_never_hits_zero() {
        assert_eq!(delay(&BACKOFF, 2, FaultClass::Network, 0.0), Duration::from_millis(100));
        assert_eq!(delay(&BACKOFF, 2, FaultClass::Network, 0.5), Duration::from_millis(500));
        let half = Backoff { jitter: 0.5, ..BACKOFF };
        assert_eq!(delay(&half, 2, FaultClass::Network, 0.0), Duration::from_millis(500));
    }

    #[test]
    fn a_ban_is_waited_out() {
        assert!(delay(&BACKOFF, 0, FaultClass::RateLimit, 0.0) >= Duration::from_secs(60));
    }
}
