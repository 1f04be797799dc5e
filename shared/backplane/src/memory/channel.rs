//! One channel: its numbering, what it stores, and what it remembers of its publishers.

use std::sync::Arc;

use tickwire_protocol::{
    DeliveryClass, DeviceId, Position, Publication, UserId, namespace::Policy, publication::FrameCache,
};

use super::{
    dedup::Dedup,
    inbox::{Inbox, Settled},
    log::{Latest, Log},
    millis,
};
use crate::{
    BackplaneError, Fence, History, HistoryQuery, IDEMPOTENCY_WINDOW, InboxState, Publish, Published, Snapshot,
};

/// How long a channel that nobody published to is kept after its last subscriber left.
const EMPTY_KEPT_MS: u64 = 10 * 60 * 1_000;
/// How long an idle channel is kept for its owner's sake.
const OWNER_KEPT_MS: u64 = 30 * 86_400 * 1_000;

#[derive(Debug)]
pub(super) struct Channel {
    /// `0-0` for ever where nothing is numbered.
    top: Position,
    store: Store,
    dedup: Dedup,
    owner: Option<UserId>,
    fence: Option<Fence>,
    history_ttl_ms: u64,
    /// The last publish, or the creation.
    active_ms: u64,
    /// The top moved since it was last told.
    is_dirty: bool,
}

#[derive(Debug)]
enum Store {
    Nothing,
    Log(Log),
    Latest(Latest),
    Inbox(Box<(Log, Inbox)>),
}

impl Channel {
    /// `epoch` must be greater than any that the channel had before.
    pub(super) fn new(policy: &Policy, epoch: u64, now_ms: u64) -> Self {
        let store = match policy.class {
            DeliveryClass::Volatile if policy.history_count == 0 => Store::Nothing,
            DeliveryClass::Volatile | DeliveryClass::Reliable => Store::Log(Log::default()),
            DeliveryClass::Latest => Store::Latest(Latest::default()),
            DeliveryClass::Inbox => Store::Inbox(Box::default()),
        };
        let top = if matches!(store, Store::Nothing) { Position::new(0, 0) } else { Position::new(epoch, 0) };
        let history_ttl_ms = millis(policy.history_ttl());
        Self {
            top,
            store,
            dedup: Dedup::default(),
            owner: None,
            fence: None,
            history_ttl_ms,
            active_ms: now_ms,
            is_dirty: false,
        }
    }

    /// Remembers that the top moved; true the first time since [`Channel::take_dirty`].
    pub(super) fn turns_dirty(&mut self) -> bool {
        self.is_numbered() && !std::mem::replace(&mut self.is_dirty, true)
    }

    /// The top, which is told now.
    pub(super) fn take_dirty(&mut self) -> Position {
        self.is_dirty = false;
        self.top
    }

    fn is_numbered(&self) -> bool {
        !matches!(self.store, Store::Nothing)
    }

    pub(super) fn top(&self) -> Position {
        self.top
    }

    pub(super) fn owner(&self) -> Option<&UserId> {
        self.owner.as_ref()
    }

    /// Publishes; the publication is `None` for a duplicate.
    pub(super) fn publish(
        &mut self,
        publish: Publish,
        now_ms: u64,
    ) -> Result<(Published, Option<Arc<Publication>>), BackplaneError> {
        if let Some(key) = &publish.idempotency_key
            && let Some(first) = self.dedup.get(key, now_ms)
        {
            return Ok((first, None));
        }
        if let Some(fence) = publish.fence {
            self.raise_fence(fence)?;
        }
        self.expire(now_ms);
        let key = publish.key.as_deref().unwrap_or(publish.channel.as_str());
        match &mut self.store {
            Store::Latest(latest) => latest.admit(key, now_ms)?,
            Store::Inbox(inbox) => inbox.1.admit(publish.priority, now_ms)?,
            Store::Nothing | Store::Log(_) => {}
        }
        if self.is_numbered() {
            self.top = self.top.next();
        }
        self.active_ms = now_ms;
        self.history_ttl_ms = millis(publish.policy.history_ttl());
        let position = self.is_numbered().then_some(self.top);
        if let Some(key) = &publish.idempotency_key {
            self.dedup.insert(key, position, now_ms);
        }
        if let Some(owner) = &publish.owner {
            self.owner = Some(owner.clone());
        }
        let publication = self.store(publish);
        Ok((Published { position, duplicate: false }, Some(publication)))
    }

    /// Refuses a fence that is older than the newest.
    pub(super) fn raise_fence(&mut self, fence: Fence) -> Result<(), BackplaneError> {
        match self.fence.replace(fence) {
            Some(newest) if newest > fence => {
                self.fence = Some(newest);
                Err(BackplaneError::Fenced { newest })
            }
            _ => Ok(()),
        }
    }

