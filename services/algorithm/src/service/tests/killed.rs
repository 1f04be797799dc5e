//! Bots that are killed in the middle of what they do.

use super::*;

fn eager() -> Value {
    json!({"entry": 0.2, "exit": 0.1, "execution": {
        "evaluateMs": 0, "cooldownMs": 0, "allowShort": true, "stopLoss": null, "takeProfit": null, "orderTtlMs": 50}})
}

/// Lives one after the other, each killed after some fills that nobody counted, in the middle of the next ones.
fn lives(world: &World, count: usize) {
    let mut fills = 0;
    for life in 0..count {
        let running = Life::start(world);
        running.sessions.offer(session(&eager(), "active", 2));
        let (enough, begun) = (lock(&world.written).events.len() + 20, Instant::now());
        while lock(&world.written).events.len() < enough {
            assert!(begun.elapsed() < PATIENCE, "life {life} trades nothing");
            world.offer(&running);
            std::thread::sleep(Duration::from_millis(5 + world.quotes.get() % 7));
        }
        running.kill();
        let (account, _) = replayed(&world.entries());
        assert!(account.fills() >= fills, "life {life} lost fills");
        fills = account.fills();
    }
}

fn comes_back_with_the_same_account_and_tells_each_fill_once(world: &World) {
    lives(world, 6);
    let last = Life::start(world);
    last.sessions.offer(session(&eager(), "active", 2));
    last.sessions.offer(session(&eager(), "completed", 3));
    until("a flat account", || {
        world.offer(&last);
        let book = lock(&world.written);
        book.figures.as_ref().is_some_and(|figures| figures["positions"] == json!([]) && figures["openOrders"] == 0)
    });
    until("the end of the telling", || {
        let entries = world.entries();
        let newest =
            entries.iter().rposition(|entry| !matches!(entry, Entry::Told { .. } | Entry::Finished { .. })).unwrap()
                as u64
                + 1;
        replayed(&entries).1 == newest + 1
    });
    last.kill();
    let (account, _) = replayed(&world.entries());
    assert!(account.is_flat() && account.fills() > 20, "{} fills", account.fills());
    let gained = account.realized() - account.fees();
    assert_eq!(account.cash(), account.capital() + gained);
    let figures = lock(&world.written).figures.clone().unwrap();
    let figures: tickwire_trading::Figures = serde_json::from_value(figures).unwrap();
    assert_eq!(
        (figures.cash, figures.realized_pnl, figures.fees),
        (account.cash(), account.realized(), account.fees())
    );
    assert_eq!(figures.trades, account.fills());
    let told: Vec<Value> = world.told("trade-executed");
    let distinct: std::collections::BTreeSet<&str> =
        told.iter().filter_map(|trade| trade["tradeId"].as_str()).collect();
    assert_eq!(
        (told.len() as u64, distinct.len() as u64),
        (account.fills(), account.fills()),
        "each fill under one key"
    );
    let book = lock(&world.written);
    let last = book.positions.last().unwrap();
    assert_eq!((&last["symbol"], &last["quantity"]), (&json!("okx:BTC/USDT"), &json!("0")), "the closed position too");
}

#[test]
fn a_bot_that_is_killed_at_any_moment_comes_back_with_the_same_account_and_tells_each_fill_once_on_redis() {
    comes_back_with_the_same_account_and_tells_each_fill_once(&World::redis());
}

#[test]
fn a_bot_that_is_killed_at_any_moment_comes_back_with_the_same_account_and_tells_each_fill_once_in_memory() {
    comes_back_with_the_same_account_and_tells_each_fill_once(&World::memory());
}

#[test]
fn of_two_instances_one_runs_the_bot_and_the_other_takes_over() {
    let world = World::redis();
    let lives = [Life::start(&world), Life::start(&world)];
    for life in &lives {
        life.sessions.offer(session(&eager(), "active", 2));
    }
    let accounts = |life: &Life| world.ask(life, KEY, "/v1/accounts", None).1["items"].as_array().map_or(0, Vec::len);
    until("a bot", || lives.iter().map(accounts).sum::<usize>() > 0);
    for _ in 0..100 {
        for life in &lives {
            world.offer(life);
        }
        std::thread::sleep(Duration::from_millis(10));
        assert_eq!(lives.iter().map(accounts).sum::<usize>(), 1, "one of them");
    }
    let [first, second] = lives;
    let (dying, heir) = if accounts(&first) == 1 { (first, second) } else { (second, first) };
    let (before, _) = replayed(&world.entries());
    assert!(before.fills() > 0);
    dying.kill();
    until("the other one", || accounts(&heir) == 1);
    until("more fills", || {
        world.offer(&heir);
        replayed(&world.entries()).0.fills() > before.fills()
    });
    heir.kill();
}
