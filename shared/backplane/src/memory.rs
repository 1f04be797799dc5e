//! In one process: what `standalone` and tests run on.
//!
//! Everything is lost with the process; clients then see a new epoch. There are no replicas: a namespace that demands some
//! gets [`BackplaneError::NotDurable`] for every publish. Within the process nothing is lost but what a
//! subscriber's full queue drops, and [`Signal::Lagged`] says so.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tickwire_protocol::{
    ChannelName, DeliveryClass, DeviceId, Position, RawJson, UserId, namespace::Policy, time::now_ms,
};

use crate::{
    Alert, AlertId, Append, Backplane, BackplaneError, Control, ControlsMark, Count, Demand, DueAlert, DueAlerts,
    Escalation, FanIn, Fence, History, HistoryQuery, InboxState, JournalEntry, JournalName, JournalPage, NodeReport,
    Presence, PresenceChange, Publish, Published, Signal, Snapshot, Subscriber, SubscriberId, Taken,
    fan_in::{Added, FanInStats},
    preferences,
};

mod alerts;
mod channel;
mod cluster;
mod dedup;
mod faults;
mod inbox;
mod journals;
mod leases;
mod log;
mod presence;

use alerts::Alerts;
use channel::Channel;
use cluster::{Controls, Nodes};
pub use faults::{Faults, Operation};
use inbox::Settled;
use journals::Journals;
use leases::Leases;
use presence::PresenceTable;

/// Channels held at once. At the bound a new one is refused with [`BackplaneError::Full`].
const CHANNELS_MAX: usize = 1_000_000;
/// Users with preferences. At the bound a new one is refused with [`BackplaneError::Full`].
const PREFERENCES_MAX: usize = 1_000_000;
/// Independent parts of the channel map, so that publishers of different channels seldom wait for each other.
const SHARDS: usize = 16;
/// How often changed channels' tops are told, leases looked at, and one shard's stale channels forgotten.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A backplane without any other process. Make one per "cluster"; every node of it takes a clone of the [`Arc`].
#[derive(Debug)]
pub struct MemoryBackplane {
    shards: [Mutex<Shard>; SHARDS],
    hasher: ahash::RandomState,
    channels: AtomicUsize,
    last_epoch: AtomicU64,
    fan_in: FanIn,
    // Locked after a shard, never before one.
    alerts: Mutex<Alerts>,
    preferences: Mutex<HashMap<UserId, RawJson>>,
    controls: Mutex<Controls>,
    nodes: Mutex<Nodes>,
    presence: Mutex<PresenceTable>,
    leases: Mutex<Leases>,
    journals: Mutex<Journals>,
    faults: Faults,
}

#[derive(Debug, Default)]
struct Shard {
    channels: HashMap<ChannelName, Channel, ahash::RandomState>,
    /// Each once: those that turned dirty since the last round of upkeep.
    dirty: Vec<ChannelName>,
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

// No code panics while it holds one of these locks, and every state between two statements is a valid one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryBackplane {
    /// An empty one. Call it on a tokio runtime: its upkeep is a task there, which ends with the backplane.
    pub fn new() -> Arc<Self> {
        let backplane = Arc::new(Self {
            shards: Default::default(),
            hasher: ahash::RandomState::new(),
            channels: AtomicUsize::new(0),
            last_epoch: AtomicU64::new(0),
            fan_in: FanIn::new(),
            alerts: Mutex::default(),
            preferences: Mutex::default(),
            controls: Mutex::default(),
            nodes: Mutex::default(),
            presence: Mutex::default(),
            leases: Mutex::default(),
            journals: Mutex::default(),
            faults: Faults::default(),
        });
        tokio::spawn(upkeep(Arc::downgrade(&backplane)));
        backplane
    }

    /// Faults to inject, for tests and simulation.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Counters of its subscribers' queues, for metrics.
    pub fn stats(&self) -> FanInStats {
        self.fan_in.stats()
    }

    /// Loses `channel`'s history and begins a new epoch, as a restarted store does; subscribers learn of it by the next
    /// message or within 2 s. For tests and simulation.
    pub fn begin_epoch(&self, channel: &ChannelName) {
        let mut shard = self.shard(channel);
        let Some(state) = shard.channels.get_mut(channel.as_str()) else { return };
        state.begin_epoch(self.next_epoch());
        if state.turns_dirty() {
            shard.dirty.push(channel.clone());
        }
    }

