//! The engine of one bot: price → should it evaluate → strategy → decision → paper order → fill → position check.
//!
//! Pure: no clock, no store, no chance. What it wants to happen it says as [`Entry`]s, and nothing has happened until they are
//! given back to [`Engine::apply`]: live after the journal has them, in a backtest at once. So both share every line, and an engine
//! that applies a journal is the engine that wrote it.
//!
//! The order of things at a price: orders that are late are cancelled; open orders trade with the book; then either a position is
//! closed by its limits, or the strategy is asked. An instrument has one open order at a time.

mod desk;
mod draft;
mod orders;
mod signals;

use std::{collections::BTreeMap, sync::Arc};

use rust_decimal::prelude::ToPrimitive;
use tickwire_trading::{
    Account, Figures, Instrument, Status,
    account::{AccountError, Event, Order},
    session::Name,
};

use crate::{
    agent::SignalState,
    bot::Bot,
    decision::{Action, Decision, Origin},
    entry::Entry,
    market::Quote,
    strategy::{Advice, Stance, View},
};

use desk::Desk;
use draft::Draft;
pub use signals::{Known, SIGNALS_MAX, SignalRefusal};

/// What an entry changed, for those who tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// An order is this now.
    Order(Order),
    /// Nothing of the account.
    Other,
}

/// A bot at work.
#[derive(Debug)]
pub struct Engine {
    bot: Bot,
    account: Account,
    status: Status,
    closing: Option<String>,
    desks: BTreeMap<Instrument, Desk>,
    signals: signals::Signals,
    marked_at: Option<u64>,
}

impl Engine {
    /// With an untouched account.
    pub fn new(bot: Bot, status: Status) -> Self {
        let account = Account::new(bot.session_id.clone(), bot.user_id.clone(), bot.capital);
        let (samples, period) = (bot.strategy.samples(), bot.execution.sample_ms);
        let desks = bot.instruments.iter().map(|symbol| (symbol.clone(), Desk::new(samples, period))).collect();
        Self { bot, account, status, closing: None, desks, signals: signals::Signals::default(), marked_at: None }
    }

    /// What it was made of.
    pub fn bot(&self) -> &Bot {
        &self.bot
    }

    /// Orders, positions, money.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Absolute figures under `version`; `None` where they cannot be exact.
    pub fn figures(&self, version: u64) -> Option<Figures> {
        self.account.figures(version, self.marked_at)
    }

    /// The session's status from now on.
    pub fn set_status(&mut self, status: Status) {
        self.status = status;
        if status.is_over() && self.closing.is_none() {
            self.closing = Some(format!("the session is {}", status.as_str().replace('_', " ")));
        }
    }

    /// Whether everything is being closed, or was.
    pub fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Whether the strategy is asked.
    pub fn is_trading(&self) -> bool {
        self.status == Status::Active && self.closing.is_none()
    }

