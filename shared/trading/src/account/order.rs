//! An order and where it stands.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{AccountError, Fill, NewOrder};
use crate::{Instrument, SessionId, exact};

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// More of it.
    Buy,
    /// Less of it.
    Sell,
}

impl Side {
    /// `quantity` as a change of a position.
    pub fn signed(self, quantity: Decimal) -> Decimal {
        match self {
            Self::Buy => quantity,
            Self::Sell => -quantity,
        }
    }

    /// The other one.
    #[must_use]
    pub const fn inverse(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// As the wire writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Nothing of it is traded.
    New,
    /// Some of it is.
    PartiallyFilled,
    /// All of it is.
    Filled,
    /// What was left will not be.
    Cancelled,
}

impl OrderStatus {
    /// Whether nothing can happen to it any more.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Filled | Self::Cancelled)
    }

    /// As the wire writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::PartiallyFilled => "partially_filled",
            Self::Filled => "filled",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// 1, 2, 3, … in the account.
    pub number: u64,
    /// What.
    pub symbol: Instrument,
    /// Which way.
    pub side: Side,
    /// How much was asked for.
    pub quantity: Decimal,
    /// No worse price than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Decimal>,
    /// How much is traded.
    pub filled_quantity: Decimal,
    /// What that came to, without fees.
    pub filled_value: Decimal,
    /// Where it stands.
    pub status: OrderStatus,
    /// When what is left of it is cancelled, milliseconds since the Unix epoch.
    pub expires_at: u64,
    /// When it was placed, likewise.
    pub placed_at: u64,
    /// When it last changed.
    pub updated_at: u64,
}

impl Order {
    pub(super) fn new(new: &NewOrder) -> Self {
        Self {
            number: new.number,
            symbol: new.symbol.clone(),
            side: new.side,
            quantity: new.quantity.normalize(),
            limit: new.limit.map(|limit| limit.normalize()),
            filled_quantity: Decimal::ZERO,
            filled_value: Decimal::ZERO,
            status: OrderStatus::New,
            expires_at: new.expires_at,
            placed_at: new.at,
            updated_at: new.at,
        }
    }

    /// Its id outside of its account.
    pub fn id(&self, session: &SessionId) -> String {
        format!("{session}-o{}", self.number)
    }

    /// What is still to be traded.
    pub fn rest(&self) -> Decimal {
        self.quantity - self.filled_quantity
    }

    /// Whether `price` is no worse than its limit.
    pub fn accepts(&self, price: Decimal) -> bool {
        self.limit.is_none_or(|limit| match self.side {
            Side::Buy => price <= limit,
            Side::Sell => price >= limit,
        })
    }

    /// The average price so far; rounded, for show.
    pub fn average_price(&self) -> Option<Decimal> {
        Some(self.filled_value.checked_div(self.filled_quantity)?.round_dp(8).normalize())
    }

    pub(super) fn filled(&self, fill: &Fill) -> Result<Self, AccountError> {
        let filled_quantity = exact::add(self.filled_quantity, fill.quantity).ok_or(AccountError::Inexact)?;
        if filled_quantity > self.quantity || !self.accepts(fill.price) {
            return Err(AccountError::OutsideOrder);
        }
        let value = exact::mul(fill.price, fill.quantity).ok_or(AccountError::Inexact)?;
        let filled_value = exact::add(self.filled_value, value).ok_or(AccountError::Inexact)?;
        let is_whole = filled_quantity == self.quantity;
        let status = if is_whole { OrderStatus::Filled } else { OrderStatus::PartiallyFilled };
        Ok(Self { filled_quantity, filled_value, status, updated_at: fill.at, ..self.clone() })
    }

    pub(super) fn cancel(&mut self, at: u64) {
        self.status = OrderStatus::Cancelled;
        self.updated_at = at;
    }
}