    fn shard(&self, channel: &ChannelName) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(channel.as_str());
        lock(&self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or(0)])
    }

    /// Greater than any before, also when the wall clock stands or goes back.
    fn next_epoch(&self) -> u64 {
        let now = now_ms();
        let after = |last: u64| Some(now.max(last + 1));
        let last = self.last_epoch.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).unwrap_or_default();
        now.max(last + 1)
    }

    /// Runs `work` on the channel, which is created if need be.
    fn with_channel<T>(
        &self,
        shard: &mut Shard,
        channel: &ChannelName,
        policy: &Policy,
        work: impl FnOnce(&mut Channel) -> T,
    ) -> Result<T, BackplaneError> {
        if let Some(state) = shard.channels.get_mut(channel.as_str()) {
            return Ok(work(state));
        }
        if self.channels.fetch_add(1, Ordering::Relaxed) >= CHANNELS_MAX {
            self.channels.fetch_sub(1, Ordering::Relaxed);
            return Err(BackplaneError::Full);
        }
        let state = Channel::new(policy, self.next_epoch(), now_ms());
        Ok(work(shard.channels.entry(channel.clone()).or_insert(state)))
    }

    fn publish_now(&self, publish: Publish) -> Result<Published, BackplaneError> {
        self.faults.check_on(Operation::Publish, &publish.channel)?;
        let wanted = publish.policy.replicas_min;
        let published = self.store_and_deliver(publish)?;
        if wanted > 0 { Err(BackplaneError::NotDurable { confirmed: 0, wanted }) } else { Ok(published) }
    }

    /// Delivers while the shard is locked, so that a channel's signals are queued in the order of its positions.
    fn store_and_deliver(&self, mut publish: Publish) -> Result<Published, BackplaneError> {
        let channel = publish.channel.clone();
        let policy = publish.policy.clone();
        let is_inbox = policy.class == DeliveryClass::Inbox;
        let deadline_ms = publish.escalates_at_ms();
        let alert = publish.alert.take().map(|spec| spec.id);
        let mut shard = self.shard(&channel);
        if alert.is_some() {
            lock(&self.alerts).admit()?;
        }
        let publishing = |state: &mut Channel| {
            let (published, publication) = state.publish(publish, now_ms())?;
            Ok((published, publication.map(|publication| (publication, state.turns_dirty()))))
        };
        let (published, outcome) = self.with_channel(&mut shard, &channel, &policy, publishing)??;
        let Some((publication, turned_dirty)) = outcome else { return Ok(published) };
        if turned_dirty {
            shard.dirty.push(channel.clone());
        }
        if is_inbox {
            lock(&self.alerts).on_message(alert, &publication, deadline_ms);
        }
        if !self.faults.loses(&channel) {
            self.fan_in.deliver(channel.as_str(), &Signal::Publication(publication));
        }
        Ok(published)
    }

    fn tell_presence(&self, changes: impl IntoIterator<Item = PresenceChange>) {
        for PresenceChange { channel, user, joined } in changes {
            let signal = Signal::Presence { channel: channel.clone(), joined, user };
            self.fan_in.deliver(channel.as_str(), &signal);
        }
    }

    /// One round of upkeep; `round` chooses the shard whose stale channels go.
    fn keep_up(&self, round: usize) {
        self.fan_in.sweep();
        if !self.faults.is_down() {
            for shard in &self.shards {
                lock(shard).tell_tops(&self.fan_in);
            }
        }
        {
            let mut presence = lock(&self.presence);
            let leaves = presence.lapse(now_ms());
            self.tell_presence(leaves);
        }
        let mut shard = lock(&self.shards[round % SHARDS]);
        let before = shard.channels.len();
        shard.channels.retain(|channel, state| self.fan_in.is_wanted(channel.as_str()) || !state.is_stale(now_ms()));
        self.channels.fetch_sub(before - shard.channels.len(), Ordering::Relaxed);
    }
}

impl Shard {
    fn tell_tops(&mut self, fan_in: &FanIn) {
        for channel in std::mem::take(&mut self.dirty) {
            if let Some(state) = self.channels.get_mut(channel.as_str()) {
                let position = state.take_dirty();
                fan_in.deliver(channel.clone().as_str(), &Signal::Top { channel, position });
            }
        }
    }
}

async fn upkeep(backplane: Weak<MemoryBackplane>) {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in 0.. {
        interval.tick().await;
        let Some(backplane) = backplane.upgrade() else { return };
        backplane.keep_up(round);
    }
}

#[async_trait]
impl Backplane for MemoryBackplane {
    async fn publish(&self, publish: Publish) -> Result<Published, BackplaneError> {
        self.publish_now(publish)
    }

    async fn publish_batch(&self, batch: Vec<Publish>) -> Vec<Result<Published, BackplaneError>> {
        batch.into_iter().map(|publish| self.publish_now(publish)).collect()
    }

