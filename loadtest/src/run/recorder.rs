//! Makes the record of a run while it runs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tickwire_protocol::time::now_ms;

use crate::{
    generator::{self, Usage},
    machine,
    meter::{Distributions, Meter, RunClock},
    plan::Plan,
    publisher::PublishMeter,
    record::{
        Distribution, FAULTS_MAX, FORMAT, Fault, Generator, Measure, Percentiles, RunMeta, RunRecord, Second, Totals,
    },
    settings::Settings,
};

/// A second.
const SECOND_US: u64 = 1_000_000;
/// Seconds kept: more than a day. Later ones still count in the totals.
const SECONDS_MAX: usize = 100_000;

/// See the module.
pub(super) struct Recorder {
    clock: RunClock,
    meta: RunMeta,
    seconds: Vec<Second>,
    /// The last one, also when it is no longer kept.
    last: Second,
    last_us: u64,
    counted: Counted,
    distributions: Distributions,
    faults: Vec<Fault>,
    totals: Totals,
    notes: Vec<String>,
    usage: Usage,
    rss_max_bytes: u64,
    generator: Generator,
    measured: Option<Measured>,
}

/// Counters at the end of the last second.
#[derive(Default)]
struct Counted {
    totals: Totals,
    reads: u64,
    published: u64,
    uncertain: u64,
}

/// Where the measured part began.
struct Measured {
    at_us: u64,
    usage: Usage,
    delivered: u64,
}