    /// What it is doing, in a word.
    pub fn state(&self) -> &'static str {
        match (&self.closing, self.account.is_flat()) {
            (Some(_), false) => "closing",
            _ => self.status.as_str(),
        }
    }

    /// Whether its session is, and nothing is open: nothing follows any more.
    pub fn is_over(&self) -> bool {
        self.status.is_over() && self.account.is_flat()
    }

    /// Takes a market as it is now. Changes no order and no position; follow it with [`Engine::evaluate`].
    pub fn see(&mut self, quote: Arc<Quote>, now: u64) {
        let Some(desk) = self.desks.get_mut(&quote.instrument) else { return };
        if let Some(price) = quote.price() {
            self.account.mark(&quote.instrument, price);
            self.marked_at = Some(self.marked_at.unwrap_or(0).max(quote.at));
            desk.history.observe(price.to_f64().unwrap_or(0.0), now);
        }
        desk.see(quote);
    }

    /// What follows in `instrument` from what was seen.
    pub fn evaluate(&mut self, instrument: &Instrument, now: u64) -> Vec<Entry> {
        let Some(desk) = self.desks.get(instrument) else { return Vec::new() };
        let mut draft = Draft::new(&self.account, desk, instrument, &self.bot.execution, now);
        draft.cancel_late();
        draft.fill_open();
        if let Some(reason) = &self.closing {
            draft.close(reason, &Origin::Session);
            return draft.finish();
        }
        if self.status == Status::Active && !draft.has_open_order() && !draft.close_by_limits() {
            let asked = desk.should_evaluate(&self.bot.execution, now);
            let decision = asked.then(|| self.ask(desk, instrument, &draft, now)).flatten();
            if let Some(decision) = decision {
                draft.carry_out(&decision, None, self.bot.capital, self.bot.exposure_max);
            }
            let entries = draft.finish();
            if asked && let Some(desk) = self.desks.get_mut(instrument) {
                desk.evaluated_at = Some(now);
            }
            return entries;
        }
        draft.finish()
    }

    /// Time passed: late orders, waiting signals, positions held too long, and whatever is still to be closed.
    pub fn tick(&mut self, now: u64) -> Vec<Entry> {
        let mut entries = self.signals.expire(now);
        let instruments: Vec<Instrument> = self.desks.keys().cloned().collect();
        for instrument in instruments {
            // Of one account, so one instrument at a time: the numbers of orders and fills follow one another.
            let more = self.evaluate(&instrument, now);
            if !more.is_empty() {
                entries.extend(more);
                break;
            }
        }
        entries
    }

    /// Cancels every order and closes every position; goes on with it until it is done. A second time changes nothing.
    pub fn flatten(&mut self, reason: &str, now: u64) -> Vec<Entry> {
        self.closing.get_or_insert_with(|| reason.to_owned());
        self.tick(now)
    }

    /// Back to trading after [`Engine::flatten`], where the session is not over.
    pub fn reopen(&mut self) {
        if !self.status.is_over() && self.account.is_flat() {
            self.closing = None;
        }
    }

    /// Makes an entry's change. An error means that it does not follow from the entries before it; nothing was changed.
    pub fn apply(&mut self, entry: &Entry) -> Result<Applied, AccountError> {
        match entry {
            Entry::Account { event } => {
                let order = self.account.apply(event)?;
                if let (Event::Filled(fill), Some(desk)) = (event, self.desks.get_mut(&order.symbol)) {
                    desk.traded(order.side, fill);
                }
                return Ok(Applied::Order(order));
            }
            Entry::Decided { decision } => {
                if let Some(desk) = self.desks.get_mut(&decision.symbol) {
                    desk.decided(decision);
                }
            }
            Entry::Signalled { signal, state, .. } => self.signals.signalled(signal, state),
            Entry::Answered { signal, state, .. } => self.signals.answered(signal, state),
            Entry::Opened { .. } | Entry::Told { .. } | Entry::Finished { .. } => {}
        }
        Ok(Applied::Other)
    }

    /// A signal of the past with what became of it.
    pub fn signal(&self, id: &Name) -> Option<&Known> {
        self.signals.get(id)
    }

    /// Signals that wait for an answer, and their deadlines.
    pub fn waiting(&self) -> impl Iterator<Item = (&Known, u64)> {
        self.signals.iter().filter_map(|known| match known.state {
            SignalState::Waiting { deadline } => Some((known, deadline)),
            _ => None,
        })
    }

    /// Asks the strategy. `None`: it has too little to go by, or would hold as before.
    fn ask(&self, desk: &Desk, instrument: &Instrument, draft: &Draft<'_>, now: u64) -> Option<Decision> {
        let quote = desk.quote.as_deref()?;
        let held = draft.held();
        let view = View { quote, samples: desk.history.samples()?, held };
        let advice = self.bot.strategy.advise(&view);
        let action = match (advice.stance, held) {
            (Stance::Long, 0) => Action::Buy,
            (Stance::Short, 0) if self.bot.execution.allow_short => Action::Sell,
            (Stance::Long, -1) | (Stance::Short, 1) | (Stance::Flat, 1 | -1) => Action::ClosePosition,
            _ => Action::Hold,
        };
        let is_news = desk.last_action != Some(Action::Hold);
        if action == Action::Hold && !is_news {
            return None;
        }
        if action != Action::Hold && !desk.is_cool(&self.bot.execution, now) {
            return None;
        }
        let Advice { confidence, reasoning, .. } = advice;
        Some(Decision {
            symbol: instrument.clone(),
            action,
            reasoning,
            confidence: (confidence * 10_000.0).round() / 10_000.0,
            price: quote.price()?,
            volume: quote.volume.unwrap_or_default(),
            origin: Origin::Strategy,
            at: now,
        })
    }
}

#[cfg(test)]
mod tests;
