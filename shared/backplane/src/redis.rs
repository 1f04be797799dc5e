//! On Redis: one server, a master that Sentinels watch, or a cluster.
//!
//! Reading order: `keys` (where things lie), `functions/*.lua` (what happens atomically), `core` (how a call is made),
//! `publish`, `read`, `fleet`, `leases`, `journals`, `demand` and `presence` (the calls), `intake` (what pub/sub brings), `supervisor` (keeping it
//! all connected).
//!
//! What holds here beyond the trait:
//! - **An epoch belongs to the server that numbers.** After a failover or a restart, clean or not, channels open a new epoch
//!   at their next use, since nobody can tell whether the last writes survived. Clients see a reset, never a silent skip.
//!   With an append-only file a restart keeps what inboxes owe, owners, preferences, values and sticky orders.
//! - **Nothing here waits without a bound.** A call fails within 2 s; while no connection exists, at once.
//! - **A critical alert is on every replica that could take over** before its publish is acknowledged (`replicas`), where
//!   `critical_replicas` asks for any. So neither its publisher nor the master need to live on for it.
//! - **Nothing is numbered twice by a retry.** A call is sent again only where the server said that the first had no effect.
//!   What a caller may repeat after [`BackplaneError::Unavailable`] is safe under an idempotency key.
//! - **A cluster's slot that moves** takes its channels to a server that did not number them: they open a new epoch. While a
//!   slot is on its way, publishes to its partition may fail; they are retryable.
//!
//! Commands in use: `FUNCTION LOAD` and `FCALL` of `functions/*.lua` (which call what stands there), `HMGET`, `GET`, `WAIT`,
//! `PUBLISH` or `SPUBLISH` (canaries), `SUBSCRIBE`, `UNSUBSCRIBE`, `PUBSUB CHANNELS` or their sharded sisters, `ROLE`, `INFO server`, `PING`
//! (the pool's), `HELLO`, `AUTH`, `SELECT`, `CLIENT SETINFO` (the library's), `SENTINEL GET-MASTER-ADDR-BY-NAME`, `CLUSTER SLOTS`.
//!
//! What the servers need: Redis 7.0 or later; `maxmemory-policy noeviction`, since an evicted inbox would be forgotten debt;
//! `client-output-buffer-limit pubsub 256mb 64mb 60` for busy nodes, since the default cuts a subscriber that is a second
//! late; with Sentinel `min-replicas-to-write 1`, so that a master cut off from the others stops taking messages.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tickwire_protocol::{ChannelName, DeviceId, Position, RawJson, UserId, namespace::Policy};
use tokio::task::JoinHandle;

use crate::{
    Alert, AlertId, Append, Backplane, BackplaneError, Control, ControlsMark, Count, Demand, DueAlert, DueAlerts,
    Escalation, Fence, History, HistoryQuery, InboxState, JournalEntry, JournalName, JournalPage, NodeReport, Presence,
    PresenceChange, Publish, Published, Snapshot, Subscriber, SubscriberId, Taken, fan_in::FanInStats,
};

mod alerts;
mod commands;
mod config;
mod core;
mod demand;
mod error;
mod fleet;
mod functions;
mod intake;
mod interest;
mod journals;
mod keys;
mod leases;
mod link;
mod presence;
mod publish;
mod read;
mod replicas;
mod reply;
mod stats;
mod supervisor;
mod topology;
mod vouched;

use self::core::Core;
pub use config::{PARTITIONS_MAX, RedisConfig};
pub use stats::Stats;

/// How often a starting process looks whether it is connected.
const READY_POLL: Duration = Duration::from_millis(10);

/// The backplane of a cluster. Dropping it closes its connections.
pub struct RedisBackplane {
    core: Arc<Core>,
    tasks: [JoinHandle<()>; 2],
}

impl RedisBackplane {
    /// Connects, and returns once every connection is proved by a canary. Fails when that takes longer than
    /// [`RedisConfig::connect_timeout_s`], with the last cause. Afterwards lost connections are made again for ever. Call it
    /// on a tokio runtime that outlives the backplane.
    pub async fn connect(config: RedisConfig) -> Result<Arc<Self>, BackplaneError> {
        let timeout = config.connect_timeout();
        let core = Arc::new(Core::new(config)?);
        let failure: Arc<Mutex<Option<BackplaneError>>> = Arc::default();
        let report = {
            let failure = Arc::clone(&failure);
            move |error| *failure.lock().unwrap_or_else(PoisonError::into_inner) = error
        };
        let tasks = [
            tokio::spawn(supervisor::supervise(Arc::clone(&core), report)),
            tokio::spawn(supervisor::upkeep(Arc::clone(&core))),
        ];
        let backplane = Arc::new(Self { core, tasks });
        let ready = async {
            while !backplane.is_healthy() {
                tokio::time::sleep(READY_POLL).await;
            }
        };
        match tokio::time::timeout(timeout, ready).await {
            Ok(()) => Ok(backplane),
            Err(elapsed) => {
                let failure = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(failure.unwrap_or_else(|| error::unavailable(elapsed)))
            }
        }
    }

    /// Counters, for metrics.
    pub fn stats(&self) -> Stats {
        self.core.counters.read()
    }

    /// Counters of its subscribers' queues, for metrics.
    pub fn fan_in_stats(&self) -> FanInStats {
        self.core.interest.fan_in().stats()
    }
}

impl std::fmt::Debug for RedisBackplane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisBackplane").field("config", &self.core.config).finish_non_exhaustive()
    }
}

