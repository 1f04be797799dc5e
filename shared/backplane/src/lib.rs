//! Where messages are numbered, kept and broadcast between nodes.
//!
//! [`Backplane`] is the one seam of the product: [`memory`] serves a single process, [`redis`] a cluster; one conformance
//! suite ([`conformance`]) runs on both.
//!
//! What the interface guarantees: a publish that returns `Ok` is numbered, stored and handed to pub/sub atomically;
//! positions of a channel are dense inside an epoch; an epoch never numbers twice. What it does *not* guarantee: that
//! [`Subscriber`] receives every event. Pub/sub drops, connections go deaf, bounded queues overflow. The caller's duty is
//! to run each channel through a [`Tail`], which sees holes and tells when to read the history.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tickwire_protocol::{
    ChannelName, DeviceId, Position, Priority, Publication, RawJson, UserId, namespace::Policy, publication::Tags,
};

mod alerts;
pub mod conformance;
mod demand;
pub mod fan_in;
mod figures;
pub mod journal;
mod lease;
pub mod memory;
pub mod metrics;
mod preferences;
pub mod redis;
pub mod tail;
pub mod testing;

pub use alerts::{Alert, AlertId, AlertSpec, AlertStatus, DueAlert, DueAlerts, Escalation};
pub use demand::{DEMAND_MAX, Demand};
pub use fan_in::FanIn;
pub use figures::{DeliveryFigures, NodeFigures};
pub use journal::{Append, JournalEntry, JournalName, JournalPage};
pub use lease::{Fence, Taken};
pub use tail::{Tail, TailAction};

/// What to publish.
#[derive(Debug, Clone)]
pub struct Publish {
    /// The channel.
    pub channel: ChannelName,
    /// Its namespace's policy: how it is stored.
    pub policy: Policy,
    /// Acceptance time, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Urgency.
    pub priority: Priority,
    /// Key of a `latest` channel; absent there means the channel's own name (the publication then carries that).
    pub key: Option<String>,
    /// For filters.
    pub tags: Tags,
    /// The payload.
    pub data: RawJson,
    /// Who published, where a client did.
    pub publisher: Option<UserId>,
    /// A verified signature to pass on.
    pub signature: Option<String>,
    /// Not to be delivered after this.
    pub expires_at_ms: Option<u64>,
    /// W3C trace context, sampled messages only.
    pub traceparent: Option<String>,
    /// The same key within [`IDEMPOTENCY_WINDOW`] publishes nothing and returns the first position. Scoped to the channel.
    pub idempotency_key: Option<String>,
    /// Recorded as the channel's owner, in the same step.
    pub owner: Option<UserId>,
    /// An alert to track, `inbox` only.
    pub alert: Option<AlertSpec>,
    /// The fence of the lease under which its publisher writes. Refused with [`BackplaneError::Fenced`] where a newer one has
    /// published to the channel or announced itself by [`Backplane::fence`].
    pub fence: Option<Fence>,
}

/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(300);
/// Ordinary messages an inbox keeps for its user.
pub const INBOX_ORDINARY_MAX: usize = 100;
/// Critical messages an inbox holds unacknowledged before it refuses more ([`BackplaneError::InboxFull`]).
pub const INBOX_CRITICAL_MAX: usize = 10_000;
/// Devices of a user with a read cursor of their own.
pub const DEVICES_MAX: usize = 32;
/// Bytes of a user's notification preferences, as JSON.
pub const PREFERENCES_BYTES_MAX: usize = 16 * 1024;
/// Keys a `latest` channel holds before it refuses new ones ([`BackplaneError::TooManyKeys`]).
pub const LATEST_KEYS_MAX: usize = 10_000;

impl Publish {
    /// A message with defaults for everything else.
    pub fn new(channel: ChannelName, policy: Policy, data: RawJson) -> Self {
        Self {
            channel,
            policy,
            time_ms: tickwire_protocol::time::now_ms(),
            priority: Priority::default(),
            key: None,
            tags: Tags::new(),
            data,
            publisher: None,
            signature: None,
            expires_at_ms: None,
            traceparent: None,
            idempotency_key: None,
            owner: None,
            alert: None,
            fence: None,
        }
    }

