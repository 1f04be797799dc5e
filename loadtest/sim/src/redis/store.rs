//! What a server holds: values by key, with their times to live.

use std::collections::{BTreeMap, BTreeSet};

use super::stream::Stream;

pub(crate) type Bytes = Vec<u8>;

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(Bytes),
    Hash(BTreeMap<Bytes, Bytes>),
    Set(BTreeSet<Bytes>),
    Sorted(BTreeMap<Bytes, f64>),
    Stream(Stream),
}

#[derive(Debug, Clone)]
struct Entry {
    value: Value,
    expires_at_ms: Option<u64>,
}

/// The key space. Cloning it is what a replica or a disk would have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    entries: BTreeMap<Bytes, Entry>,
    /// Writes so far.
    pub(crate) writes: u64,
}

/// A key holds another kind of value.
pub(crate) struct WrongType;

macro_rules! accessors {
    ($read:ident, $write:ident, $kind:ident, $type:ty) => {
        /// The value, if there is one.
        pub(crate) fn $read(&mut self, key: &[u8], now_ms: u64) -> Result<Option<&$type>, WrongType> {
            match self.get(key, now_ms) {
                None => Ok(None),
                Some(Value::$kind(value)) => Ok(Some(value)),
                Some(_) => Err(WrongType),
            }
        }

        /// The value, made if there is none.
        pub(crate) fn $write(&mut self, key: &[u8], now_ms: u64) -> Result<&mut $type, WrongType> {
            self.writes += 1;
            self.expire(key, now_ms);
            let empty = || Entry { value: Value::$kind(Default::default()), expires_at_ms: None };
            match &mut self.entries.entry(key.to_vec()).or_insert_with(empty).value {
                Value::$kind(value) => Ok(value),
                _ => Err(WrongType),
            }
        }
    };
}

impl Store {
    accessors!(hash, hash_mut, Hash, BTreeMap<Bytes, Bytes>);
    accessors!(set, set_mut, Set, BTreeSet<Bytes>);
    accessors!(sorted, sorted_mut, Sorted, BTreeMap<Bytes, f64>);
    accessors!(stream, stream_mut, Stream, Stream);

    pub(crate) fn text(&mut self, key: &[u8], now_ms: u64) -> Result<Option<&Bytes>, WrongType> {
        match self.get(key, now_ms) {
            None => Ok(None),
            Some(Value::Text(value)) => Ok(Some(value)),
            Some(_) => Err(WrongType),
        }
    }

    pub(crate) fn set_text(&mut self, key: &[u8], value: Bytes, expires_at_ms: Option<u64>) {
        self.writes += 1;
        self.entries.insert(key.to_vec(), Entry { value: Value::Text(value), expires_at_ms });
    }

    fn expire(&mut self, key: &[u8], now_ms: u64) {
        if self.entries.get(key).and_then(|entry| entry.expires_at_ms).is_some_and(|at| at <= now_ms) {
            self.entries.remove(key);
        }
    }

    pub(crate) fn get(&mut self, key: &[u8], now_ms: u64) -> Option<&Value> {
        self.expire(key, now_ms);
        self.entries.get(key).map(|entry| &entry.value)
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        self.writes += 1;
        self.entries.remove(key).is_some()
    }

    /// A key whose collection became empty is gone.
    pub(crate) fn drop_empty(&mut self, key: &[u8]) {
        let is_empty = self.entries.get(key).is_some_and(|entry| match &entry.value {
            Value::Hash(hash) => hash.is_empty(),
            Value::Set(set) => set.is_empty(),
            Value::Sorted(sorted) => sorted.is_empty(),
            Value::Text(_) | Value::Stream(_) => false,
        });
        if is_empty {
            self.entries.remove(key);
        }
    }

    /// When `key` expires; `None` if there is no such key.
    pub(crate) fn expiry(&mut self, key: &[u8], now_ms: u64) -> Option<Option<u64>> {
        self.expire(key, now_ms);
        self.entries.get(key).map(|entry| entry.expires_at_ms)
    }

    pub(crate) fn set_expiry(&mut self, key: &[u8], at_ms: Option<u64>, now_ms: u64) -> bool {
        self.writes += 1;
        self.expire(key, now_ms);
        match self.entries.get_mut(key) {
            Some(entry) => {
                entry.expires_at_ms = at_ms;
                true
            }
            None => false,
        }
    }
}
