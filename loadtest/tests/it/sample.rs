//! A record with something in every field.

use std::collections::BTreeMap;

use tickwire_loadtest::record::{
    Distribution, FORMAT, Fault, FaultKind, Generator, KernelSample, Machine, Measure, ProcessSample, ProcessSeries,
    RunMeta, RunRecord, Second, Totals,
};

/// Values spread like latencies: most near `typical_us`, a long tail.
pub(crate) fn distribution(typical_us: u64, count: u64) -> Distribution {
    let mut distribution = Distribution::new();
    for index in 0..count {
        let place = (index as f64 + 0.5) / count as f64;
        let tail = 0.6 - 0.35 * (1.0 - place).ln();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a latency")]
        distribution.record_us((typical_us as f64 * tail) as u64);
    }
    distribution
}

/// A run of two minutes with 2,000 clients and a storm in its middle.
pub(crate) fn record() -> RunRecord {
    let distributions = [
        (Measure::Delivery, distribution(1_900, 200_000)),
        (Measure::DeliverySlow, distribution(140_000, 4_000)),
        (Measure::DeliveryFallback, distribution(3_500, 20_000)),
        (Measure::DeliveryCritical, distribution(1_200, 6_000)),
        (Measure::Connect, distribution(21_000, 4_000)),
        (Measure::Recovery, distribution(310_000, 2_000)),
        (Measure::Publish, distribution(900, 30_000)),
    ];
    RunRecord {
        format: FORMAT,
        run: meta(),
        seconds: (1..=120).map(second).collect(),
        distributions: BTreeMap::from(distributions),
        totals: totals(),
        processes: vec![process("edge-a", 4_101, 0.62), process("edge-b", 4_102, 0.57), process("redis", 4_090, 0.11)],
        kernel: (1..=120)
            .map(|at| KernelSample {
                at_ms: at * 1_000,
                sockets: 4_000,
                buffer_bytes: (2 << 20) + (at % 7) * 90_000,
                slab_bytes: 96 << 20,
            })
            .collect(),
        generator: Generator {
            workers: 2,
            cpu_cores: 0.48,
            busiest_thread: 0.31,
            cpu_per_delivery_us: 3.4,
            rss_max_bytes: 41 << 20,
            ..Generator::default()
        },
        faults: vec![Fault {
            at_ms: 61_200,
            kind: FaultKind::RecoveryFailed,
            client: 812,
            channel: "session:7c".into(),
            number: 4_410,
            count: 12,
        }],
        thresholds: Vec::new(),
        notes: vec!["Both ends of every connection were on one machine.".into()],
    }
}

fn meta() -> RunMeta {
    let words = ["tickwire-loadtest", "run", "--scenario", "mixed", "--target", "ws://127.0.0.1:8000", "--secret", "…"];
    RunMeta {
        scenario: "mixed".into(),
        started_at_ms: 1_795_238_400_000,
        duration_ms: 121_400,
        measured_ms: (10_000, 115_000),
        machine: Machine {
            host: "bench-1".into(),
            kernel: "Linux 6.18.44".into(),
            cpu: "AMD EPYC 9B14".into(),
            cpus: 2,
            memory_bytes: 24 << 30,
        },
        command: words.map(str::to_owned).to_vec(),
        version: "0.1.0".into(),
        build: "release".into(),
        targets: vec!["ws://127.0.0.1:8000".into(), "ws://127.0.0.1:8002".into()],
        emitters: vec!["http://127.0.0.1:8001".into()],
        settings: BTreeMap::from([("connections".into(), "2000".into()), ("duration".into(), "105".into())]),
        agents: Vec::new(),
    }
}

fn second(at: u64) -> Second {
    let storm = (60..64).contains(&at);
    let wave = (at * 37) % 23;
    let mut delivery = distribution(if storm { 9_000 } else { 1_700 + wave * 30 }, 300).percentiles();
    delivery.count *= 60;
    Second {
        at_ms: at * 1_000,
        phase: if storm { "storm" } else { "steady" }.into(),
        connected: if at < 8 {
            at * 250
        } else if storm {
            2_000 - 480 * (64 - at)
        } else {
            2_000
        },
        connects: if at < 8 { 250 } else { 0 },
        reconnects: if storm { 480 } else { 0 },
        drops: if at == 60 { 1_920 } else { 0 },
        published: 1_000,
        delivered: if at < 8 { at * 2_200 } else { 20_000 + wave * 60 },
        received_bytes: 4_400_000,
        reads: 11_000,
        lost: i64::from(at == 62) * 12,
        delivery,
        delivery_slow: distribution(140_000, 50).percentiles(),
        generator_cpu: 0.3,
        ..Second::default()
    }
}

fn totals() -> Totals {
    Totals {
        published: 120_000,
        expected: 2_400_000,
        delivered: 2_399_988,
        lost: 12,
        conflated: 4_210,
        acknowledged: 6_000,
        connects: 4_000,
        reconnects: 1_920,
        recoveries: 19_200,
        recoveries_failed: 1,
        drops: BTreeMap::from([("4430".into(), 31), ("1006".into(), 1_920)]),
        connect_failures: BTreeMap::from([("http 429".into(), 3)]),
        received_bytes: 528_000_000,
        ..Totals::default()
    }
}

fn process(name: &str, pid: u32, cores: f64) -> ProcessSeries {
    let sample = |at: u64| ProcessSample {
        at_ms: at * 1_000,
        cpu_cores: if at < 8 { cores / 3.0 } else { cores * (1.0 + ((at * 31) % 17) as f64 / 150.0) },
        cpu_kernel_cores: cores * 0.7,
        rss_bytes: (u64::from(pid) % 100 + 14) * 1_000_000 + at.min(12) * 400_000,
        anonymous_bytes: at.min(12) * 400_000,
    };
    ProcessSeries { name: name.into(), pid, samples: (1..=120).map(sample).collect() }
}
