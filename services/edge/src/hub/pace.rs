//! When a shard writes what it has gathered: at once after a rest, in batches while there is much to write.
//!
//! Writing to many connections takes long, and one write with several messages costs little more than one with a single
//! message. So a shard that has just spent a while writing rests as long before it writes again, and gathers meanwhile. A
//! lone message meets a rested shard and leaves at once; so does everything where writing is a matter of microseconds.

use std::time::{Duration, Instant};

/// What the runtime's timer may add to a rest.
const TIMER_RESOLUTION: Duration = Duration::from_millis(1);
/// Shorter rests would gather nothing, and the timer would make them longer.
const REST_MIN: Duration = Duration::from_micros(250);

/// See the module.
#[derive(Debug)]
pub(crate) struct Pace {
    rest_max: Duration,
    rested_at: Option<Instant>,
}

impl Pace {
    /// Messages wait `delay_max` at most.
    pub(crate) fn new(delay_max: Duration) -> Self {
        Self { rest_max: delay_max.saturating_sub(TIMER_RESOLUTION), rested_at: None }
    }

    /// A flush took from `begun` to `ended`.
    pub(crate) fn flushed(&mut self, begun: Instant, ended: Instant) {
        let rest = ended.saturating_duration_since(begun).min(self.rest_max);
        self.rested_at = (rest >= REST_MIN).then(|| ended + rest);
    }

    /// When to write what is there at `now`.
    pub(crate) fn due(&self, now: Instant) -> Instant {
        self.rested_at.map_or(now, |rested_at| rested_at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_lone_message_leaves_at_once() {
        let mut pace = Pace::new(2 * MS);
        let start = Instant::now();
        assert_eq!(pace.due(start), start, "the first");
        // However long the last flush took, its rest is over after the longest delay.
        pace.flushed(start, start + 50 * MS);
        let later = start + 52 * MS;
        assert_eq!(pace.due(later), later);
    }

    #[test]
    fn under_load_messages_gather_for_as_long_as_writing_took_within_the_bound() {
        let mut pace = Pace::new(5 * MS);
        let start = Instant::now();
        pace.flushed(start, start + MS);
        assert_eq!(pace.due(start + MS), start + 2 * MS);
        pace.flushed(start, start + 20 * MS);
        assert_eq!(pace.due(start + 20 * MS), start + 24 * MS, "5 ms with the timer's own millisecond");
    }

    #[test]
    fn a_shard_with_little_to_write_never_rests_nor_does_one_without_a_delay() {
        let start = Instant::now();
        let mut pace = Pace::new(2 * MS);
        pace.flushed(start, start + Duration::from_micros(100));
        assert_eq!(pace.due(start), start);
        let mut pace = Pace::new(Duration::ZERO);
        pace.flushed(start, start + 50 * MS);
        assert_eq!(pace.due(start), start);
    }
}
