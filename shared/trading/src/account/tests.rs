use proptest::prelude::*;

use super::*;

fn instrument(n: u8) -> Instrument {
    Instrument::new(["binance:BTC/USDT", "binance:ETH/USDT", "okx:BTC/USDT"][usize::from(n) % 3]).unwrap()
}

fn account() -> Account {
    Account::new(SessionId::new("s1").unwrap(), UserId::new("7").unwrap(), Decimal::from(10_000))
}

fn place(account: &mut Account, symbol: u8, side: Side, quantity: Decimal) -> Result<Order, AccountError> {
    let number = account.orders() + 1;
    let symbol = instrument(symbol);
    account.apply(&Event::Placed(NewOrder { number, symbol, side, quantity, limit: None, expires_at: 9, at: 1 }))
}

fn fill(account: &Account, order: u64, price: Decimal, quantity: Decimal, fee: Decimal) -> Event {
    Event::Filled(Fill { number: account.fills() + 1, order, price, quantity, fee, at: 2 })
}

fn trade(account: &mut Account, side: Side, quantity: &str, price: &str, fee: &str) {
    let number = |text: &str| text.parse::<Decimal>().unwrap();
    let order = place(account, 0, side, number(quantity)).unwrap().number;
    let event = fill(account, order, number(price), number(quantity), number(fee));
    account.apply(&event).unwrap();
}

/// Cash + positions = capital + realized + unrealized − fees, with nothing left over. Where a sum on the way has more digits than a
/// decimal holds, there is nothing to compare with.
fn adds_up(account: &Account) {
    let Some(figures) = account.figures(1, None) else { return };
    let sum = |terms: &[Decimal]| terms.iter().try_fold(Decimal::ZERO, |sum, term| exact::add(sum, *term));
    let gained = sum(&[account.capital(), figures.realized_pnl, figures.unrealized_pnl, -figures.fees]);
    let is_same = |one: Option<Decimal>, other: Option<Decimal>| one.zip(other).is_none_or(|(one, other)| one == other);
    assert!(is_same(gained, Some(figures.equity)), "{gained:?} {figures:?}");
    let mut worth: Vec<Decimal> = account.positions().map(|(_, position)| position.value().unwrap()).collect();
    worth.push(account.cash());
    assert!(is_same(sum(&worth), Some(figures.equity)), "{worth:?} {figures:?}");
    let realized: Vec<Decimal> = account.positions().map(|(_, position)| position.realized()).collect();
    assert!(is_same(sum(&realized), Some(figures.realized_pnl)), "{realized:?} {figures:?}");
}

#[derive(Debug, Clone)]
enum Step {
    Place {
        symbol: u8,
        is_buy: bool,
        quantity: Decimal,
    },
    /// Of an open order, at most its rest.
    Fill {
        which: usize,
        price: Decimal,
        part: u32,
        fee: Decimal,
    },
    Cancel {
        which: usize,
    },
    Mark {
        symbol: u8,
        price: Decimal,
    },
    /// The newest event once more: it has to be refused.
    Again,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = |max: i64| (1..max, 0_u32..9).prop_map(|(mantissa, scale)| Decimal::new(mantissa, scale));
    let step = prop_oneof![
        3 => (0_u8..3, any::<bool>(), number(1_000_000)).prop_map(|(symbol, is_buy, quantity)| Step::Place { symbol, is_buy, quantity }),
        5 => (0_usize..8, number(100_000_000), 1_u32..=100, number(10_000))
            .prop_map(|(which, price, part, fee)| Step::Fill { which, price, part, fee }),
        1 => (0_usize..8).prop_map(|which| Step::Cancel { which }),
        2 => (0_u8..3, number(100_000_000)).prop_map(|(symbol, price)| Step::Mark { symbol, price }),
        1 => Just(Step::Again),
    ];
    prop::collection::vec(step, 0..120)
}

fn event_of(step: &Step, account: &Account, newest: Option<&Event>) -> Option<Event> {
    let chosen = |which: usize| account.open_orders().nth(which);
    Some(match step {
        Step::Place { symbol, is_buy, quantity } => Event::Placed(NewOrder {
            number: account.orders() + 1,
            symbol: instrument(*symbol),
            side: if *is_buy { Side::Buy } else { Side::Sell },
            quantity: *quantity,
            limit: None,
            expires_at: 9,
            at: 1,
        }),
        Step::Fill { which, price, part, fee } => {
            let order = chosen(*which)?;
            let some = (order.rest() * Decimal::from(*part) / Decimal::ONE_HUNDRED).round_dp(8);
            fill(account, order.number, *price, if *part == 100 { order.rest() } else { some }, *fee)
        }
        Step::Cancel { which } => Event::Cancelled { order: chosen(*which)?.number, reason: "test".into(), at: 3 },
        Step::Mark { .. } => return None,
        Step::Again => newest?.clone(),
    })
}

