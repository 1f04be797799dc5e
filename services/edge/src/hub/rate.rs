//! How often something may happen: messages of a subscription, or of a connection's `latest` channels together.

/// Lateness that is made up for: the shard looks at what is held once in so many milliseconds.
const BURST_MS: u32 = 25;

/// Counts on the shard's clock, which wraps after 49 days: after so long a silence one message may wait an interval too long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    interval_ms: u32,
    /// When the next one may go; `None` before the first.
    due_ms: Option<u32>,
}

impl Rate {
    pub(crate) fn new(interval_ms: u32) -> Self {
        Self { interval_ms: interval_ms.max(1), due_ms: None }
    }

    /// From messages a second: between a thousand and one an hour.
    pub(crate) fn per_second(rate: f64) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1..=3,600,000")]
        let interval_ms = (1_000.0 / rate).clamp(1.0, 3_600_000.0) as u32;
        Self::new(interval_ms)
    }

    /// Whether one may go at `clock_ms`.
    pub(crate) fn is_due(self, clock_ms: u32) -> bool {
        self.due_ms.is_none_or(|due_ms| {
            let wait_ms = due_ms.wrapping_sub(clock_ms);
            wait_ms == 0 || wait_ms > self.interval_ms
        })
    }

    /// One goes at `clock_ms`.
    pub(crate) fn spend(&mut self, clock_ms: u32) {
        let from_ms = self.due_ms.filter(|due_ms| clock_ms.wrapping_sub(*due_ms) <= BURST_MS).unwrap_or(clock_ms);
        self.due_ms = Some(from_ms.wrapping_add(self.interval_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(mut rate: Rate, from: u32, looks: u32, step: u32) -> u32 {
        let mut sent = 0;
        for look in 0..looks {
            let clock = from.wrapping_add(look * step);
            while rate.is_due(clock) {
                rate.spend(clock);
                sent += 1;
            }
        }
        sent
    }

    #[test]
    fn a_rate_is_kept_whatever_the_clock_says() {
        for from in [0, 5, u32::MAX / 2, u32::MAX - 500] {
            assert_eq!(count(Rate::per_second(10.0), from, 400, 25), 100, "from {from}");
            assert_eq!(count(Rate::per_second(200.0), from, 400, 25), 1_996, "from {from}: faster than the looks");
        }
    }

    #[test]
    fn a_long_silence_saves_nothing_up_and_blocks_nothing() {
        let mut rate = Rate::per_second(10.0);
        rate.spend(1_000);
        for clock in [60_000, 1_000 + u32::MAX / 2 + 7] {
            assert!(rate.is_due(clock));
            let mut after = rate;
            after.spend(clock);
            assert!(!after.is_due(clock) && !after.is_due(clock + 99) && after.is_due(clock + 100));
        }
    }

    #[test]
    fn rates_are_bounded() {
        assert_eq!(Rate::per_second(1e300).interval_ms, 1);
        assert_eq!(Rate::per_second(1e-300).interval_ms, 3_600_000);
    }
}
