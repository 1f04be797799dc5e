//! What the shards of one node share: settings, counters, and who has been revoked.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use futures_util::future::join_all;
use prometheus_client::registry::Registry;
use tickwire_auth::{Identity, Revocations, Verifier};
use tickwire_backplane::{Backplane, Control, NodeReport, Offender, REPORT_CHANNELS_MAX};
use tickwire_protocol::{ChannelName, CloseCode, ErrorCode, UserId, namespace::Namespaces, time::now_ms};
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, EdgeError,
    controls::Reading,
    counted::Counted,
    limits::{Limits, Place},
    metrics::{Metrics, reason},
    offences::Offence,
    tls::Tls,
};

/// Orders that may wait for one shard.
const ORDERS_MAX: usize = 1_024;

/// One per process that serves clients.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) namespaces: Namespaces,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) backplane: Arc<dyn Backplane>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) registry: Registry,
    pub(crate) limits: Arc<Limits>,
    /// Where the port speaks TLS.
    pub(crate) tls: Option<Tls>,
    /// Bytes that may wait on one shard.
    pub(crate) outbox_share_bytes: usize,
    /// Cancelled when the node should take no new clients.
    pub(crate) draining: CancellationToken,
    /// Something that reports say has changed.
    pub(crate) changed: Notify,
    /// Start of the process: connections keep their times as milliseconds since.
    pub(crate) started: Instant,
    revocations: RwLock<Revocations>,
    /// Counts what was added to `revocations`; each shard compares it with what it has checked its connections against.
    revision: AtomicU64,
    /// What was read of the sticky controls; see [`Node::know_controls`].
    pub(crate) controls: Mutex<Reading>,
    /// The sticky controls have been read at least once.
    controls_known: AtomicBool,
    connection_serial: AtomicU64,
    /// Distinguishes this process from an earlier one with the same node name.
    instance: u32,
    shards: OnceLock<Vec<mpsc::Sender<Order>>>,
}

/// What the node asks of a shard.
#[derive(Debug)]
pub(crate) enum Order {
    /// Close that user's connections.
    Disconnect(UserId, CloseCode),
    /// Close that user's connection at that place: a newer one has it.
    Replace(UserId, Place),
    /// Count.
    Report(oneshot::Sender<ShardReport>),
}

/// A shard's part of a [`NodeReport`].
#[derive(Debug, Default)]
pub(crate) struct ShardReport {
    pub(crate) connections: u64,
    pub(crate) subscriptions: Vec<(ChannelName, u64)>,
    pub(crate) outbox_bytes: u64,
    pub(crate) pause_us_max: u64,
}

impl Node {
    pub(crate) fn new(
        config: Config,
        backplane: Arc<dyn Backplane>,
        draining: CancellationToken,
    ) -> Result<Self, EdgeError> {
        let mut registry = Registry::default();
        tickwire_telemetry::metrics::build_info(&mut registry, "edge", env!("CARGO_PKG_VERSION"));
        let metrics = Arc::new(Metrics::register(&mut registry));
        let verifier = Arc::new(Verifier::new(&config.auth).map_err(EdgeError::Auth)?);
        tickwire_backplane::metrics::register(&mut registry, Arc::clone(&backplane));
        registry.register_collector(Box::new(Counted { verifier: Arc::clone(&verifier) }));
        // Asked once: finding out the number of cores reads files.
        let outbox_share_bytes = config.limits.outbox_node_bytes / config.edge.shard_count().max(1);
        let limits = Limits::new(&config.limits, Arc::clone(&metrics));
        Ok(Self {
            namespaces: Namespaces::with(&config.namespaces),
            verifier,
            backplane,
            metrics,
            registry,
            limits,
            tls: Tls::open(&config.edge)?,
            outbox_share_bytes,
            draining,
            changed: Notify::new(),
            started: Instant::now(),
            revocations: RwLock::new(Revocations::new()),
            revision: AtomicU64::new(0),
            controls: Mutex::default(),
            controls_known: AtomicBool::new(false),
            connection_serial: AtomicU64::new(0),
            instance: rand::random(),
            shards: OnceLock::new(),
            config,
        })
    }

