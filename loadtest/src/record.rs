//! What remains of a finished run: the one document that reports are made of.
//!
//! It is written as JSON, and it is all a report needs: tables, plots and verdicts are derived from it. A change that a
//! reader of older documents would misread raises [`FORMAT`].

use std::{collections::BTreeMap, fmt, ops::AddAssign};

use serde::{Deserialize, Serialize};

mod distribution;

pub use distribution::{Distribution, Percentiles};

/// Version of the document.
pub const FORMAT: u32 = 1;

/// Examples of faults kept in a record; the totals count all of them.
pub const FAULTS_MAX: usize = 100;

/// A finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// What was run, where and how.
    pub run: RunMeta,
    /// One entry per second of the run, from the first connect to the end of the audit.
    pub seconds: Vec<Second>,
    /// Every distribution measured, over the whole of its phase.
    pub distributions: BTreeMap<Measure, Distribution>,
    /// What was published, delivered and wrong.
    pub totals: Totals,
    /// CPU and memory of each process that was watched.
    pub processes: Vec<ProcessSeries>,
    /// What the kernel held for sockets, on the machine of the processes.
    #[serde(default)]
    pub kernel: Vec<KernelSample>,
    /// What the load generator cost, and whether it was the bottleneck.
    pub generator: Generator,
    /// The first faults found, at most [`FAULTS_MAX`].
    pub faults: Vec<Fault>,
    /// What was asked of the run, with verdicts. Empty if nothing was.
    pub thresholds: Vec<ThresholdVerdict>,
    /// Sentences for the reader: what was not measured, or how to take a figure.
    pub notes: Vec<String>,
}

impl RunRecord {
    /// Whether every threshold was met (also when there was none).
    pub fn passed(&self) -> bool {
        self.thresholds.iter().all(|threshold| threshold.passed)
    }

    /// The distribution of `measure`, where anything was recorded.
    pub fn distribution(&self, measure: Measure) -> Option<&Distribution> {
        self.distributions.get(&measure).filter(|distribution| !distribution.is_empty())
    }
}

/// What was run, where and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunMeta {
    /// Name of the scenario, such as `fanout`.
    pub scenario: String,
    /// Start, milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// From the first connect to the end of the audit, milliseconds.
    pub duration_ms: u64,
    /// The part in which messages were published at the planned rate, milliseconds from the start: `[from, to]`.
    pub measured_ms: (u64, u64),
    /// The load generator's machine.
    pub machine: Machine,
    /// The command line, secrets blanked.
    pub command: Vec<String>,
    /// Version of the load generator.
    pub version: String,
    /// `release` or `debug`: of the load generator, which says nothing of the servers.
    pub build: String,
    /// Edges, in the order given.
    pub targets: Vec<String>,
    /// Emitters, in the order given.
    pub emitters: Vec<String>,
    /// Settings as they took effect, defaults filled in: flag name → value.
    pub settings: BTreeMap<String, String>,
    /// Addresses of the agents that ran parts of it; empty when it ran in one process.
    pub agents: Vec<String>,
}

/// A machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// Host name.
    pub host: String,
    /// Kernel name and release.
    pub kernel: String,
    /// CPU model as the kernel names it.
    pub cpu: String,
    /// Logical CPUs.
    pub cpus: u32,
    /// Memory, bytes.
    pub memory_bytes: u64,
}

