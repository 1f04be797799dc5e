//! One channel: its numbering, what it stores, and what it remembers of its publishers.

use std::sync::Arc;

use tickwire_protocol::{DeliveryClass, Position, Publication, UserId, namespace::Policy, publication::FrameCache};

use super::{
    dedup::Dedup,
    inbox::Inbox,
    log::{Latest, Log},
    millis,
};
use crate::{BackplaneError, History, HistoryQuery, IDEMPOTENCY_WINDOW, InboxState, Publish, Published, Snapshot};

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
    history_ttl_ms: u64,
    /// The last publish, or the creation.
    active_ms: u64,
    /// Published to since the last [`crate::Signal::Top`].
    pub(super) is_dirty: bool,
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
        Self { top, store, dedup: Dedup::default(), owner: None, history_ttl_ms, active_ms: now_ms, is_dirty: false }
    }

    pub(super) fn is_numbered(&self) -> bool {
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

    fn store(&mut self, publish: Publish) -> Arc<Publication> {
        let keep = publish.policy.history_count as usize;
        let is_latest = matches!(self.store, Store::Latest(_));
        let key = publish.key.or_else(|| is_latest.then(|| publish.channel.as_str().to_owned()));
        let publication = Arc::new(Publication {
            channel: publish.channel,
            position: self.is_numbered().then_some(self.top),
            class: publish.policy.class,
            time_ms: publish.time_ms,
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

    pub(super) fn inbox(&self, now_ms: u64) -> InboxState {
        match &self.store {
            Store::Inbox(both) => InboxState { top: self.top, cursor: both.1.cursor(), owed: both.1.owed(now_ms) },
            Store::Nothing | Store::Log(_) | Store::Latest(_) => {
                InboxState { top: self.top, cursor: None, owed: Vec::new() }
            }
        }
    }

    /// Acknowledges; returns every message this settled.
    pub(super) fn acknowledge(&mut self, positions: &[Position]) -> Vec<Position> {
        match &mut self.store {
            Store::Inbox(both) => both.1.acknowledge(positions, &both.0),
            Store::Nothing | Store::Log(_) | Store::Latest(_) => Vec::new(),
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
