//! How far a reader of `latest` values is behind what was written to it.
//!
//! What the kernels have taken (the send buffer here, the receive buffer there) can no longer be replaced by a newer value,
//! and nothing that this kernel tells says how much of it the reader has read. A pong says it: who answers a ping has read
//! what stood before it. So a reader is asked now and then, the more rarely the more promptly it answers. One that is late,
//! or whose socket is full, is slow: it gets as many bytes as it reads in a moment, then a ping, and nothing more until the
//! pong. What comes meanwhile waits in its outbox, where the newest value of a key takes the place of the older.
//!
//! A reader that never answers is taken to be one that cannot, and is no longer asked.

/// A reader is slow if its answer takes so much longer than its quickest one, milliseconds.
const LATE_MS: u16 = 120;
/// An answer that takes no longer than this beyond the quickest says that there is room for more.
const PROMPT_MS: u16 = 50;
/// The same for one that says that less should be under way.
const CROWDED_MS: u16 = 100;
/// An answer that takes longer will not come, milliseconds.
const LOST_MS: u16 = 10_000;
/// Bytes are counted in units of 16.
const UNIT: usize = 16;
/// Units between two questions, as powers of two: 1 KB to 64 KB.
const STEP_MIN: u8 = 6;
const STEP_MAX: u8 = 12;
/// A slow reader that takes so much at a time promptly is not slow: 16 KB.
const STEP_QUICK: u8 = 10;
/// No answer yet.
const UNKNOWN: u16 = u16::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// It has no `latest` channel, or cannot answer.
    #[default]
    Off,
    /// It keeps up, as far as is known.
    Free,
    /// The same, and a ping is under way.
    Asked,
    /// It may get some bytes more.
    Slow,
    /// It has got them, and a ping.
    Held,
}

/// See the module. Eight bytes in each connection; times are the shard's clock modulo 2¹⁶ milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pulse {
    /// Written since the last ping, units.
    since: u16,
    asked_ms: u16,
    /// The quickest answer.
    base_ms: u16,
    step: u8,
    phase: Phase,
}

/// What follows from something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing.
    Same,
    /// A ping is to be sent.
    Ask,
    /// It is slow from now on.
    Slows,
}

fn low(clock_ms: u32) -> u16 {
    (clock_ms & 0xFFFF) as u16
}

impl Pulse {
    /// Begins to ask, if it does not yet.
    pub(crate) fn watch(&mut self) {
        if self.phase == Phase::Off && self.step == 0 {
            // The first answer comes from a reader with nothing to read before it.
            *self = Self { since: 1 << STEP_MIN, asked_ms: 0, base_ms: UNKNOWN, step: STEP_MIN, phase: Phase::Free };
        }
    }

    /// Whether values must wait in the outbox, where they can be replaced.
    pub(crate) fn is_slow(self) -> bool {
        matches!(self.phase, Phase::Slow | Phase::Held)
    }

    /// Bytes of values that may be written now; at least one value, unless it is 0.
    pub(crate) fn room(self) -> usize {
        match self.phase {
            Phase::Off | Phase::Free | Phase::Asked => usize::MAX,
            Phase::Slow => usize::from((1_u16 << self.step).saturating_sub(self.since)) * UNIT,
            Phase::Held => 0,
        }
    }

    /// The socket took bytes.
    pub(crate) fn on_written(&mut self, bytes: usize, clock_ms: u32) -> Turn {
        if self.phase == Phase::Off || bytes == 0 {
            return Turn::Same;
        }
        let units = u16::try_from(bytes.div_ceil(UNIT)).unwrap_or(u16::MAX);
        self.since = self.since.saturating_add(units);
        let is_due = self.since >= 1 << self.step;
        match self.phase {
            Phase::Asked if self.waited_ms(clock_ms) > self.base_ms.saturating_add(LATE_MS) => {
                self.slow_down(Phase::Held);
                Turn::Slows
            }
            Phase::Free | Phase::Slow if is_due => {
                self.phase = if self.phase == Phase::Slow { Phase::Held } else { Phase::Asked };
                self.since = 0;
                self.asked_ms = low(clock_ms);
                Turn::Ask
            }
            _ => Turn::Same,
        }
    }

    /// The socket took less than there was.
    pub(crate) fn on_blocked(&mut self) -> Turn {
        match self.phase {
            Phase::Free => self.slow_down(Phase::Slow),
            Phase::Asked => self.slow_down(Phase::Held),
            Phase::Off | Phase::Slow | Phase::Held => return Turn::Same,
        }
        Turn::Slows
    }

    fn slow_down(&mut self, phase: Phase) {
        self.phase = phase;
        self.step = STEP_MIN;
        // Or what it was sent before might leave it no room, and without anything sent there is no answer to wait for.
        self.since = 0;
    }

