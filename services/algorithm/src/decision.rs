//! What a bot decided, and why.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tickwire_trading::{Instrument, session::Name};

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Open or add to a long position.
    Buy,
    /// Open or add to a short position.
    Sell,
    /// Nothing.
    Hold,
    /// Give up what is held.
    ClosePosition,
}

impl Action {
    /// As the wire writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
            Self::Hold => "hold",
            Self::ClosePosition => "close_position",
        }
    }
}

/// Who decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The strategy.
    Strategy,
    /// The position lost as much as it may.
    StopLoss,
    /// The position gained as much as was wanted.
    TakeProfit,
    /// The position was held as long as it may be.
    HoldTime,
    /// The session is over, or somebody asked for everything to be closed.
    Session,
    /// An agent outside.
    Agent(Name),
}

/// A decision with what it saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// About what.
    pub symbol: Instrument,
    /// What is to be done.
    pub action: Action,
    /// For people.
    pub reasoning: String,
    /// 0 to 1, four places.
    pub confidence: f64,
    /// The price it saw.
    pub price: Decimal,
    /// Base volume of 24 hours that it saw; 0 where the venue does not say.
    pub volume: Decimal,
    /// Who decided.
    pub origin: Origin,
    /// When, milliseconds since the Unix epoch.
    pub at: u64,
}
