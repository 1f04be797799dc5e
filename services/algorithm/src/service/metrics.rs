//! Metric handles of the service.

use prometheus_client::{
    metrics::{
        counter::Counter,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// All of them. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) bots: Gauge,
    pub(crate) bots_refused: Gauge,
    pub(crate) markets: Gauge,
    pub(crate) ticks: Counter,
    pub(crate) unreadable: Counter,
    pub(crate) decisions: Counter,
    pub(crate) fills: Counter,
    pub(crate) decision_seconds: Histogram,
    pub(crate) append_seconds: Histogram,
    pub(crate) leases_lost: Counter,
    pub(crate) outbox_waits: Counter,
    pub(crate) emitted: Counter,
    pub(crate) emit_failures: Counter,
    pub(crate) emit_refused: Counter,
    pub(crate) figures: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        // 20 µs to 0.6 s.
        let latency = || Histogram::new(exponential_buckets(0.000_02, 2.0, 16));
        Self {
            bots: Gauge::default(),
            bots_refused: Gauge::default(),
            markets: Gauge::default(),
            ticks: Counter::default(),
            unreadable: Counter::default(),
            decisions: Counter::default(),
            fills: Counter::default(),
            decision_seconds: latency(),
            append_seconds: latency(),
            leases_lost: Counter::default(),
            outbox_waits: Counter::default(),
            emitted: Counter::default(),
            emit_failures: Counter::default(),
            emit_refused: Counter::default(),
            figures: Counter::default(),
        }
    }
}

impl Metrics {
    /// Registers each in `registry`, whose prefix is `tickwire_algorithm`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("bots", "Bots that run here", self.bots.clone());
        registry.register(
            "bots_refused",
            "Sessions that no bot runs for because of the bound",
            self.bots_refused.clone(),
        );
        registry.register("markets", "Instruments that bots look at", self.markets.clone());
        registry.register("ticks", "Messages of markets", self.ticks.clone());
        registry.register("unreadable", "Messages of markets that could not be read", self.unreadable.clone());
        registry.register("decisions", "Decisions, hold included", self.decisions.clone());
        registry.register("fills", "Paper fills", self.fills.clone());
        registry.register_with_unit(
            "decision",
            "From a market's message to what a bot makes of it",
            Unit::Seconds,
            self.decision_seconds.clone(),
        );
        registry.register_with_unit("append", "Appends to bots' journals", Unit::Seconds, self.append_seconds.clone());
        registry.register("leases_lost", "Bots given up because their lease was over", self.leases_lost.clone());
        registry.register("outbox_waits", "Bots that waited because too much was untold", self.outbox_waits.clone());
        registry.register("emitted", "Events that the emitter took", self.emitted.clone());
        registry.register(
            "emit_failures",
            "Calls of the emitter that failed and are repeated",
            self.emit_failures.clone(),
        );
        registry.register("emit_refused", "Events that the emitter refused for good", self.emit_refused.clone());
        registry.register("figures", "Figures of accounts that were published", self.figures.clone());
    }
}
