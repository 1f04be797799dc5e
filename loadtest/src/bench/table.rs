//! What a benchmark found.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

use crate::{
    record::Machine,
    report::figures::{bytes, moment, rate, three, time_us},
};

/// Growth that counts as none.
pub(super) const FLAT: f64 = 0.15;

/// Everything that one benchmark found.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Findings {
    /// Where.
    pub(super) machine: Machine,
    /// When it began, milliseconds since the Unix epoch.
    pub(super) started_at_ms: u64,
    /// How long it took, seconds.
    pub(super) took_s: u64,
    /// The command line.
    pub(super) command: Vec<String>,
    /// Fewer rounds, rough figures.
    pub(super) is_quick: bool,
    /// The table.
    pub(super) rows: Vec<Row>,
    /// Costs at several sizes.
    pub(super) growth: Vec<Cell>,
    /// What a reader must know.
    pub(super) notes: Vec<String>,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    /// What was measured.
    pub(super) what: String,
    /// The raw loop's, or what else it is compared with, in `unit`.
    pub(super) floor: Option<f64>,
    /// Tickwire's, in `unit`.
    pub(super) measured: f64,
    /// Of both.
    pub(super) unit: Unit,
    /// What the design asks for.
    pub(super) goal: Option<Goal>,
    /// How to take it.
    pub(super) note: String,
}

/// Unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Unit {
    /// Microseconds.
    Us,
    /// Bytes.
    Bytes,
    /// Something a second.
    PerS,
    /// A number of things.
    Count,
}

impl Unit {
    /// With its unit, three figures.
    pub(super) fn show(self, value: f64) -> String {
        match self {
            Self::Us => time_us(value),
            Self::Bytes => bytes(value),
            Self::PerS => format!("{}/s", rate(value)),
            Self::Count => three(value),
        }
    }
}

/// What a row shall reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Goal {
    /// `measured / floor` at most.
    RatioAtMost(f64),
    /// `measured` at most.
    AtMost(f64),
    /// `measured` at least.
    AtLeast(f64),
}

impl Row {
    /// A row without floor, goal and note.
    pub(super) fn new(what: impl Into<String>, measured: f64, unit: Unit) -> Self {
        Self { what: what.into(), floor: None, measured, unit, goal: None, note: String::new() }
    }

    pub(super) fn beside(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self
    }

    pub(super) fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// How many times the floor it is.
    pub(super) fn ratio(&self) -> Option<f64> {
        self.floor.filter(|&floor| floor > 0.0).map(|floor| self.measured / floor)
    }

    /// Whether it reached its goal; `None` without one.
    pub(super) fn is_reached(&self) -> Option<bool> {
        Some(match self.goal? {
            Goal::RatioAtMost(limit) => self.ratio()? <= limit,
            Goal::AtMost(limit) => self.measured <= limit,
            Goal::AtLeast(limit) => self.measured >= limit,
        })
    }

    /// The goal in words.
    pub(super) fn goal_text(&self) -> String {
        match self.goal {
            Some(Goal::RatioAtMost(limit)) => format!("≤ {} ×", three(limit)),
            Some(Goal::AtMost(limit)) => format!("≤ {}", self.unit.show(limit)),
            Some(Goal::AtLeast(limit)) => format!("≥ {}", self.unit.show(limit)),
            None => "–".into(),
        }
    }
}

/// Costs at one size.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cell {
    /// Connections.
    pub(super) connections: usize,
    /// Channels of each.
    pub(super) channels: usize,
    /// CPU of the edges for each delivery, microseconds.
    pub(super) delivery_us: f64,
    /// User-space memory of the edges for each connection, bytes.
    pub(super) connection_bytes: f64,
    /// Kernel memory of both ends for each connection, bytes.
    pub(super) kernel_bytes: f64,
}

