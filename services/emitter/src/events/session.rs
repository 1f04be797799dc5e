//! Trading sessions and what their algorithms decide.

use serde::{Deserialize, Serialize};
use tickwire_protocol::UserId;
use utoipa::ToSchema;

use super::{Event, InvalidEvent, Message, Stamp, common_fields};
use crate::value::{Amount, Object, Ratio, Segment, Symbol, Text, Unsigned};

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Active,
    Paused,
    Completed,
    Expired,
    EmergencyStopped,
}

/// A session began; `userId` becomes the owner of `session:{sessionId}`.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SessionStarted {
    #[schema(value_type = String)]
    session_id: Segment,
    #[schema(value_type = String)]
    user_id: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    algorithm_id: Option<Segment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    limits: Option<Object>,
    #[serde(skip_serializing)]
    timestamp: Option<u64>,
    #[serde(skip_serializing)]
    idempotency_key: Option<String>,
}

/// How a session stands.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SessionStatus {
    #[schema(value_type = String)]
    session_id: Segment,
    #[schema(value_type = String)]
    user_id: UserId,
    status: Status,
    data: SessionFigures,
    timestamp: Option<u64>,
    idempotency_key: Option<String>,
}

/// The figures of a running session, as many of them as the caller has.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SessionFigures {
    #[serde(rename = "currentPnL", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "-12.50")]
    current_pnl: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_trades: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, minimum = 0)]
    loss_limit_utilization: Option<Ratio>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, minimum = 0)]
    time_elapsed: Option<Ratio>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, minimum = 0)]
    performance_score: Option<Ratio>,
}

/// What `session_status` says: the documented shape, and no more.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusFields<'a, D> {
    pub(super) session_id: &'a Segment,
    pub(super) status: Status,
    pub(super) data: D,
}

/// A session ended as planned.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SessionCompleted {
    #[schema(value_type = String)]
    session_id: Segment,
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = Object)]
    summary: Object,
    #[serde(skip_serializing)]
    timestamp: Option<u64>,
    #[serde(skip_serializing)]
    idempotency_key: Option<String>,
}

/// What an algorithm may decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decision {
    Buy,
    Sell,
    Hold,
    ClosePosition,
}

/// The market as an algorithm saw it.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MarketView {
    #[schema(value_type = String)]
    symbol: Symbol,
    #[schema(value_type = String)]
    price: Unsigned,
    #[schema(value_type = String)]
    volume: Unsigned,
}

/// An algorithm decided.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AlgorithmDecision {
    #[schema(value_type = String)]
    session_id: Segment,
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = String)]
    algorithm_id: Segment,
    decision: Decision,
    #[schema(value_type = String)]
    reasoning: Text,
    #[schema(value_type = f64, minimum = 0, maximum = 1)]
    confidence: Ratio,
    market_data: MarketView,
    #[serde(skip_serializing)]
    timestamp: Option<u64>,
    #[serde(skip_serializing)]
    idempotency_key: Option<String>,
}

pub(super) fn session_channel(session: &Segment) -> String {
    format!("session:{}", session.as_str())
}

fn both(session: &Segment, user: &UserId, data: tickwire_protocol::RawJson) -> Result<[Message; 2], InvalidEvent> {
    Ok([Message::new(&session_channel(session), data.clone())?, Message::new(&format!("sessions:{user}"), data)?])
}

impl Event for SessionStarted {
    const KIND: &'static str = "session-started";
    const SUMMARY: &'static str =
        "A trading session began: to session:{sessionId}, whose owner userId becomes, and sessions:{userId}";
    common_fields!();

    fn messages(&self, stamp: &Stamp) -> Result<Vec<Message>, InvalidEvent> {
        let [session, sessions] = both(&self.session_id, &self.user_id, stamp.data("session_started", self)?)?;
        Ok(vec![session.owned_by(&self.user_id), sessions])
    }
}

impl Event for SessionStatus {
    const KIND: &'static str = "session-status";
    const SUMMARY: &'static str = "How a trading session stands: to session:{sessionId} and sessions:{userId}";
    common_fields!();

    fn messages(&self, stamp: &Stamp) -> Result<Vec<Message>, InvalidEvent> {
        let fields = StatusFields { session_id: &self.session_id, status: self.status, data: &self.data };
        Ok(both(&self.session_id, &self.user_id, stamp.data("session_status", &fields)?)?.into())
    }
}

impl Event for SessionCompleted {
    const KIND: &'static str = "session-completed";
    const SUMMARY: &'static str = "A trading session ended: to session:{sessionId} and sessions:{userId}";
    common_fields!();

    fn messages(&self, stamp: &Stamp) -> Result<Vec<Message>, InvalidEvent> {
        Ok(both(&self.session_id, &self.user_id, stamp.data("session_completed", self)?)?.into())
    }
}

impl Event for AlgorithmDecision {
    const KIND: &'static str = "algorithm-decision";
    const SUMMARY: &'static str = "An algorithm decided: to session:{sessionId}";
    common_fields!();

    fn check(&self) -> Result<(), InvalidEvent> {
        if self.confidence.is_share() {
            Ok(())
        } else {
            Err(InvalidEvent::Field { field: "confidence", reason: "it is a number from 0 to 1" })
        }
    }

    fn messages(&self, stamp: &Stamp) -> Result<Vec<Message>, InvalidEvent> {
        Ok(vec![Message::new(&session_channel(&self.session_id), stamp.data("algorithm_decision", self)?)?])
    }
}
