//! A report as one HTML file that needs nothing else: no script, nothing fetched.

use std::fmt::{Display, Write};

use rust_decimal::{Decimal, prelude::ToPrimitive};
use tickwire_trading::account::Side;

use super::{
    plot::{Mark, plot},
    report::{Point, Report},
};

const STYLE: &str = include_str!("page.css");
/// Rows of a table.
const ROWS_MAX: usize = 200;
/// Marks of a plot.
const MARKS_MAX: usize = 1_000;

/// Any text as content of an element.
fn escaped(text: impl Display) -> String {
    let mut escaped = String::new();
    for character in text.to_string().chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            control if control.is_control() => escaped.push('\u{fffd}'),
            plain => escaped.push(plain),
        }
    }
    escaped
}

/// The whole file.
pub fn page(report: &Report) -> String {
    let mut page = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" ");
    page.push_str("content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>");
    // Writing to a String does not fail.
    let _ = writeln!(
        page,
        "{} · Tickwire backtest</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>",
        escaped(&report.strategy)
    );
    header(&mut page, report);
    tiles(&mut page, report);
    plots(&mut page, report);
    trades(&mut page, report);
    decisions(&mut page, report);
    page.push_str("<footer>Paper trading against recorded books: price, size and fees of each level, no fill beyond the book. The same recording and ");
    page.push_str("parameters make the same report.</footer>\n</main>\n</body>\n</html>\n");
    page
}

fn header(page: &mut String, report: &Report) {
    let symbols: Vec<&str> = report.symbols.iter().map(tickwire_trading::Instrument::as_str).collect();
    let _ = writeln!(
        page,
        "<header><p class=\"kicker\">Tickwire backtest</p><h1>{}</h1><p class=\"soft\">{} · {} messages in {} s · <code>{}</code></p></header>",
        escaped(&report.strategy),
        escaped(symbols.join(", ")),
        report.messages,
        report.to.saturating_sub(report.from) / 1_000,
        escaped(report.parameters.as_str()),
    );
}

fn tiles(page: &mut String, report: &Report) {
    let tone = |value: Decimal| if value < Decimal::ZERO { "bad" } else { "good" };
    let sharpe = report.sharpe.map_or_else(|| "–".to_owned(), |sharpe| sharpe.to_string());
    let fall = (report.max_drawdown.share * Decimal::ONE_HUNDRED).normalize();
    let tiles = [
        ("P&L, fees included", short(report.pnl), tone(report.pnl)),
        ("Realised", short(report.realized), tone(report.realized)),
        ("Fees", short(report.fees), ""),
        ("Equity at the end", short(report.equity), ""),
        ("Greatest drawdown", format!("{} ({fall} %)", short(report.max_drawdown.amount)), ""),
        ("Sharpe, a year", sharpe, ""),
        ("Orders / fills", format!("{} / {}", report.orders, report.fills), ""),
        ("Closed at gain / loss", format!("{} / {}", report.wins, report.losses), ""),
    ];
    page.push_str("<dl class=\"tiles\">");
    for (what, value, class) in tiles {
        let _ = write!(
            page,
            "<div class=\"card\"><dt>{}</dt><dd class=\"{class}\">{}</dd></div>",
            escaped(what),
            escaped(value)
        );
    }
    page.push_str("</dl>\n");
}

fn figure(page: &mut String, title: &str, note: &str, svg: &str) {
    let _ = writeln!(
        page,
        "<figure class=\"card\"><figcaption><b>{}</b> <span>{}</span></figcaption>{svg}</figure>",
        escaped(title),
        escaped(note)
    );
}

fn plots(page: &mut String, report: &Report) {
    page.push_str("<h2>Course</h2>\n");
    figure(page, "Equity", "cash and positions at their marks", &plot(&report.curve, &[], "equity", report.from));
    figure(page, "Drawdown", "below the peak so far", &plot(&drawdown(&report.curve), &[], "drawdown", report.from));
    for (symbol, points) in &report.prices {
        let mark = |trade: &super::Trade| {
            let class = if trade.side == Side::Buy { "buy" } else { "sell" };
            Some(Mark { at: trade.at, value: trade.price.to_f64()?, class })
        };
        let marks: Vec<Mark> =
            report.trades.iter().filter(|trade| trade.symbol == *symbol).filter_map(mark).take(MARKS_MAX).collect();
        figure(page, symbol.as_str(), "price, ▲ bought, ▼ sold", &plot(points, &marks, "price", report.from));
    }
}

fn drawdown(curve: &[Point]) -> Vec<Point> {
    let mut peak = Decimal::MIN;
    let below = |point: &Point| {
        peak = peak.max(point.value);
        Point { at: point.at, value: point.value - peak }
    };
    curve.iter().map(below).collect()
}

fn trades(page: &mut String, report: &Report) {
    page.push_str("<h2>Fills</h2>\n<table class=\"card\"><thead><tr><th>s<th>symbol<th>side<th>quantity<th>price<th>fee<th>realised</tr></thead><tbody>\n");
    for trade in report.trades.iter().take(ROWS_MAX) {
        let _ = writeln!(
            page,
            "<tr><td>{}<td>{}<td class=\"{}\">{}<td>{}<td>{}<td>{}<td>{}</tr>",
            seconds(trade.at, report.from),
            escaped(&trade.symbol),
            trade.side,
            trade.side,
            trade.quantity,
            trade.price,
            trade.fee,
            trade.realized,
        );
    }
    page.push_str("</tbody></table>\n");
    more(page, report.trades.len());
}

fn decisions(page: &mut String, report: &Report) {
    page.push_str("<h2>Decisions</h2>\n<table class=\"card\"><thead><tr><th>s<th>symbol<th>decision<th>confidence<th>reasoning</tr></thead><tbody>\n");
    for decision in report.decisions.iter().take(ROWS_MAX) {
        let _ = writeln!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}<td class=\"words\">{}</tr>",
            seconds(decision.at, report.from),
            escaped(&decision.symbol),
            decision.action.as_str(),
            decision.confidence,
            escaped(&decision.reasoning),
        );
    }
    page.push_str("</tbody></table>\n");
    more(page, report.decisions.len());
}

fn more(page: &mut String, rows: usize) {
    if rows > ROWS_MAX {
        let _ = writeln!(page, "<p class=\"soft\">{} more stand in the JSON report.</p>", rows - ROWS_MAX);
    }
}

fn short(value: Decimal) -> String {
    value.round_dp(4).normalize().to_string()
}

fn seconds(at: u64, from: u64) -> String {
    let ms = at.saturating_sub(from);
    format!("{}.{}", ms / 1_000, ms % 1_000 / 100)
}