    /// The reader answered; whether more may be written than before.
    pub(crate) fn on_pong(&mut self, clock_ms: u32) -> bool {
        if !matches!(self.phase, Phase::Asked | Phase::Held) {
            return false;
        }
        let took_ms = self.waited_ms(clock_ms);
        self.base_ms = self.base_ms.min(took_ms);
        let behind_ms = took_ms - self.base_ms;
        let was_slow = self.phase == Phase::Held;
        if was_slow || behind_ms > LATE_MS {
            self.since = 0;
        }
        if behind_ms <= PROMPT_MS {
            self.step = (self.step + 1).min(STEP_MAX);
        } else if was_slow && behind_ms > CROWDED_MS {
            self.step = (self.step - 1).max(STEP_MIN);
        }
        self.phase = match was_slow {
            true if self.step <= STEP_QUICK => Phase::Slow,
            false if behind_ms > LATE_MS => {
                self.step = STEP_MIN;
                Phase::Slow
            }
            _ => Phase::Free,
        };
        was_slow
    }

    /// Gives up on an answer that is overdue; whether it did. Call it once a second.
    pub(crate) fn is_given_up(&mut self, clock_ms: u32) -> bool {
        let is_lost = matches!(self.phase, Phase::Asked | Phase::Held) && self.waited_ms(clock_ms) > LOST_MS;
        if is_lost {
            self.phase = Phase::Off;
        }
        is_lost
    }

    fn waited_ms(self, clock_ms: u32) -> u16 {
        low(clock_ms).wrapping_sub(self.asked_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched() -> Pulse {
        let mut pulse = Pulse::default();
        pulse.watch();
        pulse
    }

    /// Answers the first question after `ms`, at 1,000 of the clock.
    fn known(ms: u32) -> Pulse {
        let mut pulse = watched();
        assert_eq!(pulse.on_written(100, 1_000 - ms), Turn::Ask);
        assert!(!pulse.on_pong(1_000));
        pulse
    }

    #[test]
    fn it_is_small() {
        assert_eq!(size_of::<Pulse>(), 8);
    }

    #[test]
    fn who_has_no_values_to_read_is_asked_nothing() {
        let mut pulse = Pulse::default();
        assert_eq!(pulse.on_written(1 << 20, 5), Turn::Same);
        assert_eq!(pulse.on_blocked(), Turn::Same);
        assert_eq!(pulse.room(), usize::MAX);
    }

    #[test]
    fn who_answers_promptly_is_asked_ever_more_rarely() {
        let mut pulse = known(3);
        let mut asked = 0;
        for written in 0..10_000_u32 {
            let now = 1_000 + written;
            if pulse.on_written(1_024, now) == Turn::Ask {
                asked += 1;
                assert!(!pulse.on_pong(now + 4));
            }
            assert_eq!(pulse.room(), usize::MAX);
        }
        assert!((10_000 / 64..10_000 / 64 + 10).contains(&asked), "{asked} questions for 10 MB");
    }

    #[test]
    fn a_long_way_is_not_a_slow_reader() {
        let mut pulse = known(400);
        for round in 0..100_u32 {
            let now = 1_000 + round * 1_000;
            let mut asked = false;
            while !asked {
                asked = pulse.on_written(1_024, now) == Turn::Ask;
            }
            assert_eq!(pulse.on_written(1_024, now + 500), Turn::Same);
            pulse.on_pong(now + 420);
            assert!(!pulse.is_slow());
        }
    }

    #[test]
    fn who_answers_late_gets_a_little_at_a_time() {
        let mut pulse = known(10);
        let mut now = 1_000;
        while pulse.on_written(512, now) != Turn::Ask {}
        now += LATE_MS_U32 + 20;
        assert_eq!(pulse.on_written(512, now), Turn::Slows);
        assert_eq!(pulse.on_written(100_000, now), Turn::Same, "what is not `latest` is not held");
        assert_eq!(pulse.room(), 0, "a ping is under way");
        assert!(pulse.on_pong(now + 100), "now it may have more");
        for _ in 0..20 {
            now += 1_000;
            let room = pulse.room();
            assert!((1..=1_024).contains(&room), "{room} bytes");
            assert_eq!(pulse.on_written(room, now), Turn::Ask);
            assert_eq!(pulse.room(), 0);
            assert!(pulse.on_pong(now + 180));
        }
    }

    #[test]
    fn a_full_socket_makes_it_slow_and_prompt_answers_end_that() {
        let mut pulse = known(10);
        assert_eq!(pulse.on_written(1_500, 1_000), Turn::Same);
        assert_eq!(pulse.on_blocked(), Turn::Slows);
        let mut rounds = 0;
        while pulse.is_slow() {
            rounds += 1;
            assert_eq!(pulse.on_written(pulse.room(), rounds), Turn::Ask);
            assert!(pulse.on_pong(rounds + 12));
        }
        assert_eq!(rounds, 5, "1, 2, 4, 8 and 16 KB");
    }

    #[test]
    fn who_never_answers_is_held_for_seconds_and_then_no_longer_asked() {
        let mut pulse = watched();
        assert_eq!(pulse.on_written(100, 65_000), Turn::Ask);
        assert_eq!(pulse.on_blocked(), Turn::Slows);
        assert!(!pulse.is_given_up(70_000));
        assert!(pulse.is_given_up(76_000), "the low bits of the clock have wrapped");
        pulse.watch();
        assert_eq!((pulse.on_written(1 << 20, 80_000), pulse.room()), (Turn::Same, usize::MAX));
    }

    const LATE_MS_U32: u32 = LATE_MS as u32;
}
