//! Whether a connection lives, learned from the venue's own rhythm.
//!
//! Silence of a book is not staleness (thin pairs rest for half a minute); a missing heartbeat is. The bound is three times the
//! longest of the recent intervals between signs of life, within the venue's limits.

use crate::venue::Heartbeat;

/// Intervals remembered.
const INTERVALS: usize = 8;
/// Missed signs that make death.
const MISSED: u64 = 3;

/// The signs of life of a connection, on its clock (ms).
#[derive(Debug)]
pub struct Liveness {
    heartbeat: Heartbeat,
    intervals: [u64; INTERVALS],
    next: usize,
    beat_at_ms: Option<u64>,
    heard_at_ms: u64,
    pinged_at_ms: u64,
}

impl Liveness {
    /// Of a connection opened now.
    pub fn new(heartbeat: Heartbeat, now_ms: u64) -> Self {
        Self {
            heartbeat,
            intervals: [heartbeat.expected_ms; INTERVALS],
            next: 0,
            beat_at_ms: None,
            heard_at_ms: now_ms,
            pinged_at_ms: now_ms,
        }
    }

    /// Something arrived.
    pub fn heard(&mut self, now_ms: u64) {
        self.heard_at_ms = now_ms;
    }

    /// The venue's heartbeat arrived.
    pub fn beat(&mut self, now_ms: u64) {
        if let Some(before) = self.beat_at_ms.replace(now_ms) {
            self.intervals[self.next] = now_ms.saturating_sub(before);
            self.next = (self.next + 1) % INTERVALS;
        }
    }

    /// The silence that counts as death now.
    pub fn silence_ms(&self) -> u64 {
        let longest = self.intervals.iter().max().copied().unwrap_or(self.heartbeat.expected_ms);
        (longest * MISSED).clamp(self.heartbeat.silence_min_ms, self.heartbeat.silence_max_ms)
    }

    /// When the connection is dead if nothing arrives.
    pub fn deadline_ms(&self) -> u64 {
        self.heard_at_ms + self.silence_ms()
    }

    /// When the venue's ping is due.
    pub fn ping_at_ms(&self) -> Option<u64> {
        let every = self.heartbeat.ping_every_ms?;
        let since =
            if self.heartbeat.ping_when_idle { self.heard_at_ms.max(self.pinged_at_ms) } else { self.pinged_at_ms };
        Some(since + every)
    }

    /// A ping was sent.
    pub fn pinged(&mut self, now_ms: u64) {
        self.pinged_at_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::{Heartbeat, Liveness};

    const HEARTBEAT: Heartbeat = Heartbeat {
        ping_every_ms: Some(20_000),
        ping_when_idle: true,
        expected_ms: 20_000,
        silence_min_ms: 5_000,
        silence_max_ms: 70_000,
    };

    #[test]
    fn the_bound_follows_the_venues_rhythm() {
        let mut liveness = Liveness::new(HEARTBEAT, 0);
        assert_eq!(liveness.silence_ms(), 60_000);
        (0..=8).for_each(|second| liveness.beat(second * 2_000));
        assert_eq!(liveness.silence_ms(), 6_000);
        liveness.beat(100_000);
        assert_eq!(liveness.silence_ms(), 70_000);
    }

    #[test]
    fn a_ping_waits_for_silence() {
        let mut liveness = Liveness::new(HEARTBEAT, 0);
        liveness.heard(15_000);
        assert_eq!(liveness.ping_at_ms(), Some(35_000));
        liveness.pinged(35_000);
        assert_eq!(liveness.ping_at_ms(), Some(55_000));
    }
}