/// What can be measured as a distribution; all in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Due to be published → read by a WebSocket client of full speed. Corrected for coordinated omission.
    Delivery,
    /// The same for clients that read slowly on purpose.
    DeliverySlow,
    /// The same over SSE and long polling.
    DeliveryFallback,
    /// Critical messages only, WebSocket clients of full speed.
    DeliveryCritical,
    /// Connect began → authenticated and subscribed to everything.
    Connect,
    /// Dropped → subscribed again to everything, recovery included.
    Recovery,
    /// Publish request sent → answered.
    Publish,
    /// Due to be published → request sent: the generator's own lateness, a part of `Delivery`.
    PublishLag,
    /// How late a worker's loop noticed a timer: the generator's own slowness.
    LoopLag,
    /// `ack` sent → `acked` read.
    Ack,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 10] = [
        Self::Delivery,
        Self::DeliverySlow,
        Self::DeliveryFallback,
        Self::DeliveryCritical,
        Self::Connect,
        Self::Recovery,
        Self::Publish,
        Self::PublishLag,
        Self::LoopLag,
        Self::Ack,
    ];

    /// As in documents and thresholds, such as `delivery-slow`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::DeliverySlow => "delivery-slow",
            Self::DeliveryFallback => "delivery-fallback",
            Self::DeliveryCritical => "delivery-critical",
            Self::Connect => "connect",
            Self::Recovery => "recovery",
            Self::Publish => "publish",
            Self::PublishLag => "publish-lag",
            Self::LoopLag => "loop-lag",
            Self::Ack => "ack",
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What happened within one second. Counters are of this second alone, levels are of its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Second {
    /// Its end, milliseconds from the run's start. The last one of a phase is shorter, one of a starved machine longer: rates
    /// are made with the end of the one before.
    pub at_ms: u64,
    /// What the scenario did: `connecting`, `steady`, `spike`, `storm`, `settling`.
    pub phase: String,
    /// Level: clients connected and subscribed to everything.
    pub connected: u64,
    /// Connections that became ready, first ones and others.
    pub connects: u64,
    /// Of these, those of clients that had been connected before.
    pub reconnects: u64,
    /// Attempts that failed.
    pub connect_failures: u64,
    /// Connections that ended without the client wanting it.
    pub drops: u64,
    /// Messages whose publish was acknowledged.
    pub published: u64,
    /// Messages whose publish was refused or not answered.
    pub publish_failures: u64,
    /// Messages read by clients.
    pub delivered: u64,
    /// Bytes read from sockets by clients, frame headers included.
    pub received_bytes: u64,
    /// Reads of sockets that brought something: deliveries per read show what packing and batching save.
    pub reads: u64,
    /// Messages found missing; one that comes later is taken back, so the sum over seconds may fall short of it.
    pub lost: i64,
    /// Messages that came twice.
    pub duplicated: u64,
    /// Messages that came after a later one.
    pub disordered: u64,
    /// Older values after newer ones (`latest`).
    pub stale: u64,
    /// Critical messages acknowledged.
    pub acknowledged: u64,
    /// Latency of what was delivered to WebSocket clients of full speed.
    pub delivery: Percentiles,
    /// Latency of what slow readers got.
    pub delivery_slow: Percentiles,
    /// Connect to ready.
    pub connect: Percentiles,
    /// The generator: busiest worker's share of a core, 0 to 1.
    pub generator_cpu: f64,
    /// The generator: latest that a loop was, microseconds.
    pub loop_lag_max_us: u64,
}

/// What the ledger found over the whole run, and what else was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Totals {
    /// Messages whose publish was acknowledged.
    pub published: u64,
    /// Messages of which nobody can say whether they were published: refused late, or not answered.
    pub uncertain: u64,
    /// Deliveries owed: each message once to each client that should have seen it (`reliable` and `inbox`), and the last value
    /// per key and client (`latest`).
    pub expected: u64,
    /// Messages read by clients, of every class.
    pub delivered: u64,
    /// Owed and not delivered.
    pub lost: u64,
    /// Missed by clients that were told so by `reset` or `recovered:false`.
    pub excused: u64,
    /// Delivered twice to one client (`reliable` and `inbox`, redelivered critical ones apart).
    pub duplicated: u64,
    /// Delivered again although they stand at or before the position that was given as `since`: an edge that is behind the one
    /// left sends them, and a client drops them by their position.
    pub repeated: u64,
    /// Delivered after a later one.
    pub disordered: u64,
    /// An older value after a newer one of its key (`latest`).
    pub stale: u64,
    /// Values that were skipped for newer ones, as `latest` may.
    pub conflated: u64,
    /// Volatile messages that were dropped, as they may be.
    pub dropped: u64,
    /// Messages of channels that the client had not subscribed to.
    pub strays: u64,
    /// Frames that could not be understood.
    pub malformed: u64,
    /// Critical messages acknowledged and confirmed.
    pub acknowledged: u64,
    /// Critical messages that came again before they were acknowledged, as they must.
    pub redelivered: u64,
    /// Critical messages that came again although their acknowledgement had been confirmed.
    pub acknowledged_again: u64,
    /// Connections that became ready.
    pub connects: u64,
    /// Attempts that failed, by what the client saw: `refused`, `timeout`, `http 429`, ….
    pub connect_failures: BTreeMap<String, u64>,
    /// Connections of clients that had been connected before.
    pub reconnects: u64,
    /// Connections that ended without the client wanting it, by close code or what the client saw.
    pub drops: BTreeMap<String, u64>,
    /// Channels resubscribed with a position.
    pub recoveries: u64,
    /// Of these, those answered with `recovered:false` (`reliable` and `inbox`).
    pub recoveries_failed: u64,
    /// `reset` frames.
    pub resets: u64,
    /// `error` frames by code.
    pub errors: BTreeMap<String, u64>,
    /// Clients that were not back when the run ended.
    pub absent: u64,
    /// Bytes read from sockets by clients.
    pub received_bytes: u64,
}

impl Totals {
    /// Whether nothing was lost, doubled, disordered, stale or strayed, and nobody stayed away.
    pub fn is_clean(&self) -> bool {
        let faults = [
            self.lost,
            self.duplicated,
            self.disordered,
            self.stale,
            self.strays,
            self.malformed,
            self.acknowledged_again,
            self.recoveries_failed,
            self.absent,
        ];
        faults.iter().all(|&count| count == 0)
    }
}

