//! What a run shows while it goes on: one block on a terminal, painted over each second; plain lines elsewhere.

use std::io::{self, Write};

use crate::{
    record::Second,
    report::figures::{bytes, count, rate, time_us},
};

/// Lines between which plain output leaves this many seconds out.
const PLAIN_EVERY: u64 = 5;
const BAR_CELLS: usize = 32;

/// The display of one run.
#[derive(Debug)]
pub struct Progress<W> {
    out: W,
    is_terminal: bool,
    connections: u64,
    planned_ms: u64,
    painted_lines: usize,
    shown: u64,
    sum: Sum,
}

/// What has come together since the start.
#[derive(Debug, Default)]
struct Sum {
    delivered: u64,
    reconnects: u64,
    drops: u64,
    connect_failures: u64,
    publish_failures: u64,
    lost: i64,
    wrong: u64,
}

impl<W: Write> Progress<W> {
    /// A display on `out` of a run with `connections` clients that is planned to take `planned_ms`.
    pub fn new(out: W, is_terminal: bool, connections: u64, planned_ms: u64) -> Self {
        Self { out, is_terminal, connections, planned_ms, painted_lines: 0, shown: 0, sum: Sum::default() }
    }

    /// Shows the second that has just ended.
    pub fn show(&mut self, second: &Second, length_ms: u64) -> io::Result<()> {
        let sum = &mut self.sum;
        sum.delivered += second.delivered;
        sum.reconnects += second.reconnects;
        sum.drops += second.drops;
        sum.connect_failures += second.connect_failures;
        sum.publish_failures += second.publish_failures;
        sum.lost += second.lost;
        sum.wrong += second.duplicated + second.disordered + second.stale;
        self.shown += 1;
        let per_s = 1e3 / length_ms.max(1) as f64;
        if self.is_terminal {
            let lines = self.block(second, per_s);
            if self.painted_lines > 0 {
                // To the block's first line, and everything below it away.
                write!(self.out, "\u{1b}[{}F\u{1b}[J", self.painted_lines)?;
            }
            self.painted_lines = lines.len();
            for line in lines {
                writeln!(self.out, "{line}")?;
            }
        } else if self.shown % PLAIN_EVERY == 1 {
            let line = self.line(second, per_s);
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }

    fn block(&self, second: &Second, per_s: f64) -> Vec<String> {
        let sum = &self.sum;
        let share = (second.at_ms as f64 / self.planned_ms.max(1) as f64).min(1.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to BAR_CELLS")]
        let full = (share * BAR_CELLS as f64).round() as usize;
        let bar = format!("{}{}", "━".repeat(full), "─".repeat(BAR_CELLS - full));
        let figures = &second.delivery;
        let mut lines = vec![
            format!("{bar} {:>4} s  {}", second.at_ms / 1_000, second.phase),
            format!(
                "  connected {} of {}   connects {}/s   reconnects {}   drops {}   failed {}",
                count(second.connected),
                count(self.connections),
                rate(second.connects as f64 * per_s),
                count(sum.reconnects),
                count(sum.drops),
                count(sum.connect_failures),
            ),
            format!(
                "  published {}/s   delivered {}/s   {}/s   {} in all",
                rate(second.published as f64 * per_s),
                rate(second.delivered as f64 * per_s),
                bytes(second.received_bytes as f64 * per_s),
                count(sum.delivered),
            ),
        ];
        if figures.count > 0 {
            lines.push(format!(
                "  latency   p50 {}   p90 {}   p99 {}   p99.9 {}   greatest {}",
                time_us(figures.p50_us as f64),
                time_us(figures.p90_us as f64),
                time_us(figures.p99_us as f64),
                time_us(figures.p999_us as f64),
                time_us(figures.max_us as f64),
            ));
        } else if second.connect.count > 0 {
            let (p50, p99) = (time_us(second.connect.p50_us as f64), time_us(second.connect.p99_us as f64));
            lines.push(format!("  connect   p50 {p50}   p99 {p99}"));
        }
        lines.push(format!(
            "  lost {}   wrong {}   publishes failed {}   generator {:.0} % of a core",
            sum.lost,
            count(sum.wrong),
            count(sum.publish_failures),
            second.generator_cpu * 100.0,
        ));
        lines
    }

    fn line(&self, second: &Second, per_s: f64) -> String {
        format!(
            "{:>5} s {:<10} connected {} published {}/s delivered {}/s p50 {} p99 {} lost {} wrong {}",
            second.at_ms / 1_000,
            second.phase,
            count(second.connected),
            rate(second.published as f64 * per_s),
            rate(second.delivered as f64 * per_s),
            time_us(second.delivery.p50_us as f64),
            time_us(second.delivery.p99_us as f64),
            self.sum.lost,
            count(self.sum.wrong),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(at_ms: u64) -> Second {
        Second { at_ms, phase: "steady".into(), connected: 1_000, delivered: 5_000, ..Second::default() }
    }

    #[test]
    fn a_terminal_shows_one_block_painted_over() {
        let mut out = Vec::new();
        let mut progress = Progress::new(&mut out, true, 1_000, 10_000);
        progress.show(&second(1_000), 1_000).unwrap();
        progress.show(&second(2_000), 1_000).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("\u{1b}[4F\u{1b}[J").count(), 1, "{text:?}");
        assert!(text.contains("10,000 in all"));
    }

    #[test]
    fn elsewhere_lines_are_plain_and_few() {
        let mut out = Vec::new();
        let mut progress = Progress::new(&mut out, false, 1_000, 10_000);
        for at in 1..=10 {
            progress.show(&second(at * 1_000), 1_000).unwrap();
        }
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains('\u{1b}'));
    }
}
