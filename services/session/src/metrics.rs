//! Metric handles of a session service.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// All of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    /// Sessions that this instance writes and that are not over and told.
    pub(crate) open: Gauge,
    /// Partitions whose lease this instance holds.
    pub(crate) partitions: Gauge,
    /// Leases that another took, or whose term ran out.
    pub(crate) leases_lost: Counter,
    /// Events that the journals took.
    pub(crate) events: Family<EventLabels, Counter>,
    /// Appends that the journal refused for its length or a newer writer.
    pub(crate) conflicts: Counter,
    /// Messages told to the cluster, throttled figures included.
    pub(crate) told: Counter,
    /// Messages that the emitter did not take; they are told again.
    pub(crate) tell_failures: Counter,
    /// Requests passed on to the writing instance.
    pub(crate) forwarded: Counter,
    /// Rounds of the keeper that did not find a session's journal.
    pub(crate) keep_failures: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct EventLabels {
    pub(crate) event: &'static str,
}

impl Metrics {
    pub(crate) fn register(&self, session: &mut Registry) {
        session.register("open", "Sessions written here that are not settled and told", self.open.clone());
        session.register("partitions", "Partitions whose lease is held here", self.partitions.clone());
        session.register("leases_lost", "Leases lost to another instance or to time", self.leases_lost.clone());
        session.register("events", "Events that journals took, by event", self.events.clone());
        session.register("conflicts", "Appends refused for length or fence", self.conflicts.clone());
        session.register("told", "Messages that the emitter took", self.told.clone());
        session.register(
            "tell_failures",
            "Messages that the emitter did not take; told again",
            self.tell_failures.clone(),
        );
        session.register("forwarded", "Requests passed on to the writing instance", self.forwarded.clone());
        session.register("keep_failures", "Sessions that a round could not look after", self.keep_failures.clone());
    }
}
