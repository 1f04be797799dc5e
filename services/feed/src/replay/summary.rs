//! What a recording comes to: counts, sums, checkpoints, the final books, and everything found wrong.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    Error,
    book::Anomaly,
    model::{
        Body, BookKind, BookUpdate, Candle, Decimal, Event, Exchange, Level, Side, Symbol, Ticker, Top, Trade, instant,
    },
    venue::{Adapter, Effect},
};

/// Anomalies listed; more are only counted.
const ANOMALIES_MAX: usize = 100_000;
/// Levels a side of the final book.
const TOP: usize = 10;

/// See the module.
#[derive(Debug)]
pub struct Summary {
    exchange: Exchange,
    frames: u64,
    symbols: BTreeMap<Symbol, Account>,
    anomalies: Vec<(u64, Option<Symbol>, Anomaly)>,
    anomalies_left_out: u64,
}

/// One symbol.
#[derive(Debug, Default)]
struct Account {
    native: String,
    updates: u64,
    checkpoints: Vec<Value>,
    book: Option<Value>,
    trades: Prints,
    snapshot_trades: Prints,
    tickers: u64,
    ticker: Option<Ticker>,
    candles: u64,
    closed: u64,
    candle: Option<Candle>,
}

/// Prints and their sums.
#[derive(Debug, Default)]
struct Prints {
    count: u64,
    buy: u64,
    qty: Decimal,
    notional: Decimal,
    first: Option<Value>,
    last: Option<Value>,
}

impl Summary {
    /// Of nothing yet.
    pub fn new(exchange: Exchange) -> Self {
        Self { exchange, frames: 0, symbols: BTreeMap::new(), anomalies: Vec::new(), anomalies_left_out: 0 }
    }

    /// A frame came in: what follows is of it. Its number, from 1.
    pub fn frame(&mut self) -> u64 {
        self.frames += 1;
        self.frames
    }

