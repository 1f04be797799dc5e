//! What a run must reach: limits given as flags, judged on the finished record.
//!
//! A limit on something that was not measured is missed: a run that delivered nothing has no p99 to be proud of.

use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::record::{Distribution, Measure, ProcessSeries, RunRecord, ThresholdVerdict};

/// Limits; those left out are not judged.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Thresholds (exit status 2 if one is missed)")]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Thresholds {
    /// Nothing lost, doubled, disordered, stale or strayed, no failed recovery, nobody absent at the end.
    #[arg(long)]
    pub clean: bool,
    /// Messages owed and not delivered.
    #[arg(long, value_name = "COUNT")]
    pub max_loss: Option<u64>,
    /// Messages delivered twice.
    #[arg(long, value_name = "COUNT")]
    pub max_duplicates: Option<u64>,
    /// Messages delivered after a later one.
    #[arg(long, value_name = "COUNT")]
    pub max_disorder: Option<u64>,
    /// Older values after newer ones.
    #[arg(long, value_name = "COUNT")]
    pub max_stale: Option<u64>,
    /// Recoveries answered with `recovered:false`.
    #[arg(long, value_name = "COUNT")]
    pub max_failed_recoveries: Option<u64>,
    /// Connection attempts that failed.
    #[arg(long, value_name = "COUNT")]
    pub max_failed_connects: Option<u64>,
    /// Connections that ended without the client wanting it.
    #[arg(long, value_name = "COUNT")]
    pub max_drops: Option<u64>,
    /// Clients that were not back when the run ended.
    #[arg(long, value_name = "COUNT")]
    pub max_absent: Option<u64>,
    /// Median of delivery, such as `2ms`.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub max_p50: Option<Duration>,
    /// 99th percentile of delivery.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub max_p99: Option<Duration>,
    /// 99.9th percentile of delivery.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub max_p999: Option<Duration>,
    /// Longest delivery.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub max_latency: Option<Duration>,
    /// 99th percentile of the delivery of critical messages.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub max_critical_p99: Option<Duration>,
    /// 99th percentile of the delivery to clients that read slowly.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub max_slow_p99: Option<Duration>,
    /// 99th percentile from connect to subscribed.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub max_connect_p99: Option<Duration>,
    /// Longest time from a drop to subscribed and recovered.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub max_recovery: Option<Duration>,
    /// Messages delivered a second over the measured part, at least.
    #[arg(long, value_name = "RATE")]
    pub min_delivered_per_s: Option<f64>,
    /// CPU of all watched processes for each message delivered in the measured part.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub max_cpu_per_delivery: Option<Duration>,
    /// Resident memory of any watched process at its greatest, such as `512MiB`.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub max_memory: Option<u64>,
    /// How much any watched process may grow over the measured part.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub max_memory_growth: Option<u64>,
}

impl Thresholds {
    /// Judges `record`, limits in the order of the flags.
    pub fn judge(&self, record: &RunRecord) -> Vec<ThresholdVerdict> {
        let mut verdicts = Vec::new();
        self.judge_counts(record, &mut verdicts);
        self.judge_times(record, &mut verdicts);
        if let Some(limit) = self.min_delivered_per_s {
            let measured = delivered_per_s(record);
            let threshold = format!("delivered a second ≥ {limit}");
            let passed = measured.is_some_and(|measured| measured >= limit);
            verdicts.push(ThresholdVerdict { threshold, measured, limit, unit: "/s".into(), passed });
        }
        self.judge_servers(record, &mut verdicts);
        verdicts
    }

    fn judge_counts(&self, record: &RunRecord, verdicts: &mut Vec<ThresholdVerdict>) {
        let totals = &record.totals;
        let sum = |counts: &std::collections::BTreeMap<String, u64>| counts.values().sum::<u64>();
        let cleanly = |limit: Option<u64>| limit.or(self.clean.then_some(0));
        let counts = [
            ("lost", cleanly(self.max_loss), totals.lost),
            ("duplicated", cleanly(self.max_duplicates), totals.duplicated),
            ("disordered", cleanly(self.max_disorder), totals.disordered),
            ("stale", cleanly(self.max_stale), totals.stale),
            ("strayed", cleanly(None), totals.strays),
            ("malformed frames", cleanly(None), totals.malformed),
            ("acknowledged and sent again", cleanly(None), totals.acknowledged_again),
            ("failed recoveries", cleanly(self.max_failed_recoveries), totals.recoveries_failed),
            ("failed connects", self.max_failed_connects, sum(&totals.connect_failures)),
            ("drops", self.max_drops, sum(&totals.drops)),
            ("clients absent at the end", cleanly(self.max_absent), totals.absent),
        ];
        for (what, limit, measured) in counts {
            if let Some(limit) = limit {
                verdicts.push(at_most(what, Some(measured as f64), limit as f64, ""));
            }
        }
    }

