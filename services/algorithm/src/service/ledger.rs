//! A bot's journal as its one writer holds it: the lease, the fence, the length.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tickwire_backplane::{
    Append, Backplane, BackplaneError, Fence, JournalName, Taken,
    journal::{APPEND_RECORDS_MAX, JOURNAL_PAGE_MAX, JOURNAL_RECORDS_MAX},
};
use tickwire_protocol::ChannelName;
use tickwire_trading::{SessionId, account::AccountError};
use tokio::time::Instant;

use crate::entry::Entry;

/// How long a lease lasts unless it is prolonged.
const TERM: Duration = Duration::from_secs(3);
/// How often it is prolonged.
pub(crate) const RENEWAL: Duration = Duration::from_secs(1);
/// Pauses between tries of an append.
const RETRY: Duration = Duration::from_millis(50);
/// Entries after which a bot closes what it holds and trades no more: the journal's own bound, and room to close.
const ENTRIES_MAX: u64 = (JOURNAL_RECORDS_MAX - 50_000) as u64;
/// The kind of these journals.
pub(crate) const KIND: &str = "account";

/// Why a journal is not this process's, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// Another instance has the bot.
    #[error("another instance runs the bot")]
    Elsewhere,
    /// The lease ended, or another took it: this process may write nothing more.
    #[error("the lease is over")]
    Lost,
    /// The store.
    #[error("the journal's store failed")]
    Store(#[from] BackplaneError),
    /// A record that this version cannot read.
    #[error("entry {number} of the journal cannot be read")]
    Unreadable {
        /// Its place, from 1.
        number: u64,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// An entry that does not follow from those before it.
    #[error("entry {number} of the journal does not follow from those before it")]
    Inconsistent {
        /// Its place, from 1.
        number: u64,
        /// Why.
        #[source]
        source: AccountError,
    },
    /// More is untold than fits into the outbox: it is told from the journal.
    #[error("too much is untold")]
    Behind,
}

/// A journal that this process writes.
pub(crate) struct Ledger {
    backplane: Arc<dyn Backplane>,
    journal: JournalName,
    lease: ChannelName,
    fence: Fence,
    until: Instant,
    length: u64,
}

/// The journal of a session's account.
pub(crate) fn journal_of(session: &SessionId) -> Result<JournalName, BackplaneError> {
    JournalName::new(KIND, session.as_str()).map_err(|error| BackplaneError::Config(error.to_string()))
}

/// Gives every entry of a journal to `take`, in order, with its number.
pub(crate) async fn read(
    backplane: &dyn Backplane,
    journal: &JournalName,
    mut take: impl FnMut(u64, Entry) -> Result<(), LedgerError> + Send,
) -> Result<(), LedgerError> {
    let mut read = 0;
    loop {
        let records = backplane.read_journal(journal, read, JOURNAL_PAGE_MAX).await?.records;
        if records.is_empty() {
            return Ok(());
        }
        for record in records {
            read += 1;
            take(read, entry(read, &record)?)?;
        }
    }
}

/// The first entry of a journal, which says whose it is; `None` where there is no such journal.
pub(crate) async fn first(backplane: &dyn Backplane, journal: &JournalName) -> Result<Option<Entry>, LedgerError> {
    let records = backplane.read_journal(journal, 0, 1).await?.records;
    records.first().map(|record| entry(1, record)).transpose()
}

/// Whether there is nothing left to do for a session that is over: its bot finished, or it never had one.
pub(crate) async fn is_finished(backplane: &dyn Backplane, session: &SessionId) -> Result<bool, LedgerError> {
    let journal = journal_of(session)?;
    let length = backplane.read_journal(&journal, 0, 1).await?.length;
    let Some(before) = length.checked_sub(1) else { return Ok(true) };
    let records = backplane.read_journal(&journal, before, 1).await?.records;
    let last = records.first().map(|record| entry(length, record)).transpose()?;
    Ok(matches!(last, Some(Entry::Finished { .. })))
}

fn entry(number: u64, record: &[u8]) -> Result<Entry, LedgerError> {
    serde_json::from_slice(record).map_err(|source| LedgerError::Unreadable { number, source })
}

impl Ledger {
    /// Takes the lease as `holder` and fences others off. What there is has to be read before anything is appended.
    pub(crate) async fn take(
        backplane: Arc<dyn Backplane>,
        session: &SessionId,
        holder: &str,
    ) -> Result<Self, LedgerError> {
        let journal = journal_of(session)?;
        let lease = ChannelName::new(&format!("account:{session}"))
            .map_err(|error| BackplaneError::Config(error.to_string()))?;
        // The term counts from before the call.
        let until = Instant::now() + TERM;
        let taken = backplane.take_leases(std::slice::from_ref(&lease), holder, TERM).await.pop();
        let fence = match taken {
            Some(Ok(Taken::Held(fence))) => fence,
            Some(Ok(Taken::Elsewhere { .. })) | None => return Err(LedgerError::Elsewhere),
            Some(Err(error)) => return Err(error.into()),
        };
        backplane.fence_journal(&journal, fence).await?;
        Ok(Self { backplane, journal, lease, fence, until, length: 0 })
    }

    /// The next entries that were not read yet, with the number of the first; none at the end. Prolongs the lease.
    pub(crate) async fn page(&mut self) -> Result<(u64, Vec<Entry>), LedgerError> {
        let first = self.length + 1;
        let records = self.backplane.read_journal(&self.journal, self.length, JOURNAL_PAGE_MAX).await?.records;
        let entries = (first..).zip(&records).map(|(number, record)| entry(number, record));
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        self.length += entries.len() as u64;
        self.renew().await?;
        Ok((first, entries))
    }

    /// Whether there is only room left to come to an end.
    pub(crate) fn is_full(&self) -> bool {
        self.length >= ENTRIES_MAX
    }

    pub(crate) fn fence(&self) -> Fence {
        self.fence
    }

    /// Entries so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Prolongs the lease. A store that cannot be asked ends it only when its term is over.
    pub(crate) async fn renew(&mut self) -> Result<(), LedgerError> {
        let until = Instant::now() + TERM;
        match self.backplane.renew_leases(&[(self.lease.clone(), self.fence)], TERM).await.pop() {
            Some(Ok(true)) => self.until = until,
            Some(Ok(false)) => return Err(LedgerError::Lost),
            Some(Err(_)) | None => {}
        }
        self.check()
    }

    fn check(&self) -> Result<(), LedgerError> {
        if Instant::now() < self.until { Ok(()) } else { Err(LedgerError::Lost) }
    }

    /// Appends `entries`; when it answers they have happened. Repeated while the store is away and the lease lasts.
    pub(crate) async fn append(&mut self, entries: &[Entry]) -> Result<(), LedgerError> {
        for part in entries.chunks(APPEND_RECORDS_MAX) {
            let record = |(at, entry): (usize, &Entry)| {
                let number = self.length + 1 + at as u64;
                serde_json::to_vec(entry).map(Bytes::from).map_err(|source| LedgerError::Unreadable { number, source })
            };
            let records = part.iter().enumerate().map(record).collect::<Result<Vec<_>, _>>()?;
            let append = Append { journal: self.journal.clone(), fence: self.fence, expected: self.length, records };
            self.length = self.append_part(append).await?;
        }
        Ok(())
    }

    async fn append_part(&mut self, append: Append) -> Result<u64, LedgerError> {
        loop {
            self.check()?;
            match self.backplane.append(append.clone()).await {
                Ok(length) => return Ok(length),
                Err(error @ (BackplaneError::Unavailable(_) | BackplaneError::NotDurable { .. })) => {
                    tracing::debug!(%error, journal = %self.journal, "an append is repeated as it was");
                    tokio::time::sleep(RETRY).await;
                    self.renew().await?;
                }
                Err(BackplaneError::Fenced { .. } | BackplaneError::JournalMoved { .. }) => {
                    return Err(LedgerError::Lost);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives the lease back.
    pub(crate) async fn release(self) {
        if let Err(error) = self.backplane.release_leases(&[(self.lease, self.fence)]).await {
            tracing::debug!(%error, journal = %self.journal, "a lease ends by itself");
        }
    }
}