proptest! {
    #[test]
    fn cash_and_positions_are_start_and_gains_less_fees_whatever_happens(steps in steps()) {
        let mut account = account();
        let (mut events, mut bought) = (Vec::<Event>::new(), BTreeMap::<Instrument, Decimal>::new());
        for step in &steps {
            if let Step::Mark { symbol, price } = step {
                account.mark(&instrument(*symbol), *price);
            }
            if let Some(event) = event_of(step, &account, events.last()) {
                let before = account.clone();
                let Ok(order) = account.apply(&event) else {
                    prop_assert_eq!(&before, &account, "what is refused changes nothing");
                    continue;
                };
                prop_assert!(!matches!(step, Step::Again), "an event counts once");
                if let Event::Filled(fill) = &event {
                    *bought.entry(order.symbol).or_default() += order.side.signed(fill.quantity);
                }
                events.push(event);
            }
            adds_up(&account);
        }
        for (symbol, position) in account.positions() {
            prop_assert_eq!(position.quantity(), bought[symbol]);
        }
        let mut rebuilt = self::account();
        for event in &events {
            let json = serde_json::to_string(event).unwrap();
            rebuilt.apply(&serde_json::from_str(&json).unwrap()).unwrap();
        }
        for (symbol, position) in account.positions() {
            rebuilt.mark(symbol, position.mark_price());
        }
        prop_assert_eq!(rebuilt.figures(1, None), account.figures(1, None), "the events are the account");
    }
}

#[test]
fn a_round_trip_realises_what_it_gained_and_keeps_fees_apart() {
    let mut account = account();
    trade(&mut account, Side::Buy, "0.5", "100.10", "0.05");
    trade(&mut account, Side::Buy, "0.5", "100.30", "0.05");
    let btc = instrument(0);
    account.mark(&btc, "101".parse().unwrap());
    let figures = account.figures(3, Some(5)).unwrap();
    assert_eq!(figures.positions[0].entry_price.to_string(), "100.2");
    assert_eq!((figures.unrealized_pnl.to_string(), figures.exposure.to_string()), ("0.8".into(), "101".into()));
    trade(&mut account, Side::Sell, "1", "102", "0.1");
    let figures = account.figures(4, Some(5)).unwrap();
    assert_eq!((figures.realized_pnl.to_string(), figures.fees.to_string()), ("1.8".into(), "0.2".into()));
    assert_eq!((figures.cash.to_string(), figures.trades), ("10001.6".into(), 3));
    assert!(account.is_flat() && figures.is_flat());
}

#[test]
fn a_short_position_gains_when_the_price_falls_and_can_turn_into_a_long_one() {
    let mut account = account();
    trade(&mut account, Side::Sell, "2", "50", "0");
    account.mark(&instrument(0), Decimal::from(45));
    assert_eq!(account.figures(1, None).unwrap().unrealized_pnl, Decimal::from(10));
    trade(&mut account, Side::Buy, "3", "40", "0");
    let position = account.position(&instrument(0)).unwrap();
    assert_eq!((position.quantity(), position.entry_price()), (Decimal::ONE, Decimal::from(40)));
    assert_eq!(account.realized(), Decimal::from(20));
    adds_up(&account);
}

#[test]
fn a_third_of_a_position_leaves_no_crumbs() {
    let mut account = account();
    trade(&mut account, Side::Buy, "3", "10.01", "0");
    for _ in 0..3 {
        trade(&mut account, Side::Sell, "1", "10.01", "0");
        adds_up(&account);
    }
    assert!(account.is_flat());
    assert_eq!((account.realized(), account.cash()), (Decimal::ZERO, Decimal::from(10_000)));
}

#[test]
fn orders_are_filled_within_their_bounds_or_not_at_all() {
    let mut account = account();
    let limit = Some(Decimal::from(100));
    let new = NewOrder {
        number: 1,
        symbol: instrument(0),
        side: Side::Buy,
        quantity: Decimal::ONE,
        limit,
        expires_at: 9,
        at: 1,
    };
    account.apply(&Event::Placed(new.clone())).unwrap();
    let part = Decimal::new(4, 1);
    let too_dear = fill(&account, 1, Decimal::from(101), part, Decimal::ZERO);
    assert_eq!(account.apply(&too_dear), Err(AccountError::OutsideOrder));
    let some = fill(&account, 1, Decimal::from(99), part, Decimal::ZERO);
    assert_eq!(account.apply(&some).unwrap().status, OrderStatus::PartiallyFilled);
    assert_eq!(account.apply(&some), Err(AccountError::FillNumber { number: 1, last: 1 }), "no fill twice");
    let too_much = fill(&account, 1, Decimal::from(99), Decimal::ONE, Decimal::ZERO);
    assert_eq!(account.apply(&too_much), Err(AccountError::OutsideOrder));
    let cancelled = account.apply(&Event::Cancelled { order: 1, reason: "late".into(), at: 5 }).unwrap();
    assert_eq!((cancelled.status, cancelled.filled_quantity), (OrderStatus::Cancelled, part));
    let late = fill(&account, 1, Decimal::from(99), part, Decimal::ZERO);
    assert_eq!(account.apply(&late), Err(AccountError::NotOpen(1)));
    assert_eq!(account.apply(&Event::Placed(new)), Err(AccountError::OrderNumber { number: 1, last: 1 }));
    assert_eq!(place(&mut account, 0, Side::Buy, Decimal::ZERO), Err(AccountError::OutOfBounds));
}

#[test]
fn open_orders_are_bounded() {
    let mut account = account();
    for _ in 0..ORDERS_OPEN_MAX {
        place(&mut account, 0, Side::Buy, Decimal::ONE).unwrap();
    }
    assert_eq!(place(&mut account, 0, Side::Buy, Decimal::ONE), Err(AccountError::TooManyOrders));
}
