//! Signals of agents: permission, autonomy, the user's answer.

use std::collections::{BTreeMap, VecDeque};

use tickwire_trading::{Instrument, Status, session::Name};

use super::{Engine, draft::Draft};
use crate::{
    agent::{Autonomy, Signal, SignalState},
    decision::{Action, Decision, Origin},
    entry::Entry,
};

/// Signals that an engine remembers; the oldest that wait for nothing are forgotten first.
pub const SIGNALS_MAX: usize = 256;

/// A signal with what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// What was said.
    pub signal: Signal,
    /// What became of it.
    pub state: SignalState,
}

/// Why an answer is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignalRefusal {
    /// No such signal is known.
    #[error("there is no such signal")]
    Unknown,
    /// It waits for no answer, or no longer.
    #[error("the signal does not wait for an answer")]
    NotWaiting,
    /// Too many wait, or came lately.
    #[error("too many signals wait for an answer, or came lately")]
    TooMany,
}

#[derive(Debug, Default)]
pub(super) struct Signals {
    known: BTreeMap<Name, Known>,
    order: VecDeque<Name>,
}

impl Signals {
    pub(super) fn get(&self, id: &Name) -> Option<&Known> {
        self.known.get(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.order.iter().filter_map(|id| self.known.get(id))
    }

    fn is_waiting(&self, id: &Name) -> bool {
        self.known.get(id).is_some_and(|known| matches!(known.state, SignalState::Waiting { .. }))
    }

    fn is_full(&self) -> bool {
        self.order.len() >= SIGNALS_MAX && self.order.iter().all(|id| self.is_waiting(id))
    }

    pub(super) fn signalled(&mut self, signal: &Signal, state: &SignalState) {
        if self.order.len() >= SIGNALS_MAX
            && let Some(at) = self.order.iter().position(|id| !self.is_waiting(id))
            && let Some(old) = self.order.remove(at)
        {
            self.known.remove(&old);
        }
        let known = Known { signal: signal.clone(), state: state.clone() };
        if self.known.insert(signal.id.clone(), known).is_none() {
            self.order.push_back(signal.id.clone());
        }
    }

    pub(super) fn answered(&mut self, id: &Name, state: &SignalState) {
        if let Some(known) = self.known.get_mut(id) {
            known.state = state.clone();
        }
    }

    pub(super) fn expire(&self, now: u64) -> Vec<Entry> {
        let late = |known: &&Known| matches!(known.state, SignalState::Waiting { deadline } if deadline <= now);
        self.iter()
            .filter(late)
            .map(|known| Entry::Answered { signal: known.signal.id.clone(), state: SignalState::Expired, at: now })
            .collect()
    }
}

impl Engine {
    /// An agent says something that passed [`Signal::check`]. The same id again is answered with no entries: see
    /// [`Engine::signal`] for what became of it.
    pub fn hear(&mut self, signal: Signal, now: u64) -> Result<Vec<Entry>, SignalRefusal> {
        if self.signals.get(&signal.id).is_some() {
            return Ok(Vec::new());
        }
        if self.signals.is_full() {
            return Err(SignalRefusal::TooMany);
        }
        let refused = |reason: String| SignalState::Refused { reason };
        let permitted = match self.bot.agents.get(&signal.agent) {
            None => Err("the session's owner let no such agent speak".to_owned()),
            Some(_) if !self.bot.instruments.contains(&signal.symbol) => {
                Err(format!("the session does not trade {}", signal.symbol))
            }
            Some(_) if !self.is_trading() => Err(format!("the session is {}", self.status)),
            Some(policy) => policy.permits(&signal).map(|()| policy),
        };
        let (state, executed) = match permitted {
            Err(reason) => (refused(reason), Vec::new()),
            Ok(policy) => match policy.autonomy {
                Autonomy::Advisory => (SignalState::Shown, Vec::new()),
                Autonomy::Approval => (SignalState::Waiting { deadline: now + policy.approval_ms }, Vec::new()),
                Autonomy::Autonomous => match self.execute(&signal, now) {
                    Ok(entries) => (SignalState::Executed, entries),
                    Err(reason) => (refused(reason), Vec::new()),
                },
            },
        };
        let mut entries = vec![Entry::Signalled { signal, state, at: now }];
        entries.extend(executed);
        Ok(entries)
    }