    /// Makes the shards' mailboxes. Once.
    pub(crate) fn open_mailboxes(&self, count: usize) -> Vec<mpsc::Receiver<Order>> {
        let (senders, receivers) = (0..count).map(|_| mpsc::channel(ORDERS_MAX)).unzip();
        // A second call would be a mistake of `run`; the first one's mailboxes stay.
        let _ = self.shards.set(senders);
        receivers
    }

    /// Milliseconds since the start; wraps after 49 days, so differences are taken with `wrapping_sub`.
    pub(crate) fn clock_ms(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_millis() & u128::from(u32::MAX)).unwrap_or_default()
    }

    /// The name under which this process holds its lease and its presence. Another one than after a restart under the same
    /// node name: the crashed process's members must not live on by its successor's reports.
    pub(crate) fn lease(&self) -> String {
        format!("{}-{:08x}", self.config.edge.node, self.instance)
    }

    /// An id that no other connection of the cluster has.
    pub(crate) fn next_connection_id(&self) -> String {
        let serial = self.connection_serial.fetch_add(1, Ordering::Relaxed);
        format!("{}-{serial:x}", self.lease())
    }

    /// Whether new clients should come here.
    pub(crate) fn is_ready(&self) -> bool {
        !self.draining.is_cancelled() && self.controls_known.load(Ordering::Relaxed) && self.backplane.is_healthy()
    }

    /// Whether the token behind `identity` has been withdrawn.
    pub(crate) fn is_revoked(&self, identity: &Identity) -> bool {
        let revocations = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        !revocations.is_empty() && revocations.is_revoked(identity, now_ms())
    }

    /// How often something was newly revoked: who was connected at an earlier revision must be checked.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Counts a refused token against `peer`. Call it on a shard.
    pub(crate) fn count_refused_token(self: &Arc<Self>, peer: IpAddr, code: ErrorCode) {
        self.metrics.auth_failures.get_or_create(&reason(code.as_str())).inc();
        if code == ErrorCode::Unauthenticated {
            self.count_offence(Offence::BadToken, &Offender::Address(peer), "a token that does not verify");
        }
    }

    /// Counts an offence; one too many bans the offender, here and on every other node. Call it on a shard.
    pub(crate) fn count_offence(self: &Arc<Self>, offence: Offence, offender: &Offender, detail: &str) {
        let Some(ban) = self.limits.offences.count(offence, offender, detail) else { return };
        let node = Arc::clone(self);
        tokio::task::spawn_local(async move {
            node.obey(&ban).await;
            if let Err(error) = node.backplane.control(ban).await {
                tracing::warn!(%error, "the other nodes were not told of a ban");
            }
        });
    }

    /// Has the connection closed whose place a newer one of `user` took. Call it on a shard.
    pub(crate) fn replace(self: &Arc<Self>, user: UserId, place: Place) {
        let node = Arc::clone(self);
        tokio::task::spawn_local(async move {
            node.order_all(|| Order::Replace(user.clone(), place)).await;
        });
    }

    /// Carries out a control as it comes. An order to shards waits for room in their mailboxes.
    pub(crate) async fn obey(&self, control: &Control) {
        match control {
            Control::Disconnect { user, .. } => {
                self.order_all(|| Order::Disconnect(user.clone(), CloseCode::Blocked)).await;
            }
            Control::Ban { offender: Offender::User(user), .. } => {
                self.keep(control);
                self.order_all(|| Order::Disconnect(user.clone(), CloseCode::RateLimited)).await;
            }
            sticky => self.keep(sticky),
        }
    }

    /// Takes the sticky controls as the backplane keeps them.
    pub(crate) fn learn(&self, controls: &[Control]) {
        for control in controls {
            self.keep(control);
        }
        let mut revocations = self.revocations.write().unwrap_or_else(PoisonError::into_inner);
        revocations.prune(now_ms());
        self.metrics.revocations_evicted.set(i64::try_from(revocations.evicted()).unwrap_or(i64::MAX));
        drop(revocations);
        self.controls_known.store(true, Ordering::Relaxed);
    }

    /// Takes a sticky one; shards check their connections afterwards.
    pub(crate) fn keep(&self, control: &Control) {
        let mut revocations = self.revocations.write().unwrap_or_else(PoisonError::into_inner);
        let is_news = match control {
            Control::RevokeToken { jti, expires_at_ms } => revocations.revoke_token(jti, *expires_at_ms),
            Control::RevokeUser { user, issued_until_s, expires_at_ms } => {
                revocations.revoke_user(user.clone(), *issued_until_s, *expires_at_ms)
            }
            Control::Ban { offender, until_ms, .. } => {
                self.limits.offences.impose(offender, *until_ms);
                false
            }
            Control::Disconnect { .. } => false,
        };
        drop(revocations);
        if is_news {
            self.revision.fetch_add(1, Ordering::Release);
        }
    }

    async fn order_all(&self, order: impl Fn() -> Order) {
        let shards = self.shards.get().into_iter().flatten();
        for sent in join_all(shards.map(|shard| shard.send(order()))).await {
            if sent.is_err() {
                tracing::debug!("a shard has ended and takes no order");
            }
        }
    }

    /// Counts over all shards.
    pub(crate) async fn report(&self) -> NodeReport {
        let mut answers = Vec::new();
        for shard in self.shards.get().into_iter().flatten() {
            let (sender, receiver) = oneshot::channel();
            if shard.send(Order::Report(sender)).await.is_ok() {
                answers.push(receiver);
            }
        }
        let mut connections = 0;
        let mut outbox_bytes = 0;
        let mut pause_us_max = 0;
        let mut by_channel: HashMap<ChannelName, u64> = HashMap::new();
        for answer in answers {
            // A shard that ended meanwhile has nothing to count.
            let Ok(report) = answer.await else { continue };
            connections += report.connections;
            outbox_bytes += report.outbox_bytes;
            pause_us_max = report.pause_us_max.max(pause_us_max);
            for (channel, count) in report.subscriptions {
                *by_channel.entry(channel).or_default() += count;
            }
        }
        self.metrics.outbox_bytes.set(i64::try_from(outbox_bytes).unwrap_or(i64::MAX));
        self.metrics.loop_pause_us_max.set(i64::try_from(pause_us_max).unwrap_or(i64::MAX));
        let mut subscriptions: Vec<_> = by_channel.into_iter().collect();
        subscriptions.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        subscriptions.truncate(REPORT_CHANNELS_MAX);
        let figures = Some(self.metrics.figures());
        NodeReport { node: self.lease(), connections, subscriptions, time_ms: now_ms(), figures }
    }
}

