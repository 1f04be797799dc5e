//! What the load generator itself costs, and whether it was the bottleneck.

use std::{collections::BTreeMap, fs, time::Duration};

use crate::record::{Generator, Percentiles};

/// A thread that is busy for a greater share of a core has no reserve.
const BUSY_MAX: f64 = 0.85;
/// A thread that waits for a core for a greater share of the time is starved.
const STARVED_MAX: f64 = 0.10;
/// A loop that notices timers later than this at the 99th percentile distorts latencies, microseconds.
const LAG_MAX_US: u64 = 10_000;
/// The same for messages that are sent later than they are due.
const PUBLISH_LAG_MAX_US: u64 = 10_000;
/// Names of the generator's threads begin with this: tests run servers in the same process.
const THREADS: &str = "load-";

/// What the threads of the generator have used so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    threads: BTreeMap<u32, ThreadUsage>,
    /// Resident memory of the process, bytes.
    pub rss_bytes: u64,
}

/// Time of one thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct ThreadUsage {
    on_cpu: Duration,
    /// Runnable, but without a core.
    waiting: Duration,
}

impl Usage {
    /// Reads it from `/proc`; empty on systems without.
    pub fn read() -> Self {
        let mut usage = Self::default();
        let Ok(tasks) = fs::read_dir("/proc/self/task") else { return usage };
        for task in tasks.flatten() {
            let path = task.path();
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            let id = task.file_name().to_str().and_then(|id| id.parse().ok());
            if let (Some(id), true) = (id, name.starts_with(THREADS)) {
                let times = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
                usage.threads.insert(id, ThreadUsage::parse(&times));
            }
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        usage.rss_bytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok())
            .map_or(0, |kib| kib * 1_024);
        usage
    }

    /// CPU of all threads since `earlier`.
    pub fn cpu_since(&self, earlier: &Self) -> Duration {
        self.since(earlier).map(|thread| thread.on_cpu).sum()
    }

    /// Share of a core of the busiest thread since `earlier`, `elapsed` ago.
    pub fn busiest_since(&self, earlier: &Self, elapsed: Duration) -> f64 {
        self.since(earlier).map(|thread| share(thread.on_cpu, elapsed)).fold(0.0, f64::max)
    }

    /// Share of the time for which the worst thread had to wait for a core.
    pub fn starved_since(&self, earlier: &Self, elapsed: Duration) -> f64 {
        self.since(earlier).map(|thread| share(thread.waiting, elapsed)).fold(0.0, f64::max)
    }

    fn since<'a>(&'a self, earlier: &'a Self) -> impl Iterator<Item = ThreadUsage> + 'a {
        self.threads.iter().map(|(id, now)| {
            let before = earlier.threads.get(id).copied().unwrap_or_default();
            ThreadUsage {
                on_cpu: now.on_cpu.saturating_sub(before.on_cpu),
                waiting: now.waiting.saturating_sub(before.waiting),
            }
        })
    }
}

impl ThreadUsage {
    /// `/proc/…/schedstat`: nanoseconds on a core, nanoseconds waiting for one, slices.
    fn parse(text: &str) -> Self {
        let mut numbers =
            text.split_ascii_whitespace().map(|number| number.parse().map_or(Duration::ZERO, Duration::from_nanos));
        Self { on_cpu: numbers.next().unwrap_or_default(), waiting: numbers.next().unwrap_or_default() }
    }
}

fn share(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { part.as_secs_f64() / whole.as_secs_f64() }
}

/// Whether `generator` was the bottleneck: sets its verdict and reasons from its figures and from how late it was.
pub fn judge(generator: &mut Generator, loop_lag: &Percentiles, publish_lag: &Percentiles) {
    let mut reasons = Vec::new();
    if generator.busiest_thread > BUSY_MAX {
        reasons.push(format!(
            "its busiest thread used {:.0} % of a core ({:.0} % is its limit)",
            generator.busiest_thread * 100.0,
            BUSY_MAX * 100.0
        ));
    }
    if generator.starved > STARVED_MAX {
        reasons.push(format!(
            "a thread of it waited for a core {:.0} % of the time: the machine has too few for it and the servers",
            generator.starved * 100.0
        ));
    }
    for (what, lag, limit_us) in
        [("its loops noticed timers", loop_lag, LAG_MAX_US), ("it published", publish_lag, PUBLISH_LAG_MAX_US)]
    {
        if lag.p99_us > limit_us {
            reasons.push(format!("{what} {:.1} ms late at the 99th percentile", lag.p99_us as f64 / 1_000.0));
        }
    }
    generator.was_bottleneck = !reasons.is_empty();
    generator.reasons = reasons;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(on_cpu_ms: u64, waiting_ms: u64) -> Usage {
        let thread =
            ThreadUsage { on_cpu: Duration::from_millis(on_cpu_ms), waiting: Duration::from_millis(waiting_ms) };
        Usage { threads: BTreeMap::from([(1, thread), (2, ThreadUsage::default())]), rss_bytes: 0 }
    }

    #[test]
    fn shares_are_of_the_worst_thread() {
        let second = Duration::from_secs(1);
        let (before, after) = (usage(100, 0), usage(600, 200));
        assert_eq!(after.cpu_since(&before), Duration::from_millis(500));
        assert!((after.busiest_since(&before, second) - 0.5).abs() < 1e-9);
        assert!((after.starved_since(&before, second) - 0.2).abs() < 1e-9);
    }

    #[test]
    fn the_kernels_figures_are_read() {
        let parsed = ThreadUsage::parse("2500000 1000 7\n");
        assert_eq!((parsed.on_cpu, parsed.waiting), (Duration::from_micros(2_500), Duration::from_micros(1)));
        let busy = std::thread::Builder::new().name("load-test".into());
        busy.spawn(|| assert!(!Usage::read().threads.is_empty())).unwrap().join().unwrap();
    }

    #[test]
    fn each_kind_of_slowness_makes_it_the_bottleneck() {
        let quiet = Percentiles { count: 1, p99_us: 500, ..Percentiles::default() };
        let late = Percentiles { count: 1, p99_us: 50_000, ..Percentiles::default() };
        let judged = |busiest_thread, starved, loop_lag, publish_lag| {
            let mut generator = Generator { busiest_thread, starved, ..Generator::default() };
            judge(&mut generator, loop_lag, publish_lag);
            (generator.was_bottleneck, generator.reasons.len())
        };
        assert_eq!(judged(0.5, 0.01, &quiet, &quiet), (false, 0));
        assert_eq!(judged(0.95, 0.01, &quiet, &quiet), (true, 1));
        assert_eq!(judged(0.5, 0.3, &quiet, &quiet), (true, 1));
        assert_eq!(judged(0.5, 0.01, &late, &late), (true, 2));
    }
}
