//! What is watched. Each rule is a file with one pure function: facts in, readings out. Levels, hysteresis and alerts are the same for
//! all (`level.rs`, `watch.rs`).

mod correlation;
mod exposure;
mod loss_limit;
mod stale_data;
mod time_limit;
mod volatility;

use rust_decimal::{Decimal, RoundingStrategy, prelude::FromPrimitive};
use serde::{Deserialize, Serialize};
use tickwire_trading::{Figures, Session};
use utoipa::ToSchema;

use crate::{
    level::Rungs,
    market::Market,
    thresholds::{Levels, Thresholds},
};

/// A rule's name. The first four are `alertType` on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is described by its rule's file")]
pub enum Kind {
    LossLimit,
    TimeLimit,
    Volatility,
    Correlation,
    StaleMarketData,
    Exposure,
}

impl Kind {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LossLimit => "loss_limit",
            Self::TimeLimit => "time_limit",
            Self::Volatility => "volatility",
            Self::Correlation => "correlation",
            Self::StaleMarketData => "stale_market_data",
            Self::Exposure => "exposure",
        }
    }

    /// Whether it comes from the market, which moves many things at once: such alerts wait a little for others of their kind.
    pub(crate) const fn is_of_the_market(self) -> bool {
        matches!(self, Self::Volatility | Self::Correlation | Self::StaleMarketData)
    }
}

/// What is known of a session at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) session: &'a Session,
    /// Absent until its account has said something.
    pub(crate) figures: Option<&'a Figures>,
    pub(crate) market: &'a Market,
    pub(crate) thresholds: &'a Thresholds,
    pub(crate) now_ms: u64,
}

/// One value of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) kind: Kind,
    /// An instrument, where a rule has a reading for each; else empty.
    pub(crate) subject: String,
    /// What is compared with the rungs.
    pub(crate) value: Decimal,
    pub(crate) rungs: Rungs,
    /// What people are shown: the value, and what it must not reach.
    pub(crate) current: String,
    pub(crate) limit: String,
    /// What it is about, as the beginning of a sentence.
    pub(crate) text: String,
}

/// All readings of an active session.
pub(crate) fn readings(facts: &Facts<'_>) -> Vec<Reading> {
    let mut readings = Vec::new();
    readings.extend(loss_limit::reading(facts));
    readings.extend(time_limit::reading(facts));
    readings.extend(exposure::reading(facts));
    readings.extend(correlation::reading(facts));
    readings.extend(volatility::readings(facts));
    readings.extend(stale_data::readings(facts));
    readings
}

impl Levels {
    /// Without an emergency.
    const fn rungs(self) -> Rungs {
        Rungs { warning: self.warning, critical: self.critical, emergency: None }
    }

    /// Shares of a limit that stops the session.
    const fn rungs_of_a_limit(self) -> Rungs {
        Rungs { emergency: Some(Decimal::ONE), ..self.rungs() }
    }
}

/// A statistic for comparison and display. Values that are no numbers are none.
fn statistic(value: f64, digits: u32) -> Option<Decimal> {
    Some(Decimal::from_f64(value)?.round_dp(digits))
}

/// A share in per cent, one digit, never rounded up to a line that is not reached.
fn percent(share: Decimal) -> String {
    let percent = share.checked_mul(Decimal::ONE_HUNDRED).unwrap_or(Decimal::MAX);
    format!("{} %", percent.round_dp_with_strategy(1, RoundingStrategy::ToZero).normalize())
}

#[cfg(test)]
pub(crate) mod testing {
    //! A session and its account for tests.

    use tickwire_protocol::UserId;
    use tickwire_trading::{Instrument, OpenPosition, Session, SessionId, session::NewSession};

    use super::*;

    pub(crate) fn instrument(base: &str) -> Instrument {
        Instrument::new(&format!("binance:{base}/USDT")).unwrap()
    }

    /// Active since 0, with a loss limit of 1000 and a time limit of 100 s.
    pub(crate) fn session(id: &str) -> Session {
        let new: NewSession = serde_json::from_value(serde_json::json!({
            "algorithmId": "momentum", "symbols": ["binance:BTC/USDT", "binance:ETH/USDT"], "capital": "10000",
            "limits": {"lossLimit": "1000", "timeLimitMs": 100_000},
        }))
        .unwrap();
        let session = Session::created(SessionId::new(id).unwrap(), UserId::new("7").unwrap(), new, 0);
        session.apply(&tickwire_trading::session::Event::Started, 0)
    }

    /// Lost so much, holding so much of each of BTC and ETH at 100.
    pub(crate) fn figures(id: &str, lost: Decimal, quantity: Decimal) -> Figures {
        let position = |base| OpenPosition {
            symbol: instrument(base),
            quantity,
            entry_price: Decimal::ONE_HUNDRED,
            mark_price: Decimal::ONE_HUNDRED,
            unrealized_pnl: Decimal::ZERO,
            realized_pnl: Decimal::ZERO,
        };
        let positions: Vec<OpenPosition> =
            if quantity.is_zero() { Vec::new() } else { vec![position("BTC"), position("ETH")] };
        let equity = Decimal::from(10_000) - lost;
        Figures {
            session_id: SessionId::new(id).unwrap(),
            user_id: UserId::new("7").unwrap(),
            version: 1,
            cash: equity,
            realized_pnl: -lost,
            unrealized_pnl: Decimal::ZERO,
            fees: Decimal::ZERO,
            equity,
            exposure: quantity.abs() * Decimal::from(200),
            trades: 2,
            open_orders: 0,
            positions,
            marked_at: None,
            session_version: None,
        }
    }
}
