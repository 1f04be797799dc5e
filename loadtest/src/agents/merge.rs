//! Several agents' records as one.

use std::collections::BTreeMap;

use crate::record::{FAULTS_MAX, Generator, Percentiles, RunRecord, Second};

/// Joins `parts`, one a agent of `agents` in the same order; `None` where there is none.
///
/// Counts, distributions and totals are exact, as if one process had run all of it. The percentiles of single seconds
/// are the worst agent's, an upper bound: they are kept as figures, not as distributions.
pub fn merge(parts: Vec<RunRecord>, agents: &[String]) -> Option<RunRecord> {
    let delivered: u64 = parts.iter().map(|part| part.totals.delivered).sum();
    let cpu_us: f64 = parts.iter().map(cpu_us).sum();
    let mut parts = parts.into_iter().zip(agents);
    let (mut whole, first) = parts.next()?;
    name_reasons(&mut whole.generator, first);
    let mut clients = clients(&whole);
    for (part, agent) in parts {
        let further = self::clients(&part);
        join(&mut whole, part, agent, clients);
        clients += further;
    }
    whole.faults.sort_by_key(|fault| fault.at_ms);
    whole.faults.truncate(FAULTS_MAX);
    whole.run.agents = agents.to_vec();
    if delivered > 0 {
        whole.generator.cpu_per_delivery_us = cpu_us / delivered as f64;
    }
    Some(whole)
}

fn join(whole: &mut RunRecord, part: RunRecord, agent: &str, clients: u32) {
    whole.run.started_at_ms = whole.run.started_at_ms.min(part.run.started_at_ms);
    whole.run.duration_ms = whole.run.duration_ms.max(part.run.duration_ms);
    // The time in which all of them published at their rate.
    whole.run.measured_ms.0 = whole.run.measured_ms.0.max(part.run.measured_ms.0);
    whole.run.measured_ms.1 = whole.run.measured_ms.1.min(part.run.measured_ms.1);
    whole.seconds = join_seconds(std::mem::take(&mut whole.seconds), part.seconds);
    for (measure, distribution) in &part.distributions {
        whole.distributions.entry(*measure).or_default().merge(distribution);
    }
    whole.totals += &part.totals;
    whole.processes.extend(part.processes);
    if whole.kernel.is_empty() {
        whole.kernel = part.kernel;
    }
    let mut generator = part.generator;
    name_reasons(&mut generator, agent);
    add_generator(&mut whole.generator, generator);
    // Agents number their clients from 0.
    whole.faults.extend(part.faults.into_iter().map(|mut fault| {
        fault.client += clients;
        fault
    }));
    for note in part.notes {
        if !whole.notes.contains(&note) {
            whole.notes.push(note);
        }
    }
}

/// CPU of a part's generator over its deliveries, microseconds.
fn cpu_us(part: &RunRecord) -> f64 {
    part.generator.cpu_per_delivery_us * part.totals.delivered as f64
}

fn clients(part: &RunRecord) -> u32 {
    part.run.settings.get("connections").and_then(|connections| connections.parse().ok()).unwrap_or_default()
}

fn name_reasons(generator: &mut Generator, agent: &str) {
    for reason in &mut generator.reasons {
        *reason = format!("{agent}: {reason}");
    }
}

fn add_generator(whole: &mut Generator, part: Generator) {
    whole.workers += part.workers;
    whole.cpu_cores += part.cpu_cores;
    whole.busiest_thread = whole.busiest_thread.max(part.busiest_thread);
    whole.starved = whole.starved.max(part.starved);
    whole.rss_max_bytes += part.rss_max_bytes;
    whole.was_bottleneck |= part.was_bottleneck;
    whole.reasons.extend(part.reasons);
}

fn join_seconds(one: Vec<Second>, other: Vec<Second>) -> Vec<Second> {
    let mut joined: BTreeMap<u64, Second> = BTreeMap::new();
    for second in one.into_iter().chain(other) {
        let number = (second.at_ms + 500) / 1_000;
        match joined.get_mut(&number) {
            Some(sum) => add_second(sum, &second),
            None => drop(joined.insert(number, second)),
        }
    }
    joined.into_values().collect()
}

/// Adds what happened elsewhere in the same second.
pub(super) fn add_second(sum: &mut Second, second: &Second) {
    sum.at_ms = sum.at_ms.max(second.at_ms);
    sum.connected += second.connected;
    sum.connects += second.connects;
    sum.reconnects += second.reconnects;
    sum.connect_failures += second.connect_failures;
    sum.drops += second.drops;
    sum.published += second.published;
    sum.publish_failures += second.publish_failures;
    sum.delivered += second.delivered;
    sum.received_bytes += second.received_bytes;
    sum.reads += second.reads;
    sum.lost += second.lost;
    sum.duplicated += second.duplicated;
    sum.disordered += second.disordered;
    sum.stale += second.stale;
    sum.acknowledged += second.acknowledged;
    sum.delivery = worst(&sum.delivery, &second.delivery);
    sum.delivery_slow = worst(&sum.delivery_slow, &second.delivery_slow);
    sum.connect = worst(&sum.connect, &second.connect);
    sum.generator_cpu = sum.generator_cpu.max(second.generator_cpu);
    sum.loop_lag_max_us = sum.loop_lag_max_us.max(second.loop_lag_max_us);
}

/// No percentile of two sets together exceeds the greater of the two sets' percentiles.
fn worst(one: &Percentiles, other: &Percentiles) -> Percentiles {
    if one.count == 0 || other.count == 0 {
        return if one.count == 0 { *other } else { *one };
    }
    Percentiles {
        count: one.count + other.count,
        min_us: one.min_us.min(other.min_us),
        p50_us: one.p50_us.max(other.p50_us),
        p90_us: one.p90_us.max(other.p90_us),
        p99_us: one.p99_us.max(other.p99_us),
        p999_us: one.p999_us.max(other.p999_us),
        max_us: one.max_us.max(other.max_us),
    }
}
