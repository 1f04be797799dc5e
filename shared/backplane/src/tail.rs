//! Sees holes in one channel's live stream: pure, one per channel and shard.

use tickwire_protocol::Position;

/// The end of what a shard has delivered of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    at: Position,
}

/// What to do with a position that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailAction {
    /// It is the next one: deliver it.
    Deliver,
    /// It was delivered before (or is of an epoch that ended).
    Ignore,
    /// Messages between the tail and it are missing: read the history since [`Tail::position`], deliver, then continue.
    Gap,
    /// A newer epoch began: tell subscribers `reset`, then read the history from offset 0 of that epoch.
    Reset,
}

impl Tail {
    /// A tail that stands at `at`: everything up to it is delivered.
    pub const fn new(at: Position) -> Self {
        Self { at }
    }

    /// Everything up to here is delivered.
    pub const fn position(self) -> Position {
        self.at
    }

    /// A message with `position` came; on [`TailAction::Deliver`] the tail moves to it.
    pub fn on_publication(&mut self, position: Position) -> TailAction {
        if position.epoch > self.at.epoch {
            return TailAction::Reset;
        }
        if position <= self.at {
            return TailAction::Ignore;
        }
        if position == self.at.next() {
            self.at = position;
            return TailAction::Deliver;
        }
        TailAction::Gap
    }

    /// The channel's newest position is `top`.
    pub fn on_top(self, top: Position) -> TailAction {
        if top.epoch > self.at.epoch {
            TailAction::Reset
        } else if top <= self.at {
            TailAction::Ignore
        } else {
            TailAction::Gap
        }
    }

    /// A repair or reset is done: everything up to `at` is delivered.
    pub fn move_to(&mut self, at: Position) {
        self.at = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_offsets_are_delivered_once() {
        let mut tail = Tail::new(Position::new(5, 0));
        assert_eq!(tail.on_publication(Position::new(5, 1)), TailAction::Deliver);
        assert_eq!(tail.on_publication(Position::new(5, 1)), TailAction::Ignore);
        assert_eq!(tail.on_publication(Position::new(5, 2)), TailAction::Deliver);
        assert_eq!(tail.position(), Position::new(5, 2));
    }

    #[test]
    fn a_hole_is_a_gap_and_leaves_the_tail_where_it_was() {
        let mut tail = Tail::new(Position::new(5, 3));
        assert_eq!(tail.on_publication(Position::new(5, 5)), TailAction::Gap);
        assert_eq!(tail.position(), Position::new(5, 3));
        assert_eq!(tail.on_top(Position::new(5, 4)), TailAction::Gap);
    }

    #[test]
    fn an_epoch_only_moves_forward() {
        let mut tail = Tail::new(Position::new(5, 3));
        assert_eq!(tail.on_publication(Position::new(4, 9)), TailAction::Ignore);
        assert_eq!(tail.on_publication(Position::new(6, 1)), TailAction::Reset);
        assert_eq!(tail.on_top(Position::new(6, 0)), TailAction::Reset);
    }
}
