//! Metric handles of an edge: registered once, plain atomics on the delivery path.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use tickwire_protocol::{CloseCode, dialect::Dialect};
use tickwire_telemetry::metrics::Latency;

/// All of them. One per node, shared by its shards.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Open connections.
    pub connections: Family<TransportLabels, Gauge>,
    /// Connections ever opened; the dialect as far as the upgrade told it.
    pub connections_opened: Family<TransportLabels, Counter>,
    /// From an accepted socket to a WebSocket.
    pub connect: Latency,
    /// Upgrades and requests refused.
    pub refusals: Family<ReasonLabels, Counter>,
    /// TLS handshakes that failed or ran out of time.
    pub tls_failures: Counter,
    /// Certificates taken over while serving.
    pub tls_reloads: Counter,
    /// Changed certificates that could not be used.
    pub tls_reload_failures: Counter,
    /// Connections that the edge closed, by close code.
    pub closes: Family<CloseLabels, Counter>,
    /// Subscriptions.
    pub subscriptions: Gauge,
    /// Channels that shards hold at the backplane.
    pub channels: Gauge,
    /// Publications that came from the backplane, each shard counted.
    pub publications_in: Counter,
    /// Messages queued for connections.
    pub messages_out: Counter,
    /// Connections whose user's newer one took their place.
    pub replaced: Counter,
    /// Filters that were evaluated for a publication.
    pub filter_evaluations: Counter,
    /// Times that work stopped half done so that others got their turn.
    pub yields: Counter,
    /// Bytes written to sockets.
    pub bytes_out: Counter,
    /// Bytes read from sockets.
    pub bytes_in: Counter,
    /// Messages that were compressed, each once for all its receivers.
    pub deflated: Counter,
    /// Bytes that this made of them fewer, receivers not counted.
    pub deflate_saved: Counter,
    /// Messages queued as changed fields.
    pub deltas: Counter,
    /// Commands taken.
    pub commands: Counter,
    /// Frames that were no command.
    pub malformed: Counter,
    /// Messages dropped for a connection that could not keep up.
    pub dropped: Family<ClassLabels, Counter>,
    /// Values replaced by a newer one while they waited.
    pub conflated: Counter,
    /// Times that a reader of `latest` values was found behind what was written to it.
    pub slow_readers: Counter,
    /// Critical messages queued before others that waited for the same connection.
    pub overtakes: Counter,
    /// Clients that a drain asked to go elsewhere.
    pub drain_asked: Counter,
    /// Clients that were still there when the time of a drain was up.
    pub drain_cut: Counter,
    /// Views of books that are computed, each shard counted.
    pub views: Gauge,
    /// Messages made for views, each once for all its receivers of a shard.
    pub view_updates: Counter,
    /// Messages of a book's channel that were none.
    pub book_messages_damaged: Counter,
    /// Connections closed with 4430.
    pub slow_closes: Counter,
    /// Where the time of publications went, each shard counted.
    pub delivery: DeliveryTimes,
    /// Subscriptions that gave a position, by result.
    pub recoveries: Family<ReasonLabels, Counter>,
    /// From such a subscription's request to its reply.
    pub recovery: Latency,
    /// Holes seen in a channel's stream.
    pub gaps: Counter,
    /// Holes that the store filled.
    pub gaps_filled: Counter,
    /// Critical messages acknowledged by clients of this node.
    pub acknowledged: Counter,
    /// History reads that failed and are tried again.
    pub repair_failures: Counter,
    /// Channels that began a new epoch under a subscription.
    pub resets: Counter,
    /// Notices on `system` that the backplane is away or back, each shard counted.
    pub outage_notices: Counter,
    /// Times a shard's signal queue overflowed.
    pub lagged: Counter,
    /// Backplane calls for clients that failed.
    pub backplane_failures: Family<ReasonLabels, Counter>,
    /// Tokens refused.
    pub auth_failures: Family<ReasonLabels, Counter>,
    /// Connections closed because their token was revoked or expired.
    pub revoked: Counter,
    /// Times that a shard checked all its connections for revocation.
    pub rechecks: Counter,
    /// Revocations given up at their bound since the start.
    pub revocations_evicted: Gauge,
    /// Addresses banned.
    pub bans: Counter,
    /// What counts against somebody, by kind.
    pub offences: Family<ReasonLabels, Counter>,
    /// Commands or connections over a limit.
    pub rate_limited: Family<ReasonLabels, Counter>,
    /// Subscriptions of users to channels with presence.
    pub present: Gauge,
    /// Users' subscriptions to channels with presence that began or ended.
    pub presence_changes: Family<ChangeLabels, Counter>,
    /// Questions of clients who is in a channel.
    pub presence_queries: Counter,
    /// Presence changes dropped because the store was away too long.
    pub presence_dropped: Counter,
    /// Bytes waiting for connections.
    pub outbox_bytes: Gauge,
    /// Longest time a shard's loop worked without a pause, since the last scrape interval began, microseconds.
    pub loop_pause_us_max: Gauge,
}

