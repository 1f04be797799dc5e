//! The charts of a run.

use super::chart::{Chart, Series, Unit};
use crate::record::{Distribution, Measure, Percentiles, ProcessSample, RunRecord, Second};

/// All charts that have something to show, in the order of the page.
pub(super) fn charts(record: &RunRecord) -> Vec<Chart> {
    let charts = [
        distribution(
            record,
            "Latency distribution",
            "from due to read, by percentile",
            &[Measure::Delivery, Measure::DeliveryCritical, Measure::DeliveryFallback, Measure::DeliverySlow],
        ),
        latency(record),
        throughput(record),
        connections(record),
        processes(record, "CPU of each process", "100 % is one core", Unit::Percent, |sample| sample.cpu_cores * 100.0),
        memory(record),
        kernel(record),
        reconnects(record),
        faults(record),
        distribution(
            record,
            "Connecting and coming back",
            "until subscribed to everything, by percentile",
            &[Measure::Connect, Measure::Recovery],
        ),
        distribution(
            record,
            "Publishing",
            "request to answer, and how late the generator sent",
            &[Measure::Publish, Measure::PublishLag, Measure::Ack],
        ),
        generator(record),
    ];
    charts.into_iter().filter(|chart| !chart.is_empty()).collect()
}

/// What the page calls a measure.
pub(super) const fn label(measure: Measure) -> &'static str {
    match measure {
        Measure::Delivery => "WebSocket, full speed",
        Measure::DeliverySlow => "slow readers",
        Measure::DeliveryFallback => "SSE and long polling",
        Measure::DeliveryCritical => "critical messages",
        Measure::Connect => "connect to subscribed",
        Measure::Recovery => "drop to recovered",
        Measure::Publish => "publish answered",
        Measure::PublishLag => "publish sent late",
        Measure::LoopLag => "generator's loop late",
        Measure::Ack => "acknowledgement confirmed",
    }
}

fn distribution(record: &RunRecord, title: &str, note: &str, measures: &[Measure]) -> Chart {
    let mut chart = Chart::over_percentiles(title, note);
    for &measure in measures {
        if let Some(distribution) = record.distribution(measure) {
            chart = chart.with(Series::new(label(measure), percentile_points(distribution)));
        }
    }
    chart
}

/// From the median's side to as many nines as there are values for.
fn percentile_points(distribution: &Distribution) -> Vec<(f64, f64)> {
    const STEPS: u32 = 40;
    let nines = (distribution.len() as f64).log10().min(7.0);
    let points = (0..).map(|step| f64::from(step) / f64::from(STEPS)).take_while(|&place| place <= nines);
    points.map(|place| (place, distribution.value_at_quantile(1.0 - 10_f64.powf(-place)) as f64)).collect()
}

fn latency(record: &RunRecord) -> Chart {
    let of = |figure: fn(&Percentiles) -> u64, from: fn(&Second) -> &Percentiles| {
        over_time(record, |second| {
            let percentiles = from(second);
            (percentiles.count > 0).then(|| figure(percentiles) as f64)
        })
    };
    let note = if record.run.agents.is_empty() {
        "each second's percentiles"
    } else {
        "each second's percentiles, of several agents the worst one's"
    };
    let mut chart = Chart::over_time("Latency over time", note, Unit::Us)
        .logarithmic()
        .with(Series::new("p50", of(|figures| figures.p50_us, |second| &second.delivery)))
        .with(Series::new("p99", of(|figures| figures.p99_us, |second| &second.delivery)))
        .with(Series::new("greatest", of(|figures| figures.max_us, |second| &second.delivery)));
    if record.distribution(Measure::DeliverySlow).is_some() {
        let slow = of(|figures| figures.p99_us, |second| &second.delivery_slow);
        chart = chart.with(Series::new("slow readers' p99", slow));
    }
    for verdict in &record.thresholds {
        if verdict.unit == "ms" && verdict.threshold.starts_with("delivery p99 ") {
            chart = chart.limit(verdict.limit * 1e3, verdict.threshold.clone());
        }
    }
    chart
}

fn throughput(record: &RunRecord) -> Chart {
    Chart::over_time("Throughput", "messages a second", Unit::PerS)
        .with(Series::new("delivered", rates(record, |second| second.delivered)))
        .with(Series::new("published", rates(record, |second| second.published)))
}