    /// When its alert is to be escalated, milliseconds since the Unix epoch: never where it expires before.
    pub(crate) fn escalates_at_ms(&self) -> Option<u64> {
        let after = self.alert.as_ref()?.escalate_after?;
        let deadline_ms = self.time_ms.saturating_add(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        self.expires_at_ms.is_none_or(|expires_at_ms| deadline_ms < expires_at_ms).then_some(deadline_ms)
    }
}

/// What a publish did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its position; `None` in a volatile namespace without history.
    pub position: Option<Position>,
    /// The idempotency key was known: nothing was published, `position` is the first one's.
    pub duplicate: bool,
}

/// Which stored messages to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct HistoryQuery {
    /// Exclusive: messages after it, or before it if `reverse`. `None` reads from the oldest (or newest, if `reverse`).
    pub since: Option<Position>,
    /// At most this many; implementations cap it at [`HISTORY_LIMIT_MAX`]. 0 asks for the top alone.
    pub limit: usize,
    /// Newest first.
    pub reverse: bool,
}

/// Messages one history call returns at most.
pub const HISTORY_LIMIT_MAX: usize = 10_000;

/// Stored messages.
#[derive(Debug, Clone)]
pub struct History {
    /// The channel's newest position at the time of reading (offset 0: nothing in this epoch yet). Reading a channel that
    /// does not exist creates its epoch, so that there is always a position to recover from.
    pub top: Position,
    /// In order (reversed if asked). Only messages of the current epoch, expired ones left out.
    pub publications: Vec<Arc<Publication>>,
    /// Every message after `since` (from offset 1 on without it) up to `top` is here: nothing was trimmed, lost with an
    /// epoch, or cut by `limit`. Leaving out expired messages does not make it false; a `since` of another epoch or
    /// beyond `top` does. If `reverse`: every message before `since` (up to `top` without it) is here.
    pub complete: bool,
}

impl History {
    /// Whether `since` is a position that this channel does not have: of another epoch, or beyond its newest.
    pub fn lacks(&self, since: Position) -> bool {
        since.epoch != self.top.epoch || since > self.top
    }
}

/// A channel's current values, one per key, oldest change first; and the position they are the state of.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Position of the newest change.
    pub top: Position,
    /// The values.
    pub publications: Vec<Arc<Publication>>,
}

/// What an inbox owes its user.
#[derive(Debug, Clone)]
pub struct InboxState {
    /// The newest position.
    pub top: Position,
    /// The read cursor of ordinary messages.
    pub cursor: Option<Position>,
    /// Every unacknowledged, unexpired critical message and the newest [`INBOX_ORDINARY_MAX`] ordinary ones after the
    /// cursor, in order of position. Survives a new epoch.
    pub owed: Vec<Arc<Publication>>,
}

/// What a [`Subscriber`] receives.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each variant says what its fields are")]
pub enum Signal {
    /// A message of a subscribed channel, as pub/sub brought it: may be doubled or leave holes.
    Publication(Arc<Publication>),
    /// The newest position of a subscribed channel, sent now and then (at most 2 s apart) and after every reconnect, so
    /// that a lost last message is noticed.
    Top { channel: ChannelName, position: Position },
    /// Someone came or went in a subscribed channel whose namespace tracks presence.
    Presence { channel: ChannelName, joined: bool, user: UserId },
    /// Of an inbox: these critical messages are settled, or the user has read up to these ordinary ones.
    Acknowledged { channel: ChannelName, positions: Vec<Position> },
    /// Of an inbox: its user's preferences changed to these. Best effort.
    Preferences { channel: ChannelName, preferences: RawJson },
    /// A message for every node.
    Control(Control),
    /// Sticky ones that may have been missed while no connection listened: before any message published since. They may be
    /// known already.
    Controls(Arc<[Control]>),
    /// This subscriber's queue overflowed; signals were dropped. Ask every channel's top.
    Lagged,
}

/// Orders from one process to all edges.
#[allow(missing_docs, reason = "each variant says what its fields are")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Control {
    /// Close that user's connections (4403).
    Disconnect { user: UserId, reason: String },
    /// The token `jti` is void until `expires_at_ms` (when it would end anyway).
    RevokeToken { jti: String, expires_at_ms: u64 },
    /// Tokens of `user` issued at or before `issued_until_s` (seconds, as `iat`) are void; forget at `expires_at_ms`.
    RevokeUser { user: UserId, issued_until_s: u64, expires_at_ms: u64 },
    /// Refuse this offender until then. `reason` is for operators.
    Ban { offender: Offender, until_ms: u64, reason: String },
}

/// Whom a ban is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Offender {
    /// An address, or the IPv6 /64 that stands for a customer.
    Address(std::net::IpAddr),
    /// Everybody with a token of this user.
    User(UserId),
}

