//! Metric handles of an emitter.

use std::sync::atomic::AtomicU64;

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
    /// Events of the wider platform whose key stands for nothing.
    pub(crate) dead_letters: Counter,
    /// Alerts made.
    pub(crate) alerts: Counter,
    /// Notifications, by what their users' preferences made of them.
    pub(crate) notifications: Family<PresentationLabels, Counter>,
    /// Requests and messages of a batch refused.
    pub(crate) refusals: Family<CodeLabels, Counter>,
    /// Callers whose token or key was refused.
    pub(crate) auth_failures: Family<CodeLabels, Counter>,
    /// Revocations of service tokens given up at their bound.
    pub(crate) revocations_evicted: Gauge,
    /// Of overdue alerts.
    pub(crate) escalation: EscalationMetrics,
}

/// What becomes of overdue alerts.
#[derive(Debug, Clone)]
pub(crate) struct EscalationMetrics {
    /// Overdue in the cluster at the last look, those being sent by this process included.
    pub(crate) due: Gauge,
    /// Taken by the receiver.
    pub(crate) sent: Counter,
    /// Requests that failed.
    pub(crate) failed: Counter,
    /// Given up after the last try.
    pub(crate) given_up: Counter,
    /// Overdue while no receiver is configured.
    pub(crate) unsent: Counter,
    /// Calls of the backplane that failed.
    pub(crate) look_failures: Counter,
    /// From the deadline to the receiver's answer.
    pub(crate) lag: Histogram,
    /// The cluster's unacknowledged critical messages at the last look.
    pub(crate) unacknowledged: Gauge,
    /// Age of the cluster's oldest unacknowledged critical message; 0 if there is none.
    pub(crate) oldest_age: Gauge<f64, AtomicU64>,
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

/// What became of a notification.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PresentationLabels {
    pub(crate) presentation: &'static str,
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
            dead_letters: Counter::default(),
            alerts: Counter::default(),
            notifications: Family::default(),
            refusals: Family::default(),
            auth_failures: Family::default(),
            revocations_evicted: Gauge::default(),
            escalation: EscalationMetrics::register(registry),
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
        emitter.register(
            "dead_letters",
            "Events of the wider platform with an unknown key, kept in the channel dead-letters",
            metrics.dead_letters.clone(),
        );
        emitter.register("alerts", "Alerts made", metrics.alerts.clone());
        emitter.register(
            "notifications",
            "Notifications, by what preferences made of them: shown, silent or dropped",
            metrics.notifications.clone(),
        );
        emitter.register("refusals", "Requests and messages refused, by code", metrics.refusals.clone());
        emitter.register("auth_failures", "Callers refused, by code", metrics.auth_failures.clone());
        emitter.register(
            "revocations_evicted",
            "Revocations given up at their bound; above zero a revoked service token may be in use",
            metrics.revocations_evicted.clone(),
        );
        // Shown from the start: an increase from nothing is none.
        for class in ["reliable", "latest", "volatile", "inbox"] {
            metrics.published.get_or_create(&ClassLabels { class }).inc_by(0);
        }
        for presentation in ["shown", "silent", "dropped"] {
            metrics.notifications.get_or_create(&PresentationLabels { presentation }).inc_by(0);
        }
        metrics.refusals.get_or_create(&CodeLabels { code: "unavailable" }).inc_by(0);
        metrics.auth_failures.get_or_create(&CodeLabels { code: "unauthenticated" }).inc_by(0);
        let publish = || "/v1/publish".to_owned();
        drop(metrics.request_seconds.get_or_create(&RouteLabels { route: publish() }));
        metrics.requests.get_or_create(&RequestLabels { route: publish(), status: 200 }).inc_by(0);
        metrics
    }
}

impl EscalationMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            due: Gauge::default(),
            sent: Counter::default(),
            failed: Counter::default(),
            given_up: Counter::default(),
            unsent: Counter::default(),
            look_failures: Counter::default(),
            // 0.1 s to 27 min.
            lag: Histogram::new(exponential_buckets(0.1, 2.0, 15)),
            unacknowledged: Gauge::default(),
            oldest_age: Gauge::default(),
        };
        let emitter = registry.sub_registry_with_prefix("tickwire_emitter");
        emitter.register(
            "escalations_due",
            "Overdue alerts in the cluster that nobody was told of yet",
            metrics.due.clone(),
        );
        emitter.register("escalations_sent", "Overdue alerts that the webhook took", metrics.sent.clone());
        emitter.register("escalations_failed", "Webhook calls that failed", metrics.failed.clone());
        emitter.register(
            "escalations_given_up",
            "Overdue alerts given up after the last try: nobody was told",
            metrics.given_up.clone(),
        );
        emitter.register(
            "escalations_unsent",
            "Overdue alerts while escalation.url is not set",
            metrics.unsent.clone(),
        );
        emitter.register(
            "escalation_backplane_failures",
            "Backplane calls of the escalation that failed",
            metrics.look_failures.clone(),
        );
        emitter.register_with_unit(
            "escalation_lag",
            "From an alert's deadline to the webhook's answer",
            Unit::Seconds,
            metrics.lag.clone(),
        );
        emitter.register(
            "alerts_unacknowledged",
            "Critical messages in the cluster that no user acknowledged yet",
            metrics.unacknowledged.clone(),
        );
        emitter.register_with_unit(
            "oldest_unacknowledged_alert_age",
            "Age of the cluster's oldest unacknowledged critical message",
            Unit::Seconds,
            metrics.oldest_age.clone(),
        );
        metrics
    }
}
