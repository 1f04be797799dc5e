//! Lines and marks as SVG, drawn here: the page needs no script.

use std::fmt::Write;

use rust_decimal::prelude::ToPrimitive;

use super::report::Point;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;

/// A mark on a plot.
pub(super) struct Mark {
    pub(super) at: u64,
    pub(super) value: f64,
    /// Its style: `buy` or `sell`.
    pub(super) class: &'static str,
}

/// A plot of values over time, at least one point, times as seconds since `from`.
pub(super) fn plot(points: &[Point], marks: &[Mark], class: &'static str, from: u64) -> String {
    let values: Vec<(u64, f64)> = points.iter().filter_map(|point| Some((point.at, point.value.to_f64()?))).collect();
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return String::new() };
    let all = || values.iter().map(|value| value.1).chain(marks.iter().map(|mark| mark.value));
    let (mut low, mut high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let margin = ((high - low) * 0.08).max(high.abs() * 1e-6).max(1e-9);
    (low, high) = (low - margin, high + margin);
    let span = seconds(last.0, first.0).max(0.001);
    let x = |at: u64| LEFT + seconds(at, first.0) / span * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM);
    // Writing to a String does not fail.
    let mut svg = String::new();
    let _ = write!(svg, r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="{class}">"#);
    for step in 0..=3 {
        let value = low + (high - low) * f64::from(step) / 3.0;
        let line = y(value);
        let _ = write!(svg, r#"<path class="grid" d="M{LEFT} {line:.1}H{:.1}"/>"#, WIDTH - RIGHT);
        let _ = write!(
            svg,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 8.0,
            line + 4.0,
            label(value, high - low)
        );
    }
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let place = LEFT + share * (WIDTH - LEFT - RIGHT);
        let at = seconds(first.0, from) + share * span;
        let anchor = if step == 4 { "end" } else { "middle" };
        let _ = write!(svg, r#"<text x="{place:.1}" y="{:.1}" text-anchor="{anchor}">{at:.0} s</text>"#, HEIGHT - 6.0);
    }
    svg.push_str(r#"<path class="line" d=""#);
    for (place, (at, value)) in values.iter().enumerate() {
        let _ = write!(svg, "{}{:.1} {:.1}", if place == 0 { 'M' } else { 'L' }, x(*at), y(*value));
    }
    svg.push_str(r#""/>"#);
    for mark in marks {
        let (x, y) = (x(mark.at.clamp(first.0, last.0)), y(mark.value));
        let tip = if mark.class == "buy" { 7.0 } else { -7.0 };
        let _ = write!(svg, r#"<path class="{}" d="M{x:.1} {y:.1}l-5 {tip}h10z"/>"#, mark.class);
    }
    svg.push_str("</svg>");
    svg
}

#[allow(clippy::cast_precision_loss, reason = "for a drawing")]
fn seconds(later: u64, earlier: u64) -> f64 {
    later.saturating_sub(earlier) as f64 / 1_000.0
}

fn label(value: f64, span: f64) -> String {
    let places = if span >= 100.0 {
        0
    } else if span >= 1.0 {
        2
    } else {
        4
    };
    format!("{value:.places$}")
}