impl Findings {
    pub(super) fn new(machine: Machine, started_at_ms: u64, command: Vec<String>, is_quick: bool) -> Self {
        Self {
            machine,
            started_at_ms,
            took_s: 0,
            command,
            is_quick,
            rows: Vec::new(),
            growth: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The table for a terminal.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let Machine { cpus, cpu, kernel, .. } = &self.machine;
        writeln!(out, "\n{} · {cpus} × {cpu} · {kernel} · {} s", moment(self.started_at_ms), self.took_s)?;
        writeln!(out, "\n{:<62}{:>12}{:>14}{:>8}{:>14}", "", "beside", "Tickwire", "ratio", "goal")?;
        for row in &self.rows {
            let floor = row.floor.map_or_else(|| "–".into(), |floor| row.unit.show(floor));
            let ratio = row.ratio().map_or_else(|| "–".into(), |ratio| format!("{ratio:.2}"));
            let outcome = match row.is_reached() {
                Some(true) => "  ✓ reached",
                Some(false) => "  ✗ missed",
                None => "",
            };
            let measured = row.unit.show(row.measured);
            writeln!(out, "{:<62}{floor:>12}{measured:>14}{ratio:>8}{:>14}{outcome}", row.what, row.goal_text())?;
        }
        if !self.growth.is_empty() {
            writeln!(
                out,
                "\nGrowth{:>18}{:>12}{:>18}{:>22}{:>22}",
                "connections", "channels", "CPU a delivery", "memory each", "kernel, both ends"
            )?;
            for cell in &self.growth {
                writeln!(
                    out,
                    "{:>24}{:>12}{:>18}{:>22}{:>22}",
                    cell.connections,
                    cell.channels,
                    time_us(cell.delivery_us),
                    bytes(cell.connection_bytes),
                    bytes(cell.kernel_bytes)
                )?;
            }
            for line in self.growth_verdicts() {
                writeln!(out, "  {line}")?;
            }
        }
        for row in self.rows.iter().filter(|row| !row.note.is_empty()) {
            writeln!(out, "\n{}: {}", row.what, row.note)?;
        }
        for note in &self.notes {
            writeln!(out, "\n! {note}")?;
        }
        Ok(())
    }

    /// For each number of channels, whether costs stay flat from the fewest connections to the most.
    pub(super) fn growth_verdicts(&self) -> Vec<String> {
        let mut verdicts = Vec::new();
        let mut sizes: Vec<usize> = self.growth.iter().map(|cell| cell.channels).collect();
        sizes.sort_unstable();
        sizes.dedup();
        for channels in sizes {
            let cells: Vec<&Cell> = self.growth.iter().filter(|cell| cell.channels == channels).collect();
            let (Some(first), Some(last)) = (cells.first(), cells.last()) else { continue };
            let mut judge = |what: &str, of: fn(&Cell) -> f64| {
                let change = of(last) / of(first) - 1.0;
                let verdict = match change {
                    change if change > FLAT => "grows",
                    change if change < -FLAT => "falls",
                    _ => "is flat",
                };
                let plural = if channels == 1 { "channel" } else { "channels" };
                verdicts.push(format!(
                    "{channels} {plural}: {what} {verdict} from {} to {} connections ({:+.0} %)",
                    first.connections,
                    last.connections,
                    change * 100.0
                ));
            };
            judge("CPU a delivery", |cell| cell.delivery_us);
            judge("memory a connection", |cell| cell.connection_bytes);
        }
        verdicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_reached_or_missed_on_what_it_speaks_of() {
        let row = |goal| Row::new("x", 12.0, Unit::Us).beside(10.0).goal(goal);
        let reached = [Goal::RatioAtMost(1.25), Goal::AtMost(12.0), Goal::AtLeast(11.0)];
        let missed = [Goal::RatioAtMost(1.1), Goal::AtMost(11.0), Goal::AtLeast(13.0)];
        assert!(reached.iter().all(|&goal| row(goal).is_reached() == Some(true)));
        assert!(missed.iter().all(|&goal| row(goal).is_reached() == Some(false)));
        assert_eq!(Row::new("x", 1.0, Unit::Us).is_reached(), None);
        assert_eq!(Row::new("x", 1.0, Unit::Us).goal(Goal::RatioAtMost(1.0)).is_reached(), None, "no floor");
    }

    #[test]
    fn growth_says_what_grows() {
        let mut findings = Findings::new(Machine::default(), 0, Vec::new(), false);
        let cell = |connections, delivery_us, connection_bytes| Cell {
            connections,
            channels: 1,
            delivery_us,
            connection_bytes,
            kernel_bytes: 0.0,
        };
        findings.growth = vec![cell(1_000, 5.0, 2_000.0), cell(9_000, 5.5, 2_600.0)];
        let expected = [
            "1 channel: CPU a delivery is flat from 1000 to 9000 connections (+10 %)",
            "1 channel: memory a connection grows from 1000 to 9000 connections (+30 %)",
        ];
        assert_eq!(findings.growth_verdicts(), expected);
    }
}