impl Recorder {
    pub(super) fn new(settings: &Settings, plan: &Arc<Plan>, clock: RunClock, command: Vec<String>) -> Self {
        let settings_shown = plan.settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let meta = RunMeta {
            scenario: plan.scenario.name().to_owned(),
            started_at_ms: now_ms(),
            duration_ms: 0,
            measured_ms: (0, 0),
            machine: machine::describe(),
            command,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            targets: settings.targets.clone(),
            emitters: settings.emitters.clone(),
            settings: settings_shown.collect(),
            agents: Vec::new(),
        };
        let workers = u32::try_from(settings.worker_count()).unwrap_or(u32::MAX);
        Self {
            clock,
            meta,
            seconds: Vec::new(),
            last: Second::default(),
            last_us: clock.now_us(),
            counted: Counted::default(),
            distributions: Distributions::default(),
            faults: Vec::new(),
            totals: Totals::default(),
            notes: Vec::new(),
            usage: Usage::read(),
            rss_max_bytes: 0,
            generator: Generator { workers, ..Generator::default() },
            measured: None,
        }
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// What attempts to connect ended with, most frequent first.
    pub(super) fn why_not_connected(&self) -> String {
        let mut failures: Vec<_> = self.counted.totals.connect_failures.iter().collect();
        failures.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let shown: Vec<_> = failures.iter().take(3).map(|(what, count)| format!("{what} ({count}×)")).collect();
        if shown.is_empty() { "no attempt ended in time".to_owned() } else { shown.join(", ") }
    }

    pub(super) fn is_second_over(&self) -> bool {
        self.clock.now_us() >= self.last_us + SECOND_US
    }

    /// Ends a second with what was counted until now.
    pub(super) fn second(
        &mut self,
        phase: &str,
        ready: u64,
        counted: Meter,
        publishing: Option<PublishMeter>,
    ) -> &Second {
        let now_us = self.clock.now_us();
        let usage = Usage::read();
        let elapsed = Duration::from_micros(now_us - self.last_us);
        let mut second = difference(&self.counted, &counted);
        second.at_ms = now_us / 1_000;
        phase.clone_into(&mut second.phase);
        second.connected = ready;
        if let Some(publishing) = publishing {
            second.published = publishing.published - self.counted.published;
            second.publish_failures = publishing.uncertain - self.counted.uncertain;
            self.published(publishing);
        }
        second.generator_cpu = usage.busiest_since(&self.usage, elapsed);
        self.rss_max_bytes = self.rss_max_bytes.max(usage.rss_bytes);
        (self.usage, self.last_us) = (usage, now_us);
        self.counted.totals = counted.totals.clone();
        self.counted.reads = counted.reads;
        self.absorb(counted);
        if self.seconds.len() < SECONDS_MAX {
            self.seconds.push(second.clone());
        }
        self.last = second;
        &self.last
    }

    fn absorb(&mut self, counted: Meter) {
        self.distributions.merge(&counted.distributions);
        let room = FAULTS_MAX.saturating_sub(self.faults.len());
        self.faults.extend(counted.faults.into_iter().take(room));
    }

    /// Takes the publishing side's counters.
    pub(super) fn published(&mut self, publishing: PublishMeter) {
        self.distributions.merge(&publishing.distributions);
        self.counted.published = publishing.published;
        self.counted.uncertain = publishing.uncertain;
        if let Some(why) = publishing.first_refusal {
            let note = format!("the emitter did not acknowledge every message; the first time: {why}");
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// The measured part begins.
    pub(super) fn measure_from(&mut self) {
        // How late loops were while thousands connected says nothing of the measurement.
        self.distributions.clear(Measure::LoopLag);
        let usage = Usage::read();
        let at_us = self.clock.now_us();
        self.measured = Some(Measured { at_us, usage, delivered: self.counted.totals.delivered });
    }

    /// The measured part ends.
    pub(super) fn measure_to(&mut self) {
        let Some(Measured { at_us, usage: before, delivered }) = self.measured.take() else { return };
        let now_us = self.clock.now_us();
        let (usage, elapsed) = (Usage::read(), Duration::from_micros(now_us - at_us));
        let cpu = usage.cpu_since(&before);
        let delivered = self.counted.totals.delivered - delivered;
        self.meta.measured_ms = (at_us / 1_000, now_us / 1_000);
        self.generator.cpu_cores = cpu.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
        self.generator.busiest_thread = usage.busiest_since(&before, elapsed);
        self.generator.starved = usage.starved_since(&before, elapsed);
        self.generator.cpu_per_delivery_us =
            if delivered > 0 { cpu.as_secs_f64() * 1e6 / delivered as f64 } else { 0.0 };
        let figures =
            |measure| self.distributions.get(measure).map_or_else(Percentiles::default, Distribution::percentiles);
        let (loop_lag, publish_lag) = (figures(Measure::LoopLag), figures(Measure::PublishLag));
        generator::judge(&mut self.generator, &loop_lag, &publish_lag);
    }

    /// Takes what one worker counted in all, its audit included.
    pub(super) fn audited(&mut self, counted: Meter) {
        self.totals += &counted.totals;
        self.absorb(counted);
    }

    /// The record.
    pub(super) fn finish(mut self) -> RunRecord {
        self.meta.duration_ms = self.clock.now_ms();
        self.totals.published = self.counted.published;
        self.totals.uncertain = self.counted.uncertain;
        self.generator.rss_max_bytes = self.rss_max_bytes;
        let mut distributions = BTreeMap::new();
        for measure in Measure::ALL {
            if let Some(distribution) = self.distributions.get(measure) {
                distributions.insert(measure, distribution.clone());
            }
        }
        RunRecord {
            format: FORMAT,
            run: self.meta,
            seconds: self.seconds,
            distributions,
            totals: self.totals,
            processes: Vec::new(),
            kernel: Vec::new(),
            generator: self.generator,
            faults: self.faults,
            thresholds: Vec::new(),
            notes: self.notes,
        }
    }
}

/// What was counted since the last second.
fn difference(before: &Counted, now: &Meter) -> Second {
    let (was, is) = (&before.totals, &now.totals);
    let sum = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>();
    let figures = |measure| now.distributions.get(measure).map_or_else(Percentiles::default, Distribution::percentiles);
    Second {
        connects: is.connects - was.connects,
        reconnects: is.reconnects - was.reconnects,
        connect_failures: sum(&is.connect_failures) - sum(&was.connect_failures),
        drops: sum(&is.drops) - sum(&was.drops),
        delivered: is.delivered - was.delivered,
        received_bytes: is.received_bytes - was.received_bytes,
        reads: now.reads - before.reads,
        lost: is.lost.cast_signed() - was.lost.cast_signed(),
        duplicated: is.duplicated - was.duplicated,
        disordered: is.disordered - was.disordered,
        stale: is.stale - was.stale,
        acknowledged: is.acknowledged - was.acknowledged,
        delivery: figures(Measure::Delivery),
        delivery_slow: figures(Measure::DeliverySlow),
        connect: figures(Measure::Connect),
        loop_lag_max_us: figures(Measure::LoopLag).max_us,
        ..Second::default()
    }
}