    fn subscriber(&self, capacity: usize) -> Subscriber {
        self.fan_in.subscriber(capacity)
    }

    async fn subscribe(
        &self,
        subscriber: SubscriberId,
        channels: &[(ChannelName, Policy)],
    ) -> Result<Vec<Position>, BackplaneError> {
        self.faults.check()?;
        let mut tops = Vec::with_capacity(channels.len());
        for (channel, policy) in channels {
            self.faults.check_on(Operation::Subscribe, channel)?;
            let mut shard = self.shard(channel);
            let top = self.with_channel(&mut shard, channel, policy, |state| state.top())?;
            // Under the shard's lock, so that `top` is exactly what stands before the first signal.
            if self.fan_in.add(subscriber, channel) == Added::UnknownSubscriber {
                return Err(BackplaneError::UnknownSubscriber);
            }
            tops.push(top);
        }
        Ok(tops)
    }

    fn unsubscribe(&self, subscriber: SubscriberId, channels: &[ChannelName]) {
        for channel in channels {
            self.fan_in.remove(subscriber, channel);
        }
    }

    async fn history(
        &self,
        channel: &ChannelName,
        policy: &Policy,
        query: HistoryQuery,
    ) -> Result<History, BackplaneError> {
        self.faults.check_on(Operation::History, channel)?;
        self.with_channel(&mut self.shard(channel), channel, policy, |state| state.history(query, now_ms()))
    }

    async fn snapshot(&self, channel: &ChannelName, policy: &Policy) -> Result<Snapshot, BackplaneError> {
        self.faults.check_on(Operation::Snapshot, channel)?;
        self.with_channel(&mut self.shard(channel), channel, policy, |state| state.snapshot(now_ms()))
    }

    async fn inbox(
        &self,
        channel: &ChannelName,
        policy: &Policy,
        device: Option<&DeviceId>,
    ) -> Result<InboxState, BackplaneError> {
        self.faults.check_on(Operation::Inbox, channel)?;
        self.with_channel(&mut self.shard(channel), channel, policy, |state| state.inbox(device, now_ms()))
    }

    async fn acknowledge(
        &self,
        channel: &ChannelName,
        device: Option<&DeviceId>,
        positions: &[Position],
    ) -> Result<(), BackplaneError> {
        self.faults.check_on(Operation::Acknowledge, channel)?;
        if let Some(state) = self.shard(channel).channels.get_mut(channel.as_str()) {
            let Settled { settled, told } = state.acknowledge(device, positions);
            lock(&self.alerts).acknowledge(channel, &settled, now_ms());
            if !told.is_empty() {
                let signal = Signal::Acknowledged { channel: channel.clone(), positions: told };
                self.fan_in.deliver(channel.as_str(), &signal);
            }
        }
        Ok(())
    }

    async fn delivered(&self, channel: &ChannelName, positions: &[Position]) -> Result<(), BackplaneError> {
        self.faults.check_on(Operation::Delivered, channel)?;
        lock(&self.alerts).delivered(channel, positions);
        Ok(())
    }

    async fn alert(&self, id: &AlertId) -> Result<Option<Alert>, BackplaneError> {
        self.faults.check()?;
        Ok(lock(&self.alerts).get(id, now_ms()))
    }

    async fn claim_due(&self, limit: usize, lease: Duration) -> Result<DueAlerts, BackplaneError> {
        self.faults.check()?;
        Ok(lock(&self.alerts).claim_due(limit, lease, now_ms()))
    }

    async fn escalated(&self, alert: &DueAlert, outcome: Escalation) -> Result<(), BackplaneError> {
        self.faults.check()?;
        lock(&self.alerts).escalated(alert, outcome, now_ms());
        Ok(())
    }

    async fn owner(&self, channel: &ChannelName) -> Result<Option<UserId>, BackplaneError> {
        self.faults.check_on(Operation::Owner, channel)?;
        Ok(self.shard(channel).channels.get(channel.as_str()).and_then(|state| state.owner().cloned()))
    }

    async fn preferences(&self, user: &UserId, merge: Option<&RawJson>) -> Result<RawJson, BackplaneError> {
        self.faults.check()?;
        let mut users = lock(&self.preferences);
        let current = users.get(user);
        let Some(changes) = merge else { return Ok(current.cloned().unwrap_or_else(preferences::empty)) };
        if current.is_none() && users.len() >= PREFERENCES_MAX {
            return Err(BackplaneError::Full);
        }
        let merged = preferences::merge(current, changes)?;
        users.insert(user.clone(), merged.clone());
        if let Ok(channel) = ChannelName::new(&format!("user:{user}")) {
            let signal = Signal::Preferences { channel: channel.clone(), preferences: merged.clone() };
            self.fan_in.deliver(channel.as_str(), &signal);
        }
        Ok(merged)
    }

