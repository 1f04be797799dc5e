use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde_json::json;
use tickwire_protocol::RawJson;

use super::*;

fn bot(strategy: &str, parameters: &serde_json::Value) -> NewSession {
    serde_json::from_value(json!({
        "algorithmId": strategy, "parameters": parameters, "symbols": ["okx:BTC/USDT"], "capital": "10000",
        "limits": {"lossLimit": "5000"},
    }))
    .unwrap()
}

/// A price that swings, four books a second.
fn lines(seconds: u32) -> Vec<Line> {
    let line = |n: u32| {
        let swing = f64::sin(f64::from(n) / 40.0) * 50_000.0;
        let mid = Decimal::new(6_000_000 + swing.to_i64().unwrap(), 2);
        let half = Decimal::new(5, 1);
        let level = |price: Decimal| json!([[price.to_string(), "2"]]);
        let data = json!({"type": "book", "kind": "snapshot", "state": "live", "bids": level(mid - half), "asks": level(mid + half)});
        let data = RawJson::parse(data.to_string()).unwrap();
        Line { channel: "book:okx:BTC/USDT".into(), time: 1_700_000_000_000 + u64::from(n) * 250, data }
    };
    (0..seconds * 4).map(line).collect()
}

fn run(strategy: &str, parameters: &serde_json::Value) -> Report {
    let mut backtest = Backtest::new(bot(strategy, parameters)).unwrap();
    for line in lines(300) {
        backtest.line(&line).unwrap();
    }
    backtest.finish().unwrap()
}

#[test]
fn the_same_recording_makes_the_same_report_to_the_byte() {
    let report = || serde_json::to_string(&run("sma-crossover", &json!({"fast": 3, "slow": 10}))).unwrap();
    assert_eq!(report(), report());
}

#[test]
fn every_strategy_adds_up_over_a_market_that_swings() {
    for definition in crate::strategy::ALL {
        let report =
            run(definition.name, &json!({"execution": {"allowShort": true, "feeRate": "0.0001", "cooldownMs": 1000}}));
        assert_eq!(report.equity, report.capital + report.pnl, "{}", definition.name);
        assert_eq!(report.pnl, report.realized + report.unrealized - report.fees, "{}", definition.name);
        assert_eq!(report.unrealized, Decimal::ZERO, "everything is closed at the end");
        let listed: Decimal = report.trades.iter().map(|trade| trade.realized).sum();
        assert_eq!(listed, report.realized, "{}", definition.name);
    }
}

#[test]
fn who_follows_a_slow_swing_trades_and_gains() {
    let report =
        run("sma-crossover", &json!({"fast": 3, "slow": 10, "execution": {"allowShort": true, "feeRate": "0"}}));
    assert!(report.fills > 4 && report.wins > 0, "{} fills", report.fills);
    assert!(report.pnl > Decimal::ZERO, "{}", report.pnl);
    assert!(report.sharpe.is_some_and(|sharpe| sharpe > 0.0));
    assert!(report.max_drawdown.amount > Decimal::ZERO);
}

#[test]
fn the_page_needs_nothing_else_and_lets_nothing_in() {
    let hostile = "</style><script>alert(1)</script>";
    let mut report = run("sma-crossover", &json!({"fast": 3, "slow": 10}));
    report.strategy = hostile.into();
    let page = page(&report);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
    for way_out in ["src=", "href=", "@import", "url("] {
        assert!(!page.contains(way_out), "{way_out}");
    }
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(page.contains("class=\"buy\""));
}
