//! What one reader's log amounts to: what it was owed and did not get, what it got and was not owed, what it was told.

use tickwire_protocol::Position;

use super::ledger::{Ack, ReaderLog, Sight};

/// A live subscription that was not shown an acknowledged message for this long was deaf: longer than any fault lasts, and
/// than clients and servers take to notice a dead link.
pub(crate) const DEAF_AFTER_MS: u64 = 30_000;

/// A stretch that the reader was told about: after the first position, up to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) after: Position,
    pub(crate) up_to: Position,
    at_ms: u64,
    /// Since when the subscription had stood, where it was told under a live one.
    live_since_ms: Option<u64>,
}

/// Findings about one reader.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) start: Option<Position>,
    pub(crate) reached: Option<Position>,
    pub(crate) told: Vec<Told>,
    pub(crate) messages: u64,
    pub(crate) doubled: u64,
    pub(crate) skipped: u64,
    /// Where they stood: after the first position, before the second.
    holes: Vec<(Position, Position)>,
    /// Messages of an earlier epoch after those of a later one, or a position told that lies behind.
    pub(crate) backwards: u64,
    /// Messages of a new epoch without a word.
    pub(crate) silent_epochs: u64,
    /// Told that history is gone although the epoch is the same.
    pub(crate) trimmed: u64,
}

impl Reading {
    /// Reads a log.
    pub(crate) fn of(log: &ReaderLog) -> Self {
        let mut walk = Walk::default();
        for &sight in &log.sights {
            walk.step(sight);
        }
        walk.settle();
        Self { reached: walk.at, ..walk.reading }
    }

    /// Whether an acknowledged message was neither seen nor told of, nor before the beginning. Positions are dense, so what
    /// lies before `reached` and in no hole was seen.
    pub(crate) fn is_owed(&self, position: Position) -> bool {
        let was_skipped = || self.holes.iter().any(|&(after, before)| after < position && position < before);
        self.start.is_some_and(|start| position > start)
            && (self.reached.is_none_or(|reached| position > reached) || was_skipped())
            && !self.was_told(position)
    }

    /// Whether the reader was told that `position` is gone.
    pub(crate) fn was_told(&self, position: Position) -> bool {
        self.told.iter().any(|told| told.after < position && position <= told.up_to)
    }

    /// Acknowledged messages that a live subscription was not shown for long, before it was told that they are gone.
    pub(crate) fn deaf(&self, acks: &[Ack]) -> u64 {
        let was_deaf = |ack: &&Ack| {
            self.told.iter().any(|told| {
                told.after < ack.position
                    && ack.position <= told.up_to
                    && ack.at_ms + DEAF_AFTER_MS < told.at_ms
                    && told.live_since_ms.is_some_and(|since_ms| since_ms + 1_000 < ack.at_ms)
            })
        };
        acks.iter().filter(was_deaf).count() as u64
    }
}

#[derive(Default)]
struct Walk {
    reading: Reading,
    /// Everything up to here was seen, told or before the beginning.
    at: Option<Position>,
    /// Told that history is gone up to here; messages of what is left of it may follow.
    open: Option<Position>,
    joined_ms: Option<u64>,
}

impl Walk {
    fn step(&mut self, sight: Sight) {
        match sight {
            Sight::Joined { at_ms, position, recovered } => {
                self.settle();
                self.joined_ms = Some(at_ms);
                match self.at {
                    None => (self.at, self.reading.start) = (Some(position), Some(position)),
                    Some(at) if !recovered => {
                        self.tell(at, position, at_ms, None);
                        self.open = Some(position);
                    }
                    Some(_) => {}
                }
            }
            Sight::Reset { at_ms, position } => {
                self.settle();
                if let Some(at) = self.at {
                    self.tell(at, position, at_ms, self.joined_ms);
                }
                self.at = Some(position);
            }
            Sight::Run { epoch, first, last } => self.run(epoch, first, last),
            Sight::Left => self.joined_ms = None,
        }
    }

    fn tell(&mut self, after: Position, up_to: Position, at_ms: u64, live_since_ms: Option<u64>) {
        if up_to.epoch == after.epoch {
            self.reading.trimmed += 1;
        }
        if up_to < after {
            self.reading.backwards += 1;
        }
        self.reading.told.push(Told { after, up_to, at_ms, live_since_ms });
    }

    /// What was left of the history is through.
    fn settle(&mut self) {
        if let Some(up_to) = self.open.take() {
            self.at = Some(up_to);
        }
    }

