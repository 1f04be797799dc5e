//! What happens to an account.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::Side;
use crate::Instrument;

/// What happened to an account after it was opened. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// An order stands.
    Placed(NewOrder),
    /// A part of an order, or all of it, was traded.
    Filled(Fill),
    /// What is left of an order will not be traded.
    Cancelled {
        /// Its number.
        order: u64,
        /// For people.
        reason: String,
        /// When.
        at: u64,
    },
}

/// An order as it is placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewOrder {
    /// 1, 2, 3, … in the account.
    pub number: u64,
    /// What.
    pub symbol: Instrument,
    /// Which way.
    pub side: Side,
    /// How much, in the base currency.
    pub quantity: Decimal,
    /// No worse price than this; none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Decimal>,
    /// When what is left of it is cancelled.
    pub expires_at: u64,
    /// When.
    pub at: u64,
}

/// A trade of an order at one price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fill {
    /// 1, 2, 3, … in the account, over all orders.
    pub number: u64,
    /// The order's number.
    pub order: u64,
    /// At what price.
    pub price: Decimal,
    /// How much.
    pub quantity: Decimal,
    /// Paid for it, in the quote currency; zero or more.
    pub fee: Decimal,
    /// When.
    pub at: u64,
}
