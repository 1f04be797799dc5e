//! The end of a run in a terminal: the same figures as the page, in plain text.

use std::fmt::{self, Write};

use super::figures::{bytes, count, length_ms, rate, three, time_us};
use crate::{
    record::{Measure, RunRecord},
    thresholds::{cpu_measured_s, delivered_per_s, servers_cpu_per_delivery_us},
};

/// Renders `record`. `with_color` for a terminal that shows it.
pub fn render(record: &RunRecord, with_color: bool) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, record, with_color);
    text
}

fn write(out: &mut String, record: &RunRecord, with_color: bool) -> fmt::Result {
    let (run, totals) = (&record.run, &record.totals);
    writeln!(out, "\n{} · {} · {}", plain(&run.scenario), length_ms(run.duration_ms), plain(&run.machine.host))?;
    writeln!(
        out,
        "  delivered {} ({}/s) · owed {} · lost {} · doubled {} · disordered {} · stale {}",
        count(totals.delivered),
        rate(delivered_per_s(record).unwrap_or_default()),
        count(totals.expected),
        count(totals.lost),
        count(totals.duplicated),
        count(totals.disordered),
        count(totals.stale),
    )?;
    writeln!(
        out,
        "  connects {} · failed {} · reconnects {} · recoveries {} · failed {} · absent {}",
        count(totals.connects),
        count(totals.connect_failures.values().sum()),
        count(totals.reconnects),
        count(totals.recoveries),
        count(totals.recoveries_failed),
        count(totals.absent),
    )?;
    distributions(out, record)?;
    processes(out, record)?;
    for note in record.generator.reasons.iter().chain(&record.notes) {
        writeln!(out, "  ! {}", plain(note))?;
    }
    thresholds(out, record, with_color)
}

fn distributions(out: &mut String, record: &RunRecord) -> fmt::Result {
    let columns = ["count", "p50", "p90", "p99", "p99.9", "greatest"];
    write!(out, "\n  {:<20}", "")?;
    for column in columns {
        write!(out, "{column:>13}")?;
    }
    writeln!(out)?;
    for measure in Measure::ALL {
        let Some(distribution) = record.distribution(measure) else { continue };
        let figures = distribution.percentiles();
        write!(out, "  {:<20}{:>13}", measure.name(), count(figures.count))?;
        for us in [figures.p50_us, figures.p90_us, figures.p99_us, figures.p999_us, figures.max_us] {
            write!(out, "{:>13}", time_us(us as f64))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn processes(out: &mut String, record: &RunRecord) -> fmt::Result {
    let (from, to) = record.run.measured_ms;
    let length_s = to.saturating_sub(from) as f64 / 1e3;
    writeln!(out)?;
    for process in &record.processes {
        let cores = if length_s > 0.0 { cpu_measured_s(record, process) / length_s } else { 0.0 };
        let greatest = process.samples.iter().map(|sample| sample.rss_bytes).max().unwrap_or_default();
        let name = plain(&process.name);
        writeln!(out, "  {name:<20}{:>6} % CPU{:>14} at most", three(cores * 100.0), bytes(greatest as f64))?;
    }
    let generator = &record.generator;
    let (cpu, memory) = (three(generator.cpu_cores * 100.0), bytes(generator.rss_max_bytes as f64));
    writeln!(out, "  {:<20}{cpu:>6} % CPU{memory:>14} at most", "the generator")?;
    if let Some(us) = servers_cpu_per_delivery_us(record) {
        writeln!(
            out,
            "  CPU a delivery: servers {}, generator {}",
            time_us(us),
            time_us(generator.cpu_per_delivery_us)
        )?;
    }
    Ok(())
}

fn thresholds(out: &mut String, record: &RunRecord, with_color: bool) -> fmt::Result {
    if record.thresholds.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    for verdict in &record.thresholds {
        let (mark, color) = if verdict.passed { ("✓", "\u{1b}[32m") } else { ("✗", "\u{1b}[31m") };
        let (begin, end) = if with_color { (color, "\u{1b}[0m") } else { ("", "") };
        let measured = match verdict.measured {
            Some(measured) => format!("{} {}", three(measured), plain(&verdict.unit)),
            None => "not measured".into(),
        };
        writeln!(out, "  {begin}{mark}{end} {:<44}{measured:>16}", plain(&verdict.threshold))?;
    }
    Ok(())
}

/// Text from outside without what would steer the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}
