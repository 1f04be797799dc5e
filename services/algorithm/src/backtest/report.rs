//! What came of a backtest.

use std::collections::BTreeMap;

use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::Serialize;
use tickwire_trading::{
    Account, Figures, Instrument, Session,
    account::{Fill, Order, Side},
};

use crate::{
    decision::{Action, Decision},
    history::{deviation, mean, returns},
};

/// Time between two points of the curves, milliseconds.
const PERIOD_MS: u64 = 1_000;
/// Points of a curve; of a longer recording every second one is dropped, and the period doubles.
const POINTS_MAX: usize = 4_000;
/// Decisions and trades that a report lists.
const LISTED_MAX: usize = 10_000;
/// Points below which a Sharpe ratio says nothing.
const SHARPE_POINTS_MIN: usize = 30;
const YEAR_MS: f64 = 365.0 * 86_400_000.0;

/// A value at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// The value.
    pub value: Decimal,
}

/// A fill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trade {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// What.
    pub symbol: Instrument,
    /// Which way.
    pub side: Side,
    /// How much.
    pub quantity: Decimal,
    /// At what price.
    pub price: Decimal,
    /// Paid for it.
    pub fee: Decimal,
    /// Gained by what it closed, before fees.
    pub realized: Decimal,
}

/// The greatest fall of the equity from a peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Drawdown {
    /// In money.
    pub amount: Decimal,
    /// As a share of the peak, six places.
    pub share: Decimal,
}

/// What came of a backtest. The same recording and parameters make the same report, byte for byte.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The strategy.
    pub strategy: String,
    /// Its parameters as given.
    pub parameters: tickwire_protocol::RawJson,
    /// What it traded.
    pub symbols: Vec<Instrument>,
    /// Messages of its markets.
    pub messages: u64,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// First message, milliseconds since the Unix epoch.
    pub from: u64,
    /// Last message.
    pub to: u64,
    /// Money at the start.
    pub capital: Decimal,
    /// Money at the end, with positions at their marks.
    pub equity: Decimal,
    /// Gained or lost, fees included.
    pub pnl: Decimal,
    /// Gained or lost by what was closed, before fees.
    #[serde(rename = "realizedPnL")]
    pub realized: Decimal,
    /// Gained or lost by what could not be closed at the end.
    #[serde(rename = "unrealizedPnL")]
    pub unrealized: Decimal,
    /// Paid.
    pub fees: Decimal,
    /// Orders.
    pub orders: u64,
    /// Fills.
    pub fills: u64,
    /// Fills that closed something at a gain, before fees.
    pub wins: u64,
    /// Fills that closed something at a loss.
    pub losses: u64,
    /// Decisions by action.
    pub decisions_by_action: BTreeMap<&'static str, u64>,
    /// The greatest fall.
    pub max_drawdown: Drawdown,
    /// Mean by deviation of the equity's changes, scaled to a year; none of fewer than 30 points or an equity that stood still. A
    /// figure for comparing, not money.
    pub sharpe: Option<f64>,
    /// The equity's course.
    pub curve: Vec<Point>,
    /// Prices' courses.
    pub prices: BTreeMap<Instrument, Vec<Point>>,
    /// The first 10,000 fills.
    pub trades: Vec<Trade>,
    /// The first 10,000 decisions.
    pub decisions: Vec<Decision>,
}

/// A curve that grows: the last value of each period.
#[derive(Debug)]
struct Curve {
    points: Vec<Point>,
    period_ms: u64,
}

impl Curve {
    fn new() -> Self {
        Self { points: Vec::new(), period_ms: PERIOD_MS }
    }

    fn put(&mut self, at: u64, value: Decimal) {
        let value = value.normalize();
        match self.points.last_mut() {
            Some(last) if last.at / self.period_ms == at / self.period_ms => *last = Point { at, value },
            _ => self.points.push(Point { at, value }),
        }
        if self.points.len() > POINTS_MAX {
            self.period_ms *= 2;
            let mut place = 0;
            self.points.retain(|_| {
                place += 1;
                place % 2 == 0
            });
        }
    }
}

/// A report in the making.
#[derive(Debug)]
pub(super) struct Collector {
    session: Session,
    pub(super) unreadable: u64,
    messages: u64,
    from: Option<u64>,
    to: u64,
    equity: Curve,
    prices: BTreeMap<Instrument, Curve>,
    figures_at: Option<u64>,
    peak: Decimal,
    drawdown: Drawdown,
    wins: u64,
    losses: u64,
    by_action: BTreeMap<&'static str, u64>,
    trades: Vec<Trade>,
    decisions: Vec<Decision>,
}

