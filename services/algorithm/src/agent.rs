//! Agents outside: what they may, and what becomes of what they say.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tickwire_trading::{Instrument, session::Name};

use crate::{decision::Action, strategy::InvalidParameters};

/// Longest reasoning of a signal, bytes.
pub const REASONING_BYTES_MAX: usize = 1_000;

/// What happens to a signal that an agent was allowed to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Autonomy {
    /// It is shown.
    Advisory,
    /// It waits for the user's yes.
    Approval,
    /// It is executed.
    Autonomous,
}

/// What an agent may, as the session's owner set it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AgentPolicy {
    /// What happens to its signals.
    pub autonomy: Autonomy,
    /// What it may speak of; none: all that the session trades.
    #[serde(default)]
    pub symbols: Option<Vec<Instrument>>,
    /// What it may ask for; none: everything but `hold`.
    #[serde(default)]
    pub actions: Option<Vec<Action>>,
    /// Greatest quantity of one signal; none: what the session's money allows.
    #[serde(default)]
    pub quantity_max: Option<Decimal>,
    /// How long a signal waits for a yes, milliseconds; 1,000 to 86,400,000.
    #[serde(default = "a_minute")]
    pub approval_ms: u64,
}

const fn a_minute() -> u64 {
    60_000
}

impl AgentPolicy {
    pub(crate) fn check(&self) -> Result<(), InvalidParameters> {
        if !(1_000..=86_400_000).contains(&self.approval_ms) {
            return Err(InvalidParameters::OutOfBounds { field: "agents.approvalMs", reason: "a second to a day" });
        }
        if self.quantity_max.is_some_and(|max| max <= Decimal::ZERO) {
            return Err(InvalidParameters::OutOfBounds { field: "agents.quantityMax", reason: "it is above zero" });
        }
        Ok(())
    }

    /// Whether `signal` is within it; otherwise why not.
    pub fn permits(&self, signal: &Signal) -> Result<(), String> {
        if self.symbols.as_ref().is_some_and(|symbols| !symbols.contains(&signal.symbol)) {
            return Err(format!("the agent may not speak of {}", signal.symbol));
        }
        if self.actions.as_ref().is_some_and(|actions| !actions.contains(&signal.action)) {
            return Err(format!("the agent may not ask for `{}`", signal.action.as_str()));
        }
        match (signal.quantity, self.quantity_max) {
            (Some(quantity), Some(max)) if quantity > max => {
                Err(format!("the agent may ask for at most {}, not for {quantity}", max.normalize()))
            }
            _ => Ok(()),
        }
    }
}

/// What an agent says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Signal {
    /// The agent's own id for it: the same one again is the same signal.
    pub id: Name,
    /// Who.
    pub agent: Name,
    /// About what.
    pub symbol: Instrument,
    /// What to do: `buy`, `sell` or `close_position`.
    pub action: Action,
    /// How much; none: as much as the bot's entries, at most what the agent may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Decimal>,
    /// 0 to 1.
    pub confidence: f64,
    /// For people, at most 1,000 bytes.
    pub reasoning: String,
}

impl Signal {
    /// What is wrong with it whoever gives it.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.action == Action::Hold {
            return Err("`action` is buy, sell or close_position");
        }
        if !(0.0..=1.0).contains(&self.confidence) {
            return Err("`confidence` is a number from 0 to 1");
        }
        if self.quantity.is_some_and(|quantity| quantity <= Decimal::ZERO || quantity.scale() > 8) {
            return Err("`quantity` is above zero and has at most 8 places");
        }
        if self.reasoning.trim().is_empty() || self.reasoning.len() > REASONING_BYTES_MAX {
            return Err("`reasoning` has 1 to 1000 bytes");
        }
        Ok(())
    }
}

/// Where a signal stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SignalState {
    /// Not allowed, or not possible.
    Refused {
        /// For people.
        reason: String,
    },
    /// Shown to the user, nothing more.
    Shown,
    /// Waits for the user's yes.
    Waiting {
        /// Until then, milliseconds since the Unix epoch.
        deadline: u64,
    },
    /// The user said no.
    Declined,
    /// Nobody answered in time.
    Expired,
    /// An order was placed for it.
    Executed,
}

impl SignalState {
    /// As the wire writes it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Shown => "shown",
            Self::Waiting { .. } => "waiting",
            Self::Declined => "declined",
            Self::Expired => "expired",
            Self::Executed => "executed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(action: Action, quantity: Option<i64>) -> Signal {
        Signal {
            id: Name::new("1").unwrap(),
            agent: Name::new("sentinel").unwrap(),
            symbol: Instrument::new("okx:BTC/USDT").unwrap(),
            action,
            quantity: quantity.map(Decimal::from),
            confidence: 0.5,
            reasoning: "because".into(),
        }
    }

    #[test]
    fn an_agent_is_held_to_its_symbols_actions_and_size() {
        let policy = AgentPolicy {
            autonomy: Autonomy::Autonomous,
            symbols: Some(vec![Instrument::new("okx:BTC/USDT").unwrap()]),
            actions: Some(vec![Action::Buy]),
            quantity_max: Some(Decimal::TWO),
            approval_ms: 1_000,
        };
        assert_eq!(policy.permits(&signal(Action::Buy, Some(2))), Ok(()));
        assert!(policy.permits(&signal(Action::Buy, Some(3))).unwrap_err().contains("at most 2"));
        assert!(policy.permits(&signal(Action::Sell, None)).unwrap_err().contains("sell"));
        let other = Signal { symbol: Instrument::new("okx:ETH/USDT").unwrap(), ..signal(Action::Buy, None) };
        assert!(policy.permits(&other).unwrap_err().contains("ETH"));
    }

    #[test]
    fn a_signal_without_sense_is_refused_from_anyone() {
        assert!(signal(Action::Hold, None).check().is_err());
        assert!(signal(Action::Buy, Some(0)).check().is_err());
        assert!(Signal { confidence: f64::NAN, ..signal(Action::Buy, None) }.check().is_err());
        assert!(Signal { reasoning: " ".into(), ..signal(Action::Buy, None) }.check().is_err());
        assert_eq!(signal(Action::Buy, Some(1)).check(), Ok(()));
    }
}
