//! Journals: `functions/journal.lua` called, and `WAIT` behind what must have its replicas.

use bytes::Bytes;
use futures_util::future::try_join_all;
use redis::{Cmd, Value};

use super::{
    core::Core,
    error::{from_redis, unexpected},
    functions,
    keys::Kind,
    leases::refused,
    link::Lane,
    publish::{REPLICAS_TIMEOUT, millis},
    reply,
    stats::Counters,
};
use crate::{
    Append, BackplaneError, Fence, JournalEntry, JournalName, JournalPage,
    journal::{JOURNAL_LIST_MAX, JOURNAL_PAGE_MAX, JOURNAL_RECORDS_MAX, JOURNALS_MAX, is_kind},
};

impl Core {
    pub(super) async fn append(&self, append: Append) -> Result<u64, BackplaneError> {
        append.check()?;
        let name = append.journal.as_str();
        let partition = self.keys.partition(name);
        let names = self.keys.journals(partition, append.journal.kind());
        let keys = [self.keys.of(Kind::Journal, name), self.keys.of(Kind::JournalFence, name), names];
        let mut call = functions::call("append_journal", &keys);
        call.arg(append.fence.0)
            .arg(append.expected)
            .arg(append.journal.id())
            .arg(JOURNAL_RECORDS_MAX)
            .arg(JOURNALS_MAX / self.keys.partitions());
        for record in &append.records {
            call.arg(record.as_ref());
        }
        let answer = self.call_durably(partition, call).await?;
        length(&reply::text(answer)?)
    }

    pub(super) async fn fence_journal(&self, journal: &JournalName, fence: Fence) -> Result<u64, BackplaneError> {
        let keys = [Kind::Journal, Kind::JournalFence].map(|kind| self.keys.of(kind, journal.as_str()));
        let mut call = functions::call("fence_journal", &keys);
        call.arg(fence.0);
        let answer = self.call_durably(self.keys.partition(journal.as_str()), call).await?;
        length(&reply::text(answer)?)
    }

    pub(super) async fn read_journal(
        &self,
        journal: &JournalName,
        after: u64,
        limit: usize,
    ) -> Result<JournalPage, BackplaneError> {
        let mut call = functions::call("read_journal", &[self.keys.of(Kind::Journal, journal.as_str())]);
        call.arg(after).arg(limit.min(JOURNAL_PAGE_MAX));
        // Pages may be big: a connection of the caller's own, so that nobody's publishes wait behind them.
        let lane = Lane::Own(self.keys.partition(journal.as_str()));
        let [length, records] = reply::tuple(self.call(lane, call).await?)?;
        let records: Result<Vec<Bytes>, _> = reply::array(records)?.into_iter().map(reply::bytes).collect();
        Ok(JournalPage { length: self::length(&reply::text(length)?)?, records: records? })
    }

    /// Every partition is asked for as many as are wanted: the first ones of all may lie in one.
    pub(super) async fn journals(
        &self,
        kind: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, BackplaneError> {
        let limit = limit.min(JOURNAL_LIST_MAX);
        if limit == 0 || !is_kind(kind) {
            return Ok(Vec::new());
        }
        let asked = (0..self.keys.partitions()).map(|partition| async move {
            let mut call = functions::call("list_journals", &[self.keys.journals(partition, kind)]);
            call.arg(after.unwrap_or_default()).arg(limit).arg(self.keys.prefix(partition, "journal") + kind + "/");
            reply::pairs(self.call(Lane::Shared(partition), call).await?)
        });
        let mut found = Vec::new();
        for (id, length) in try_join_all(asked).await?.into_iter().flatten() {
            let name =
                JournalName::new(kind, &reply::text(id)?).map_err(|_| unexpected("a name that no journal has"))?;
            found.push(JournalEntry { name, length: self::length(&reply::text(length)?)? });
        }
        found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        found.truncate(limit);
        Ok(found)
    }

    /// A call that may be made twice, answered when `critical_replicas` replicas have what it wrote.
    async fn call_durably(&self, partition: usize, call: Cmd) -> Result<Value, BackplaneError> {
        let wanted = self.critical_replicas;
        if wanted == 0 {
            return self.call(Lane::Shared(partition), call).await;
        }
        let mut wait = redis::cmd("WAIT");
        wait.arg(wanted).arg(millis(REPLICAS_TIMEOUT));
        let answers = self.call_all(Lane::Own(partition), vec![call, wait]).await?;
        let [answer, confirmed] =
            <[_; 2]>::try_from(answers).map_err(|_| unexpected("another number of answers than of calls"))?;
        let answer = answer.map_err(from_redis)?;
        match confirmed.map_err(from_redis)? {
            Value::Int(confirmed) if u32::try_from(confirmed).unwrap_or(0) >= wanted => Ok(answer),
            // A refusal wrote nothing that could be lost.
            Value::Int(_) if is_refusal(&answer) => Ok(answer),
            Value::Int(confirmed) => {
                Counters::add(&self.counters.not_durable, 1);
                Err(BackplaneError::NotDurable { confirmed: u32::try_from(confirmed).unwrap_or(0), wanted })
            }
            _ => Err(unexpected("WAIT answered no number")),
        }
    }
}

fn is_refusal(answer: &Value) -> bool {
    matches!(answer, Value::BulkString(bytes) if bytes.starts_with(b"!"))
}

/// A length, or the refusal in its place.
fn length(answer: &str) -> Result<u64, BackplaneError> {
    if let Some(newest) = answer.strip_prefix("!fenced ") {
        return Err(refused(newest));
    }
    if let Some(length) = answer.strip_prefix("!moved ").and_then(|length| length.parse().ok()) {
        return Err(BackplaneError::JournalMoved { length });
    }
    match answer {
        "!journal_full" => Err(BackplaneError::JournalFull),
        "!full" => Err(BackplaneError::Full),
        length => length.parse().map_err(|_| unexpected("no length where one was expected")),
    }
}
