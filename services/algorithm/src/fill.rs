//! Paper fills: what an order would have traded against the levels of a book.
//!
//! A fill has the price of its level, never the last trade's, and no more than the level offers. What this account has taken from a
//! level is gone for it until the level changes: an unchanged book does not fill it twice.

use std::collections::BTreeMap;

use rust_decimal::{Decimal, RoundingStrategy};
use tickwire_protocol::book::Level;
use tickwire_trading::{
    account::{Fill, Order, Side},
    exact,
};

/// Places of a fee; it is rounded up, as venues do.
const FEE_PLACES: u32 = 8;

/// What was taken from levels that have not changed since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken(BTreeMap<(Side, Decimal), Share>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Share {
    shown: Decimal,
    taken: Decimal,
}

impl Taken {
    /// Remembers a trade with `level`; `side` is the account's.
    pub fn take(&mut self, side: Side, level: Level, quantity: Decimal) {
        let share = self.0.entry((side, level.price)).or_insert(Share { shown: level.qty, taken: Decimal::ZERO });
        share.taken += quantity;
    }

    /// Forgets levels that changed or went. `levels` are those that the account's `side` trades with.
    pub fn keep(&mut self, side: Side, levels: &[Level]) {
        self.0.retain(|(of, price), share| {
            *of != side || levels.iter().any(|level| level.price == *price && level.qty == share.shown)
        });
    }

    /// What is left of `level`.
    pub fn rest(&self, side: Side, level: Level) -> Decimal {
        let taken = self.0.get(&(side, level.price)).filter(|share| share.shown == level.qty);
        taken.map_or(level.qty, |share| (level.qty - share.taken).max(Decimal::ZERO))
    }
}

/// The fee of a trade; `None` where it cannot be exact.
pub fn fee(price: Decimal, quantity: Decimal, rate: Decimal) -> Option<Decimal> {
    let fee = exact::mul(exact::mul(price, quantity)?, rate)?;
    Some(fee.round_dp_with_strategy(FEE_PLACES, RoundingStrategy::AwayFromZero).normalize())
}

