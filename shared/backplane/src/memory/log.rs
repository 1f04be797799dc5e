//! The stored messages of one channel, and how a history is read from them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use tickwire_protocol::{Position, Publication};

use crate::{BackplaneError, HISTORY_LIMIT_MAX, History, HistoryQuery, LATEST_KEYS_MAX};

/// The newest messages, with dense offsets up to the channel's top.
#[derive(Debug, Default)]
pub(super) struct Log(VecDeque<Arc<Publication>>);

/// The newest message of each key, in order of change.
#[derive(Debug, Default)]
pub(super) struct Latest {
    by_position: BTreeMap<Position, Arc<Publication>>,
    by_key: HashMap<Box<str>, Position>,
}

pub(super) fn is_alive(publication: &Publication, now_ms: u64) -> bool {
    publication.expires_at_ms.is_none_or(|at| now_ms < at)
}

impl Log {
    pub(super) fn append(&mut self, publication: Arc<Publication>, keep: usize) {
        self.0.push_back(publication);
        while self.0.len() > keep {
            self.0.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        self.0 = VecDeque::new();
    }

    pub(super) fn get(&self, position: Position) -> Option<&Arc<Publication>> {
        let at = self.0.binary_search_by_key(&Some(position), |publication| publication.position).ok()?;
        self.0.get(at)
    }

    pub(super) fn read(&self, top: Position, query: HistoryQuery, now_ms: u64) -> History {
        let span = Span::of(top, query);
        let before =
            |offset| self.0.partition_point(|stored| stored.position <= Some(Position::new(top.epoch, offset)));
        span.select(top, query, now_ms, self.0.range(before(span.after)..before(span.up_to)))
    }
}

impl Latest {
    /// Makes sure that a value of `key` fits.
    pub(super) fn admit(&mut self, key: &str, now_ms: u64) -> Result<(), BackplaneError> {
        if self.by_position.len() >= LATEST_KEYS_MAX && !self.by_key.contains_key(key) {
            self.by_position.retain(|_, publication| is_alive(publication, now_ms));
            let positions = &self.by_position;
            self.by_key.retain(|_, position| positions.contains_key(position));
            if positions.len() >= LATEST_KEYS_MAX {
                return Err(BackplaneError::TooManyKeys);
            }
        }
        Ok(())
    }

    pub(super) fn put(&mut self, key: &str, position: Position, publication: Arc<Publication>) {
        if let Some(old) = self.by_key.insert(key.into(), position) {
            self.by_position.remove(&old);
        }
        self.by_position.insert(position, publication);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn values(&self, now_ms: u64) -> Vec<Arc<Publication>> {
        self.by_position.values().filter(|publication| is_alive(publication, now_ms)).cloned().collect()
    }

    pub(super) fn read(&self, top: Position, query: HistoryQuery, now_ms: u64) -> History {
        let span = Span::of(top, query);
        let at = |offset| std::ops::Bound::Excluded(Position::new(top.epoch, offset));
        let range = (at(span.after), at(span.up_to.max(span.after) + 1));
        let stored: Vec<_> = self.by_position.range(range).map(|(_, publication)| publication).collect();
        span.select(top, query, now_ms, stored.into_iter())
    }
}

/// The offsets that a query asks for: after the one, up to and with the other.
#[derive(Debug, Clone, Copy)]
struct Span {
    after: u64,
    up_to: u64,
    /// Whether `since` stands in this channel's numbering.
    anchored: bool,
}

impl Span {
    fn of(top: Position, query: HistoryQuery) -> Self {
        let (after, up_to, anchored) = match query.since {
            None => (0, top.offset, true),
            Some(since) if since.epoch != top.epoch => (0, if query.reverse { 0 } else { top.offset }, false),
            Some(since) if query.reverse => {
                (0, since.offset.saturating_sub(1).min(top.offset), since.offset <= top.offset)
            }
            Some(since) => (since.offset.min(top.offset), top.offset, since.offset <= top.offset),
        };
        Self { after, up_to, anchored }
    }