    async fn control(&self, control: Control) -> Result<(), BackplaneError> {
        self.faults.check()?;
        lock(&self.controls).keep(&control, now_ms())?;
        self.fan_in.deliver_to_all(&Signal::Control(control));
        Ok(())
    }

    async fn controls(&self) -> Result<Vec<Control>, BackplaneError> {
        self.faults.check()?;
        Ok(lock(&self.controls).in_force(now_ms()))
    }

    async fn controls_since(&self, mark: &ControlsMark) -> Result<(Vec<Control>, ControlsMark), BackplaneError> {
        self.faults.check()?;
        Ok(lock(&self.controls).since(mark, now_ms()))
    }

    async fn report(&self, report: NodeReport) -> Result<(), BackplaneError> {
        self.faults.check()?;
        let node = report.node.clone();
        lock(&self.nodes).keep(report, now_ms())?;
        let mut presence = lock(&self.presence);
        let joins = presence.renew(&node, now_ms());
        self.tell_presence(joins);
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<NodeReport>, BackplaneError> {
        self.faults.check()?;
        Ok(lock(&self.nodes).live(now_ms()))
    }

    async fn presence_change(&self, node: &str, changes: &[PresenceChange]) -> Result<(), BackplaneError> {
        self.faults.check()?;
        let mut presence = lock(&self.presence);
        // Signals are queued under the lock: a user's join and leave stay in order.
        let joins = presence.renew(node, now_ms());
        self.tell_presence(joins);
        for change in changes {
            if presence.apply(node, change) {
                self.tell_presence([change.clone()]);
            }
        }
        Ok(())
    }

    async fn presence(&self, channel: &ChannelName) -> Result<Presence, BackplaneError> {
        self.faults.check()?;
        Ok(lock(&self.presence).list(channel))
    }

    async fn take_leases(
        &self,
        leases: &[ChannelName],
        holder: &str,
        ttl: Duration,
    ) -> Vec<Result<Taken, BackplaneError>> {
        let take = |lease| {
            self.faults.check()?;
            lock(&self.leases).take(lease, holder, ttl, now_ms())
        };
        leases.iter().map(take).collect()
    }

    async fn renew_leases(&self, held: &[(ChannelName, Fence)], ttl: Duration) -> Vec<Result<bool, BackplaneError>> {
        let renew = |(lease, fence): &(ChannelName, Fence)| {
            self.faults.check()?;
            Ok(lock(&self.leases).renew(lease, *fence, ttl))
        };
        held.iter().map(renew).collect()
    }

    async fn release_leases(&self, held: &[(ChannelName, Fence)]) -> Result<(), BackplaneError> {
        self.faults.check()?;
        for (lease, fence) in held {
            lock(&self.leases).release(lease, *fence);
        }
        Ok(())
    }

    async fn fence(&self, channel: &ChannelName, policy: &Policy, fence: Fence) -> Result<Position, BackplaneError> {
        self.faults.check_on(Operation::Publish, channel)?;
        let raise = |state: &mut Channel| state.raise_fence(fence).map(|()| state.top());
        self.with_channel(&mut self.shard(channel), channel, policy, raise)?
    }

    async fn append(&self, append: Append) -> Result<u64, BackplaneError> {
        self.faults.check()?;
        lock(&self.journals).append(append)
    }

    async fn fence_journal(&self, journal: &JournalName, fence: Fence) -> Result<u64, BackplaneError> {
        self.faults.check()?;
        lock(&self.journals).fence(journal, fence)
    }

    async fn read_journal(
        &self,
        journal: &JournalName,
        after: u64,
        limit: usize,
    ) -> Result<JournalPage, BackplaneError> {
        self.faults.check()?;
        Ok(lock(&self.journals).read(journal, after, limit))
    }

    async fn journals(
        &self,
        kind: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, BackplaneError> {
        self.faults.check()?;
        Ok(lock(&self.journals).list(kind, after, limit))
    }

    async fn demand(&self, namespaces: &[&str]) -> Result<Demand, BackplaneError> {
        self.faults.check()?;
        Ok(Demand::among(self.fan_in.channels().into_iter(), namespaces, true))
    }

    fn is_healthy(&self) -> bool {
        !self.faults.is_down()
    }

    fn counts(&self) -> Vec<Count> {
        self.stats().counts().into()
    }
}
