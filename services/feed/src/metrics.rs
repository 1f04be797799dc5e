//! Metric handles of a feed.

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

use crate::{
    book::{Anomaly, BookState},
    model::{Exchange, Symbol},
    venue::{Counters, FaultClass},
};

/// All of them. Symbols are labels: their number is bounded by `feed.channels_max`, because series of symbols that are fed no
/// longer are given up.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Connections open.
    pub(crate) connections: Family<VenueLabels, Gauge>,
    /// Connections opened again after one ended.
    pub(crate) reconnects: Family<VenueLabels, Counter>,
    /// Connections replaced before they ended.
    pub(crate) handovers: Family<VenueLabels, Counter>,
    faults: Family<FaultLabels, Counter>,
    frames: Family<VenueLabels, Counter>,
    bytes: Family<VenueLabels, Counter>,
    parse_errors: Family<VenueLabels, Counter>,
    unknown_fields: Family<VenueLabels, Counter>,
    unknown_messages: Family<VenueLabels, Counter>,
    anomalies: Family<AnomalyLabels, Counter>,
    /// Snapshots asked for again.
    pub(crate) resyncs: Family<SymbolLabels, Counter>,
    states: Family<SymbolLabels, Gauge>,
    ages: Family<SymbolLabels, Gauge<f64, AtomicU64>>,
    /// Updates that found the publisher's queue full.
    pub(crate) dropped: Family<VenueLabels, Counter>,
    published: Family<SymbolLabels, Counter>,
    leading: Family<VenueLabels, Gauge>,
    /// Leases that another took, or that ran out.
    pub(crate) leases_lost: Counter,
    /// Calls of an election that failed.
    pub(crate) election_failures: Counter,
    /// Publishes refused because a newer holder of the lease had published.
    pub(crate) fenced: Counter,
    /// Publishes that the backplane did not take.
    pub(crate) publish_failures: Counter,
    /// Calls for demand that failed.
    pub(crate) demand_failures: Counter,
    /// Channels wanted beyond the bound.
    pub(crate) channels_refused: Gauge,
    venue_seconds: Latency,
    receive_seconds: Latency,
    /// Calls of the backplane.
    pub(crate) publish_seconds: Latency,
}

/// 50 µs to 26 s.
#[derive(Debug, Clone)]
pub(crate) struct Latency(Histogram);

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new(exponential_buckets(0.000_05, 2.0, 20)))
    }
}

