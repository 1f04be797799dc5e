//! From decisions to orders, and the limits at which positions are closed.

use rust_decimal::Decimal;
use tickwire_trading::account::{NewOrder, Side};

use super::draft::Draft;
use crate::{
    decision::{Action, Decision, Origin},
    entry::Entry,
};

/// Places of an order's limit.
const LIMIT_PLACES: u32 = 8;

impl Draft<'_> {
    /// Says `decision` and places its order; `quantity` in place of the bot's own size. Without money for one it becomes a `hold`.
    pub(super) fn carry_out(
        &mut self,
        decision: &Decision,
        quantity: Option<Decimal>,
        capital: Decimal,
        exposure_max: Decimal,
    ) {
        match decision.action {
            Action::Hold => self.say(Entry::Decided { decision: decision.clone() }),
            Action::ClosePosition => self.close_with(decision.clone()),
            Action::Buy | Action::Sell => {
                let side = if decision.action == Action::Buy { Side::Buy } else { Side::Sell };
                let sized = self.entry_size(side, quantity, capital, exposure_max);
                if let Some((quantity, limit)) = sized {
                    self.say(Entry::Decided { decision: decision.clone() });
                    self.order(side, quantity, Some(limit), self.execution.order_ttl_ms);
                } else if self.desk.last_action != Some(Action::Hold) {
                    let reasoning = format!("{}; there is no money left for it", decision.reasoning);
                    let decision = Decision { action: Action::Hold, reasoning, ..decision.clone() };
                    self.say(Entry::Decided { decision });
                }
            }
        }
    }

    /// Quantity and limit of an entry; `None` where nothing of it can be had.
    fn entry_size(
        &self,
        side: Side,
        wanted: Option<Decimal>,
        capital: Decimal,
        exposure_max: Decimal,
    ) -> Option<(Decimal, Decimal)> {
        let quote = self.desk.quote.as_deref()?;
        let best = quote.opposite(side == Side::Buy).first()?.price;
        let slippage = best.checked_mul(self.execution.slippage_max)?;
        let limit = match side {
            Side::Buy => best.checked_add(slippage)?,
            Side::Sell => best.checked_sub(slippage)?,
        };
        let limit = limit.round_dp(LIMIT_PLACES).normalize();
        let exposure = self
            .account
            .positions()
            .try_fold(Decimal::ZERO, |sum, (_, position)| sum.checked_add(position.value()?.abs()))?;
        // What buys has to be paid, the fee too; what is short is bounded by the exposure alone.
        let fees = Decimal::ONE + self.execution.fee_rate;
        let cash = if side == Side::Buy { self.account.cash().checked_div(fees)? } else { exposure_max };
        let room = cash.min(exposure_max - exposure).max(Decimal::ZERO);
        let worst = if side == Side::Buy { limit } else { best };
        let affordable = room.checked_div(worst)?;
        let usual = || capital.checked_mul(self.execution.entry_share)?.checked_div(best);
        let wanted = wanted.or_else(usual)?;
        let quantity = wanted.min(affordable).trunc_with_scale(self.execution.quantity_places).normalize();
        (quantity > Decimal::ZERO && limit > Decimal::ZERO).then_some((quantity, limit))
    }

    /// Closes by stop loss, take profit or time. Whether it did.
    pub(super) fn close_by_limits(&mut self) -> bool {
        let Some(position) = self.account.position(self.instrument).filter(|position| position.is_open()) else {
            return false;
        };
        if !self.desk.is_fresh(self.execution, self.now) {
            return false;
        }
        let invested = position.cost().abs();
        let share = position.unrealized().and_then(|gain| gain.checked_div(invested)).unwrap_or_default();
        let percent = (share * Decimal::ONE_HUNDRED).round_dp(2).normalize();
        let held_ms = self.now.saturating_sub(position.opened_at());
        let reason = if self.execution.stop_loss.is_some_and(|stop| share <= -stop) {
            Some((Origin::StopLoss, format!("the position lost {} %, as much as it may", -percent)))
        } else if self.execution.take_profit.is_some_and(|profit| share >= profit) {
            Some((Origin::TakeProfit, format!("the position gained {percent} %, as much as was wanted")))
        } else if self.execution.hold_ms_max.is_some_and(|max| held_ms >= max) {
            Some((Origin::HoldTime, format!("the position was held for {} s, as long as it may be", held_ms / 1_000)))
        } else {
            None
        };
        let Some((origin, reasoning)) = reason else { return false };
        self.close(&reasoning, &origin);
        true
    }

    /// Cancels what would open more and closes what is held; again and again until nothing is.
    pub(super) fn close(&mut self, reason: &str, origin: &Origin) {
        let closing = match self.held() {
            1 => Some(Side::Sell),
            -1 => Some(Side::Buy),
            _ => None,
        };
        let in_the_way: Vec<u64> = self
            .account
            .open_orders()
            .filter(|order| order.symbol == *self.instrument && (Some(order.side) != closing || order.limit.is_some()))
            .map(|order| order.number)
            .collect();
        for order in in_the_way {
            self.cancel(order, reason);
        }
        if closing.is_none() || self.has_open_order() {
            return;
        }
        let (price, volume) = self.seen();
        self.close_with(Decision {
            symbol: self.instrument.clone(),
            action: Action::ClosePosition,
            reasoning: reason.to_owned(),
            confidence: 1.0,
            price,
            volume,
            origin: origin.clone(),
            at: self.now,
        });
    }

    /// Says `decision` and places an order without limit for all that is held.
    fn close_with(&mut self, decision: Decision) {
        let Some(position) = self.account.position(self.instrument).filter(|position| position.is_open()) else {
            return;
        };
        let quantity = position.quantity();
        let side = if quantity.is_sign_positive() { Side::Sell } else { Side::Buy };
        // At the end of a session nothing is given up because the market is away for a while.
        let ttl_ms = if decision.origin == Origin::Session { u64::MAX } else { self.execution.order_ttl_ms };
        self.say(Entry::Decided { decision });
        self.order(side, quantity.abs(), None, ttl_ms);
    }

    fn order(&mut self, side: Side, quantity: Decimal, limit: Option<Decimal>, ttl_ms: u64) {
        let order = NewOrder {
            number: self.account.orders() + 1,
            symbol: self.instrument.clone(),
            side,
            quantity,
            limit,
            expires_at: self.now.saturating_add(ttl_ms),
            at: self.now,
        };
        self.place(order);
    }

    /// Price and volume that a decision without a strategy saw.
    pub(super) fn seen(&self) -> (Decimal, Decimal) {
        let quote = self.desk.quote.as_deref();
        let marked = || self.account.position(self.instrument).map(tickwire_trading::account::Position::mark_price);
        let price = quote.and_then(crate::market::Quote::price).or_else(marked).unwrap_or_default();
        (price, quote.and_then(|quote| quote.volume).unwrap_or_default())
    }
}
