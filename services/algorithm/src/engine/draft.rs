//! Entries in the making: what one evaluation wants to happen, tried on a copy of the account.

use std::borrow::Cow;

use tickwire_trading::{
    Account, Instrument,
    account::{AccountError, Event, NewOrder, Order},
};

use super::desk::Desk;
use crate::{
    bot::Execution,
    entry::Entry,
    fill::{Taken, against},
};

/// What one evaluation of an instrument wants.
pub(super) struct Draft<'a> {
    /// The account as it would be; copied only when something changes.
    pub(super) account: Cow<'a, Account>,
    pub(super) desk: &'a Desk,
    pub(super) instrument: &'a Instrument,
    pub(super) execution: &'a Execution,
    pub(super) now: u64,
    taken: Cow<'a, Taken>,
    entries: Vec<Entry>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        account: &'a Account,
        desk: &'a Desk,
        instrument: &'a Instrument,
        execution: &'a Execution,
        now: u64,
    ) -> Self {
        let (account, taken) = (Cow::Borrowed(account), Cow::Borrowed(&desk.taken));
        Self { account, desk, instrument, execution, now, taken, entries: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<Entry> {
        self.entries
    }

    pub(super) fn say(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// What the account refuses is not wanted: the entries stay such that they can be applied.
    pub(super) fn happen(&mut self, event: Event) -> Result<Order, AccountError> {
        let order = self.account.to_mut().apply(&event)?;
        self.entries.push(Entry::Account { event });
        Ok(order)
    }

    pub(super) fn has_open_order(&self) -> bool {
        self.open_orders().next().is_some()
    }

    fn open_orders(&self) -> impl Iterator<Item = &Order> {
        self.account.open_orders().filter(|order| order.symbol == *self.instrument)
    }

    /// 1 long, −1 short, 0 nothing.
    pub(super) fn held(&self) -> i8 {
        match self.account.position(self.instrument) {
            Some(position) if position.is_open() => {
                if position.quantity().is_sign_positive() {
                    1
                } else {
                    -1
                }
            }
            _ => 0,
        }
    }

    pub(super) fn cancel(&mut self, order: u64, reason: &str) {
        let event = Event::Cancelled { order, reason: reason.to_owned(), at: self.now };
        if let Err(error) = self.happen(event) {
            tracing::error!(%error, order, "an open order could not be cancelled");
        }
    }

    pub(super) fn cancel_late(&mut self) {
        let late: Vec<u64> =
            self.open_orders().filter(|order| order.expires_at <= self.now).map(|order| order.number).collect();
        for order in late {
            self.cancel(order, "not filled in time");
        }
    }

    pub(super) fn fill_open(&mut self) {
        let open: Vec<Order> = self.open_orders().cloned().collect();
        for order in open {
            self.fill(&order);
        }
    }

    /// Trades with the book, if it may be believed.
    fn fill(&mut self, order: &Order) {
        let Some(quote) = self.desk.quote.as_deref().filter(|_| self.desk.is_fresh(self.execution, self.now)) else {
            return;
        };
        let levels = quote.opposite(order.side == tickwire_trading::account::Side::Buy);
        let number = self.account.fills() + 1;
        for fill in against(order, levels, &self.taken, self.execution.fee_rate, number, self.now) {
            let level = levels.iter().find(|level| level.price == fill.price).copied();
            let quantity = fill.quantity;
            match self.happen(Event::Filled(fill)) {
                Ok(_) => {
                    if let Some(level) = level {
                        self.taken.to_mut().take(order.side, level, quantity);
                    }
                }
                // The numbers of the fills behind it would have a hole.
                Err(error) => {
                    tracing::warn!(%error, order = order.number, "a fill cannot be had");
                    return;
                }
            }
        }
    }

    /// Places an order and trades what can be traded at once.
    pub(super) fn place(&mut self, order: NewOrder) {
        match self.happen(Event::Placed(order)) {
            Ok(order) => self.fill(&order),
            Err(error) => tracing::warn!(%error, "an order cannot be placed"),
        }
    }
}