/// What `order` trades with `levels`, best first: within its limit, its rest, and what the levels have left. Numbered from
/// `number` on.
pub fn against(order: &Order, levels: &[Level], taken: &Taken, fee_rate: Decimal, number: u64, now: u64) -> Vec<Fill> {
    let (mut rest, mut fills) = (order.rest(), Vec::new());
    for level in levels.iter().take_while(|level| order.accepts(level.price)) {
        let quantity = rest.min(taken.rest(order.side, *level)).normalize();
        if quantity <= Decimal::ZERO {
            if rest <= Decimal::ZERO {
                break;
            }
            continue;
        }
        // A trade that cannot be exact is not made; the next level may be.
        let Some(fee) = fee(level.price, quantity, fee_rate) else { continue };
        let number = number + fills.len() as u64;
        fills.push(Fill { number, order: order.number, price: level.price.normalize(), quantity, fee, at: now });
        rest -= quantity;
    }
    fills
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tickwire_protocol::UserId;
    use tickwire_trading::{
        Account, Instrument, SessionId,
        account::{Event, NewOrder},
    };

    use super::*;

    fn level(price: i64, qty: i64) -> Level {
        Level { price: Decimal::from(price), qty: Decimal::from(qty) }
    }

    fn order(side: Side, quantity: i64, limit: Option<i64>) -> Order {
        let mut account = Account::new(SessionId::new("s").unwrap(), UserId::new("u").unwrap(), Decimal::ONE);
        let new = NewOrder {
            number: 1,
            symbol: Instrument::new("okx:BTC/USDT").unwrap(),
            side,
            quantity: Decimal::from(quantity),
            limit: limit.map(Decimal::from),
            expires_at: 9,
            at: 1,
        };
        account.apply(&Event::Placed(new)).unwrap()
    }

    fn traded(fills: &[Fill]) -> Vec<(Decimal, Decimal)> {
        fills.iter().map(|fill| (fill.price, fill.quantity)).collect()
    }

    #[test]
    fn an_order_walks_the_book_and_stops_at_its_limit() {
        let asks = [level(100, 1), level(101, 2), level(103, 9)];
        let rate = Decimal::new(1, 3);
        let fills = against(&order(Side::Buy, 5, Some(102)), &asks, &Taken::default(), rate, 7, 2);
        assert_eq!(traded(&fills), [(Decimal::from(100), Decimal::ONE), (Decimal::from(101), Decimal::TWO)]);
        assert_eq!(fills.iter().map(|fill| fill.number).collect::<Vec<_>>(), [7, 8]);
        assert_eq!((fills[0].fee.to_string(), fills[1].fee.to_string()), ("0.1".into(), "0.202".into()));
        let bids = [level(99, 1), level(98, 5)];
        let fills = against(&order(Side::Sell, 2, None), &bids, &Taken::default(), rate, 1, 2);
        assert_eq!(traded(&fills), [(Decimal::from(99), Decimal::ONE), (Decimal::from(98), Decimal::ONE)]);
    }

    #[test]
    fn no_fill_beyond_the_book_and_none_from_an_empty_one() {
        let fills = against(&order(Side::Buy, 5, None), &[level(100, 1)], &Taken::default(), Decimal::ZERO, 1, 2);
        assert_eq!(traded(&fills), [(Decimal::from(100), Decimal::ONE)]);
        assert!(against(&order(Side::Buy, 5, None), &[], &Taken::default(), Decimal::ZERO, 1, 2).is_empty());
    }

    #[test]
    fn what_was_taken_stays_taken_until_the_level_changes() {
        let (order, asks) = (order(Side::Buy, 5, None), [level(100, 3)]);
        let mut taken = Taken::default();
        taken.take(Side::Buy, asks[0], Decimal::TWO);
        taken.keep(Side::Buy, &asks);
        assert_eq!(traded(&against(&order, &asks, &taken, Decimal::ZERO, 1, 2)), [(Decimal::from(100), Decimal::ONE)]);
        taken.keep(Side::Sell, &[]);
        assert_eq!(taken.rest(Side::Buy, asks[0]), Decimal::ONE);
        let changed = [level(100, 4)];
        taken.keep(Side::Buy, &changed);
        assert_eq!(taken.rest(Side::Buy, changed[0]), Decimal::from(4));
    }

    #[test]
    fn fees_are_rounded_up() {
        assert_eq!(fee(Decimal::ONE, Decimal::new(1, 8), Decimal::new(1, 3)).unwrap(), Decimal::new(1, 8));
    }

    proptest! {
        #[test]
        fn an_order_never_gets_more_than_it_asks_for_nor_than_is_there(
            levels in prop::collection::vec((1_i64..50, 0_i64..20), 0..20),
            quantity in 1_i64..200,
            limit in prop::option::of(1_i64..60),
            before in prop::collection::vec((0_usize..20, 1_i64..5), 0..10),
        ) {
            let mut levels: Vec<Level> = levels.into_iter().map(|(price, qty)| level(price, qty)).collect();
            levels.sort_by_key(|level| level.price);
            levels.dedup_by_key(|level| level.price);
            let mut taken = Taken::default();
            for (which, quantity) in before {
                if let Some(level) = levels.get(which) {
                    let quantity = Decimal::from(quantity).min(taken.rest(Side::Buy, *level));
                    taken.take(Side::Buy, *level, quantity);
                }
            }
            let order = order(Side::Buy, quantity, limit);
            let fills = against(&order, &levels, &taken, Decimal::ZERO, 1, 2);
            let sum: Decimal = fills.iter().map(|fill| fill.quantity).sum();
            let there: Decimal =
                levels.iter().filter(|level| order.accepts(level.price)).map(|level| taken.rest(Side::Buy, *level)).sum();
            prop_assert_eq!(sum, there.min(order.quantity));
            for fill in &fills {
                let level = levels.iter().find(|level| level.price == fill.price).unwrap();
                prop_assert!(order.accepts(fill.price) && fill.quantity <= taken.rest(Side::Buy, *level));
            }
        }
    }
}
