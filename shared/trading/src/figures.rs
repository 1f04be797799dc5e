//! What an account is worth at a moment: what `trading:accounts` carries.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tickwire_protocol::UserId;

use crate::{Instrument, Session, SessionId};

/// An account's absolute figures. Money is in the quote currency of the session's instruments.
///
/// ```json
/// {"sessionId":"s1","userId":"7","version":12,"cash":"9000.00","realizedPnL":"-4.00","unrealizedPnL":"1.50","fees":"0.90",
///  "equity":"9996.60","exposure":"1001.50","trades":3,"openOrders":0,"positions":[{"symbol":"binance:BTC/USDT","quantity":"0.01",
///  "entryPrice":"100000","markPrice":"100150","unrealizedPnL":"1.50","realizedPnL":"-4.00"}],"markedAt":1795238400000}
/// ```
///
/// `equity` = start + `realizedPnL` + `unrealizedPnL` − `fees`, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Whose bot.
    pub session_id: SessionId,
    /// Whose session.
    pub user_id: UserId,
    /// Grows with every change, of orders and of prices alike.
    pub version: u64,
    /// Money that is in no position.
    pub cash: Decimal,
    /// Of what was closed, before fees.
    #[serde(rename = "realizedPnL")]
    pub realized_pnl: Decimal,
    /// Of what is open, at `markPrice`.
    #[serde(rename = "unrealizedPnL")]
    pub unrealized_pnl: Decimal,
    /// Paid so far, of zero or more.
    pub fees: Decimal,
    /// Cash and positions at their marks.
    pub equity: Decimal,
    /// Sum of the positions' absolute values.
    pub exposure: Decimal,
    /// Fills so far.
    pub trades: u64,
    /// Orders that may still be filled.
    pub open_orders: u32,
    /// Open ones, by instrument.
    pub positions: Vec<OpenPosition>,
    /// When the newest price was seen, milliseconds since the Unix epoch; none while no price has been seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marked_at: Option<u64>,
    /// The newest version of the session's record that the bot acts by. Figures that are flat under the version with which the session
    /// ended are its last: nothing is opened after them. None where there is no bot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_version: Option<u64>,
}

/// A position of [`Figures`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenPosition {
    /// In what.
    pub symbol: Instrument,
    /// Negative if short.
    pub quantity: Decimal,
    /// What it cost on average.
    pub entry_price: Decimal,
    /// The newest price it was valued at.
    pub mark_price: Decimal,
    /// At that price.
    #[serde(rename = "unrealizedPnL")]
    pub unrealized_pnl: Decimal,
    /// Of what was closed in this instrument, before fees.
    #[serde(rename = "realizedPnL")]
    pub realized_pnl: Decimal,
}

impl Figures {
    /// What the session has gained or lost, fees included.
    pub fn pnl(&self) -> Decimal {
        self.realized_pnl + self.unrealized_pnl - self.fees
    }

    /// The share of `loss_limit` that is lost: 0 while nothing is, 1 at the limit and more beyond it. Four digits, rounded down, so
    /// that 1 means that the limit is reached.
    pub fn loss_utilization(&self, loss_limit: Decimal) -> Decimal {
        let loss = -self.pnl().min(Decimal::ZERO);
        let share = loss.checked_div(loss_limit).unwrap_or(Decimal::MAX);
        share.round_dp_with_strategy(4, rust_decimal::RoundingStrategy::ToZero).normalize()
    }

    /// Whether they are the last of `session`, which is over: nothing is open, and its bot knows that it is.
    pub fn are_last_of(&self, session: &Session) -> bool {
        self.is_flat() && session.status.is_over() && self.session_version >= Some(session.version)
    }

    /// Whether nothing is left to close or to cancel.
    pub fn is_flat(&self) -> bool {
        self.open_orders == 0 && self.positions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(amount: &str) -> Figures {
        let zero = Decimal::ZERO;
        Figures {
            session_id: SessionId::new("s1").unwrap(),
            user_id: UserId::new("7").unwrap(),
            version: 1,
            cash: zero,
            realized_pnl: -amount.parse::<Decimal>().unwrap(),
            unrealized_pnl: zero,
            fees: zero,
            equity: zero,
            exposure: zero,
            trades: 0,
            open_orders: 0,
            positions: Vec::new(),
            marked_at: None,
            session_version: None,
        }
    }

    #[test]
    fn the_limit_counts_as_used_only_when_it_is_reached() {
        let limit = Decimal::from(1_000);
        assert_eq!(lost("-5").loss_utilization(limit), Decimal::ZERO);
        assert_eq!(lost("999.99999").loss_utilization(limit).to_string(), "0.9999");
        assert_eq!(lost("1000").loss_utilization(limit), Decimal::ONE);
        assert_eq!(lost("1500").loss_utilization(limit).to_string(), "1.5");
    }

    #[test]
    fn money_is_text_on_the_wire() {
        let json = serde_json::to_value(lost("4.00")).unwrap();
        assert_eq!(json["realizedPnL"], "-4.00");
        assert_eq!(serde_json::from_value::<Figures>(json).unwrap(), lost("4.00"));
    }

    #[test]
    fn flat_figures_are_the_last_only_of_a_bot_that_knows_that_its_session_is_over() {
        let record = |status: &str, version: u64| -> Session {
            let json = serde_json::json!({
                "sessionId": "s1", "userId": "7", "algorithmId": "a", "parameters": {}, "symbols": ["binance:BTC/USDT"],
                "capital": "1", "limits": {"lossLimit": "1"}, "status": status, "createdAt": 1, "updatedAt": 1, "version": version,
            });
            serde_json::from_value(json).unwrap()
        };
        let over = record("completed", 5);
        assert!(!lost("4").are_last_of(&over), "no bot");
        let known = |version| Figures { session_version: Some(version), ..lost("4") };
        assert!(!known(4).are_last_of(&over), "it may have traded since");
        assert!(known(5).are_last_of(&over));
        assert!(!known(5).are_last_of(&record("active", 5)));
        assert!(!Figures { open_orders: 1, ..known(5) }.are_last_of(&over));
    }
}
