//! Journals: what a service must not forget, as the list of what happened. The state is what follows from it.
//!
//! A journal is named `kind/id` (`session/42`) and holds records, numbered from 1, each up to [`RECORD_BYTES_MAX`] bytes that mean
//! nothing here. It only grows, at its end, by [`crate::Backplane::append`]; nothing in it expires, and channels' epochs do not touch
//! it. One writer at a time, by the fence of a lease that covers the journal (see `lease.rs`):
//!
//! 1. Take the lease. [`crate::Backplane::fence_journal`]: from then on no older holder appends, however late its call comes; the answer
//!    is the length, and all that there is to read.
//! 2. [`crate::Backplane::read_journal`], page by page, and fold the records into the state.
//! 3. Decide on the state, append under its length, and only after the answer fold the new records and tell anybody.
//!
//! An append is atomic: all its records or none. It names the length that it expects, so a writer that has missed something is told
//! ([`BackplaneError::JournalMoved`]) instead of contradicting it. The same append again (an answer was lost) finds its own records where
//! they would go, and answers as before; so a call that ended with [`BackplaneError::Unavailable`] is repeated as it was.
//!
//! What an acknowledged append survives. Everything that the store survives: a journal is in Redis when the answer comes. With an
//! append-only file Redis writes it to the file before it answers, so it outlives a killed process; `appendfsync everysec` hands the file
//! to the disk once a second, so a machine that loses power loses up to two seconds, `always` nothing, at the price of a disk flush
//! for each append. A promoted replica has what it was sent: an append is acknowledged after `backplane.critical_replicas` replicas have it,
//! and otherwise [`BackplaneError::NotDurable`] (it is stored: repeat it as it was). The memory backplane's journals end with their process.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{BackplaneError, Fence};

/// Longest record, bytes.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;
/// Records of one append at most.
pub const APPEND_RECORDS_MAX: usize = 128;
/// Bytes of one append at most.
pub const APPEND_BYTES_MAX: usize = 1024 * 1024;
/// Records that a journal holds before it refuses more ([`BackplaneError::JournalFull`]).
pub const JOURNAL_RECORDS_MAX: usize = 1_000_000;
/// Records that one call reads at most.
pub const JOURNAL_PAGE_MAX: usize = 1_000;
/// Journals of a kind before a new one is refused ([`BackplaneError::Full`]).
pub const JOURNALS_MAX: usize = 1_000_000;
/// Journals that one call lists at most.
pub const JOURNAL_LIST_MAX: usize = 1_000;

/// A journal's name, `kind/id`: the kind 1 to 32 of `a-z` and `-`, the id 1 to 128 bytes of printable ASCII without spaces and `/`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JournalName(Arc<str>);

/// A text that names no journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a journal reads kind/id: 1 to 32 of a-z and '-', and 1 to 128 printable ASCII characters without spaces and '/'"
)]
pub struct InvalidJournal;

impl JournalName {
    /// The journal `id` of a `kind`.
    pub fn new(kind: &str, id: &str) -> Result<Self, InvalidJournal> {
        let is_kind = is_kind(kind);
        let is_id = (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if is_kind && is_id { Ok(Self(format!("{kind}/{id}").into())) } else { Err(InvalidJournal) }
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the `/`.
    pub fn kind(&self) -> &str {
        self.0.split_once('/').map_or("", |(kind, _)| kind)
    }

    /// The part after it.
    pub fn id(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, id)| id)
    }
}

pub(crate) fn is_kind(kind: &str) -> bool {
    (1..=32).contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

impl fmt::Display for JournalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for JournalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to append.
#[derive(Debug, Clone)]
pub struct Append {
    /// Where.
    pub journal: JournalName,
    /// The fence of the lease under which the writer writes.
    pub fence: Fence,
    /// How many records the writer knows of.
    pub expected: u64,
    /// One to [`APPEND_RECORDS_MAX`], each at most [`RECORD_BYTES_MAX`] bytes, together at most [`APPEND_BYTES_MAX`].
    pub records: Vec<Bytes>,
}

impl Append {
    /// Whether it keeps the bounds.
    pub(crate) fn check(&self) -> Result<(), BackplaneError> {
        let bytes: usize = self.records.iter().map(Bytes::len).sum();
        let fits = (1..=APPEND_RECORDS_MAX).contains(&self.records.len())
            && bytes <= APPEND_BYTES_MAX
            && self.records.iter().all(|record| record.len() <= RECORD_BYTES_MAX);
        if fits { Ok(()) } else { Err(BackplaneError::RecordTooLarge) }
    }
}

/// Records of a journal, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalPage {
    /// The journal's length when it was read: 0 where there is none.
    pub length: u64,
    /// Those asked for; the first one's number is one more than `after`.
    pub records: Vec<Bytes>,
}

/// A journal that exists, and its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its name.
    pub name: JournalName,
    /// Its records.
    pub length: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_kind_and_an_id() {
        let name = JournalName::new("session", "42:x").unwrap();
        assert_eq!((name.kind(), name.id(), name.as_str()), ("session", "42:x", "session/42:x"));
        let long = "x".repeat(129);
        for (kind, id) in
            [("", "1"), ("Session", "1"), ("session", ""), ("session", "a/b"), ("session", "a b"), ("s", &long)]
        {
            assert_eq!(JournalName::new(kind, id), Err(InvalidJournal), "{kind}/{id}");
        }
    }
}
