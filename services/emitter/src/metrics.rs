//! Metric handles of an emitter.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// All of them.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Requests answered.
    pub(crate) requests: Family<RequestLabels, Counter>,
    /// Requests in progress.
    pub(crate) in_progress: Gauge,
    /// From the first byte of a request to the answer.
    pub(crate) request_seconds: Family<RouteLabels, Histogram>,
    /// A backplane call that publishes.
    pub(crate) publish_seconds: Histogram,
    /// Messages that the backplane took.
    pub(crate) published: Family<ClassLabels, Counter>,
    /// Messages whose idempotency key was known.
    pub(crate) duplicates: Counter,
    /// Typed events taken whole.
    pub(crate) events: Counter,
    /// Alerts made.
    pub(crate) alerts: Counter,
    /// Requests and messages of a batch refused.
    pub(crate) refusals: Family<CodeLabels, Counter>,
    /// Callers whose token or key was refused.
    pub(crate) auth_failures: Family<CodeLabels, Counter>,
    /// Revocations of service tokens given up at their bound.
    pub(crate) revocations_evicted: Gauge,
}

/// Labels of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) route: String,
    pub(crate) status: u32,
}

/// A route, as it is registered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RouteLabels {
    pub(crate) route: String,
}

/// A delivery class.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ClassLabels {
    pub(crate) class: &'static str,
}

/// An error code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CodeLabels {
    pub(crate) code: &'static str,
}

/// 0.25 ms to 4 s.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 15))
}

impl Metrics {
    /// Creates them and registers each under `tickwire_emitter_…`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            in_progress: Gauge::default(),
            request_seconds: Family::new_with_constructor(latency as fn() -> Histogram),
            publish_seconds: latency(),
            published: Family::default(),
            duplicates: Counter::default(),
            events: Counter::default(),
            alerts: Counter::default(),
            refusals: Family::default(),
            auth_failures: Family::default(),
            revocations_evicted: Gauge::default(),
        };
        let emitter = registry.sub_registry_with_prefix("tickwire_emitter");
        emitter.register("requests", "Requests answered, by route and status", metrics.requests.clone());
        emitter.register("requests_in_progress", "Requests in progress", metrics.in_progress.clone());
        emitter.register_with_unit(
            "request_duration",
            "From a request to its answer, by route",
            Unit::Seconds,
            metrics.request_seconds.clone(),
        );
        emitter.register_with_unit(
            "publish_duration",
            "Backplane calls that publish",
            Unit::Seconds,
            metrics.publish_seconds.clone(),
        );
        emitter.register("published", "Messages that the backplane took, by class", metrics.published.clone());
        emitter.register("duplicates", "Messages whose idempotency key was known", metrics.duplicates.clone());
        emitter.register("events", "Typed events taken whole", metrics.events.clone());
        emitter.register("alerts", "Alerts made", metrics.alerts.clone());
        emitter.register("refusals", "Requests and messages refused, by code", metrics.refusals.clone());
        emitter.register("auth_failures", "Callers refused, by code", metrics.auth_failures.clone());
        emitter.register(
            "revocations_evicted",
            "Revocations given up at their bound; above zero a revoked service token may be in use",
            metrics.revocations_evicted.clone(),
        );
        metrics
    }
}