impl Latency {
    pub(crate) fn observe(&self, seconds: f64) {
        self.0.observe(seconds);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct VenueLabels {
    exchange: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SymbolLabels {
    exchange: &'static str,
    symbol: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct FaultLabels {
    exchange: &'static str,
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AnomalyLabels {
    exchange: &'static str,
    symbol: String,
    kind: &'static str,
}

/// The labels of a venue.
pub(crate) fn venue(exchange: Exchange) -> VenueLabels {
    VenueLabels { exchange: exchange.name() }
}

/// The labels of a symbol.
pub(crate) fn symbol(exchange: Exchange, symbol: &Symbol) -> SymbolLabels {
    SymbolLabels { exchange: exchange.name(), symbol: symbol.as_str().to_owned() }
}

fn anomaly(exchange: Exchange, symbol: Option<&Symbol>, kind: Anomaly) -> AnomalyLabels {
    let symbol = symbol.map(|symbol| symbol.as_str().to_owned()).unwrap_or_default();
    AnomalyLabels { exchange: exchange.name(), symbol, kind: kind.name() }
}

fn seconds(from_ns: i64, to_ns: i64) -> f64 {
    // Clocks differ: what was received before it was sent took no time.
    let ns = u64::try_from(to_ns.saturating_sub(from_ns)).unwrap_or(0);
    std::time::Duration::from_nanos(ns).as_secs_f64()
}

impl Metrics {
    /// Everything of a venue that counts shows itself from the start, at zero: a rate over a series that begins with its first event
    /// does not see that event.
    pub(crate) fn begin(&self, exchange: Exchange) {
        let labels = venue(exchange);
        let gauges = [&self.connections, &self.leading];
        for family in gauges {
            drop(family.get_or_create(&labels));
        }
        let counters = [
            &self.reconnects,
            &self.handovers,
            &self.frames,
            &self.bytes,
            &self.parse_errors,
            &self.unknown_fields,
            &self.unknown_messages,
            &self.dropped,
        ];
        for family in counters {
            drop(family.get_or_create(&labels));
        }
        for class in FaultClass::ALL {
            drop(self.faults.get_or_create(&FaultLabels { exchange: exchange.name(), class: class.name() }));
        }
    }

    /// The same of a symbol with a book.
    pub(crate) fn begin_book(&self, exchange: Exchange, of: &Symbol) {
        drop(self.resyncs.get_or_create(&symbol(exchange, of)));
        for kind in [Anomaly::Gap, Anomaly::Checksum, Anomaly::Crossed, Anomaly::Audit] {
            drop(self.anomalies.get_or_create(&anomaly(exchange, Some(of), kind)));
        }
    }

    /// Nobody wants the symbol any more: what was labelled with it is given up, so that there are never more than are fed.
    pub(crate) fn forget(&self, exchange: Exchange, of: &Symbol) {
        let labels = symbol(exchange, of);
        self.resyncs.remove(&labels);
        self.states.remove(&labels);
        self.ages.remove(&labels);
        self.published.remove(&labels);
        for kind in Anomaly::ALL {
            self.anomalies.remove(&anomaly(exchange, Some(of), kind));
        }
    }

    pub(crate) fn fault(&self, exchange: Exchange, class: FaultClass) {
        self.faults.get_or_create(&FaultLabels { exchange: exchange.name(), class: class.name() }).inc();
    }

    pub(crate) fn anomaly(&self, exchange: Exchange, symbol: Option<&Symbol>, kind: Anomaly) {
        self.anomalies.get_or_create(&anomaly(exchange, symbol, kind)).inc();
    }

    pub(crate) fn state(&self, exchange: Exchange, of: &Symbol, state: BookState) {
        self.states.get_or_create(&symbol(exchange, of)).set(state as i64);
    }

    pub(crate) fn age(&self, exchange: Exchange, of: &Symbol, seconds: f64) {
        self.ages.get_or_create(&symbol(exchange, of)).set(seconds);
    }

    pub(crate) fn leading(&self, exchange: Exchange) -> Gauge {
        self.leading.get_or_create(&venue(exchange)).clone()
    }

    /// What a connection counted since `before`.
    pub(crate) fn counted(&self, exchange: Exchange, before: &Counters, now: &Counters) {
        let venue = venue(exchange);
        self.frames.get_or_create(&venue).inc_by(now.frames.saturating_sub(before.frames));
        self.bytes.get_or_create(&venue).inc_by(now.bytes.saturating_sub(before.bytes));
        self.parse_errors.get_or_create(&venue).inc_by(now.parse_errors.saturating_sub(before.parse_errors));
        self.unknown_fields.get_or_create(&venue).inc_by(now.unknown_fields.saturating_sub(before.unknown_fields));
        let unknown = now.unknown_messages.saturating_sub(before.unknown_messages);
        self.unknown_messages.get_or_create(&venue).inc_by(unknown);
    }

    pub(crate) fn published(
        &self,
        exchange: Exchange,
        of: &Symbol,
        venue_ms: Option<i64>,
        received_ns: i64,
        published_ns: i64,
    ) {
        self.published.get_or_create(&symbol(exchange, of)).inc();
        if let Some(venue_ms) = venue_ms {
            self.venue_seconds.observe(seconds(venue_ms.saturating_mul(1_000_000), received_ns));
        }
        self.receive_seconds.observe(seconds(received_ns, published_ns));
    }

    /// Registers each under `tickwire_feed_…`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let feed = registry.sub_registry_with_prefix("tickwire_feed");
        feed.register("connections", "Connections open, by venue", self.connections.clone());
        feed.register("reconnects", "Connections opened again after one ended", self.reconnects.clone());
        feed.register("handovers", "Connections replaced before they ended", self.handovers.clone());
        feed.register("faults", "What went wrong, by venue and class", self.faults.clone());
        feed.register("frames", "Frames received", self.frames.clone());
        feed.register("frame_bytes", "Bytes of frames received", self.bytes.clone());
        feed.register("parse_errors", "Frames that could not be read", self.parse_errors.clone());
        feed.register("unknown_fields", "Fields that nothing here knows", self.unknown_fields.clone());
        feed.register("unknown_messages", "Messages of unknown channels", self.unknown_messages.clone());
        feed.register("anomalies", "Gaps, checksum failures and the like, by symbol and kind", self.anomalies.clone());
        feed.register("resyncs", "Books begun anew, by symbol", self.resyncs.clone());
        feed.register(
            "book_state",
            "0 idle, 1 subscribing, 2 buffering, 3 syncing, 4 live, 5 suspect, 6 resyncing",
            self.states.clone(),
        );
        feed.register_with_unit("age", "Since a symbol's newest event", Unit::Seconds, self.ages.clone());
        feed.register("dropped", "Updates that found the publisher's queue full", self.dropped.clone());
        feed.register("published", "Messages that the backplane took, by symbol", self.published.clone());
        feed.register("leading", "Symbols that this instance publishes", self.leading.clone());
        feed.register("leases_lost", "Leases that another took or that ran out", self.leases_lost.clone());
        feed.register("election_failures", "Calls of an election that failed", self.election_failures.clone());
        feed.register("fenced", "Publishes refused for a newer holder's sake", self.fenced.clone());
        feed.register("publish_failures", "Publishes that the backplane did not take", self.publish_failures.clone());
        feed.register("demand_failures", "Calls for demand that failed", self.demand_failures.clone());
        feed.register("channels_refused", "Channels wanted beyond the bound", self.channels_refused.clone());
        let latencies = [
            ("venue_to_receive", "From the venue's time to reception", &self.venue_seconds),
            ("receive_to_publish", "From reception to the backplane's answer", &self.receive_seconds),
            ("publish_duration", "Backplane calls that publish", &self.publish_seconds),
        ];
        for (name, help, latency) in latencies {
            feed.register_with_unit(name, help, Unit::Seconds, latency.0.clone());
        }
    }
}