/// Why upgrades and requests are refused: the labels of [`Metrics::refusals`].
pub const REFUSALS: [&str; 8] = [
    "banned",
    "bans_full",
    "connections_per_ip",
    "connections_per_node",
    "connections_per_user",
    "draining",
    "offenders_full",
    "origin",
];

/// Labels of a connection count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TransportLabels {
    /// How the client is attached.
    pub transport: Transport,
    /// What it speaks.
    pub dialect: &'static str,
}

impl TransportLabels {
    /// Of a connection; without a dialect its first frame decides.
    pub const fn new(transport: Transport, dialect: Option<Dialect>) -> Self {
        let dialect = match dialect {
            None => "undecided",
            Some(Dialect::Json) => "json",
            Some(Dialect::MsgPack) => "msgpack",
            Some(Dialect::Upper) => "upper",
            Some(Dialect::Grekko) => "grekko",
        };
        Self { transport, dialect }
    }
}

/// The stages of a delivery.
#[derive(Debug, Default)]
pub struct DeliveryTimes {
    /// From the emitter's acceptance to the store, by their clocks.
    pub backplane: Latency,
    /// From the store to a shard, by their clocks.
    pub edge: Latency,
    /// From a shard to the end of the round of writes that took it to sockets; the oldest of each round.
    pub socket: Latency,
    /// From the emitter's acceptance to a shard, by their clocks.
    pub total: Latency,
}

/// Labels of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

impl DeliveryTimes {
    fn register(registry: &mut Registry) -> Self {
        let family = Family::<StageLabels, Latency>::new_with_constructor(Latency::default);
        let help = "Where the time of publications went: emitter to backplane, backplane to edge, edge to sockets, and emitter to edge";
        registry.register_with_unit("delivery", help, Unit::Seconds, family.clone());
        let of = |stage| family.get_or_create(&StageLabels { stage }).clone();
        Self { backplane: of("backplane"), edge: of("edge"), socket: of("socket"), total: of("total") }
    }
}

/// How a client is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// An event stream.
    Sse,
    /// A long poll.
    Poll,
}

/// A short fixed word.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    /// From a closed set in the code, never from a peer.
    pub reason: &'static str,
}

/// A close code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CloseLabels {
    /// Its number.
    pub code: u32,
}

/// A change of presence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ChangeLabels {
    /// `join` or `leave`.
    pub change: &'static str,
}

/// A delivery class.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ClassLabels {
    /// Its name.
    pub class: &'static str,
}

/// A [`ReasonLabels`].
pub const fn reason(reason: &'static str) -> ReasonLabels {
    ReasonLabels { reason }
}

impl Metrics {
    /// A user's subscription to a channel with presence began or ended.
    pub(crate) fn presence_changed(&self, joined: bool) {
        let change = if joined { "join" } else { "leave" };
        self.presence_changes.get_or_create(&ChangeLabels { change }).inc();
        if joined {
            self.present.inc()
        } else {
            self.present.dec()
        };
    }