impl Collector {
    pub(super) fn new(session: &Session) -> Self {
        Self {
            session: session.clone(),
            unreadable: 0,
            messages: 0,
            from: None,
            to: 0,
            equity: Curve::new(),
            prices: session.symbols.iter().map(|symbol| (symbol.clone(), Curve::new())).collect(),
            figures_at: None,
            peak: session.capital,
            drawdown: Drawdown::default(),
            wins: 0,
            losses: 0,
            by_action: BTreeMap::new(),
            trades: Vec::new(),
            decisions: Vec::new(),
        }
    }

    pub(super) fn message(&mut self, now: u64) {
        self.messages += 1;
        self.from.get_or_insert(now);
        self.to = now;
    }

    pub(super) fn price(&mut self, symbol: &Instrument, price: Decimal, now: u64) {
        if let Some(curve) = self.prices.get_mut(symbol) {
            curve.put(now, price);
        }
    }

    /// Ten times a second is often enough to find the greatest fall.
    pub(super) fn wants_figures(&self, now: u64) -> bool {
        self.figures_at.is_none_or(|before| now >= before + 100)
    }

    pub(super) fn equity(&mut self, now: u64, equity: Decimal) {
        self.figures_at = Some(now);
        self.equity.put(now, equity);
        self.peak = self.peak.max(equity);
        let amount = self.peak - equity;
        if amount > self.drawdown.amount {
            let share = amount.checked_div(self.peak).unwrap_or_default().round_dp(6).normalize();
            self.drawdown = Drawdown { amount: amount.normalize(), share };
        }
    }

    pub(super) fn decided(&mut self, decision: &Decision) {
        *self.by_action.entry(Action::as_str(decision.action)).or_default() += 1;
        if self.decisions.len() < LISTED_MAX {
            self.decisions.push(decision.clone());
        }
    }

    pub(super) fn filled(&mut self, order: &Order, fill: &Fill, realized: Decimal) {
        match realized {
            gained if gained > Decimal::ZERO => self.wins += 1,
            lost if lost < Decimal::ZERO => self.losses += 1,
            _ => {}
        }
        if self.trades.len() < LISTED_MAX {
            self.trades.push(Trade {
                at: fill.at,
                symbol: order.symbol.clone(),
                side: order.side,
                quantity: fill.quantity,
                price: fill.price,
                fee: fill.fee,
                realized,
            });
        }
    }

    pub(super) fn finish(self, account: &Account, figures: &Figures) -> Report {
        let sharpe = sharpe(&self.equity);
        Report {
            strategy: self.session.algorithm_id.to_string(),
            parameters: self.session.parameters,
            symbols: self.session.symbols,
            messages: self.messages,
            unreadable: self.unreadable,
            from: self.from.unwrap_or(0),
            to: self.to,
            capital: account.capital(),
            equity: figures.equity,
            pnl: figures.pnl(),
            realized: figures.realized_pnl,
            unrealized: figures.unrealized_pnl,
            fees: figures.fees,
            orders: account.orders(),
            fills: account.fills(),
            wins: self.wins,
            losses: self.losses,
            decisions_by_action: self.by_action,
            max_drawdown: self.drawdown,
            sharpe,
            curve: self.equity.points,
            prices: self.prices.into_iter().map(|(symbol, curve)| (symbol, curve.points)).collect(),
            trades: self.trades,
            decisions: self.decisions,
        }
    }
}

/// A statistic over what is no longer traded with: floats are allowed here.
#[allow(clippy::cast_precision_loss, reason = "a period has far fewer than 2^52 milliseconds")]
fn sharpe(curve: &Curve) -> Option<f64> {
    let equity: Vec<f64> = curve.points.iter().filter_map(|point| point.value.to_f64()).collect();
    if equity.len() < SHARPE_POINTS_MIN {
        return None;
    }
    let changes = returns(&equity);
    let deviation = deviation(&changes);
    if deviation == 0.0 {
        return None;
    }
    let ratio = mean(&changes) / deviation * (YEAR_MS / curve.period_ms as f64).sqrt();
    ratio.is_finite().then(|| (ratio * 1_000.0).round() / 1_000.0)
}