impl std::fmt::Display for Offender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(ip) => write!(f, "address {ip}"),
            Self::User(user) => write!(f, "user {user}"),
        }
    }
}

impl Control {
    /// Until when a node that starts later must still learn of it; `None` for a momentary order.
    pub fn sticky_until_ms(&self) -> Option<u64> {
        match self {
            Self::Disconnect { .. } => None,
            Self::RevokeToken { expires_at_ms, .. } | Self::RevokeUser { expires_at_ms, .. } => Some(*expires_at_ms),
            Self::Ban { until_ms, .. } => Some(*until_ms),
        }
    }
}

/// Where a reader of sticky controls stands. The default one has read none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControlsMark(pub(crate) String);

/// A node's sign of life, kept for [`NODE_LEASE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The process: its node name and a suffix that a restart changes.
    pub node: String,
    /// Open connections.
    pub connections: u64,
    /// Subscriptions by channel, the busiest [`REPORT_CHANNELS_MAX`].
    pub subscriptions: Vec<(ChannelName, u64)>,
    /// When it was made.
    pub time_ms: u64,
    /// What it counted; none of a node whose version does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<NodeFigures>,
}

/// How long a node counts as alive after its last report.
pub const NODE_LEASE: Duration = Duration::from_secs(5);
/// Channels in one report.
pub const REPORT_CHANNELS_MAX: usize = 1_000;

/// One change of presence on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceChange {
    /// Where.
    pub channel: ChannelName,
    /// Who.
    pub user: UserId,
    /// One connection more, or one fewer.
    pub joined: bool,
}

/// Who is in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Distinct users, sorted; of more than [`PRESENCE_USERS_MAX`], that many.
    pub users: Vec<UserId>,
    /// All distinct users.
    pub count: u64,
}

/// Users one presence call lists.
pub const PRESENCE_USERS_MAX: usize = 1_000;

/// While a channel has more users than this, [`Signal::Presence`] is not sent: a hundred thousand would each hear of a hundred
/// thousand. Counts and lists stay exact.
pub const PRESENCE_EVENTS_MAX: usize = 1_000;

/// A shard's receiving end: signals of the channels it subscribed to, and every control message.
///
/// Dropping it unsubscribes. Several subscribers of one node share one backplane subscription per channel.
#[derive(Debug)]
pub struct Subscriber {
    /// Names it in [`Backplane::subscribe`].
    pub id: SubscriberId,
    /// Bounded; at the bound signals are dropped and one [`Signal::Lagged`] follows.
    pub signals: tokio::sync::mpsc::Receiver<Signal>,
}

/// Names a [`Subscriber`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubscriberId(pub u64);