#[cfg(test)]
mod tests {
    use tickwire_auth::Secret;
    use tickwire_backplane::memory::MemoryBackplane;

    use super::*;

    fn node() -> Node {
        let mut config = Config::default();
        config.auth.hs256_secret = Some(Secret::new("a secret of thirty-two bytes or more"));
        Node::new(config, MemoryBackplane::new(), CancellationToken::new()).unwrap()
    }

    #[tokio::test]
    async fn connections_are_checked_again_only_for_what_is_newly_revoked() {
        let node = node();
        let revoked = |jti: &str| Control::RevokeToken { jti: jti.into(), expires_at_ms: now_ms() + 60_000 };
        let user = Control::RevokeUser {
            user: UserId::new("7").unwrap(),
            issued_until_s: 100,
            expires_at_ms: now_ms() + 60_000,
        };
        node.obey(&revoked("a")).await;
        node.learn(&[revoked("a"), user.clone()]);
        let revision = node.revision();
        assert_eq!(revision, 2);
        let offender = Offender::Address([192, 0, 2, 1].into());
        let ban = Control::Ban { offender, until_ms: now_ms() + 60_000, reason: String::new() };
        node.learn(&[revoked("a"), user, ban]);
        assert_eq!(node.revision(), revision);
        node.learn(&[revoked("b")]);
        assert!(node.revision() > revision);
    }

    #[tokio::test]
    async fn an_order_waits_for_room_in_a_full_mailbox() {
        let node = node();
        let mut mailbox = node.open_mailboxes(1).remove(0);
        let order = |user: &str| Control::Disconnect { user: UserId::new(user).unwrap(), reason: "test".into() };
        for _ in 0..ORDERS_MAX {
            node.obey(&order("first")).await;
        }
        let last = order("last");
        let read = async {
            for _ in 0..ORDERS_MAX {
                mailbox.recv().await.unwrap();
            }
            mailbox.recv().await.unwrap()
        };
        let ((), ordered) = tokio::join!(node.obey(&last), read);
        assert!(matches!(ordered, Order::Disconnect(user, _) if user.as_str() == "last"));
    }
}
