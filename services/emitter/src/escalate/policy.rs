//! What follows from a try to escalate.

use std::time::Duration;

use tickwire_backplane::DueAlert;

use super::EscalationConfig;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The receiver has it, this long after the deadline.
    Sent { lag: Duration },
    /// Try again after this time.
    Again(Duration),
    /// Tried often or long enough.
    GivenUp,
}

/// `chance` is 0 to 1: emitters that failed together do not come back together.
pub(super) fn verdict(config: &EscalationConfig, alert: &DueAlert, is_sent: bool, now_ms: u64, chance: f64) -> Verdict {
    let late = Duration::from_millis(now_ms.saturating_sub(alert.deadline_ms));
    if is_sent {
        return Verdict::Sent { lag: late };
    }
    if alert.attempt >= config.attempts_max || late >= Duration::from_secs(config.age_max_s) {
        return Verdict::GivenUp;
    }
    let doublings = alert.attempt.saturating_sub(1).min(32);
    let most_ms = config.backoff_first_ms.saturating_mul(1 << doublings).min(config.backoff_max_ms);
    Verdict::Again(Duration::from_millis(most_ms).mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0))
}

#[cfg(test)]
mod tests {
    use tickwire_backplane::AlertId;
    use tickwire_protocol::{Priority, RawJson, UserId};

    use super::*;

    const DEADLINE_MS: u64 = 1_763_683_200_000;

    fn after(attempt: u32, is_sent: bool, late_ms: u64, chance: f64) -> Verdict {
        let alert = DueAlert {
            id: AlertId::generate(&UserId::new("7").unwrap()),
            created_at_ms: DEADLINE_MS - 1_000,
            deadline_ms: DEADLINE_MS,
            priority: Priority::Critical,
            attempt,
            data: RawJson::null(),
        };
        let config = EscalationConfig {
            attempts_max: 5,
            age_max_s: 60,
            backoff_first_ms: 1_000,
            backoff_max_ms: 6_000,
            ..EscalationConfig::default()
        };
        verdict(&config, &alert, is_sent, DEADLINE_MS + late_ms, chance)
    }

    #[test]
    fn what_was_sent_is_done_however_late() {
        assert_eq!(after(9, true, 90_000, 0.5), Verdict::Sent { lag: Duration::from_secs(90) });
    }

    #[test]
    fn waits_double_up_to_their_bound_and_never_fall_below_half_of_it() {
        for (attempt, most_ms) in [(1, 1_000), (2, 2_000), (3, 4_000), (4, 6_000)] {
            assert_eq!(after(attempt, false, 0, 1.0), Verdict::Again(Duration::from_millis(most_ms)));
            assert_eq!(after(attempt, false, 0, 0.0), Verdict::Again(Duration::from_millis(most_ms / 2)));
        }
    }

    #[test]
    fn tries_end_by_number_and_by_age() {
        assert_eq!(after(5, false, 0, 0.5), Verdict::GivenUp);
        assert!(matches!(after(4, false, 59_999, 0.5), Verdict::Again(_)));
        assert_eq!(after(1, false, 60_000, 0.5), Verdict::GivenUp);
    }
}
