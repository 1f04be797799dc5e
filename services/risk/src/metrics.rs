//! Metric handles of the service, each under `tickwire_risk_…`.

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

use crate::{level::Level, rules::Kind};

/// All of them.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) sessions: Gauge,
    pub(crate) kept: Gauge,
    pub(crate) instruments: Gauge,
    /// Sessions and instruments that were not followed at a bound.
    pub(crate) refused: Counter,
    pub(crate) alerts: Family<KindLevelLabels, Counter>,
    /// Alerts given up because too many waited.
    pub(crate) alerts_dropped: Counter,
    pub(crate) stops_begun: Counter,
    pub(crate) stops_done: Counter,
    pub(crate) stop_seconds: Histogram,
    pub(crate) step_failures: Family<StepLabels, Counter>,
    pub(crate) lease_failures: Counter,
    /// Messages of other services that could not be read.
    pub(crate) unreadable: Counter,
    pub(crate) wallets: Gauge,
    pub(crate) portfolios: Counter,
    pub(crate) portfolio_failures: Counter,
}

/// An alert's rule and level.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLevelLabels {
    kind: &'static str,
    level: &'static str,
}

/// A call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StepLabels {
    pub(crate) step: &'static str,
}

impl KindLevelLabels {
    pub(crate) const fn of(kind: Kind, level: Level) -> Self {
        let level = match level {
            Level::Warning => "warning",
            Level::Critical => "critical",
            Level::Emergency => "emergency",
        };
        Self { kind: kind.as_str(), level }
    }
}

impl Metrics {
    /// Creates and registers them; `risk` adds the prefix.
    pub(crate) fn register(risk: &mut Registry) -> Self {
        let metrics = Self {
            sessions: Gauge::default(),
            kept: Gauge::default(),
            instruments: Gauge::default(),
            refused: Counter::default(),
            alerts: Family::default(),
            alerts_dropped: Counter::default(),
            stops_begun: Counter::default(),
            stops_done: Counter::default(),
            // 2 ms to 65 s.
            stop_seconds: Histogram::new(exponential_buckets(0.002, 2.0, 16)),
            step_failures: Family::default(),
            lease_failures: Counter::default(),
            unreadable: Counter::default(),
            wallets: Gauge::default(),
            portfolios: Counter::default(),
            portfolio_failures: Counter::default(),
        };
        let m = &metrics;
        risk.register("sessions", "Sessions under watch", m.sessions.clone());
        risk.register("sessions_kept", "Sessions that this instance alerts and stops", m.kept.clone());
        risk.register("instruments", "Instruments whose prices are followed", m.instruments.clone());
        risk.register("refused", "Sessions and instruments not followed at a bound", m.refused.clone());
        risk.register("alerts", "Alerts, by rule and level", m.alerts.clone());
        risk.register("alerts_dropped", "Alerts given up because too many waited", m.alerts_dropped.clone());
        risk.register("stops_begun", "Emergency stops begun", m.stops_begun.clone());
        risk.register("stops_done", "Emergency stops done with every step", m.stops_done.clone());
        risk.register_with_unit(
            "stop_alert_lag",
            "From a breach to the emitter's confirmation of its alert",
            Unit::Seconds,
            m.stop_seconds.clone(),
        );
        risk.register("step_failures", "Calls of other services that failed, by step", m.step_failures.clone());
        risk.register("lease_failures", "Calls for leases that failed", m.lease_failures.clone());
        risk.register("unreadable", "Messages of other services that could not be read", m.unreadable.clone());
        risk.register("wallets", "Wallets whose portfolio is computed", m.wallets.clone());
        risk.register("portfolios", "Portfolios published", m.portfolios.clone());
        risk.register("portfolio_failures", "Portfolios that could not be published", m.portfolio_failures.clone());
        for step in ["stop_session", "flatten", "tell_stop", "tell_alert", "tell_volatility"] {
            m.step_failures.get_or_create(&StepLabels { step }).inc_by(0);
        }
        m.alerts.get_or_create(&KindLevelLabels::of(Kind::LossLimit, Level::Warning)).inc_by(0);
        metrics
    }
}
