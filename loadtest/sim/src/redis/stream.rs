//! Streams.

use std::collections::BTreeMap;

use super::resp::Reply;

/// An entry's id: milliseconds and sequence.
pub(crate) type Id = (u64, u64);

#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    entries: BTreeMap<Id, Vec<Vec<u8>>>,
    last: Id,
}

impl Stream {
    /// Appends `fields` at `id`, which must be greater than every id before, and keeps the newest `max`.
    pub(crate) fn add(&mut self, id: Id, fields: Vec<Vec<u8>>, max: Option<usize>) -> Reply {
        if id <= self.last {
            return Reply::error("The ID specified in XADD is equal or smaller than the target stream top item");
        }
        self.last = id;
        self.entries.insert(id, fields);
        while max.is_some_and(|max| self.entries.len() > max) {
            self.entries.pop_first();
        }
        Reply::bulk(format!("{}-{}", id.0, id.1))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What lies from `start` to `end`, both as `XRANGE` writes them.
    pub(crate) fn range(&self, start: &str, end: &str, count: usize, is_reverse: bool) -> Option<Reply> {
        let (low, high) = (low(start)?, high(end)?);
        if low > high {
            return Some(Reply::Array(Vec::new()));
        }
        let entry = |(id, fields): (&Id, &Vec<Vec<u8>>)| {
            let fields = fields.iter().map(Reply::bulk).collect();
            Reply::Array(vec![Reply::bulk(format!("{}-{}", id.0, id.1)), Reply::Array(fields)])
        };
        let found = self.entries.range(low..=high);
        Some(Reply::Array(match is_reverse {
            false => found.take(count).map(entry).collect(),
            true => found.rev().take(count).map(entry).collect(),
        }))
    }
}

pub(crate) fn id(text: &str, sequence: u64) -> Option<Id> {
    match text.split_once('-') {
        Some((ms, sequence)) => Some((ms.parse().ok()?, sequence.parse().ok()?)),
        None => Some((text.parse().ok()?, sequence)),
    }
}

fn low(text: &str) -> Option<Id> {
    match text {
        "-" => Some((0, 0)),
        "+" => Some((u64::MAX, u64::MAX)),
        _ => match text.strip_prefix('(') {
            Some(text) => id(text, 0).map(|(ms, sequence)| (ms, sequence + 1)),
            None => id(text, 0),
        },
    }
}

fn high(text: &str) -> Option<Id> {
    match text {
        "-" => Some((0, 0)),
        "+" => Some((u64::MAX, u64::MAX)),
        _ => match text.strip_prefix('(') {
            Some(text) => id(text, u64::MAX).map(|(ms, sequence)| (ms, sequence.saturating_sub(1))),
            None => id(text, u64::MAX),
        },
    }
}
