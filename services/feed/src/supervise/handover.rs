//! Make before break: when to open the replacement of a connection, and when to change over. No I/O.

use std::time::Duration;

/// How long before a connection's greatest age its replacement is opened.
const AHEAD: Duration = Duration::from_secs(600);
/// How long a replacement may take to have every book live; the change is made then in any case.
const PATIENCE: Duration = Duration::from_secs(20);

/// What to do about the replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing now.
    Stay,
    /// Connect it.
    Open,
    /// It takes over; the old one is closed.
    Change,
}

/// Where a connection and its replacement stand, on the lane's clock.
#[derive(Debug)]
pub(crate) struct Handover {
    /// When to begin without being told to.
    due_ms: Option<u64>,
    announced: bool,
    /// The replacement is being connected or is.
    spare_since_ms: Option<u64>,
    /// It may not be tried again before.
    retry_at_ms: u64,
}

impl Handover {
    /// Of a connection opened at `now_ms` that lives `lifetime_ms` at most. `roll` in `0.0..1.0` spreads those opened together.
    pub(crate) fn new(now_ms: u64, lifetime_ms: Option<u64>, roll: f64) -> Self {
        let early = |lifetime_ms: u64| {
            let ahead = AHEAD.min(Duration::from_millis(lifetime_ms / 4)).mul_f64(1.0 + roll.clamp(0.0, 1.0));
            now_ms + lifetime_ms.saturating_sub(millis(ahead))
        };
        Self { due_ms: lifetime_ms.map(early), announced: false, spare_since_ms: None, retry_at_ms: 0 }
    }

    /// The venue said that it will close the connection.
    pub(crate) fn announce(&mut self) {
        self.announced = true;
    }

    /// Whether the connection is to be replaced.
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        self.announced || self.due_ms.is_some_and(|due_ms| due_ms <= now_ms)
    }

    /// The replacement failed.
    pub(crate) fn spare_lost(&mut self, now_ms: u64, wait: Duration) {
        (self.spare_since_ms, self.retry_at_ms) = (None, now_ms + millis(wait));
    }

    /// The next step; `is_ready`: the replacement is connected and its books are live.
    pub(crate) fn step(&mut self, now_ms: u64, is_ready: bool) -> Step {
        match self.spare_since_ms {
            Some(since_ms) if is_ready || now_ms >= since_ms + millis(PATIENCE) => Step::Change,
            None if self.is_due(now_ms) && now_ms >= self.retry_at_ms => {
                self.spare_since_ms = Some(now_ms);
                Step::Open
            }
            _ => Step::Stay,
        }
    }

    /// When to ask for the next step, if nothing happens before.
    pub(crate) fn wake_at_ms(&self) -> Option<u64> {
        match self.spare_since_ms {
            Some(since_ms) => Some(since_ms + millis(PATIENCE)),
            None if self.announced => Some(self.retry_at_ms),
            None => self.due_ms.map(|due_ms| due_ms.max(self.retry_at_ms)),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn a_replacement_is_opened_before_the_venues_limit() {
        let mut handover = Handover::new(0, Some(DAY_MS), 0.0);
        assert_eq!(handover.step(DAY_MS - 700_000, false), Step::Stay);
        assert_eq!(handover.step(DAY_MS - 600_000, false), Step::Open);
        assert_eq!(handover.step(DAY_MS - 599_000, false), Step::Stay, "not before its books are live");
        assert_eq!(handover.step(DAY_MS - 598_000, true), Step::Change);
    }

    #[test]
    fn an_announcement_opens_it_at_once() {
        let mut handover = Handover::new(0, None, 0.0);
        assert_eq!((handover.step(5, false), handover.wake_at_ms()), (Step::Stay, None));
        handover.announce();
        assert_eq!(handover.step(6, false), Step::Open);
        handover.spare_lost(10, Duration::from_millis(250));
        assert_eq!((handover.step(11, false), handover.step(260, false)), (Step::Stay, Step::Open));
    }

    #[test]
    fn a_replacement_that_never_gets_ready_takes_over_all_the_same() {
        let mut handover = Handover::new(0, None, 0.0);
        handover.announce();
        assert_eq!(handover.step(0, false), Step::Open);
        assert_eq!(handover.step(19_999, false), Step::Stay);
        assert_eq!(handover.step(20_000, false), Step::Change);
    }
}
