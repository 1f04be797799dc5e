//! The account of a session: orders, fills, positions and cash, put together from events. Pure: no clock, no store.
//!
//! An account is what its events make of it, and an event that breaks a rule changes nothing. So whoever has the events has the
//! account to the last digit. Numbers are exact: where a sum or product has more digits than a [`Decimal`] holds, the event is
//! refused. The one division is the share of a position's cost that goes with a part of it; it is rounded once, to
//! [`SHARE_PLACES`] places, and the rest is what remains, so that nothing is lost between the two. Therefore, always and exactly:
//!
//! ```text
//! cash + positions at their marks = capital + realized + unrealized − fees
//! ```

mod event;
mod order;
mod position;

pub use event::{Event, Fill, NewOrder};
pub use order::{Order, OrderStatus, Side};
pub use position::Position;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use tickwire_protocol::UserId;

use crate::{Figures, Instrument, OpenPosition, SessionId, exact};

/// Orders that may be open at once.
pub const ORDERS_OPEN_MAX: usize = 64;
/// Places to which the cost of a part of a position is rounded.
pub const SHARE_PLACES: u32 = 8;
/// Places of an entry price as it is shown; the account itself keeps the cost.
const SHOWN_PLACES: u32 = 8;

/// Why an event cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Orders are numbered 1, 2, 3, …
    #[error("order {number} does not follow order {last}")]
    OrderNumber {
        /// The event's.
        number: u64,
        /// The account's newest.
        last: u64,
    },
    /// Fills are numbered likewise: one that comes again is no other fill.
    #[error("fill {number} does not follow fill {last}")]
    FillNumber {
        /// The event's.
        number: u64,
        /// The account's newest.
        last: u64,
    },
    /// There is no such open order.
    #[error("order {0} is not open")]
    NotOpen(u64),
    /// More than the order asks for, at a price worse than its limit, or nothing.
    #[error("the fill is outside its order")]
    OutsideOrder,
    /// A quantity or price of zero or less, or a fee below zero.
    #[error("a number is out of its bounds")]
    OutOfBounds,
    /// [`ORDERS_OPEN_MAX`] are open.
    #[error("64 orders are open")]
    TooManyOrders,
    /// A result has more digits than can be kept.
    #[error("the result has more than 28 digits")]
    Inexact,
}

/// A session's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    session_id: SessionId,
    user_id: UserId,
    capital: Decimal,
    cash: Decimal,
    realized: Decimal,
    fees: Decimal,
    positions: BTreeMap<Instrument, Position>,
    open: BTreeMap<u64, Order>,
    orders: u64,
    fills: u64,
}

impl Account {
    /// With `capital` and nothing else.
    pub fn new(session_id: SessionId, user_id: UserId, capital: Decimal) -> Self {
        Self {
            session_id,
            user_id,
            capital: capital.normalize(),
            cash: capital.normalize(),
            realized: Decimal::ZERO,
            fees: Decimal::ZERO,
            positions: BTreeMap::new(),
            open: BTreeMap::new(),
            orders: 0,
            fills: 0,
        }
    }

    /// Takes the next event. For an order that changed, the answer is the order as it is now.
    pub fn apply(&mut self, event: &Event) -> Result<Order, AccountError> {
        match event {
            Event::Placed(order) => self.place(order),
            Event::Filled(fill) => self.fill(fill),
            Event::Cancelled { order, at, .. } => {
                let mut order = self.open.remove(order).ok_or(AccountError::NotOpen(*order))?;
                order.cancel(*at);
                Ok(order)
            }
        }
    }

    fn place(&mut self, new: &NewOrder) -> Result<Order, AccountError> {
        if new.number != self.orders + 1 {
            return Err(AccountError::OrderNumber { number: new.number, last: self.orders });
        }
        let is_positive = |number: Decimal| number > Decimal::ZERO;
        if !is_positive(new.quantity) || !new.limit.is_none_or(is_positive) {
            return Err(AccountError::OutOfBounds);
        }
        if self.open.len() == ORDERS_OPEN_MAX {
            return Err(AccountError::TooManyOrders);
        }
        let order = Order::new(new);
        self.orders = new.number;
        self.open.insert(new.number, order.clone());
        Ok(order)
    }