impl Drop for RedisBackplane {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

#[async_trait]
impl Backplane for RedisBackplane {
    async fn publish(&self, publish: Publish) -> Result<Published, BackplaneError> {
        let mut results = self.core.publish_all(&[publish]).await;
        results.pop().unwrap_or_else(|| Err(error::unexpected("no answer")))
    }

    async fn publish_batch(&self, batch: Vec<Publish>) -> Vec<Result<Published, BackplaneError>> {
        self.core.publish_all(&batch).await
    }

    fn subscriber(&self, capacity: usize) -> Subscriber {
        self.core.interest.fan_in().subscriber(capacity)
    }

    async fn subscribe(
        &self,
        subscriber: SubscriberId,
        channels: &[(ChannelName, Policy)],
    ) -> Result<Vec<Position>, BackplaneError> {
        self.core.subscribe(subscriber, channels).await
    }

    fn unsubscribe(&self, subscriber: SubscriberId, channels: &[ChannelName]) {
        self.core.tell(self.core.interest.remove(subscriber, channels));
    }

    async fn history(
        &self,
        channel: &ChannelName,
        policy: &Policy,
        query: HistoryQuery,
    ) -> Result<History, BackplaneError> {
        self.core.history(channel, policy, query).await
    }

    async fn snapshot(&self, channel: &ChannelName, policy: &Policy) -> Result<Snapshot, BackplaneError> {
        self.core.snapshot(channel, policy).await
    }

    async fn inbox(
        &self,
        channel: &ChannelName,
        policy: &Policy,
        device: Option<&DeviceId>,
    ) -> Result<InboxState, BackplaneError> {
        self.core.inbox(channel, policy, device).await
    }

    async fn acknowledge(
        &self,
        channel: &ChannelName,
        device: Option<&DeviceId>,
        positions: &[Position],
    ) -> Result<(), BackplaneError> {
        self.core.acknowledge(channel, device, positions).await
    }

    async fn delivered(&self, channel: &ChannelName, positions: &[Position]) -> Result<(), BackplaneError> {
        self.core.delivered(channel, positions).await
    }

    async fn alert(&self, id: &AlertId) -> Result<Option<Alert>, BackplaneError> {
        self.core.alert(id).await
    }

    async fn claim_due(&self, limit: usize, lease: Duration) -> Result<DueAlerts, BackplaneError> {
        self.core.claim_due(limit, lease).await
    }

    async fn escalated(&self, alert: &DueAlert, outcome: Escalation) -> Result<(), BackplaneError> {
        self.core.escalated(alert, outcome).await
    }

    async fn owner(&self, channel: &ChannelName) -> Result<Option<UserId>, BackplaneError> {
        self.core.owner(channel).await
    }

    async fn preferences(&self, user: &UserId, merge: Option<&RawJson>) -> Result<RawJson, BackplaneError> {
        self.core.preferences(user, merge).await
    }

    async fn control(&self, control: Control) -> Result<(), BackplaneError> {
        self.core.control(&control).await
    }

    async fn controls(&self) -> Result<Vec<Control>, BackplaneError> {
        self.core.controls().await
    }

    async fn controls_since(&self, mark: &ControlsMark) -> Result<(Vec<Control>, ControlsMark), BackplaneError> {
        self.core.controls_since(mark).await
    }

    async fn report(&self, report: NodeReport) -> Result<(), BackplaneError> {
        self.core.report(&report).await
    }

    async fn nodes(&self) -> Result<Vec<NodeReport>, BackplaneError> {
        self.core.nodes().await
    }

    async fn presence_change(&self, node: &str, changes: &[PresenceChange]) -> Result<(), BackplaneError> {
        self.core.presence_change(node, changes).await;
        Ok(())
    }

    async fn presence(&self, channel: &ChannelName) -> Result<Presence, BackplaneError> {
        self.core.presence(channel).await
    }

    async fn take_leases(
        &self,
        leases: &[ChannelName],
        holder: &str,
        ttl: Duration,
    ) -> Vec<Result<Taken, BackplaneError>> {
        self.core.take_leases(leases, holder, ttl).await
    }

    async fn renew_leases(&self, held: &[(ChannelName, Fence)], ttl: Duration) -> Vec<Result<bool, BackplaneError>> {
        self.core.renew_leases(held, ttl).await
    }

    async fn release_leases(&self, held: &[(ChannelName, Fence)]) -> Result<(), BackplaneError> {
        self.core.renew_leases(held, Duration::ZERO).await.into_iter().try_for_each(|released| released.map(drop))
    }

    async fn fence(&self, channel: &ChannelName, policy: &Policy, fence: Fence) -> Result<Position, BackplaneError> {
        self.core.fence(channel, policy, fence).await
    }

    async fn append(&self, append: Append) -> Result<u64, BackplaneError> {
        self.core.append(append).await
    }

    async fn fence_journal(&self, journal: &JournalName, fence: Fence) -> Result<u64, BackplaneError> {
        self.core.fence_journal(journal, fence).await
    }

    async fn read_journal(
        &self,
        journal: &JournalName,
        after: u64,
        limit: usize,
    ) -> Result<JournalPage, BackplaneError> {
        self.core.read_journal(journal, after, limit).await
    }

    async fn journals(
        &self,
        kind: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, BackplaneError> {
        self.core.journals(kind, after, limit).await
    }

    async fn demand(&self, namespaces: &[&str]) -> Result<Demand, BackplaneError> {
        self.core.demand(namespaces).await
    }

    fn is_healthy(&self) -> bool {
        self.core.is_healthy()
    }

    fn counts(&self) -> Vec<Count> {
        let counts = self.fan_in_stats().counts().into_iter().chain(self.stats().counts());
        counts.chain(self.core.commands.counts()).collect()
    }
}
