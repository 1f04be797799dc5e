//! Line charts as data: `page.js` draws them in the reader's browser at the size that the screen has.

use serde::Serialize;

/// One chart.
#[derive(Debug, Clone, Serialize)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What a reader must know to read it.
    #[serde(skip)]
    pub note: String,
    unit: Unit,
    x: Across,
    log: bool,
    series: Vec<Series>,
    limits: Vec<Limit>,
}

/// Unit of the values of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Microseconds, shown as µs, ms or s.
    Us,
    /// Bytes, shown in powers of 1,024.
    Bytes,
    /// Percent; of CPU time, of one core.
    Percent,
    /// Something a second.
    PerS,
    /// A number of things.
    Count,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Across {
    /// Seconds since the start.
    Time,
    /// `log10(1 / (1 - p))`: 1 is the 90th percentile, 2 the 99th, 3 the 99.9th.
    Percentile,
    /// Any number, such as connections, on a logarithmic axis.
    Size,
}

/// One line of a chart.
#[derive(Debug, Clone, Serialize)]
pub struct Series {
    name: String,
    points: Vec<(f64, f64)>,
}

#[derive(Debug, Clone, Serialize)]
struct Limit {
    y: f64,
    label: String,
}

/// More points than pixels help nobody and make the file large.
const POINTS_MAX: usize = 600;

impl Series {
    /// Points in ascending order of their first value. Of more than fit, each run of neighbours keeps its highest.
    pub fn new(name: impl Into<String>, mut points: Vec<(f64, f64)>) -> Self {
        let run = points.len().div_ceil(POINTS_MAX);
        if run > 1 {
            let highest = |run: &[(f64, f64)]| run.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
            points = points.chunks(run).filter_map(highest).collect();
        }
        Self { name: name.into(), points }
    }
}

impl Chart {
    /// A chart whose lower axis is the time since the start of a run, seconds.
    pub fn over_time(title: impl Into<String>, note: impl Into<String>, unit: Unit) -> Self {
        Self::new(title.into(), note.into(), unit, Across::Time)
    }

    /// A chart of latencies by percentile; see [`rank`].
    pub fn over_percentiles(title: impl Into<String>, note: impl Into<String>) -> Self {
        Self { log: true, ..Self::new(title.into(), note.into(), Unit::Us, Across::Percentile) }
    }

    /// A chart whose lower axis is a size, such as a number of connections.
    pub fn over_size(title: impl Into<String>, note: impl Into<String>, unit: Unit) -> Self {
        Self::new(title.into(), note.into(), unit, Across::Size)
    }

    fn new(title: String, note: String, unit: Unit, x: Across) -> Self {
        Self { title, note, unit, x, log: false, series: Vec::new(), limits: Vec::new() }
    }

    /// One more line.
    pub fn push(&mut self, series: Series) {
        self.series.push(series);
    }

    /// The same with one more line.
    #[must_use]
    pub fn with(mut self, series: Series) -> Self {
        self.push(series);
        self
    }

    /// The same with values on a logarithmic axis.
    #[must_use]
    pub fn logarithmic(mut self) -> Self {
        self.log = true;
        self
    }

    /// The same with a level that must not be crossed.
    #[must_use]
    pub fn limit(mut self, y: f64, label: impl Into<String>) -> Self {
        self.limits.push(Limit { y, label: label.into() });
        self
    }

    /// Whether there is anything to draw.
    pub fn is_empty(&self) -> bool {
        self.series.iter().all(|series| series.points.is_empty())
    }
}

/// Where `percentile` (0 to 100, less than 100) stands on the axis of [`Chart::over_percentiles`].
pub fn rank(percentile: f64) -> f64 {
    -(1.0 - percentile / 100.0).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_peaks() {
        let points = (0..6_000_u32).map(|x| (f64::from(x), if x == 4_321 { 9.0 } else { 1.0 })).collect();
        let series = Series::new("all", points);
        assert_eq!(series.points.len(), POINTS_MAX);
        assert!(series.points.contains(&(4_321.0, 9.0)));
    }

    #[test]
    fn each_nine_is_one_step_further() {
        for (percentile, expected) in [(0.0, 0.0), (90.0, 1.0), (99.0, 2.0), (99.9, 3.0)] {
            assert!((rank(percentile) - expected).abs() < 1e-9);
        }
    }
}