    fn run(&mut self, epoch: u64, first: u64, last: u64) {
        self.reading.messages += last - first + 1;
        if let Some(up_to) = self.open {
            let is_rest = epoch == up_to.epoch && first <= up_to.offset && self.at.is_none_or(|at| at.epoch < epoch);
            self.open = None;
            if is_rest {
                if let Some(told) = self.reading.told.last_mut() {
                    told.up_to = Position::new(epoch, first - 1);
                }
                self.at = Some(Position::new(epoch, last));
                return;
            }
            self.at = Some(up_to);
        }
        let Some(at) = self.at else {
            self.reading.backwards += 1;
            return;
        };
        if epoch > at.epoch {
            self.reading.silent_epochs += 1;
        } else if epoch < at.epoch {
            self.reading.backwards += 1;
            return;
        } else if first > at.offset + 1 {
            self.reading.skipped += first - at.offset - 1;
            self.reading.holes.push((at, Position::new(epoch, first)));
        } else {
            self.reading.doubled += (at.offset.min(last) + 1).saturating_sub(first);
        }
        self.at = Some(at.max(Position::new(epoch, last)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(sights: &[Sight]) -> Reading {
        Reading::of(&ReaderLog { sights: sights.to_vec(), ..ReaderLog::default() })
    }

    fn joined(epoch: u64, offset: u64, recovered: bool) -> Sight {
        Sight::Joined { at_ms: 100_000, position: Position::new(epoch, offset), recovered }
    }

    fn run(epoch: u64, first: u64, last: u64) -> Sight {
        Sight::Run { epoch, first, last }
    }

    fn reset(epoch: u64, offset: u64) -> Sight {
        Sight::Reset { at_ms: 200_000, position: Position::new(epoch, offset) }
    }

    #[test]
    fn a_recovered_break_is_whole() {
        let whole = reading(&[joined(1, 4, false), run(1, 5, 7), Sight::Left, joined(1, 9, true), run(1, 8, 12)]);
        assert_eq!((whole.skipped, whole.doubled, whole.messages), (0, 0, 8));
        assert_eq!(whole.reached, Some(Position::new(1, 12)));
        assert!(whole.is_owed(Position::new(1, 13)) && !whole.is_owed(Position::new(1, 3)));
    }

    #[test]
    fn holes_doubles_and_ways_back_are_counted() {
        let bad = reading(&[joined(1, 4, false), run(1, 6, 8), run(1, 7, 9), joined(2, 3, false), run(1, 9, 9)]);
        assert_eq!((bad.skipped, bad.doubled, bad.backwards), (1, 2, 1));
    }

    #[test]
    fn a_new_epoch_must_be_told() {
        assert_eq!(reading(&[joined(1, 4, false), run(2, 1, 3)]).silent_epochs, 1);
        let told = reading(&[joined(1, 4, false), reset(2, 0), run(2, 1, 3)]);
        assert_eq!((told.silent_epochs, told.skipped, told.trimmed), (0, 0, 0));
        assert!(told.was_told(Position::new(1, 5)) && !told.was_told(Position::new(2, 1)));
    }

    #[test]
    fn what_is_left_of_a_lost_history_follows_on() {
        let told = reading(&[joined(1, 4, false), Sight::Left, joined(2, 6, false), run(2, 1, 6), run(2, 7, 9)]);
        assert_eq!((told.skipped, told.doubled, told.silent_epochs), (0, 0, 0));
        assert!(!told.was_told(Position::new(2, 1)) && told.was_told(Position::new(1, 99)));
        let nothing_left = reading(&[joined(1, 4, false), joined(2, 6, false), run(2, 7, 7)]);
        assert_eq!((nothing_left.skipped, nothing_left.doubled), (0, 0));
    }

    #[test]
    fn history_of_the_same_epoch_is_not_to_go() {
        assert_eq!(reading(&[joined(1, 4, false), joined(1, 9, false)]).trimmed, 1);
        assert_eq!(reading(&[joined(1, 4, false), reset(1, 9)]).trimmed, 1);
    }

    #[test]
    fn a_reset_long_after_an_acknowledged_message_was_deafness() {
        let deaf = reading(&[joined(1, 4, false), reset(2, 0)]);
        let ack = |at_ms| Ack { number: 5, position: Position::new(1, 5), is_duplicate: false, at_ms };
        assert_eq!(deaf.deaf(&[ack(150_000), ack(199_000), ack(100_500)]), 1);
    }
}
