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
    use proptest::prelude::*;

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

    /// One step of a stream: a message or a top, of whatever epoch and offset, doubled, late or early.
    fn any_position() -> impl Strategy<Value = Position> {
        (1..4_u64, 0..12_u64).prop_map(|(epoch, offset)| Position::new(epoch, offset))
    }

    proptest! {
        #[test]
        fn delivery_is_one_step_forward_and_nothing_else_moves(
            start in any_position(),
            steps in proptest::collection::vec((any::<bool>(), any_position()), 0..60),
        ) {
            let mut tail = Tail::new(start);
            for (is_top, position) in steps {
                let before = tail.position();
                let action = if is_top { tail.on_top(position) } else { tail.on_publication(position) };
                match action {
                    TailAction::Deliver => {
                        prop_assert!(!is_top);
                        prop_assert_eq!(position, before.next());
                        prop_assert_eq!(tail.position(), position);
                    }
                    TailAction::Ignore => prop_assert!(position <= before),
                    TailAction::Gap => prop_assert!(position.epoch == before.epoch && position > before),
                    TailAction::Reset => prop_assert!(position.epoch > before.epoch),
                }
                prop_assert!(action == TailAction::Deliver || tail.position() == before);
            }
        }

        /// The reader's duty done, any loss, doubling and reordering of signals gives each message once, in order.
        #[test]
        fn with_repairs_any_stream_becomes_the_log(
            signals in proptest::collection::vec((any::<bool>(), 1..=20_u64), 0..80),
        ) {
            let mut tail = Tail::new(Position::new(1, 0));
            let mut delivered = Vec::new();
            // The log has all 20 from the start; a repair reads it up to the position seen.
            let last = (true, 20);
            for (is_top, offset) in signals.into_iter().chain([last]) {
                let position = Position::new(1, offset);
                match if is_top { tail.on_top(position) } else { tail.on_publication(position) } {
                    TailAction::Deliver => delivered.push(offset),
                    TailAction::Gap => {
                        delivered.extend(tail.position().offset + 1..=offset);
                        tail.move_to(position);
                    }
                    TailAction::Ignore => {}
                    TailAction::Reset => prop_assert!(false, "one epoch only"),
                }
            }
            prop_assert_eq!(delivered, (1..=20).collect::<Vec<_>>());
        }
    }
}