    /// The user's answer to a signal that waits. The same answer again is answered with no entries.
    pub fn answer(&mut self, id: &Name, is_yes: bool, now: u64) -> Result<Vec<Entry>, SignalRefusal> {
        let known = self.signals.get(id).ok_or(SignalRefusal::Unknown)?;
        let SignalState::Waiting { deadline } = known.state else {
            let is_same =
                matches!((&known.state, is_yes), (SignalState::Executed, true) | (SignalState::Declined, false));
            return if is_same { Ok(Vec::new()) } else { Err(SignalRefusal::NotWaiting) };
        };
        let signal = known.signal.clone();
        let (state, executed) = if deadline <= now {
            (SignalState::Expired, Vec::new())
        } else if is_yes {
            match self.execute(&signal, now) {
                Ok(entries) => (SignalState::Executed, entries),
                Err(reason) => (SignalState::Refused { reason }, Vec::new()),
            }
        } else {
            (SignalState::Declined, Vec::new())
        };
        let mut entries = vec![Entry::Answered { signal: id.clone(), state, at: now }];
        entries.extend(executed);
        Ok(entries)
    }

    /// The entries of a signal's order, or why there is none.
    fn execute(&self, signal: &Signal, now: u64) -> Result<Vec<Entry>, String> {
        if self.status != Status::Active || self.closing.is_some() {
            return Err(format!("the session is {}", self.status));
        }
        let symbol: &Instrument = &signal.symbol;
        let desk = self.desks.get(symbol).ok_or_else(|| format!("the session does not trade {symbol}"))?;
        if !desk.is_fresh(&self.bot.execution, now) {
            return Err(format!("there is no live book of {symbol}"));
        }
        let mut draft = Draft::new(&self.account, desk, symbol, &self.bot.execution, now);
        if draft.has_open_order() {
            return Err(format!("another order of {symbol} is open"));
        }
        match (signal.action, draft.held()) {
            (Action::ClosePosition, 0) => return Err(format!("nothing of {symbol} is held")),
            (Action::Sell, 0 | -1) if !self.bot.execution.allow_short => {
                return Err("the session may not be short".to_owned());
            }
            (Action::Sell, 1) | (Action::Buy, -1) => {
                return Err(format!("a position the other way is held in {symbol}; close it first"));
            }
            _ => {}
        }
        let quantity_max = self.bot.agents.get(&signal.agent).and_then(|policy| policy.quantity_max);
        let quantity = match (signal.quantity, quantity_max) {
            (None, None) => None,
            (Some(quantity), _) => Some(quantity),
            (None, Some(max)) => Some(self.usual_quantity(&draft).map_or(max, |usual| usual.min(max))),
        };
        let (price, volume) = draft.seen();
        let decision = Decision {
            symbol: symbol.clone(),
            action: signal.action,
            reasoning: format!("{} says: {}", signal.agent, signal.reasoning),
            confidence: (signal.confidence * 10_000.0).round() / 10_000.0,
            price,
            volume,
            origin: Origin::Agent(signal.agent.clone()),
            at: now,
        };
        draft.carry_out(&decision, quantity, self.bot.capital, self.bot.exposure_max);
        let entries = draft.finish();
        let has_order = entries.iter().any(|entry| matches!(entry, Entry::Account { .. }));
        if has_order { Ok(entries) } else { Err("there is no money left for it".to_owned()) }
    }

    fn usual_quantity(&self, draft: &Draft<'_>) -> Option<rust_decimal::Decimal> {
        self.bot.capital.checked_mul(self.bot.execution.entry_share)?.checked_div(draft.seen().0)
    }
}
