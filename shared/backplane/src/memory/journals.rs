//! Journals of one process.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

use bytes::Bytes;

use crate::{
    Append, BackplaneError, Fence, JournalEntry, JournalName, JournalPage,
    journal::{JOURNAL_LIST_MAX, JOURNAL_PAGE_MAX, JOURNAL_RECORDS_MAX, JOURNALS_MAX},
};

#[derive(Debug, Default)]
pub(super) struct Journals(BTreeMap<JournalName, Journal>);

#[derive(Debug, Default)]
struct Journal {
    fence: Option<Fence>,
    records: Vec<(Fence, Bytes)>,
}

impl Journal {
    fn length(&self) -> u64 {
        self.records.len() as u64
    }

    fn raise(&mut self, fence: Fence) -> Result<(), BackplaneError> {
        if let Some(newest) = self.fence.filter(|newest| *newest > fence) {
            return Err(BackplaneError::Fenced { newest });
        }
        self.fence = Some(fence);
        Ok(())
    }

    /// Whether this very append has been made.
    fn has(&self, append: &Append) -> bool {
        let Ok(start) = usize::try_from(append.expected) else { return false };
        let stored = self.records.get(start..start.saturating_add(append.records.len()));
        let is_same = |((fence, stored), record): (&(Fence, Bytes), &Bytes)| *fence == append.fence && stored == record;
        stored.is_some_and(|stored| stored.iter().zip(&append.records).all(is_same))
    }
}

impl Journals {
    pub(super) fn append(&mut self, append: Append) -> Result<u64, BackplaneError> {
        append.check()?;
        let count = append.records.len();
        if let Some(journal) = self.0.get_mut(&append.journal) {
            if journal.has(&append) {
                return Ok(append.expected + count as u64);
            }
            journal.raise(append.fence)?;
        } else if self.0.len() >= JOURNALS_MAX {
            return Err(BackplaneError::Full);
        }
        let length = self.0.get(&append.journal).map_or(0, Journal::length);
        if length != append.expected {
            return Err(BackplaneError::JournalMoved { length });
        }
        let journal = self.0.entry(append.journal).or_default();
        if journal.records.len() + count > JOURNAL_RECORDS_MAX {
            return Err(BackplaneError::JournalFull);
        }
        journal.fence = Some(append.fence);
        journal.records.extend(append.records.into_iter().map(|record| (append.fence, record)));
        Ok(journal.length())
    }

    pub(super) fn fence(&mut self, name: &JournalName, fence: Fence) -> Result<u64, BackplaneError> {
        if !self.0.contains_key(name) && self.0.len() >= JOURNALS_MAX {
            return Err(BackplaneError::Full);
        }
        let journal = self.0.entry(name.clone()).or_default();
        journal.raise(fence)?;
        Ok(journal.length())
    }

    pub(super) fn read(&self, name: &JournalName, after: u64, limit: usize) -> JournalPage {
        let Some(journal) = self.0.get(name) else { return JournalPage { length: 0, records: Vec::new() } };
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        let records = journal.records.iter().skip(after).take(limit.min(JOURNAL_PAGE_MAX));
        JournalPage { length: journal.length(), records: records.map(|(_, record)| record.clone()).collect() }
    }

    pub(super) fn list(&self, kind: &str, after: Option<&str>, limit: usize) -> Vec<JournalEntry> {
        let from = JournalName::new(kind, after.unwrap_or("!"));
        let Ok(from) = from else { return Vec::new() };
        let start = if after.is_some() { Excluded(from) } else { std::ops::Bound::Included(from) };
        let of_kind = self.0.range((start, Unbounded)).take_while(|(name, _)| name.kind() == kind);
        let existing = of_kind.filter(|(_, journal)| !journal.records.is_empty());
        let entry =
            |(name, journal): (&JournalName, &Journal)| JournalEntry { name: name.clone(), length: journal.length() };
        existing.take(limit.min(JOURNAL_LIST_MAX)).map(entry).collect()
    }
}