fn connections(record: &RunRecord) -> Chart {
    let level = over_time(record, |second| Some(second.connected as f64));
    Chart::over_time("Connections", "clients subscribed to everything they want", Unit::Count)
        .with(Series::new("connected", level))
}

fn reconnects(record: &RunRecord) -> Chart {
    let chart = Chart::over_time("Drops and reconnects", "a second", Unit::PerS);
    if record.seconds.iter().all(|second| second.reconnects + second.drops + second.connect_failures == 0) {
        return chart;
    }
    chart
        .with(Series::new("reconnects", rates(record, |second| second.reconnects)))
        .with(Series::new("drops", rates(record, |second| second.drops)))
        .with(Series::new("failed connects", rates(record, |second| second.connect_failures)))
}

fn faults(record: &RunRecord) -> Chart {
    let mut chart = Chart::over_time("Faults", "messages, as they were noticed", Unit::Count);
    let mut add = |name: &str, of: fn(&Second) -> u64| {
        if record.seconds.iter().any(|second| of(second) > 0) {
            let points = over_time(record, |second| Some(of(second) as f64));
            chart.push(Series::new(name, points));
        }
    };
    add("lost", |second| second.lost.max(0).unsigned_abs());
    add("duplicated", |second| second.duplicated);
    add("disordered", |second| second.disordered);
    add("stale", |second| second.stale);
    chart
}

fn processes(
    record: &RunRecord,
    title: &str,
    note: &str,
    unit: Unit,
    of: impl Fn(&ProcessSample) -> f64 + Copy,
) -> Chart {
    let mut chart = Chart::over_time(title, note, unit);
    for process in &record.processes {
        let points = process.samples.iter().map(|sample| (seconds(sample.at_ms), of(sample)));
        chart = chart.with(Series::new(process.name.clone(), points.collect()));
    }
    chart
}

fn memory(record: &RunRecord) -> Chart {
    let of = |sample: &ProcessSample| sample.rss_bytes as f64;
    processes(record, "Memory of each process", "resident, user space", Unit::Bytes, of)
}

fn kernel(record: &RunRecord) -> Chart {
    let points = |of: fn(&crate::record::KernelSample) -> u64| {
        record.kernel.iter().map(|sample| (seconds(sample.at_ms), of(sample) as f64)).collect::<Vec<_>>()
    };
    let chart =
        Chart::over_time("Kernel memory", "of this machine; loopback counts both ends of a connection", Unit::Bytes);
    if record.kernel.is_empty() {
        return chart;
    }
    chart
        .with(Series::new("socket buffers", points(|sample| sample.buffer_bytes)))
        .with(Series::new("kernel objects", points(|sample| sample.slab_bytes)))
}

fn generator(record: &RunRecord) -> Chart {
    let busiest = over_time(record, |second| Some(second.generator_cpu * 100.0));
    Chart::over_time("The generator itself", "its busiest thread; near 100 % it is the bottleneck", Unit::Percent)
        .with(Series::new("busiest thread", busiest))
}

fn rates(record: &RunRecord, of: impl Fn(&Second) -> u64) -> Vec<(f64, f64)> {
    let mut before = 0;
    let mut points = Vec::with_capacity(record.seconds.len());
    for second in &record.seconds {
        let length = seconds(second.at_ms.saturating_sub(before)).max(0.001);
        before = second.at_ms;
        points.push((seconds(second.at_ms), of(second) as f64 / length));
    }
    points
}

fn over_time(record: &RunRecord, of: impl Fn(&Second) -> Option<f64>) -> Vec<(f64, f64)> {
    record.seconds.iter().filter_map(|second| Some((seconds(second.at_ms), of(second)?))).collect()
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chart::rank;

    #[test]
    fn a_distribution_is_drawn_as_far_as_it_was_measured() {
        let mut distribution = Distribution::new();
        for us in 1..=1_000 {
            distribution.record_us(us);
        }
        let points = percentile_points(&distribution);
        let last = points.last().unwrap();
        assert!((last.0 - rank(99.9)).abs() < 1e-9, "a thousand values have three nines, not {}", last.0);
        assert!(points.is_sorted_by(|one, next| one.1 <= next.1));
    }
}