    /// `stored` is what is left of the span, in order.
    fn select<'a>(
        self,
        top: Position,
        query: HistoryQuery,
        now_ms: u64,
        stored: impl DoubleEndedIterator<Item = &'a Arc<Publication>> + ExactSizeIterator,
    ) -> History {
        let untrimmed = stored.len() as u64 == self.up_to - self.after;
        let limit = query.limit.min(HISTORY_LIMIT_MAX);
        let alive = |publication: &&Arc<Publication>| is_alive(publication, now_ms);
        let mut publications: Vec<_> = if query.reverse {
            stored.rev().filter(alive).take(limit + 1).cloned().collect()
        } else {
            stored.filter(alive).take(limit + 1).cloned().collect()
        };
        let uncut = publications.len() <= limit;
        publications.truncate(limit);
        History { top, publications, complete: self.anchored && untrimmed && uncut }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tickwire_protocol::{ChannelName, DeliveryClass, Priority, RawJson, publication::FrameCache};

    use super::*;

    const EPOCH: u64 = 5;
    const NOW_MS: u64 = 1_000;

    fn publication(offset: u64, expired: bool) -> Arc<Publication> {
        Arc::new(Publication {
            channel: ChannelName::new("room:1").unwrap(),
            class: DeliveryClass::Reliable,
            position: Some(Position::new(EPOCH, offset)),
            time_ms: 0,
            stored_ms: None,
            priority: Priority::Medium,
            key: None,
            tags: BTreeMap::new(),
            data: RawJson::null(),
            publisher: None,
            signature: None,
            expires_at_ms: expired.then_some(NOW_MS),
            traceparent: None,
            frames: FrameCache::default(),
        })
    }

    fn any_query() -> impl Strategy<Value = HistoryQuery> {
        let since = proptest::option::of((EPOCH - 1..=EPOCH + 1, 0..14_u64));
        (since, 0..14_usize, any::<bool>()).prop_map(|(since, limit, reverse)| HistoryQuery {
            since: since.map(|(epoch, offset)| Position::new(epoch, offset)),
            limit,
            reverse,
        })
    }

    proptest! {
        /// A log that keeps the newest and a `latest` store in which each message has its own key agree with each other
        /// and with the definition of [`History`].
        #[test]
        fn a_history_is_what_its_documentation_says(
            expired in proptest::collection::vec(any::<bool>(), 0..12),
            keep in 0..12_usize,
            query in any_query(),
        ) {
            let top = Position::new(EPOCH, expired.len() as u64);
            let (mut log, mut latest) = (Log::default(), Latest::default());
            let trimmed = (expired.len() - keep.min(expired.len())) as u64;
            for (offset, expired) in (1..).zip(&expired) {
                log.append(publication(offset, *expired), keep);
                if offset > trimmed {
                    latest.put(&offset.to_string(), Position::new(EPOCH, offset), publication(offset, *expired));
                }
            }
            let in_epoch = query.since.is_none_or(|since| since.epoch == EPOCH);
            let asked: Vec<u64> = (1..=top.offset)
                .filter(|&offset| match query.since {
                    None => true,
                    Some(since) if since.epoch != EPOCH => !query.reverse,
                    Some(since) if query.reverse => offset < since.offset,
                    Some(since) => offset > since.offset,
                })
                .collect();
            let mut visible: Vec<u64> = asked
                .iter()
                .copied()
                .filter(|&offset| offset > trimmed && !expired[usize::try_from(offset).unwrap() - 1])
                .collect();
            let in_range = query.since.is_none_or(|since| since.offset <= top.offset);
            let complete =
                in_epoch && in_range && asked.iter().all(|&offset| offset > trimmed) && visible.len() <= query.limit;
            if query.reverse {
                visible.reverse();
            }
            visible.truncate(query.limit);
            for history in [log.read(top, query, NOW_MS), latest.read(top, query, NOW_MS)] {
                let offsets: Vec<u64> =
                    history.publications.iter().map(|publication| publication.position.unwrap().offset).collect();
                prop_assert_eq!(&offsets, &visible);
                prop_assert_eq!(history.complete, complete);
                prop_assert_eq!(history.top, top);
            }
        }
    }

    #[test]
    fn a_log_finds_what_it_keeps() {
        let mut log = Log::default();
        for offset in 1..=5 {
            log.append(publication(offset, false), 3);
        }
        assert!(log.get(Position::new(EPOCH, 2)).is_none());
        assert!(log.get(Position::new(EPOCH, 3)).is_some());
        assert!(log.get(Position::new(EPOCH + 1, 3)).is_none());
    }

    #[test]
    fn expired_values_make_room_for_new_keys() {
        let mut latest = Latest::default();
        for offset in 1..=LATEST_KEYS_MAX as u64 {
            latest.put(&offset.to_string(), Position::new(EPOCH, offset), publication(offset, offset == 7));
        }
        assert!(latest.admit("new", NOW_MS).is_ok());
        latest.put("new", Position::new(EPOCH, 20_000), publication(20_000, false));
        assert!(matches!(latest.admit("newer", NOW_MS), Err(BackplaneError::TooManyKeys)));
        assert!(latest.admit("8", NOW_MS).is_ok());
    }
}