    /// Takes account of an effect.
    pub fn effect(&mut self, effect: &Effect) -> Result<(), Error> {
        match effect {
            Effect::Event(event) => self.event(event),
            Effect::Anomaly { symbol, kind } => {
                if self.anomalies.len() < ANOMALIES_MAX {
                    self.anomalies.push((self.frames, symbol.clone(), *kind));
                } else {
                    self.anomalies_left_out += 1;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn event(&mut self, event: &Event) -> Result<(), Error> {
        if !self.symbols.contains_key(&event.symbol) {
            let native = event.native_symbol.to_string();
            self.symbols.insert(event.symbol.clone(), Account { native, ..Account::default() });
        }
        let (exchange, frame) = (self.exchange, event.frame);
        let Some(account) = self.symbols.get_mut(&event.symbol) else { return Ok(()) };
        match &event.body {
            Body::Book(update) => account.update(update, frame),
            Body::Trade(trade) => {
                let prints = if trade.is_snapshot { &mut account.snapshot_trades } else { &mut account.trades };
                prints.add(trade, &time(exchange, trade, event.ts_exchange))?;
            }
            Body::Ticker(ticker) => {
                account.tickers += 1;
                account.ticker = Some((**ticker).clone());
            }
            Body::Candle(candle) if candle.derived => {}
            Body::Candle(candle) => {
                account.candles += 1;
                account.closed += u64::from(candle.closed == Some(true));
                account.candle = Some((**candle).clone());
            }
        }
        Ok(())
    }

    /// The books of a connection, as they are now.
    pub fn books(&mut self, adapter: &Adapter) {
        for (symbol, book) in adapter.books() {
            let Some(account) = self.symbols.get_mut(symbol) else { continue };
            let counts = book.counts;
            if counts.snapshots + counts.updates == 0 {
                continue;
            }
            let integrity = match counts.checked {
                0 => json!({}),
                checked => json!({"checked": checked, "ok": counts.passed}),
            };
            let top = book.top();
            account.book = Some(json!({
                "snapshots": counts.snapshots,
                "updates": counts.updates,
                "ignored_stale_updates": counts.stale,
                "integrity": integrity,
                "checkpoints": std::mem::take(&mut account.checkpoints),
                "final_top10": {
                    "bids": book.levels.bids().take(TOP).map(level).collect::<Value>(),
                    "asks": book.levels.asks().take(TOP).map(level).collect::<Value>(),
                },
                "final_levels": [top.bids, top.asks],
                "final_crossed": book.levels.is_crossed(),
            }));
        }
    }

    /// What was found wrong: the frame, from 1, whose symbol, what.
    pub fn anomalies(&self) -> impl Iterator<Item = (u64, Option<&Symbol>, Anomaly)> {
        self.anomalies.iter().map(|(frame, symbol, kind)| (*frame, symbol.as_ref(), *kind))
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let symbols: Map<_, _> =
            self.symbols.iter().map(|(symbol, account)| (symbol.to_string(), account.to_json(self.exchange))).collect();
        let anomalies: Vec<_> = self
            .anomalies()
            .map(|(frame, symbol, kind)| json!({"frame": frame, "symbol": symbol.map(Symbol::as_str), "kind": kind.name()}))
            .collect();
        let mut summary = json!({"symbols": symbols, "anomalies": anomalies});
        if self.anomalies_left_out > 0 {
            summary["anomalies_left_out"] = json!(self.anomalies_left_out);
        }
        summary
    }
}

impl Account {
    fn update(&mut self, update: &BookUpdate, frame: u64) {
        if update.kind == BookKind::Snapshot {
            return;
        }
        self.updates += 1;
        if !is_checkpoint(self.updates) {
            return;
        }
        let Top { bid, ask, bids, asks } = &update.top;
        self.checkpoints.push(json!({
            "after_update": self.updates,
            "frame": frame,
            "bid": bid.as_ref().map(level),
            "ask": ask.as_ref().map(level),
            "n_bids": bids,
            "n_asks": asks,
        }));
    }

    fn to_json(&self, exchange: Exchange) -> Value {
        let mut account = Map::new();
        account.insert("native".into(), json!(self.native));
        if let Some(book) = &self.book {
            account.insert("orderbook".into(), book.clone());
        }
        for (name, prints) in [("trades", &self.trades), ("trades_from_snapshot", &self.snapshot_trades)] {
            if prints.count > 0 {
                account.insert(name.into(), prints.to_json());
            }
        }
        if let Some(ticker) = &self.ticker {
            account.insert("ticker".into(), json!({"count": self.tickers, "last": figures(exchange, ticker)}));
        }
        if let Some(candle) = &self.candle {
            let last = bar(exchange, candle);
            account.insert("candles".into(), json!({"count": self.candles, "closed_count": self.closed, "last": last}));
        }
        Value::Object(account)
    }
}

/// After 1, 2, 5, 10, 20, 50, … updates.
fn is_checkpoint(mut updates: u64) -> bool {
    while updates.is_multiple_of(10) && updates > 0 {
        updates /= 10;
    }
    matches!(updates, 1 | 2 | 5)
}

impl Prints {
    fn add(&mut self, trade: &Trade, ts: &Value) -> Result<(), Error> {
        self.count += 1;
        self.buy += u64::from(trade.side == Side::Buy);
        // Without trailing zeros first: the product of two long scales would not fit.
        let (price, qty) = (trade.price.normalize(), trade.qty.normalize());
        self.qty = self.qty.checked_add(qty).ok_or(Error::Sum("quantities"))?;
        let notional = price.checked_mul(qty).and_then(|notional| self.notional.checked_add(notional));
        self.notional = notional.ok_or(Error::Sum("notionals"))?;
        let print = json!({
            "id": trade.id.as_ref().map(ToString::to_string),
            "price": trade.price.to_string(),
            "qty": trade.qty.to_string(),
            "side": trade.side.name(),
            "ts": ts,
        });
        if self.first.is_none() {
            self.first = Some(print.clone());
        }
        self.last = Some(print);
        Ok(())
    }

    fn to_json(&self) -> Value {
        json!({
            "count": self.count,
            "buy": self.buy,
            "sell": self.count - self.buy,
            "sum_qty": self.qty.normalize().to_string(),
            "sum_notional": self.notional.normalize().to_string(),
            "first": self.first,
            "last": self.last,
        })
    }
}

fn level(level: &Level) -> Value {
    json!([level.price.to_string(), level.qty.to_string()])
}

/// A print's time as its venue writes it: Coinbase in RFC 3339, Kraken likewise (version 1, which has no ids, in seconds), the
/// others in milliseconds.
fn time(exchange: Exchange, trade: &Trade, ts: Option<i64>) -> Value {
    let Some(ts) = ts else { return Value::Null };
    match exchange {
        Exchange::Coinbase => json!(instant::to_rfc3339(ts)),
        Exchange::Kraken if trade.id.is_none() => {
            json!(format!("{}.{:06}", ts / 1_000_000_000, ts % 1_000_000_000 / 1_000))
        }
        Exchange::Kraken => json!(instant::to_rfc3339_places(ts, 6)),
        _ => json!(ts / 1_000_000),
    }
}

/// The figures that the recordings' expected results hold.
fn figures(exchange: Exchange, ticker: &Ticker) -> Value {
    let range = exchange == Exchange::Bybit;
    let figures = [
        ("last", ticker.last),
        ("bid", ticker.bid),
        ("bid_qty", ticker.bid_qty),
        ("ask", ticker.ask),
        ("ask_qty", ticker.ask_qty),
        ("volume_24h", ticker.volume_24h),
        ("high_24h", ticker.high_24h.filter(|_| range)),
        ("low_24h", ticker.low_24h.filter(|_| range)),
    ];
    let known = figures.into_iter().filter_map(|(name, figure)| Some((name.to_owned(), json!(figure?.to_string()))));
    Value::Object(known.collect())
}

/// A candle, its interval as Bybit names it and its start as Kraken writes it.
fn bar(exchange: Exchange, candle: &Candle) -> Value {
    let native = candle.interval.native(exchange).filter(|_| exchange == Exchange::Bybit);
    let start = match exchange {
        Exchange::Kraken => json!(instant::to_rfc3339_places(candle.open_time * 1_000_000, 9)),
        _ => json!(candle.open_time),
    };
    let mut bar = json!({
        "interval": native.unwrap_or(candle.interval.name()),
        "start": start,
        "open": candle.open.to_string(),
        "high": candle.high.to_string(),
        "low": candle.low.to_string(),
        "close": candle.close.to_string(),
        "volume": candle.volume.to_string(),
    });
    if let Some(closed) = candle.closed {
        bar["closed"] = json!(closed);
    }
    bar
}
