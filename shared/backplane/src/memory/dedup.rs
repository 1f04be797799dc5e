//! Idempotency keys of one channel.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tickwire_protocol::Position;

use crate::{IDEMPOTENCY_WINDOW, Published};

/// Keys one channel remembers. At the bound the oldest is forgotten before its time.
const KEYS_MAX: usize = 100_000;

/// What was published under which key lately.
#[derive(Debug, Default)]
pub(super) struct Dedup {
    first: HashMap<Arc<str>, Option<Position>>,
    /// In order of expiry, since every key lives equally long.
    expiries: VecDeque<(u64, Arc<str>)>,
}

impl Dedup {
    /// The answer to a repeated publish.
    pub(super) fn get(&mut self, key: &str, now_ms: u64) -> Option<Published> {
        self.prune(now_ms);
        self.first.get(key).map(|&position| Published { position, duplicate: true })
    }

    pub(super) fn insert(&mut self, key: &str, position: Option<Position>, now_ms: u64) {
        let key: Arc<str> = key.into();
        if self.expiries.len() >= KEYS_MAX {
            self.forget_oldest();
        }
        self.expiries.push_back((now_ms + crate::memory::millis(IDEMPOTENCY_WINDOW), Arc::clone(&key)));
        self.first.insert(key, position);
    }

    pub(super) fn prune(&mut self, now_ms: u64) {
        while self.expiries.front().is_some_and(|(expires_ms, _)| *expires_ms <= now_ms) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.expiries.pop_front() {
            self.first.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_for_five_minutes() {
        let mut dedup = Dedup::default();
        dedup.insert("a", Some(Position::new(1, 1)), 1_000);
        let first = Published { position: Some(Position::new(1, 1)), duplicate: true };
        assert_eq!(dedup.get("a", 300_999), Some(first));
        assert_eq!(dedup.get("a", 301_000), None);
        assert!(dedup.expiries.is_empty());
    }

    #[test]
    fn at_the_bound_the_oldest_key_goes() {
        let mut dedup = Dedup::default();
        for key in 0..=KEYS_MAX {
            dedup.insert(&key.to_string(), None, 1);
        }
        assert_eq!(dedup.get("0", 1), None);
        assert!(dedup.get("1", 1).is_some());
        assert_eq!(dedup.first.len(), KEYS_MAX);
    }
}
