//! The emergency stop: which step is next, from what is journalled. Every step may happen twice without harm; only the journal says that
//! one is over.
//!
//! ```text
//! began ─▶ session stopped ─▶ orders cancelled, positions closed ─▶ user told ─▶ done
//! ```
//! Where a step cannot be made for [`PATIENCE_MS`], the user is told before it; what is left is still done.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tickwire_trading::Figures;
use utoipa::ToSchema;

use crate::watch::{Breach, sentence};

/// How long the user's alert waits for steps that fail.
pub const PATIENCE_MS: u64 = 1_000;
/// Events of a stop that is done: each step's is journalled once.
pub const EVENTS: u64 = 4;

/// What is over, in the order of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StopEvent {
    /// A limit was reached.
    Began(Breach),
    /// The session's status is final; `found` says that it was before.
    SessionStopped {
        /// It had ended by itself.
        found: bool,
    },
    /// No orders and positions are left.
    Flattened {
        /// What it came to; `None` where there was no account.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pnl: Option<Decimal>,
    },
    /// The user's alert is in the inbox.
    Told {
        /// Its id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alert_id: Option<String>,
    },
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Ask the session service to stop the session.
    StopSession,
    /// Ask the algorithm service to cancel and close everything.
    Flatten,
    /// Tell the user.
    Tell,
}

impl Step {
    /// Every one, in the order in which they are made while none fails.
    pub const ALL: [Self; 3] = [Self::StopSession, Self::Flatten, Self::Tell];
}

/// What an account came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flat {
    Nothing,
    Closed { pnl: Decimal },
}

/// An emergency stop, as far as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Why.
    pub breach: Breach,
    session_stopped: Option<bool>,
    flattened: Option<Flat>,
    told: bool,
    /// Events so far.
    pub length: u64,
}

impl Stop {
    /// Rebuilds it. `None` of no events, or of a journal that does not begin with its beginning.
    pub fn of(events: impl IntoIterator<Item = StopEvent>) -> Option<Self> {
        let mut events = events.into_iter();
        let StopEvent::Began(breach) = events.next()? else { return None };
        let begun = Self { breach, session_stopped: None, flattened: None, told: false, length: 1 };
        Some(events.fold(begun, |stop, event| stop.apply(&event)))
    }

    /// It after `event`.
    #[must_use]
    pub fn apply(mut self, event: &StopEvent) -> Self {
        match event {
            StopEvent::Began(_) => {}
            StopEvent::SessionStopped { found } => self.session_stopped = Some(*found),
            StopEvent::Flattened { pnl } => {
                self.flattened = Some(pnl.map_or(Flat::Nothing, |pnl| Flat::Closed { pnl }));
            }
            StopEvent::Told { .. } => self.told = true,
        }
        self.length += 1;
        self
    }

    /// What is next; `None` when all is done. `has_failed`: the first step that is open was tried and failed.
    pub fn next(&self, has_failed: bool, now_ms: u64) -> Option<Step> {
        let open = if self.session_stopped.is_none() {
            Some(Step::StopSession)
        } else if self.flattened.is_none() {
            Some(Step::Flatten)
        } else {
            None
        };
        let is_late = has_failed && now_ms.saturating_sub(self.breach.at) >= PATIENCE_MS;
        match open {
            Some(step) if self.told || !is_late => Some(step),
            _ if !self.told => Some(Step::Tell),
            open => open,
        }
    }

    /// Whether a step is over.
    pub const fn is_over(&self, step: Step) -> bool {
        match step {
            Step::StopSession => self.session_stopped.is_some(),
            Step::Flatten => self.flattened.is_some(),
            Step::Tell => self.told,
        }
    }

    /// Whether nothing is left to do.
    pub const fn is_done(&self) -> bool {
        self.is_over(Step::StopSession) && self.is_over(Step::Flatten) && self.is_over(Step::Tell)
    }

    /// What the user is told: value, limit, and what was done.
    pub fn reason(&self) -> String {
        let session = match self.session_stopped {
            Some(false) => "The session was stopped",
            Some(true) => "The session had ended already",
            None => "The session is being stopped",
        };
        let account = match self.flattened {
            Some(Flat::Closed { pnl }) => {
                format!("its orders were cancelled and its positions closed; the final P&L is {pnl}")
            }
            Some(Flat::Nothing) => "it had no orders and no positions".to_owned(),
            None => "its orders are being cancelled and its positions closed".to_owned(),
        };
        format!("{}. {session}, {account}.", sentence(&self.breach.text, 0))
    }
}

impl StopEvent {
    /// From an account's final figures.
    pub fn flattened(figures: Option<&Figures>) -> Self {
        Self::Flattened { pnl: figures.map(Figures::pnl) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tickwire_protocol::UserId;

    use super::*;
    use crate::rules::Kind;

    fn breach() -> Breach {
        Breach {
            user_id: UserId::new("7").unwrap(),
            kind: Some(Kind::LossLimit),
            text: "1002 of the loss limit of 1000 is lost (100.2 %)".into(),
            current: "1002".into(),
            limit: "1000".into(),
            at: 1_000,
        }
    }

    fn done(step: Step) -> StopEvent {
        match step {
            Step::StopSession => StopEvent::SessionStopped { found: false },
            Step::Flatten => StopEvent::Flattened { pnl: Some(Decimal::from(-1_005)) },
            Step::Tell => StopEvent::Told { alert_id: None },
        }
    }

    #[test]
    fn the_user_is_told_what_was_done() {
        let stop = Stop::of([StopEvent::Began(breach()), done(Step::StopSession), done(Step::Flatten)]).unwrap();
        assert_eq!(
            stop.reason(),
            "1002 of the loss limit of 1000 is lost (100.2 %). The session was stopped, its orders were cancelled and its positions \
             closed; the final P&L is -1005."
        );
        let begun = Stop::of([StopEvent::Began(breach())]).unwrap();
        assert!(begun.reason().contains("is being stopped"));
    }

    #[test]
    fn a_service_that_is_away_does_not_keep_the_alert_from_the_user() {
        let begun = Stop::of([StopEvent::Began(breach())]).unwrap();
        assert_eq!(begun.next(false, 9_000), Some(Step::StopSession), "untried steps come first, however late it is");
        assert_eq!(begun.next(true, 1_999), Some(Step::StopSession));
        assert_eq!(begun.next(true, 2_000), Some(Step::Tell));
        let told = begun.apply(&done(Step::Tell));
        assert_eq!(told.next(true, 9_000), Some(Step::StopSession));
        assert!(!told.is_done());
    }

    proptest! {
        /// A process may die before or after each journal entry; the next one goes on from the journal.
        #[test]
        fn whatever_fails_and_dies_every_step_is_over_once_and_the_stop_ends(
            rounds in prop::collection::vec((any::<bool>(), any::<bool>(), 0_u64..3_000), 0..40),
        ) {
            let mut journal = vec![StopEvent::Began(breach())];
            let (mut now, mut has_failed) = (1_000, false);
            let rounds = rounds.into_iter().chain(std::iter::repeat_n((false, false, 10), 3));
            for (fails, dies, pause) in rounds {
                now += pause;
                // Each round could be another process: only the journal is carried over.
                let stop = Stop::of(journal.clone()).unwrap();
                let Some(step) = stop.next(has_failed && !dies, now) else { break };
                has_failed = fails;
                if !fails {
                    journal.push(done(step));
                }
            }
            let stop = Stop::of(journal.clone()).unwrap();
            prop_assert!(stop.is_done() && stop.next(true, u64::MAX).is_none());
            prop_assert_eq!(journal.len() as u64, EVENTS);
        }
    }
}
