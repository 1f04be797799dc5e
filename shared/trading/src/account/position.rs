//! A position and what it cost.

use rust_decimal::Decimal;

use super::SHARE_PLACES;
use crate::exact;

/// What is held of an instrument. The cost is kept rather than the average price, which a division would round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// Negative if short.
    quantity: Decimal,
    /// Paid for it; of a short one what it brought, negative.
    cost: Decimal,
    /// Gained or lost by what was closed.
    realized: Decimal,
    mark: Option<Decimal>,
    opened_at: u64,
}

impl Position {
    /// Trades `signed` at `price` and answers what was gained by what that closed. `None`: it cannot be exact; then the position
    /// is not to be used.
    pub(super) fn trade(&mut self, signed: Decimal, price: Decimal, at: u64) -> Option<Decimal> {
        self.mark.get_or_insert(price);
        let is_closing = self.is_open() && self.quantity.is_sign_positive() != signed.is_sign_positive();
        let closing = if is_closing { signed.abs().min(self.quantity.abs()) } else { Decimal::ZERO };
        let gained = if is_closing { self.close(closing, price)? } else { Decimal::ZERO };
        let opening = exact::sub(signed.abs(), closing)?;
        if !opening.is_zero() {
            if !self.is_open() {
                self.opened_at = at;
            }
            let opening = if signed.is_sign_positive() { opening } else { -opening };
            self.quantity = exact::add(self.quantity, opening)?;
            self.cost = exact::add(self.cost, exact::mul(opening, price)?)?;
        }
        Some(gained)
    }

    fn close(&mut self, closing: Decimal, price: Decimal) -> Option<Decimal> {
        let direction = self.direction();
        let share = if closing == self.quantity.abs() {
            self.cost
        } else {
            // The only division of an account: how it is rounded does not matter, as the rest stays behind.
            let part = closing.checked_div(self.quantity.abs())?;
            self.cost.checked_mul(part)?.round_dp(SHARE_PLACES).normalize()
        };
        let brought = exact::mul(price, closing)? * direction;
        let gained = exact::sub(brought, share)?;
        self.quantity = exact::sub(self.quantity, closing * direction)?;
        self.cost = exact::sub(self.cost, share)?;
        self.realized = exact::add(self.realized, gained)?;
        Some(gained)
    }

    /// 1 if long, −1 if short.
    fn direction(&self) -> Decimal {
        if self.quantity.is_sign_negative() { Decimal::NEGATIVE_ONE } else { Decimal::ONE }
    }

    pub(super) fn mark(&mut self, price: Decimal) {
        self.mark = Some(price.normalize());
    }

    /// Whether anything is held.
    pub fn is_open(&self) -> bool {
        !self.quantity.is_zero()
    }

    /// Negative if short.
    pub fn quantity(&self) -> Decimal {
        self.quantity
    }

    /// Paid for it; of a short one what it brought, negative.
    pub fn cost(&self) -> Decimal {
        self.cost
    }

    /// Gained or lost by what was closed, before fees.
    pub fn realized(&self) -> Decimal {
        self.realized
    }

    /// What it cost on average; a division, for show and for exits.
    pub fn entry_price(&self) -> Decimal {
        self.cost.checked_div(self.quantity).unwrap_or(Decimal::ZERO)
    }

    /// The price that it is valued at: the newest, before any the first fill's.
    pub fn mark_price(&self) -> Decimal {
        self.mark.unwrap_or(Decimal::ZERO)
    }

    /// What it is worth at its mark, negative if short; `None` where that cannot be exact.
    pub fn value(&self) -> Option<Decimal> {
        exact::mul(self.quantity, self.mark_price())
    }

    /// Gained or lost by what is open, at its mark.
    pub fn unrealized(&self) -> Option<Decimal> {
        exact::sub(self.value()?, self.cost)
    }

    /// When it was opened from nothing, milliseconds since the Unix epoch.
    pub fn opened_at(&self) -> u64 {
        self.opened_at
    }
}