/// The store and bus behind the cluster. Every call fails within its own deadline (2 s); none blocks.
#[async_trait]
pub trait Backplane: Send + Sync + 'static {
    /// Checks the idempotency key, numbers, stores, trims and broadcasts, in one atomic step.
    async fn publish(&self, publish: Publish) -> Result<Published, BackplaneError>;

    /// [`Backplane::publish`] for each, pipelined; results in order. Messages of one channel keep their order.
    async fn publish_batch(&self, batch: Vec<Publish>) -> Vec<Result<Published, BackplaneError>>;

    /// A new receiving end with room for `capacity` signals.
    fn subscriber(&self, capacity: usize) -> Subscriber;

    /// Begins to send `subscriber` the signals of each channel. When it returns, later publishes are broadcast to it; the
    /// answers are each channel's newest position at that time or a little before (the epoch is created if need be). For a
    /// channel without positions the answer is `0-0`.
    ///
    /// For a channel that `subscriber` has already, it only answers: signals come once as before, also if the call fails,
    /// and one [`Backplane::unsubscribe`] ends them. So it is what to call after [`Signal::Lagged`].
    async fn subscribe(
        &self,
        subscriber: SubscriberId,
        channels: &[(ChannelName, Policy)],
    ) -> Result<Vec<Position>, BackplaneError>;

    /// Ends it. Never fails: what cannot be told to the store now is reconciled later.
    fn unsubscribe(&self, subscriber: SubscriberId, channels: &[ChannelName]);

    /// Stored messages of a channel that keeps history. Of a `latest` channel: its current values, as a log whose older
    /// values were trimmed.
    async fn history(
        &self,
        channel: &ChannelName,
        policy: &Policy,
        query: HistoryQuery,
    ) -> Result<History, BackplaneError>;

    /// Current values of a `latest` channel.
    async fn snapshot(&self, channel: &ChannelName, policy: &Policy) -> Result<Snapshot, BackplaneError>;

    /// What an inbox owes; to `device`, where one is named: each has a read cursor of its own, which is never behind the
    /// user's.
    async fn inbox(
        &self,
        channel: &ChannelName,
        policy: &Policy,
        device: Option<&DeviceId>,
    ) -> Result<InboxState, BackplaneError>;

    /// Moves the read cursor, the user's or that of `device`, up to the greatest position that names an ordinary message
    /// (never back), and settles each critical message named, for the user on all devices. What is over for all devices is
    /// told by [`Signal::Acknowledged`]. At [`DEVICES_MAX`] devices the cursor that was moved longest ago is forgotten.
    async fn acknowledge(
        &self,
        channel: &ChannelName,
        device: Option<&DeviceId>,
        positions: &[Position],
    ) -> Result<(), BackplaneError>;

    /// Counts an inbox's critical messages as written to one connection.
    async fn delivered(&self, channel: &ChannelName, positions: &[Position]) -> Result<(), BackplaneError>;

    /// An alert's state; `None` when unknown or long settled.
    async fn alert(&self, id: &AlertId) -> Result<Option<Alert>, BackplaneError>;

    /// Takes up to `limit` alerts whose deadline passed and that are neither acknowledged, escalated nor expired, the most
    /// overdue first. What is taken belongs to the caller for `lease`; then, unless [`Backplane::escalated`] said what became
    /// of it, it can be taken again, so a caller that dies loses nothing. No two callers hold one alert at a time.
    async fn claim_due(&self, limit: usize, lease: Duration) -> Result<DueAlerts, BackplaneError>;

    /// Says what became of an alert that [`Backplane::claim_due`] gave. [`Escalation::Again`] counts only while nobody else
    /// took it since.
    async fn escalated(&self, alert: &DueAlert, outcome: Escalation) -> Result<(), BackplaneError>;

    /// The owner recorded for a channel.
    async fn owner(&self, channel: &ChannelName) -> Result<Option<UserId>, BackplaneError>;

    /// A user's notification preferences (a JSON object, `{}` at first); with `merge`, its top-level fields are replaced
    /// first (`null` removes one), and [`Signal::Preferences`] tells the user's devices.
    async fn preferences(&self, user: &UserId, merge: Option<&RawJson>) -> Result<RawJson, BackplaneError>;

    /// Sends to every node, and keeps it while [`Control::sticky_until_ms`] says so.
    async fn control(&self, control: Control) -> Result<(), BackplaneError>;

    /// The sticky control messages still in force. A node reads them at start and at least once a second after.
    async fn controls(&self) -> Result<Vec<Control>, BackplaneError>;

    /// Those that came since `mark`, and where that leads: all in force for the default one, and after the store was lost or
    /// replaced. What expired meanwhile may be among them.
    async fn controls_since(&self, mark: &ControlsMark) -> Result<(Vec<Control>, ControlsMark), BackplaneError>;

    /// Keeps this node's report and renews its lease.
    async fn report(&self, report: NodeReport) -> Result<(), BackplaneError>;

    /// Live nodes' reports.
    async fn nodes(&self) -> Result<Vec<NodeReport>, BackplaneError>;

    /// Applies presence changes of `node`, in order, and signals the first join and the last leave of a user in the cluster.
    async fn presence_change(&self, node: &str, changes: &[PresenceChange]) -> Result<(), BackplaneError>;

    /// Who is in a channel, on nodes whose lease lasts.
    async fn presence(&self, channel: &ChannelName) -> Result<Presence, BackplaneError>;

    /// Takes each lease that is free, is over, or is `holder`'s already, for `ttl`; answers in order. `holder` names a process: two
    /// of the same name would share leases. How leases and fences make one writer: see [`Fence`]'s module, `lease.rs`.
    async fn take_leases(
        &self,
        leases: &[ChannelName],
        holder: &str,
        ttl: Duration,
    ) -> Vec<Result<Taken, BackplaneError>>;

    /// Prolongs each lease to `ttl` from now; answers in order, true where it was still held under that fence. What was over
    /// is lost, also if nobody took it since: take it anew, under a greater fence.
    async fn renew_leases(&self, held: &[(ChannelName, Fence)], ttl: Duration) -> Vec<Result<bool, BackplaneError>>;

    /// Gives leases back before their time; those that are not held under that fence any more stay as they are. An error
    /// leaves some to end by themselves.
    async fn release_leases(&self, held: &[(ChannelName, Fence)]) -> Result<(), BackplaneError>;

    /// From now on every publish to `channel` with an older fence is refused. Answers the newest position: what older holders
    /// published stands before it.
    async fn fence(&self, channel: &ChannelName, policy: &Policy, fence: Fence) -> Result<Position, BackplaneError>;

    /// Appends records to a journal, all or none, and answers its new length. How to write one: see [`journal`].
    async fn append(&self, append: Append) -> Result<u64, BackplaneError>;

    /// From now on every append to `journal` with an older fence is refused. Answers its length: 0 where there is none.
    async fn fence_journal(&self, journal: &JournalName, fence: Fence) -> Result<u64, BackplaneError>;

    /// The records after the first `after` ones, at most `limit` and [`journal::JOURNAL_PAGE_MAX`]; 0 asks for the length alone.
    async fn read_journal(
        &self,
        journal: &JournalName,
        after: u64,
        limit: usize,
    ) -> Result<JournalPage, BackplaneError>;

    /// Journals of `kind` by id, those after the id `after`, at most `limit` and [`journal::JOURNAL_LIST_MAX`].
    async fn journals(
        &self,
        kind: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, BackplaneError>;

    /// The channels of `namespaces` that some [`Subscriber`] in the cluster has now. One of a node that died counts until the
    /// store noticed.
    async fn demand(&self, namespaces: &[&str]) -> Result<Demand, BackplaneError>;

    /// Whether the data plane works right now: the last canary came back in time on every pub/sub connection.
    fn is_healthy(&self) -> bool;

    /// What it counts, for metrics.
    fn counts(&self) -> Vec<Count>;
}