    fn store(&mut self, publish: Publish) -> Arc<Publication> {
        let keep = publish.policy.history_count as usize;
        let is_latest = matches!(self.store, Store::Latest(_));
        let key = publish.key.or_else(|| is_latest.then(|| publish.channel.as_str().to_owned()));
        let publication = Arc::new(Publication {
            channel: publish.channel,
            position: self.is_numbered().then_some(self.top),
            class: publish.policy.class,
            time_ms: publish.time_ms,
            // That of the publish under way.
            stored_ms: Some(self.active_ms),
            priority: publish.priority,
            key: key.map(String::into_boxed_str),
            tags: publish.tags,
            data: publish.data,
            publisher: publish.publisher,
            signature: publish.signature.map(String::into_boxed_str),
            expires_at_ms: publish.expires_at_ms,
            traceparent: publish.traceparent.map(String::into_boxed_str),
            frames: FrameCache::default(),
        });
        match &mut self.store {
            Store::Nothing => {}
            Store::Log(log) => log.append(Arc::clone(&publication), keep),
            Store::Latest(latest) => {
                let key = publication.key.as_deref().unwrap_or_default();
                latest.put(key, self.top, Arc::clone(&publication));
            }
            Store::Inbox(both) => {
                both.0.append(Arc::clone(&publication), keep);
                both.1.add(self.top, Arc::clone(&publication));
            }
        }
        publication
    }

    pub(super) fn history(&mut self, query: HistoryQuery, now_ms: u64) -> History {
        self.expire(now_ms);
        match &self.store {
            Store::Nothing => History { top: self.top, publications: Vec::new(), complete: false },
            Store::Log(log) => log.read(self.top, query, now_ms),
            Store::Latest(latest) => latest.read(self.top, query, now_ms),
            Store::Inbox(both) => both.0.read(self.top, query, now_ms),
        }
    }

    pub(super) fn snapshot(&mut self, now_ms: u64) -> Snapshot {
        self.expire(now_ms);
        let publications = match &self.store {
            Store::Latest(latest) => latest.values(now_ms),
            Store::Nothing | Store::Log(_) | Store::Inbox(_) => Vec::new(),
        };
        Snapshot { top: self.top, publications }
    }

    pub(super) fn inbox(&self, device: Option<&DeviceId>, now_ms: u64) -> InboxState {
        match &self.store {
            Store::Inbox(both) => {
                let (cursor, owed) = (both.1.cursor(device), both.1.owed(device, now_ms));
                InboxState { top: self.top, cursor, owed }
            }
            Store::Nothing | Store::Log(_) | Store::Latest(_) => {
                InboxState { top: self.top, cursor: None, owed: Vec::new() }
            }
        }
    }

    /// Acknowledges, for the user or one device.
    pub(super) fn acknowledge(&mut self, device: Option<&DeviceId>, positions: &[Position]) -> Settled {
        match &mut self.store {
            Store::Inbox(both) => both.1.acknowledge(device, positions, &both.0),
            Store::Nothing | Store::Log(_) | Store::Latest(_) => Settled::default(),
        }
    }

    /// Loses the log and numbers anew, as a store does that restarts. What an inbox owes and what a `latest` channel
    /// shows stay.
    pub(super) fn begin_epoch(&mut self, epoch: u64) {
        match &mut self.store {
            Store::Nothing => return,
            Store::Log(log) => log.clear(),
            Store::Inbox(both) => both.0.clear(),
            Store::Latest(_) => {}
        }
        self.top = Position::new(epoch, 0);
    }

    /// Whether nothing would be missed if the channel were forgotten, provided that nobody is subscribed.
    pub(super) fn is_stale(&mut self, now_ms: u64) -> bool {
        let idle_ms = now_ms.saturating_sub(self.active_ms);
        self.dedup.prune(now_ms);
        self.expire(now_ms);
        if let Store::Inbox(both) = &mut self.store {
            both.1.prune(now_ms);
            if both.1.owes_critical() {
                return false;
            }
        }
        let kept_ms = if self.owner.is_some() {
            OWNER_KEPT_MS
        } else if self.top.offset == 0 {
            EMPTY_KEPT_MS
        } else {
            self.history_ttl_ms
        };
        idle_ms > kept_ms.max(millis(IDEMPOTENCY_WINDOW))
    }