    fn fill(&mut self, fill: &Fill) -> Result<Order, AccountError> {
        if fill.number != self.fills + 1 {
            return Err(AccountError::FillNumber { number: fill.number, last: self.fills });
        }
        if fill.quantity <= Decimal::ZERO || fill.price <= Decimal::ZERO || fill.fee < Decimal::ZERO {
            return Err(AccountError::OutOfBounds);
        }
        let order = self.open.get(&fill.order).ok_or(AccountError::NotOpen(fill.order))?.filled(fill)?;
        let signed = order.side.signed(fill.quantity);
        // Everything is worked out before anything is changed.
        let value = exact::mul(fill.price, signed).ok_or(AccountError::Inexact)?;
        let cash = exact::sub(self.cash, value).and_then(|cash| exact::sub(cash, fill.fee));
        let fees = exact::add(self.fees, fill.fee);
        let mut position = self.positions.get(&order.symbol).cloned().unwrap_or_default();
        let gained = position.trade(signed, fill.price, fill.at).ok_or(AccountError::Inexact)?;
        let realized = exact::add(self.realized, gained);
        let (Some(cash), Some(fees), Some(realized)) = (cash, fees, realized) else {
            return Err(AccountError::Inexact);
        };
        (self.cash, self.fees, self.realized) = (cash, fees, realized);
        self.fills = fill.number;
        self.positions.insert(order.symbol.clone(), position);
        if order.status.is_over() {
            self.open.remove(&fill.order);
        } else {
            self.open.insert(fill.order, order.clone());
        }
        Ok(order)
    }

    /// Values the position in `symbol` at `price` from now on. A price is no event: the newest one is asked for again.
    pub fn mark(&mut self, symbol: &Instrument, price: Decimal) {
        if let Some(position) = self.positions.get_mut(symbol) {
            position.mark(price);
        }
    }

    /// Absolute figures; `None` where they cannot be exact.
    pub fn figures(&self, version: u64, marked_at: Option<u64>) -> Option<Figures> {
        let (mut unrealized, mut exposure, mut worth) = (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
        let mut positions = Vec::new();
        for (symbol, position) in self.positions.iter().filter(|(_, position)| position.is_open()) {
            let value = position.value()?;
            let gain = exact::sub(value, position.cost())?;
            unrealized = exact::add(unrealized, gain)?;
            exposure = exact::add(exposure, value.abs())?;
            worth = exact::add(worth, value)?;
            positions.push(OpenPosition {
                symbol: symbol.clone(),
                quantity: position.quantity(),
                entry_price: position.entry_price().round_dp(SHOWN_PLACES).normalize(),
                mark_price: position.mark_price(),
                unrealized_pnl: gain,
                realized_pnl: position.realized(),
            });
        }
        Some(Figures {
            session_id: self.session_id.clone(),
            user_id: self.user_id.clone(),
            version,
            cash: self.cash,
            realized_pnl: self.realized,
            unrealized_pnl: unrealized,
            fees: self.fees,
            equity: exact::add(self.cash, worth)?,
            exposure,
            trades: self.fills,
            open_orders: u32::try_from(self.open.len()).unwrap_or(u32::MAX),
            positions,
            marked_at,
            session_version: None,
        })
    }

    /// Whose session.
    pub fn session_id(&self) -> &SessionId {
        &self.session_id
    }

    /// Whose money.
    pub fn user_id(&self) -> &UserId {
        &self.user_id
    }

    /// Money at the start.
    pub fn capital(&self) -> Decimal {
        self.capital
    }

    /// Money that is in no position.
    pub fn cash(&self) -> Decimal {
        self.cash
    }

    /// Gained or lost by what was closed, before fees.
    pub fn realized(&self) -> Decimal {
        self.realized
    }

    /// Paid so far.
    pub fn fees(&self) -> Decimal {
        self.fees
    }

    /// The position in `symbol`, if there was ever one.
    pub fn position(&self, symbol: &Instrument) -> Option<&Position> {
        self.positions.get(symbol)
    }

    /// Every position that there was, by instrument; closed ones have a quantity of zero.
    pub fn positions(&self) -> impl Iterator<Item = (&Instrument, &Position)> {
        self.positions.iter()
    }

    /// Open orders, oldest first.
    pub fn open_orders(&self) -> impl Iterator<Item = &Order> {
        self.open.values()
    }

    /// Orders so far: the number of the newest.
    pub fn orders(&self) -> u64 {
        self.orders
    }

    /// Fills so far: the number of the newest.
    pub fn fills(&self) -> u64 {
        self.fills
    }

    /// Whether nothing is left to close or to cancel.
    pub fn is_flat(&self) -> bool {
        self.open.is_empty() && self.positions.values().all(|position| !position.is_open())
    }
}

#[cfg(test)]
mod tests;