/// Something counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Its metric's name behind `tickwire_backplane_`, without a suffix.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Which part of it, where it is counted in parts: the label `class`. Parts of one name follow one another.
    pub class: Option<&'static str>,
    /// So far; never falls.
    pub value: u64,
}

/// Why the backplane refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackplaneError {
    /// No connection, or no answer in time. Whether the call took effect is unknown: repeat it under the same key.
    #[error("the backplane is unavailable")]
    Unavailable(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// Fewer replicas confirmed than the namespace, or a critical alert, demands; the message is stored, its fate in a failover unknown.
    #[error("{confirmed} of {wanted} replicas confirmed the message")]
    NotDurable {
        /// That many did.
        confirmed: u32,
        /// That many should.
        wanted: u32,
    },
    /// An inbox holds [`INBOX_CRITICAL_MAX`] unacknowledged critical messages.
    #[error("the inbox is full of unacknowledged critical messages")]
    InboxFull,
    /// A `latest` channel holds [`LATEST_KEYS_MAX`] keys.
    #[error("the channel has too many keys")]
    TooManyKeys,
    /// The preferences to merge are no JSON object, or the result is over [`PREFERENCES_BYTES_MAX`].
    #[error("preferences are a JSON object of at most 16384 bytes")]
    InvalidPreferences,
    /// The publisher's lease went to another, who has published to the channel or fenced it since.
    #[error("a newer holder of the lease writes to the channel")]
    Fenced {
        /// Its fence.
        newest: Fence,
    },
    /// An append expected another length: read what is there.
    #[error("the journal has {length} records")]
    JournalMoved {
        /// Its length.
        length: u64,
    },
    /// A journal holds [`journal::JOURNAL_RECORDS_MAX`] records.
    #[error("the journal is full")]
    JournalFull,
    /// An append is empty, or a record or all of them are over their bounds.
    #[error("an append has 1 to 128 records of at most 65536 bytes, together at most 1048576")]
    RecordTooLarge,
    /// A bound of the whole store is reached: channels, preferences, sticky controls, nodes, leases or journals.
    #[error("the backplane is full")]
    Full,
    /// [`Backplane::subscribe`] named a subscriber that does not exist (any more).
    #[error("no such subscriber")]
    UnknownSubscriber,
    /// A setting that cannot be used; the text names it and shows no secret.
    #[error("{0}")]
    Config(String),
    /// The store said something this version does not understand.
    #[error("the backplane answered unexpectedly: {0}")]
    Unexpected(String),
}

impl BackplaneError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::NotDurable { .. } | Self::InboxFull | Self::Full)
    }
}
