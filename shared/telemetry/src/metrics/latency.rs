//! A histogram of times that costs two additions: no lock, as it stands on the way of messages.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};

/// Upper ends of the buckets, microseconds: 0.25 ms to 8 s in steps of two, the service levels among them. The last one takes
/// whatever is longer.
pub const BOUNDS_US: [u64; 18] = [
    250,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    300_000,
    500_000,
    1_000_000,
    2_000_000,
    3_000_000,
    5_000_000,
    8_000_000,
    u64::MAX,
];

/// Times in buckets. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Latency(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    buckets: [AtomicU64; BOUNDS_US.len()],
    sum_us: AtomicU64,
}

impl Latency {
    /// Counts one.
    pub fn observe(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|&bound| bound < us);
        self.0.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.0.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many fell into each bucket of [`BOUNDS_US`].
    pub fn counts(&self) -> [u64; BOUNDS_US.len()] {
        self.0.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed))
    }

    /// Counts one of whole milliseconds, such as between two clocks; a clock that is behind counts as none.
    pub fn observe_between_ms(&self, from_ms: u64, to_ms: u64) {
        self.observe(Duration::from_millis(to_ms.saturating_sub(from_ms)));
    }
}

impl TypedMetric for Latency {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Latency {
    #[allow(clippy::cast_precision_loss, reason = "a metric's text has 15 digits")]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let ends = BOUNDS_US.map(|us| if us == u64::MAX { f64::INFINITY } else { us as f64 / 1e6 });
        let counts = self.counts();
        let buckets: Vec<(f64, u64)> = ends.into_iter().zip(counts).collect();
        let sum = self.0.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        encoder.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::{Registry, Unit};

    use super::*;

    #[test]
    fn times_are_counted_in_their_buckets() {
        let latency = Latency::default();
        latency.observe(Duration::from_micros(250));
        latency.observe(Duration::from_micros(251));
        latency.observe(Duration::from_secs(3_600));
        latency.observe_between_ms(1_000, 900);
        assert_eq!(latency.counts()[..2], [2, 1]);
        let mut registry = Registry::default();
        registry.register_with_unit("x", "Times", Unit::Seconds, latency);
        let text = crate::metrics::render(&registry);
        for line in [
            "x_seconds_bucket{le=\"0.00025\"} 2",
            "x_seconds_bucket{le=\"0.0005\"} 3",
            "x_seconds_bucket{le=\"8.0\"} 3",
            "x_seconds_bucket{le=\"+Inf\"} 4",
            "x_seconds_count 4",
            "x_seconds_sum 3600.000501",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
        }
    }
}
