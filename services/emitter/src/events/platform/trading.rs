//! Orders and positions of the wider platform's own trading.

use serde::{Deserialize, Serialize};
use tickwire_protocol::UserId;
use utoipa::ToSchema;

use super::{Audience, PlatformData};
use crate::{
    events::Side,
    value::{Amount, Positive, Segment, Symbol, Text, Unsigned},
};

/// An order was filled whole.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OrderFilled {
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = String)]
    order_id: Segment,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    venue: Option<Text>,
}

/// An order was cancelled.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OrderCancelled {
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = String)]
    order_id: Segment,
    #[schema(value_type = String)]
    symbol: Symbol,
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    quantity: Option<Unsigned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    filled_quantity: Option<Unsigned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<Text>,
}

/// A position was opened.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PositionOpened {
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = String)]
    position_id: Segment,
    #[schema(value_type = String)]
    symbol: Symbol,
    /// Negative when short.
    #[schema(value_type = String)]
    quantity: Amount,
    #[schema(value_type = String)]
    entry_price: Unsigned,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    leverage: Option<Positive>,
}

impl PlatformData for OrderFilled {
    fn audience(&self) -> Audience<'_> {
        Audience::User(&self.user_id)
    }
}

impl PlatformData for OrderCancelled {
    fn audience(&self) -> Audience<'_> {
        Audience::User(&self.user_id)
    }
}

impl PlatformData for PositionOpened {
    fn audience(&self) -> Audience<'_> {
        Audience::User(&self.user_id)
    }
}