    /// The first frame said what a connection speaks.
    pub(crate) fn decided(&self, transport: Transport, dialect: Dialect) {
        self.connections.get_or_create(&TransportLabels::new(transport, None)).dec();
        self.connections.get_or_create(&TransportLabels::new(transport, Some(dialect))).inc();
    }

    fn register_presence(&self, edge: &mut Registry) {
        edge.register("present", "Users' subscriptions to channels with presence", self.present.clone());
        edge.register(
            "presence_changes",
            "Users' subscriptions to channels with presence that began or ended",
            self.presence_changes.clone(),
        );
        edge.register("presence_queries", "Questions of clients who is in a channel", self.presence_queries.clone());
        edge.register("presence_dropped", "Presence changes dropped", self.presence_dropped.clone());
        for change in ["join", "leave"] {
            self.presence_changes.get_or_create(&ChangeLabels { change }).inc_by(0);
        }
    }

    /// Creates them and registers each under `tickwire_edge_…`.
    pub fn register(registry: &mut Registry) -> Self {
        let edge = registry.sub_registry_with_prefix("tickwire_edge");
        let metrics = Self { delivery: DeliveryTimes::register(edge), ..Self::default() };
        edge.register("connections", "Open connections", metrics.connections.clone());
        edge.register_with_unit(
            "connect",
            "From an accepted socket to a WebSocket, by clients that arrived",
            Unit::Seconds,
            metrics.connect.clone(),
        );
        edge.register_with_unit(
            "recovery",
            "From a subscription with a position to its reply",
            Unit::Seconds,
            metrics.recovery.clone(),
        );
        edge.register("gaps_filled", "Holes that the store filled", metrics.gaps_filled.clone());
        edge.register("acknowledged", "Critical messages acknowledged by clients", metrics.acknowledged.clone());
        edge.register("connections_opened", "Connections opened", metrics.connections_opened.clone());
        edge.register("refusals", "Upgrades and requests refused", metrics.refusals.clone());
        edge.register("replaced", "Connections closed for a newer one of their user", metrics.replaced.clone());
        edge.register("tls_failures", "TLS handshakes that failed or timed out", metrics.tls_failures.clone());
        edge.register("tls_reloads", "Certificates taken over while serving", metrics.tls_reloads.clone());
        edge.register(
            "tls_reload_failures",
            "Changed certificates that could not be used; the one before stays",
            metrics.tls_reload_failures.clone(),
        );
        edge.register("closes", "Connections closed by the edge, by close code", metrics.closes.clone());
        edge.register("subscriptions", "Subscriptions", metrics.subscriptions.clone());
        edge.register("channels", "Channels held at the backplane, each shard counted", metrics.channels.clone());
        edge.register(
            "publications_in",
            "Publications from the backplane, each shard counted",
            metrics.publications_in.clone(),
        );
        edge.register("messages_out", "Messages queued for connections", metrics.messages_out.clone());
        edge.register(
            "filter_evaluations",
            "Filters evaluated: once a publication and distinct filter",
            metrics.filter_evaluations.clone(),
        );
        edge.register("yields", "Times that long work stopped for others to get their turn", metrics.yields.clone());
        edge.register_with_unit("out", "Written to sockets", Unit::Bytes, metrics.bytes_out.clone());
        edge.register_with_unit("in", "Read from sockets", Unit::Bytes, metrics.bytes_in.clone());
        edge.register("deflated", "Messages compressed, each once for all its receivers", metrics.deflated.clone());
        edge.register_with_unit(
            "deflate_saved",
            "Saved by compressing messages, each counted once",
            Unit::Bytes,
            metrics.deflate_saved.clone(),
        );
        edge.register("deltas", "Messages queued as changed fields", metrics.deltas.clone());
        edge.register("commands", "Commands taken", metrics.commands.clone());
        edge.register("malformed", "Frames that were no command", metrics.malformed.clone());
        edge.register("dropped", "Messages dropped for slow connections, by class", metrics.dropped.clone());
        edge.register("conflated", "Waiting values replaced by newer ones", metrics.conflated.clone());
        edge.register("slow_readers", "Readers of latest values found behind", metrics.slow_readers.clone());
        edge.register("overtakes", "Critical messages queued before waiting others", metrics.overtakes.clone());
        edge.register("drain_asked", "Clients asked to go elsewhere by a drain", metrics.drain_asked.clone());
        edge.register("drain_cut", "Clients still there at the end of a drain's time", metrics.drain_cut.clone());
        edge.register("views", "Views of books computed, each shard counted", metrics.views.clone());
        edge.register("view_updates", "Messages made for views, each once a shard", metrics.view_updates.clone());
        edge.register(
            "book_messages_damaged",
            "Messages in a book's channel that are no book's",
            metrics.book_messages_damaged.clone(),
        );
        edge.register("slow_closes", "Connections closed for slowness (4430)", metrics.slow_closes.clone());
        edge.register("recoveries", "Subscriptions with a position, by result", metrics.recoveries.clone());
        edge.register("gaps", "Holes seen in a channel's stream", metrics.gaps.clone());
        edge.register("repair_failures", "History reads that failed and are repeated", metrics.repair_failures.clone());
        edge.register("resets", "New epochs under live subscriptions", metrics.resets.clone());
        edge.register("outage_notices", "Notices that the backplane is away or back", metrics.outage_notices.clone());
        edge.register("lagged", "Overflows of a shard's signal queue", metrics.lagged.clone());
        edge.register(
            "backplane_failures",
            "Backplane calls for clients that failed",
            metrics.backplane_failures.clone(),
        );
        edge.register("auth_failures", "Tokens refused", metrics.auth_failures.clone());
        edge.register("revoked", "Connections closed for a revoked or expired token", metrics.revoked.clone());
        edge.register("rechecks", "Times a shard checked its connections for revocation", metrics.rechecks.clone());
        edge.register(
            "revocations_evicted",
            "Revocations given up at their bound; above zero a revoked token may be in use",
            metrics.revocations_evicted.clone(),
        );
        edge.register("bans", "Addresses and users banned", metrics.bans.clone());
        edge.register("offences", "Refusals that count towards a ban, by kind", metrics.offences.clone());
        edge.register("rate_limited", "Commands or connections over a limit", metrics.rate_limited.clone());
        metrics.register_presence(edge);
        edge.register_with_unit("outbox", "Waiting for connections", Unit::Bytes, metrics.outbox_bytes.clone());
        edge.register(
            "loop_pause_us_max",
            "Longest time a shard worked without a pause in the last second, microseconds",
            metrics.loop_pause_us_max.clone(),
        );
        metrics.begin();
        metrics
    }

    /// Shows series that alerts and dashboards count on from the start: an increase from nothing is none.
    fn begin(&self) {
        for (family, reasons) in [
            (&self.refusals, &["draining", "origin"][..]),
            (&self.recoveries, &["recovered", "history_gone", "failed"]),
            (&self.backplane_failures, &["subscribe", "presence", "delivered", "command"]),
            (&self.auth_failures, &["revoked", "unauthenticated", "token_expired"]),
            (&self.offences, &["bad_token", "forbidden_channel", "flood"]),
            (&self.rate_limited, &["commands"]),
        ] {
            for name in reasons {
                family.get_or_create(&reason(name)).inc_by(0);
            }
        }
        for transport in [Transport::WebSocket, Transport::Sse, Transport::Poll] {
            let labels = TransportLabels::new(transport, Some(Dialect::Json));
            self.connections.get_or_create(&labels).inc_by(0);
            self.connections_opened.get_or_create(&labels).inc_by(0);
        }
        self.closes.get_or_create(&CloseLabels { code: u32::from(CloseCode::TooSlow.as_u16()) }).inc_by(0);
        self.dropped.get_or_create(&ClassLabels { class: "volatile" }).inc_by(0);
    }
}