    /// An idle channel's messages end together, and its numbering goes on.
    fn expire(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.active_ms) <= self.history_ttl_ms {
            return;
        }
        match &mut self.store {
            Store::Nothing => {}
            Store::Log(log) => log.clear(),
            Store::Latest(latest) => latest.clear(),
            Store::Inbox(both) => both.0.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::{ChannelName, Priority, RawJson, namespace::Access};

    use super::*;

    const START_MS: u64 = 1_763_683_200_000;
    const DAY_MS: u64 = 86_400_000;

    fn channel(policy: &Policy) -> Channel {
        Channel::new(policy, START_MS, START_MS)
    }

    fn message(policy: &Policy) -> Publish {
        Publish::new(ChannelName::new("user:7").unwrap(), policy.clone(), RawJson::null())
    }

    fn publish(channel: &mut Channel, publish: Publish, now_ms: u64) -> Published {
        channel.publish(publish, now_ms).unwrap().0
    }

    fn reliable() -> Policy {
        Policy::reliable(Access::Anyone)
    }

    #[test]
    fn an_idle_channels_messages_end_and_its_numbering_goes_on() {
        let mut channel = channel(&reliable());
        let first = publish(&mut channel, message(&reliable()), START_MS).position.unwrap();
        let query = HistoryQuery { since: Some(Position::new(START_MS, 0)), limit: 10, reverse: false };
        assert!(channel.history(query, START_MS + DAY_MS).complete);
        let ended = channel.history(query, START_MS + DAY_MS + 1);
        assert!(ended.publications.is_empty() && !ended.complete);
        let second = publish(&mut channel, message(&reliable()), START_MS + DAY_MS + 2).position.unwrap();
        assert_eq!(second, first.next());
    }

    #[test]
    fn a_channel_is_forgotten_after_its_history_ended() {
        let mut channel = channel(&reliable());
        assert!(!channel.is_stale(START_MS + EMPTY_KEPT_MS));
        assert!(channel.is_stale(START_MS + EMPTY_KEPT_MS + 1));
        publish(&mut channel, message(&reliable()), START_MS);
        assert!(!channel.is_stale(START_MS + DAY_MS));
        assert!(channel.is_stale(START_MS + DAY_MS + 1));
    }

    #[test]
    fn a_channel_is_kept_while_its_keys_are_remembered() {
        let policy = Policy { history_ttl_s: 1, ..reliable() };
        let mut channel = channel(&policy);
        let keyed = Publish { idempotency_key: Some("a".into()), ..message(&policy) };
        publish(&mut channel, keyed.clone(), START_MS);
        assert!(!channel.is_stale(START_MS + 299_999));
        assert!(publish(&mut channel, keyed.clone(), START_MS + 299_999).duplicate);
        assert!(!publish(&mut channel, keyed, START_MS + 300_000).duplicate);
    }

    #[test]
    fn an_owned_channel_is_kept_for_a_month() {
        let mut channel = channel(&reliable());
        let owner = UserId::new("7").unwrap();
        publish(&mut channel, Publish { owner: Some(owner.clone()), ..message(&reliable()) }, START_MS);
        assert!(!channel.is_stale(START_MS + 30 * DAY_MS));
        assert_eq!(channel.owner(), Some(&owner));
        assert!(channel.is_stale(START_MS + 30 * DAY_MS + 1));
    }

    #[test]
    fn an_inbox_that_owes_a_critical_message_is_never_forgotten() {
        let mut channel = channel(&Policy::inbox());
        let critical = Publish { priority: Priority::Critical, ..message(&Policy::inbox()) };
        let position = publish(&mut channel, critical, START_MS).position.unwrap();
        let much_later = START_MS + 365 * DAY_MS;
        assert!(!channel.is_stale(much_later));
        assert_eq!(channel.inbox(None, much_later).owed.len(), 1);
        assert_eq!(channel.acknowledge(None, &[position]).settled, [position]);
        assert!(channel.is_stale(much_later));
    }

    #[test]
    fn a_refused_message_leaves_its_key_free_and_no_hole() {
        let policy = Policy::latest();
        let mut channel = channel(&policy);
        let keyed = |n: usize| Publish { key: Some(n.to_string()), ..message(&policy) };
        for n in 0..crate::LATEST_KEYS_MAX {
            publish(&mut channel, keyed(n), START_MS);
        }
        let top = channel.top();
        let refused = Publish { idempotency_key: Some("a".into()), ..keyed(crate::LATEST_KEYS_MAX) };
        assert!(channel.publish(refused, START_MS).is_err());
        let known = Publish { idempotency_key: Some("a".into()), ..keyed(0) };
        let after = publish(&mut channel, known, START_MS);
        assert_eq!(after, Published { position: Some(top.next()), duplicate: false });
    }
}
