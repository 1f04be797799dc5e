//! What an engine keeps of one instrument besides the account.

use std::sync::Arc;

use tickwire_protocol::book::Level;
use tickwire_trading::account::{Fill, Side};

use crate::{
    bot::Execution,
    decision::{Action, Decision},
    fill::Taken,
    history::History,
    market::Quote,
};

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) quote: Option<Arc<Quote>>,
    pub(super) history: History,
    pub(super) taken: Taken,
    /// The newest decision's; `hold` is told only after something else.
    pub(super) last_action: Option<Action>,
    /// When the newest decision was made that was no `hold`.
    acted_at: Option<u64>,
    pub(super) evaluated_at: Option<u64>,
}

impl Desk {
    pub(super) fn new(samples: usize, period_ms: u64) -> Self {
        Self {
            quote: None,
            history: History::new(samples, period_ms),
            taken: Taken::default(),
            last_action: None,
            acted_at: None,
            evaluated_at: None,
        }
    }

    pub(super) fn see(&mut self, quote: Arc<Quote>) {
        self.taken.keep(Side::Buy, quote.opposite(true));
        self.taken.keep(Side::Sell, quote.opposite(false));
        self.quote = Some(quote);
    }

    pub(super) fn traded(&mut self, side: Side, fill: &Fill) {
        let levels = self.quote.as_ref().map_or(&[][..], |quote| quote.opposite(side == Side::Buy));
        let level: Option<Level> = levels.iter().find(|level| level.price == fill.price).copied();
        if let Some(level) = level {
            self.taken.take(side, level, fill.quantity);
        }
    }

    pub(super) fn decided(&mut self, decision: &Decision) {
        self.last_action = Some(decision.action);
        if decision.action != Action::Hold {
            self.acted_at = Some(decision.at);
        }
    }

    pub(super) fn should_evaluate(&self, execution: &Execution, now: u64) -> bool {
        self.is_fresh(execution, now)
            && self.evaluated_at.is_none_or(|before| now >= before.saturating_add(execution.evaluate_ms))
    }

    /// Whether the strategy may act again.
    pub(super) fn is_cool(&self, execution: &Execution, now: u64) -> bool {
        self.acted_at.is_none_or(|before| now >= before.saturating_add(execution.cooldown_ms))
    }

    /// Whether the book may be traded with.
    pub(super) fn is_fresh(&self, execution: &Execution, now: u64) -> bool {
        self.quote.as_ref().is_some_and(|quote| quote.is_live && now.saturating_sub(quote.at) <= execution.stale_ms)
    }
}