    fn judge_times(&self, record: &RunRecord, verdicts: &mut Vec<ThresholdVerdict>) {
        let quantile = |share: f64| move |measured: &Distribution| measured.value_at_quantile(share);
        let greatest = |measured: &Distribution| measured.max();
        let mut judge = |what, limit: Option<Duration>, measure, of: &dyn Fn(&Distribution) -> u64| {
            if let Some(limit) = limit {
                let measured = record.distribution(measure).map(|distribution| of(distribution) as f64 / 1e3);
                verdicts.push(at_most(what, measured, limit.as_secs_f64() * 1e3, "ms"));
            }
        };
        judge("delivery p50", self.max_p50, Measure::Delivery, &quantile(0.5));
        judge("delivery p99", self.max_p99, Measure::Delivery, &quantile(0.99));
        judge("delivery p99.9", self.max_p999, Measure::Delivery, &quantile(0.999));
        judge("delivery longest", self.max_latency, Measure::Delivery, &greatest);
        judge("critical delivery p99", self.max_critical_p99, Measure::DeliveryCritical, &quantile(0.99));
        judge("slow readers' delivery p99", self.max_slow_p99, Measure::DeliverySlow, &quantile(0.99));
        judge("connect p99", self.max_connect_p99, Measure::Connect, &quantile(0.99));
        judge("recovery longest", self.max_recovery, Measure::Recovery, &greatest);
    }

    fn judge_servers(&self, record: &RunRecord, verdicts: &mut Vec<ThresholdVerdict>) {
        if let Some(limit) = self.max_cpu_per_delivery {
            let measured = servers_cpu_per_delivery_us(record);
            verdicts.push(at_most("server CPU per delivery", measured, limit.as_secs_f64() * 1e6, "µs"));
        }
        let greatest = |of: &dyn Fn(&ProcessSeries) -> Option<u64>| {
            record.processes.iter().filter_map(of).max().map(|bytes| bytes as f64 / MIB)
        };
        if let Some(limit) = self.max_memory {
            let measured = greatest(&|process| process.samples.iter().map(|sample| sample.rss_bytes).max());
            verdicts.push(at_most("memory of a server, greatest", measured, limit as f64 / MIB, "MiB"));
        }
        if let Some(limit) = self.max_memory_growth {
            let measured = greatest(&|process| growth_bytes(record, process));
            verdicts.push(at_most("growth of a server's memory", measured, limit as f64 / MIB, "MiB"));
        }
    }
}

const MIB: f64 = 1_048_576.0;

fn at_most(what: &str, measured: Option<f64>, limit: f64, unit: &str) -> ThresholdVerdict {
    let passed = measured.is_some_and(|measured| measured <= limit);
    let threshold = format!("{what} ≤ {limit} {unit}").trim_end().to_owned();
    ThresholdVerdict { threshold, measured, limit, unit: unit.to_owned(), passed }
}

/// Messages delivered a second over the measured part; `None` where it was empty.
pub fn delivered_per_s(record: &RunRecord) -> Option<f64> {
    let (from, to) = record.run.measured_ms;
    let seconds = to.checked_sub(from).filter(|&length| length > 0)? as f64 / 1e3;
    Some(delivered_measured(record) as f64 / seconds)
}

/// CPU of all watched processes for each message delivered in the measured part, microseconds.
pub fn servers_cpu_per_delivery_us(record: &RunRecord) -> Option<f64> {
    let delivered = delivered_measured(record);
    if record.processes.is_empty() || delivered == 0 {
        return None;
    }
    let core_seconds: f64 = record.processes.iter().map(|process| cpu_measured_s(record, process)).sum();
    Some(core_seconds * 1e6 / delivered as f64)
}

fn delivered_measured(record: &RunRecord) -> u64 {
    let (from, to) = record.run.measured_ms;
    let within = record.seconds.iter().filter(|second| second.at_ms > from && second.at_ms <= to + 500);
    within.map(|second| second.delivered).sum()
}

/// CPU time of `process` over the measured part, seconds of one core.
pub fn cpu_measured_s(record: &RunRecord, process: &ProcessSeries) -> f64 {
    let (from, to) = record.run.measured_ms;
    let pairs = process.samples.windows(2).filter(|pair| pair[0].at_ms + 500 >= from && pair[1].at_ms <= to + 500);
    pairs.map(|pair| pair[1].cpu_cores * (pair[1].at_ms.saturating_sub(pair[0].at_ms)) as f64 / 1e3).sum()
}

/// From the first sample of the measured part to its greatest, bytes.
fn growth_bytes(record: &RunRecord, process: &ProcessSeries) -> Option<u64> {
    let (from, to) = record.run.measured_ms;
    let mut within = process.samples.iter().filter(|sample| (from..=to + 500).contains(&sample.at_ms));
    let first = within.next()?.rss_bytes;
    Some(within.map(|sample| sample.rss_bytes).max().unwrap_or(first).saturating_sub(first))
}

/// `5ms`, `250us` or `3s`.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let unit = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return Err(format!("{text:?} is no time: write such as 250us, 5ms or 3s")),
    };
    let number: f64 = number.parse().map_err(|_| format!("{text:?} is no time"))?;
    Duration::try_from_secs_f64(number * unit).map_err(|error| format!("{text:?}: {error}"))
}

/// `512MiB`, `64KiB`, `2GiB` or `4096`.
fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let unit: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(format!("{text:?} is no size: write such as 65536, 64KiB, 512MiB or 2GiB")),
    };
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is no whole number"))?;
    number.checked_mul(unit).ok_or_else(|| format!("{text:?} is too large"))
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    text.split_at(end)
}
