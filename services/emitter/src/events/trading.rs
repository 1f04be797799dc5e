//! Orders, trades, positions, strategies.

use serde::{Deserialize, Serialize};
use tickwire_protocol::{RawJson, UserId};
use utoipa::ToSchema;

use super::{Event, InvalidEvent, Message, Side, Stamp, common_fields, session::session_channel};
use crate::value::{Amount, Object, Positive, Segment, Symbol, Text, Unsigned};

/// A trade was made.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TradeExecuted {
    #[schema(value_type = String)]
    trade_id: Segment,
    #[schema(value_type = String)]
    session_id: Segment,
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = String)]
    symbol: Symbol,
    side: Side,
    #[schema(value_type = String)]
    quantity: Positive,
    #[schema(value_type = String)]
    price: Unsigned,
    /// Negative for a rebate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    fee: Option<Amount>,
    #[serde(skip_serializing)]
    timestamp: Option<u64>,
    #[serde(skip_serializing)]
    idempotency_key: Option<String>,
}

/// An order changed.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OrderUpdate {
    #[schema(value_type = String)]
    order_id: Segment,
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = String)]
    symbol: Symbol,
    /// As the venue says: `open`, `filled`, …
    #[schema(value_type = String)]
    status: Text,
    side: Side,
    #[schema(value_type = String)]
    quantity: Unsigned,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    price: Option<Unsigned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    filled_quantity: Option<Unsigned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    strategy_id: Option<Segment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    session_id: Option<Segment>,
    #[serde(skip_serializing)]
    timestamp: Option<u64>,
    #[serde(skip_serializing)]
    idempotency_key: Option<String>,
}

/// A position changed.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PositionUpdate {
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = String)]
    symbol: Symbol,
    /// Negative when short.
    #[schema(value_type = String)]
    quantity: Amount,
    #[schema(value_type = String)]
    entry_price: Unsigned,
    #[schema(value_type = String)]
    mark_price: Unsigned,
    #[serde(rename = "unrealizedPnL")]
    #[schema(value_type = String)]
    unrealized_pnl: Amount,
    #[serde(rename = "realizedPnL")]
    #[schema(value_type = String)]
    realized_pnl: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    risk_metrics: Option<Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    session_id: Option<Segment>,
    #[serde(skip_serializing)]
    timestamp: Option<u64>,
    #[serde(skip_serializing)]
    idempotency_key: Option<String>,
}

/// A strategy changed; `userId` becomes the owner of `strategy:{strategyId}`.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StrategyUpdate {
    #[schema(value_type = String)]
    strategy_id: Segment,
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = String)]
    status: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    metrics: Option<Object>,
    /// What happened, any JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    event: Option<RawJson>,
    #[serde(skip_serializing)]
    timestamp: Option<u64>,
    #[serde(skip_serializing)]
    idempotency_key: Option<String>,
}

impl Event for TradeExecuted {
    const KIND: &'static str = "trade-executed";
    const SUMMARY: &'static str = "A trade was made: to session:{sessionId} and user:{userId}:orders";
    common_fields!();

    fn messages(&self, stamp: &Stamp) -> Result<Vec<Message>, InvalidEvent> {
        let data = stamp.data("trade_executed", self)?;
        Ok(vec![
            Message::new(&session_channel(&self.session_id), data.clone())?,
            Message::new(&format!("user:{}:orders", self.user_id), data)?,
        ])
    }
}

impl Event for OrderUpdate {
    const KIND: &'static str = "order-update";
    const SUMMARY: &'static str =
        "An order changed: to user:{userId}:orders, orders and, with a strategyId, strategy:{strategyId}:orders";
    common_fields!();

    fn messages(&self, stamp: &Stamp) -> Result<Vec<Message>, InvalidEvent> {
        let data = stamp.data("order_update", self)?;
        let mut messages = vec![
            Message::new(&format!("user:{}:orders", self.user_id), data.clone())?,
            Message::new("orders", data.clone())?,
        ];
        if let Some(strategy) = &self.strategy_id {
            messages.push(Message::new(&format!("strategy:{}:orders", strategy.as_str()), data)?);
        }
        Ok(messages)
    }
}

impl Event for PositionUpdate {
    const KIND: &'static str = "position-update";
    const SUMMARY: &'static str = "A position changed: to user:{userId}:positions and positions";
    common_fields!();

    fn messages(&self, stamp: &Stamp) -> Result<Vec<Message>, InvalidEvent> {
        let data = stamp.data("position_update", self)?;
        Ok(vec![
            Message::new(&format!("user:{}:positions", self.user_id), data.clone())?,
            Message::new("positions", data)?,
        ])
    }
}

impl Event for StrategyUpdate {
    const KIND: &'static str = "strategy-update";
    const SUMMARY: &'static str =
        "A strategy changed: to strategy:{strategyId}, whose owner userId becomes, and strategies";
    common_fields!();

    fn messages(&self, stamp: &Stamp) -> Result<Vec<Message>, InvalidEvent> {
        let data = stamp.data("strategy_update", self)?;
        Ok(vec![
            Message::new(&format!("strategy:{}", self.strategy_id.as_str()), data.clone())?.owned_by(&self.user_id),
            Message::new("strategies", data)?,
        ])
    }
}
