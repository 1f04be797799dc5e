//! How a bot stands, as its user hears of it.

use tickwire_trading::{Figures, OpenPosition};
use tokio::sync::watch;

use super::*;
use crate::service::{
    herald::{Standing, herald},
    metrics::Metrics,
};

/// The `version`th standing: so much is held, so much was gained by what was closed.
fn standing(version: u64, quantity: i64, realized: i64) -> Standing {
    let symbol = Instrument::new("okx:BTC/USDT").unwrap();
    let (quantity, realized) = (Decimal::from(quantity), Decimal::from(realized));
    let mut account = Account::new(SessionId::new("s1").unwrap(), UserId::new("ann").unwrap(), Decimal::from(10_000))
        .figures(version, None)
        .unwrap();
    if !quantity.is_zero() {
        let price = Decimal::from(100);
        account.positions.push(OpenPosition {
            symbol: symbol.clone(),
            quantity,
            entry_price: price,
            mark_price: price,
            unrealized_pnl: Decimal::ZERO,
            realized_pnl: realized,
        });
    }
    Standing {
        figures: Figures { trades: version, ..account },
        capital: Decimal::from(10_000),
        status: "active",
        is_over: false,
        algorithm: "momentum".into(),
        realized: BTreeMap::from([(symbol, realized)]),
    }
}

/// What was told of the position last: quantity, and what was gained.
fn last(written: &Written) -> Option<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    lock(written).positions.last().map(|position| (text(&position["quantity"]), text(&position["realizedPnL"])))
}

#[test]
fn a_position_that_was_opened_and_closed_while_the_emitter_was_away_is_told_as_closed() {
    let world = World::memory();
    let emitter = config(&world.url).trading.emitter().unwrap();
    let (standings, received) = watch::channel(None);
    let (heralded, version) = watch::channel(0);
    let give_up = CancellationToken::new();
    let telling = herald(emitter, received, heralded, Arc::new(Metrics::default()), give_up);
    let telling = world.runtime.spawn(telling);
    // Of the last step only the end is seen: in between nobody listened.
    for (step, (held, gained)) in (1..).zip([(5, 0), (0, -3), (0, -238)]) {
        standings.send_replace(Some(standing(step, held, gained)));
        until("a standing is told", || *version.borrow() == step);
        assert_eq!(last(&world.written), Some((held.to_string(), gained.to_string())));
    }
    drop(standings);
    world.runtime.block_on(telling).unwrap();
}
