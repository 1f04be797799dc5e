//! What must survive: two journals a session. `risk/{id}` holds thresholds and alerts, `stop/{id}` the steps of an emergency stop. Only the
//! holder of the lease `risk:{id}` writes them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tickwire_backplane::{Append, Backplane, BackplaneError, Fence, JournalName, journal::JOURNAL_PAGE_MAX};
use tickwire_trading::SessionId;

use crate::{
    error::RecordError,
    saga::{Stop, StopEvent},
    thresholds::Thresholds,
    watch::Alert,
};

/// Pauses between attempts of an append: nothing may be done that is not recorded, so it is tried until it is clear.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Kind of the journals of stops.
pub(crate) const STOPS: &str = "stop";
/// Kind of the other ones.
const WATCHED: &str = "risk";

/// What happened to a session's watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "one at a time is read or written")]
enum Record {
    /// Its thresholds were set.
    Thresholds { thresholds: Thresholds },
    /// An alert is to be told.
    Alert { alert: Alert },
    /// The alert in the record of this number was told.
    Told { number: u64 },
}

/// A session's records, as far as they are.
pub(crate) struct Records {
    id: SessionId,
    fence: Fence,
    backplane: Arc<dyn Backplane>,
    /// Records of `risk/{id}`.
    length: u64,
    pub(crate) thresholds: Thresholds,
    /// The newest alert of each set of levels, for a new holder's ladders.
    pub(crate) alerts: Vec<Alert>,
    /// Alerts that are not told yet, by their numbers.
    pub(crate) untold: BTreeMap<u64, Alert>,
    pub(crate) stop: Option<Stop>,
}

/// Alerts kept for ladders.
const ALERTS_MAX: usize = 64;

impl Records {
    /// Shuts out older holders and reads everything.
    pub(crate) async fn open(id: SessionId, fence: Fence, backplane: Arc<dyn Backplane>) -> Result<Self, RecordError> {
        for kind in [WATCHED, STOPS] {
            backplane.fence_journal(&name(kind, &id)?, fence).await.map_err(failed)?;
        }
        let stop = Stop::of(read::<StopEvent>(&*backplane, &name(STOPS, &id)?).await?);
        let mut records = Self {
            length: 0,
            thresholds: Thresholds::default(),
            alerts: Vec::new(),
            untold: BTreeMap::new(),
            stop,
            fence,
            backplane,
            id,
        };
        for record in read::<Record>(&*records.backplane, &name(WATCHED, &records.id)?).await? {
            records.fold(record);
        }
        Ok(records)
    }

    fn fold(&mut self, record: Record) {
        self.length += 1;
        match record {
            Record::Thresholds { thresholds } => self.thresholds = thresholds,
            Record::Alert { alert } => {
                if self.alerts.len() == ALERTS_MAX {
                    self.alerts.remove(0);
                }
                self.alerts.push(alert.clone());
                self.untold.insert(self.length, alert);
            }
            Record::Told { number } => drop(self.untold.remove(&number)),
        }
    }

    pub(crate) async fn set_thresholds(&mut self, thresholds: Thresholds) -> Result<(), RecordError> {
        self.write(Record::Thresholds { thresholds }).await
    }

    pub(crate) async fn alert(&mut self, alert: Alert) -> Result<(), RecordError> {
        self.write(Record::Alert { alert }).await
    }

    pub(crate) async fn told(&mut self, number: u64) -> Result<(), RecordError> {
        self.write(Record::Told { number }).await
    }

    /// Records a step of the stop, its beginning included.
    pub(crate) async fn step(&mut self, event: StopEvent) -> Result<(), RecordError> {
        let expected = self.stop.as_ref().map_or(0, |stop| stop.length);
        self.append(STOPS, expected, &event).await?;
        self.stop = match self.stop.take() {
            Some(stop) => Some(stop.apply(&event)),
            None => Stop::of([event]),
        };
        Ok(())
    }

    async fn write(&mut self, record: Record) -> Result<(), RecordError> {
        self.append(WATCHED, self.length, &record).await?;
        self.fold(record);
        Ok(())
    }

    async fn append<T: Serialize>(&self, kind: &str, expected: u64, record: &T) -> Result<(), RecordError> {
        let text = serde_json::to_vec(record).map_err(|error| RecordError::Render(error.to_string()))?;
        let append =
            Append { journal: name(kind, &self.id)?, fence: self.fence, expected, records: vec![Bytes::from(text)] };
        let mut pause = Duration::from_millis(20);
        loop {
            let Err(error) = self.backplane.append(append.clone()).await else { return Ok(()) };
            if !error.is_retryable() {
                return Err(failed(error));
            }
            tracing::warn!(session = %self.id, %error, "a record is not confirmed; trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// A session's thresholds, read without writing.
pub(crate) async fn thresholds(backplane: &dyn Backplane, id: &SessionId) -> Result<Thresholds, RecordError> {
    let records = read::<Record>(backplane, &name(WATCHED, id)?).await?;
    let newest = records.into_iter().rev().find_map(|record| match record {
        Record::Thresholds { thresholds } => Some(thresholds),
        _ => None,
    });
    Ok(newest.unwrap_or_default())
}

/// A session's stop, read without writing.
pub(crate) async fn stop(backplane: &dyn Backplane, id: &SessionId) -> Result<Option<Stop>, RecordError> {
    Ok(Stop::of(read::<StopEvent>(backplane, &name(STOPS, id)?).await?))
}

async fn read<T: DeserializeOwned>(backplane: &dyn Backplane, journal: &JournalName) -> Result<Vec<T>, RecordError> {
    let mut records = Vec::new();
    loop {
        let after = records.len() as u64;
        let page = backplane.read_journal(journal, after, JOURNAL_PAGE_MAX).await.map_err(failed)?;
        let is_last = page.records.is_empty() || after + page.records.len() as u64 >= page.length;
        for (number, record) in (after + 1..).zip(&page.records) {
            let unreadable = |source| RecordError::Unreadable { journal: journal.to_string(), number, source };
            records.push(serde_json::from_slice(record).map_err(unreadable)?);
        }
        if is_last {
            return Ok(records);
        }
    }
}

fn name(kind: &str, id: &SessionId) -> Result<JournalName, RecordError> {
    JournalName::new(kind, id.as_str()).map_err(|error| RecordError::Render(error.to_string()))
}

fn failed(error: BackplaneError) -> RecordError {
    match error {
        BackplaneError::Fenced { .. } | BackplaneError::JournalMoved { .. } => RecordError::Lost(error),
        error => RecordError::Store(error),
    }
}
