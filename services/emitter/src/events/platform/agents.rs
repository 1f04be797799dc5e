//! Agents: what they propose and how they do.

use serde::{Deserialize, Serialize};
use tickwire_protocol::UserId;
use utoipa::ToSchema;

use super::{Audience, PlatformData};
use crate::value::{Object, Positive, Ratio, Segment, Symbol, Text};

/// What an agent would do.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TradingSignal {
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = String)]
    agent_id: Segment,
    #[schema(value_type = String)]
    symbol: Symbol,
    action: Action,
    /// 0 to 1.
    #[schema(value_type = f64, minimum = 0)]
    confidence: Ratio,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    quantity: Option<Positive>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reasoning: Option<Text>,
}

/// What to do.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    Buy,
    Sell,
    Hold,
    ClosePosition,
}

/// How an agent does, in its own figures.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AgentMetrics {
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = String)]
    agent_id: Segment,
    #[schema(value_type = Object)]
    metrics: Object,
}

impl PlatformData for TradingSignal {
    fn audience(&self) -> Audience<'_> {
        Audience::User(&self.user_id)
    }
}

impl PlatformData for AgentMetrics {
    fn audience(&self) -> Audience<'_> {
        Audience::User(&self.user_id)
    }
}
