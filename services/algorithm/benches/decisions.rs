//! From a market's message to what 50 bots make of it, at 1,000 messages a second: `cargo bench -p tickwire-algorithm`.
//!
//! Messages of four markets come at their due times, as text; each is read once and goes to every bot of its market, whose engine sees,
//! evaluates and applies. The time counts from when the message was *due* to when the bot is through with it, so that a bot that waits
//! for another one is seen to wait. Journal and emitter are left out: they come after the decision.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints")]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::json;
use tickwire_algorithm::{
    bot::Bot,
    engine::Engine,
    entry::Entry,
    market::{Market, Source},
};
use tickwire_protocol::RawJson;
use tickwire_trading::{Instrument, Session, Status};

const BOTS: usize = 50;
const RATE_PER_S: u32 = 1_000;
const MESSAGES: u32 = 20_000;
const MARKETS: [&str; 4] = ["binance:BTC/USDT", "binance:ETH/USDT", "okx:BTC/USDT", "kraken:SOL/USDT"];
const STRATEGIES: [&str; 4] = ["sma-crossover", "mean-reversion", "book-imbalance", "momentum"];

fn bot(number: usize) -> Engine {
    let execution = json!({"sampleMs": 100, "evaluateMs": 0, "cooldownMs": 500, "allowShort": true});
    let session: Session = serde_json::from_value(json!({
        "sessionId": format!("s{number}"), "userId": "bench", "algorithmId": STRATEGIES[number % STRATEGIES.len()],
        "parameters": {"execution": execution}, "symbols": MARKETS, "capital": "10000",
        "limits": {"lossLimit": "10000"}, "status": "active", "createdAt": 1, "startedAt": 1, "updatedAt": 1, "version": 2,
    }))
    .unwrap();
    Engine::new(Bot::of(&session).unwrap(), Status::Active)
}

/// A snapshot of 20 levels a side whose price and weights swing.
fn message(number: u32) -> (Instrument, RawJson) {
    let market = MARKETS[number as usize % MARKETS.len()];
    let swing = (f64::sin(f64::from(number) / 400.0) * 20_000.0).round();
    let side = |sign: f64| -> Vec<[String; 2]> {
        let level = |n: u32| {
            let price = (6_000_000.0 + swing + sign * f64::from(50 + n * 10)) / 100.0;
            [format!("{price:.2}"), format!("0.{}", 1 + (number * 7 + n * 3) % 9)]
        };
        (0..20).map(level).collect()
    };
    let data = json!({"type": "book", "kind": "snapshot", "state": "live", "bids": side(-1.0), "asks": side(1.0)});
    (Instrument::new(market).unwrap(), RawJson::parse(data.to_string()).unwrap())
}

fn main() {
    let mut bots: Vec<Engine> = (0..BOTS).map(bot).collect();
    let mut markets: BTreeMap<Instrument, Market> = MARKETS
        .iter()
        .map(|name| Instrument::new(name).unwrap())
        .map(|name| (name.clone(), Market::new(name)))
        .collect();
    let messages: Vec<_> = (0..MESSAGES).map(message).collect();
    let (mut waits, mut works) = (Vec::new(), Vec::new());
    let (mut decisions, mut fills) = (0_u64, 0_u64);
    let period = Duration::from_secs(1) / RATE_PER_S;
    let start = Instant::now();
    for (number, (instrument, data)) in messages.iter().enumerate() {
        let due = start + period * u32::try_from(number).unwrap();
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(early);
        }
        let begun = Instant::now();
        let now = 1_700_000_000_000 + u64::try_from((begun - start).as_millis()).unwrap();
        let market = markets.get_mut(instrument).unwrap();
        market.take(Source::Book, data, now).unwrap();
        let quote = market.quote();
        for engine in &mut bots {
            engine.see(std::sync::Arc::clone(&quote), now);
            for entry in engine.evaluate(instrument, now) {
                engine.apply(&entry).unwrap();
                match entry {
                    Entry::Decided { .. } => decisions += 1,
                    Entry::Account { event: tickwire_trading::account::Event::Filled(_) } => fills += 1,
                    _ => {}
                }
            }
            waits.push(due.elapsed());
        }
        works.push(begun.elapsed());
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{BOTS} bots, {} markets, {MESSAGES} messages in {seconds:.1} s, {decisions} decisions, {fills} fills",
        MARKETS.len()
    );
    print("message due to a bot's decision", waits);
    print("one message through all bots", works);
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let place = ((times.len() - 1) as f64 * share) as usize;
        times[place].as_secs_f64() * 1e6
    };
    println!(
        "{what}: median {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs, longest {:.0} µs",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}