impl AddAssign<&Self> for Totals {
    fn add_assign(&mut self, other: &Self) {
        self.published += other.published;
        self.uncertain += other.uncertain;
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.excused += other.excused;
        self.duplicated += other.duplicated;
        self.repeated += other.repeated;
        self.disordered += other.disordered;
        self.stale += other.stale;
        self.conflated += other.conflated;
        self.dropped += other.dropped;
        self.strays += other.strays;
        self.malformed += other.malformed;
        self.acknowledged += other.acknowledged;
        self.redelivered += other.redelivered;
        self.acknowledged_again += other.acknowledged_again;
        self.connects += other.connects;
        self.reconnects += other.reconnects;
        self.recoveries += other.recoveries;
        self.recoveries_failed += other.recoveries_failed;
        self.resets += other.resets;
        self.absent += other.absent;
        self.received_bytes += other.received_bytes;
        add_counts(&mut self.connect_failures, &other.connect_failures);
        add_counts(&mut self.drops, &other.drops);
        add_counts(&mut self.errors, &other.errors);
    }
}

fn add_counts(into: &mut BTreeMap<String, u64>, from: &BTreeMap<String, u64>) {
    for (what, count) in from {
        *into.entry(what.clone()).or_default() += count;
    }
}

/// CPU and memory of one process over the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessSeries {
    /// What it is, such as `edge-a`.
    pub name: String,
    /// Its id.
    pub pid: u32,
    /// In order of time.
    pub samples: Vec<ProcessSample>,
}

/// One look at a process.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessSample {
    /// Milliseconds from the run's start.
    pub at_ms: u64,
    /// CPU since the sample before, in cores: 1.0 is one core kept busy.
    pub cpu_cores: f64,
    /// Of that, in the kernel.
    pub cpu_kernel_cores: f64,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
    /// The anonymous part of it, heap and stacks without mapped files, bytes.
    #[serde(default)]
    pub anonymous_bytes: u64,
}

/// One look at the kernel's memory for sockets of the whole machine; loopback counts both ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelSample {
    /// Milliseconds from the run's start.
    pub at_ms: u64,
    /// TCP sockets.
    pub sockets: u64,
    /// Their send and receive buffers, bytes.
    pub buffer_bytes: u64,
    /// All objects of the kernel, sockets among them, bytes.
    pub slab_bytes: u64,
}

/// What the load generator cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Generator {
    /// Threads that hold clients.
    pub workers: u32,
    /// CPU of the whole generator over the measured part, in cores.
    pub cpu_cores: f64,
    /// Share of a core of its busiest thread over the measured part, 0 to 1.
    pub busiest_thread: f64,
    /// Share of the measured part for which a runnable thread of it had to wait for a core, 0 to 1, the worst thread's.
    pub starved: f64,
    /// CPU per message delivered, microseconds.
    pub cpu_per_delivery_us: f64,
    /// Greatest resident memory, bytes.
    pub rss_max_bytes: u64,
    /// Whether it held the run back: latencies are then at least partly its own.
    pub was_bottleneck: bool,
    /// Why that is said; empty otherwise.
    pub reasons: Vec<String>,
}

/// One thing that was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// Milliseconds from the run's start.
    pub at_ms: u64,
    /// What kind.
    pub kind: FaultKind,
    /// The client's number.
    pub client: u32,
    /// Where.
    pub channel: String,
    /// The number of the (first) message concerned.
    pub number: u64,
    /// How many messages in a row.
    pub count: u64,
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Never came.
    Lost,
    /// Came twice.
    Duplicated,
    /// Came after a later one.
    Disordered,
    /// An older value after a newer one.
    Stale,
    /// Of a channel that was not subscribed.
    Stray,
    /// Could not be recovered after a reconnect.
    RecoveryFailed,
    /// A critical message that came again after its acknowledgement was confirmed.
    AcknowledgedAgain,
}

impl FaultKind {
    /// As in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Duplicated => "duplicated",
            Self::Disordered => "disordered",
            Self::Stale => "stale",
            Self::Stray => "stray",
            Self::RecoveryFailed => "recovery-failed",
            Self::AcknowledgedAgain => "acknowledged-again",
        }
    }
}

/// One threshold and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThresholdVerdict {
    /// As asked for, such as `delivery.p99 <= 5ms`.
    pub threshold: String,
    /// What was measured, in `unit`; `None` when nothing was, which fails.
    pub measured: Option<f64>,
    /// The limit, in `unit`.
    pub limit: f64,
    /// Unit of both, such as `ms`.
    pub unit: String,
    /// Whether it was met.
    pub passed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_named_as_they_are_written() {
        for measure in Measure::ALL {
            assert_eq!(serde_json::to_value(measure).unwrap(), measure.name());
        }
    }

    #[test]
    fn totals_add_up_and_say_whether_they_are_clean() {
        let mut sum = Totals::default();
        assert!(sum.is_clean());
        let part = Totals { lost: 2, drops: BTreeMap::from([("4430".to_owned(), 3)]), ..Totals::default() };
        sum += &part;
        sum += &part;
        assert_eq!((sum.lost, sum.drops["4430"]), (4, 6));
        assert!(!sum.is_clean());
    }
}
