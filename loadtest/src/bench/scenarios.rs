//! Rows that the load generator itself measures, with every message accounted for.

use anyhow::Context;
use clap::Parser;

use super::{
    Bench, median,
    servers::{API_KEY, Cluster, SECRET},
    table::{Findings, Goal, Row, Unit},
};
use crate::{
    record::{Measure, RunRecord},
    report::figures,
    settings::{Scenario, Settings},
    thresholds::delivered_per_s,
};

/// Deliveries late beyond this: saturated, whatever the rate.
const SATURATED_P99_US: u64 = 50_000;
/// Share of what was due that a run below saturation delivers.
const KEPT_UP: f64 = 0.95;

/// Settings as from a command line, so that what is not given has the defaults that a command line has.
#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

fn settings(cluster: &Cluster, scenario: Scenario, connections: usize) -> anyhow::Result<Settings> {
    let mut words: Vec<String> = vec!["run".into(), "--scenario".into(), scenario.name().into()];
    for edge in &cluster.edges {
        words.extend(["--target".into(), format!("ws://{}", edge.address)]);
    }
    words.extend(["--emitter".into(), format!("http://{}", cluster.emitter.address)]);
    words.extend(["--connections".into(), connections.to_string(), "--workers".into(), "1".into()]);
    let settings = Flags::try_parse_from(words)?.settings;
    Ok(Settings { secret: Some(SECRET.into()), api_key: Some(API_KEY.into()), token: None, ..settings })
}

fn run(bench: &Bench, settings: &Settings) -> anyhow::Result<RunRecord> {
    Ok(bench.runtime.block_on(crate::run(settings, Vec::new(), |_| ()))?)
}

fn p99_us(record: &RunRecord, measure: Measure) -> anyhow::Result<u64> {
    Ok(record.distribution(measure).with_context(|| format!("no {measure} was measured"))?.value_at_quantile(0.99))
}

/// What is wrong with an account of messages, for a note; empty where nothing is.
fn blemishes(record: &RunRecord) -> String {
    let totals = &record.totals;
    if totals.is_clean() {
        return String::new();
    }
    format!(
        "NOT CLEAN: {} lost, {} doubled, {} disordered, {} stale, {} failed recoveries, {} absent; ",
        totals.lost, totals.duplicated, totals.disordered, totals.stale, totals.recoveries_failed, totals.absent
    )
}

/// Publish to delivery at a quarter of what saturates the machine.
pub(super) fn latency(bench: &Bench, findings: &mut Findings) -> anyhow::Result<()> {
    const CONNECTIONS: usize = 1_000;
    /// Each of 50 channels goes to a fifth of the clients, so a rate of 1 in each is this many deliveries a second.
    const DELIVERIES_PER_RATE: f64 = 50.0 * 200.0;
    let cluster = Cluster::start(&bench.places, 2)?;
    let base = settings(&cluster, Scenario::Ticks, CONNECTIONS)?;
    let (mut reached, mut rate) = (0.0_f64, 2.0);
    let mut last_good = 1.0;
    while rate <= 256.0 {
        let step = Settings { rate: Some(rate), duration_s: Some(3.0), settle_s: 5.0, ..base.clone() };
        let record = run(bench, &step)?;
        let delivered = delivered_per_s(&record).unwrap_or_default();
        reached = reached.max(delivered);
        if delivered < KEPT_UP * rate * DELIVERIES_PER_RATE || p99_us(&record, Measure::Delivery)? > SATURATED_P99_US {
            break;
        }
        last_good = rate;
        rate *= 2.0;
    }
    // Saturation lies between the last rate that was kept and the first that was not: what was delivered tells where.
    let saturation = (reached / DELIVERIES_PER_RATE).max(last_good);
    let quarter =
        Settings { rate: Some(saturation / 4.0), duration_s: Some(if bench.is_quick { 3.0 } else { 10.0 }), ..base };
    let mut p99 = Vec::new();
    let mut note = String::new();
    for _ in 0..bench.size(3, 1) {
        let record = run(bench, &quarter)?;
        p99.push(p99_us(&record, Measure::Delivery)? as f64);
        note = blemishes(&record);
        if record.generator.was_bottleneck {
            note.push_str("the generator was at its limit; ");
        }
    }
    let deliveries = saturation * DELIVERIES_PER_RATE;
    findings.rows.push(
        Row::new("publish to delivery through Redis, 1,000 connections, p99", median(p99), Unit::Us)
            .goal(Goal::AtMost(5_000.0))
            .note(format!(
                "{note}at a quarter of {} deliveries a second, where generator and servers together saturate the machine",
                figures::rate(deliveries)
            )),
    );
    Ok(())
}

/// All clients dropped at once.
pub(super) fn storm(bench: &Bench, findings: &mut Findings) -> anyhow::Result<()> {
    let connections = bench.size(5_000, 2_000);
    let cluster = Cluster::start(&bench.places, 2)?;
    let storm = Settings { duration_s: Some(15.0), ..settings(&cluster, Scenario::Storm, connections)? };
    let (mut longest, mut failed, mut note) = (Vec::new(), 0, String::new());
    for _ in 0..bench.size(3, 1) {
        let record = run(bench, &storm)?;
        let recovery = record.distribution(Measure::Recovery).context("nobody came back")?;
        longest.push(recovery.max() as f64);
        failed += record.totals.recoveries_failed + record.totals.absent;
        note = format!("{}{} channels recovered in the last round", blemishes(&record), record.totals.recoveries);
    }
    findings.rows.push(
        Row::new(
            format!("{connections} clients dropped at once, the last one back and recovered"),
            median(longest),
            Unit::Us,
        )
        .goal(Goal::AtMost(3_000_000.0))
        .note(note),
    );
    findings.rows.push(
        Row::new("failed recoveries and absent clients of those", failed as f64, Unit::Count).goal(Goal::AtMost(0.0)),
    );
    Ok(())
}

/// Readers at 64 kbit/s beside fast ones.
pub(super) fn slow(bench: &Bench, findings: &mut Findings) -> anyhow::Result<()> {
    let cluster = Cluster::start(&bench.places, 2)?;
    let duration_s = Some(if bench.is_quick { 5.0 } else { 8.0 });
    // 50 messages of some 350 bytes a second for each client.
    let (rate, payload_bytes) = (Some(5.0), 256);
    let with =
        Settings { duration_s, rate, payload_bytes, slow_kbit: Some(64), ..settings(&cluster, Scenario::Slow, 1_010)? };
    let without = Settings { slow_share: Some(0.0), ..with.clone() };
    let (mut fast_alone, mut fast_beside, mut slow, mut note) = (Vec::new(), Vec::new(), Vec::new(), String::new());
    for _ in 0..bench.size(3, 1) {
        fast_alone.push(p99_us(&run(bench, &without)?, Measure::Delivery)? as f64);
        let record = run(bench, &with)?;
        fast_beside.push(p99_us(&record, Measure::Delivery)? as f64);
        slow.push(p99_us(&record, Measure::DeliverySlow)? as f64);
        note = blemishes(&record);
    }
    findings.rows.push(
        Row::new("age of latest values at a reader of 64 kbit/s, p99", median(slow), Unit::Us)
            .goal(Goal::AtMost(500_000.0))
            .note(format!("{note}10 of 1,010 clients, each with twice of what it can read")),
    );
    findings.rows.push(
        Row::new("p99 of the 1,000 fast ones beside it", median(fast_beside), Unit::Us)
            .beside(median(fast_alone))
            .goal(Goal::RatioAtMost(1.1))
            .note("compared with the same without slow readers"),
    );
    Ok(())
}
