//! Commands on sessions: from the journal, through the pure decision, into the journal.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tickwire_backplane::{Append, Backplane, BackplaneError, Fence, JournalName, journal::JOURNAL_PAGE_MAX};
use tickwire_protocol::{UserId, time::now_ms};
use tickwire_trading::{
    Session, SessionId,
    session::{Command, NewSession, Refusal},
};
use tokio::sync::{Mutex as AsyncMutex, Notify};

use crate::{
    leases::{Leases, Writer},
    log::{Asked, Corrupt, Log, RECORDS_MAX, Record, What},
    metrics::{EventLabels, Metrics},
};

/// The kind of sessions' journals.
pub(crate) const KIND: &str = "session";
/// Sessions held in memory. At the bound those that are finished are dropped; they are read again when asked for.
const LOGS_MAX: usize = 50_000;
/// Tries of a command whose journal grew meanwhile.
const ATTEMPTS: usize = 3;

/// A session's log, and the fence under which this instance may append to it.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) log: Log,
    fenced: Option<Fence>,
}

type Slot = Arc<AsyncMutex<Held>>;

/// All sessions, as their journals tell.
pub(crate) struct Desk {
    backplane: Arc<dyn Backplane>,
    pub(crate) leases: Arc<Leases>,
    logs: Mutex<HashMap<SessionId, Slot>>,
    /// Rung when the keeper has something to tell.
    pub(crate) bell: Notify,
    /// Sessions that something happened to since the keeper looked.
    rung: Mutex<Vec<SessionId>>,
    metrics: Metrics,
}

/// Why a command was not obeyed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeskError {
    #[error("there is no such session")]
    NotFound,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the idempotency key was used for another command")]
    KeyReused,
    #[error("too much happened to this session; it can only be ended")]
    TooManyCommands,
    #[error("another instance writes this session")]
    Elsewhere(String),
    #[error("no instance writes this session at the moment")]
    NoWriter,
    #[error(transparent)]
    Store(#[from] BackplaneError),
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// Who asks, and under which key.
pub(crate) struct Request {
    /// Whose sessions exist for the caller; `None`: everybody's.
    pub(crate) user: Option<UserId>,
    /// The digest of caller and key.
    pub(crate) key: Option<String>,
}

impl Desk {
    pub(crate) fn new(backplane: Arc<dyn Backplane>, leases: Arc<Leases>, metrics: Metrics) -> Self {
        let (logs, bell, rung) = (Mutex::default(), Notify::new(), Mutex::default());
        Self { backplane, leases, logs, bell, rung, metrics }
    }

    /// Makes the session `id`; under the same key again, answers the first one.
    pub(crate) async fn create(
        &self,
        id: &SessionId,
        user: UserId,
        new: NewSession,
        key: Option<String>,
    ) -> Result<Arc<Session>, DeskError> {
        let slot = self.slot(id);
        let mut held = slot.lock().await;
        self.lead(id, &mut held).await?;
        if let Some(session) = &held.log.session {
            let asked_same = Session::created(id.clone(), user, new, session.created_at);
            let known = held.log.answered(key.as_deref().unwrap_or_default()).map(|(_, first)| Arc::clone(first));
            return known.filter(|first| **first == asked_same).ok_or(DeskError::KeyReused);
        }
        let asked = key.map(|key| Asked { key, command: "create".into() });
        let record = Record { at: now_ms(), asked, what: What::Created { user, session: new } };
        self.append(id, &mut held, vec![record]).await
    }

    /// Carries out `command` on the session `id`.
    pub(crate) async fn command(
        &self,
        id: &SessionId,
        request: &Request,
        command: &Command,
    ) -> Result<Arc<Session>, DeskError> {
        let slot = self.slot(id);
        let mut held = slot.lock().await;
        if held.log.session.is_none() {
            // Looked for before anything is written: made-up ids leave no trace in the store.
            self.catch_up(id, &mut held).await?;
            if held.log.session.is_none() {
                self.logs().remove(id);
                return Err(DeskError::NotFound);
            }
        }
        for _ in 0..ATTEMPTS {
            self.lead(id, &mut held).await?;
            match self.attempt(id, &mut held, request, command).await {
                Err(DeskError::Store(BackplaneError::JournalMoved { .. })) => {
                    self.metrics.conflicts.inc();
                    held.fenced = None;
                }
                done => return done,
            }
        }
        Err(DeskError::NoWriter)
    }

    async fn attempt(
        &self,
        id: &SessionId,
        held: &mut Held,
        request: &Request,
        command: &Command,
    ) -> Result<Arc<Session>, DeskError> {
        let Some(session) = held.log.session.clone() else { return Err(DeskError::NotFound) };
        if request.user.as_ref().is_some_and(|user| *user != session.user_id) {
            return Err(DeskError::NotFound);
        }
        let name = command.name();
        if let Some((known, answer)) = request.key.as_deref().and_then(|key| held.log.answered(key)) {
            return if known == name { Ok(Arc::clone(answer)) } else { Err(DeskError::KeyReused) };
        }
        let may_always = matches!(
            command,
            Command::Stop { .. } | Command::Expire | Command::EmergencyStop { .. } | Command::Settle { .. }
        );
        if held.log.length >= RECORDS_MAX && !may_always {
            return Err(DeskError::TooManyCommands);
        }
        let at = now_ms().max(session.updated_at);
        let events = session.decide(command.clone(), at)?;
        let mut asked = request.key.clone().map(|key| Asked { key, command: name.to_owned() });
        let mut records: Vec<Record> =
            events.into_iter().map(|event| Record { at, asked: asked.take(), what: What::Changed(event) }).collect();
        if let Some(asked) = asked {
            records.push(Record { at, asked: Some(asked), what: What::Repeated });
        }
        if records.is_empty() {
            return Ok(session);
        }
        self.append(id, held, records).await
    }

    /// Notes in the journal that everything up to `version` was told.
    pub(crate) async fn told(&self, id: &SessionId, version: u64) -> Result<(), DeskError> {
        let slot = self.slot(id);
        let mut held = slot.lock().await;
        self.lead(id, &mut held).await?;
        if held.log.untold.iter().all(|untold| untold.session.version > version) {
            return Ok(());
        }
        let record = Record { at: now_ms(), asked: None, what: What::Told { version } };
        self.append(id, &mut held, vec![record]).await.map(drop)
    }

    /// The session as its journal says now, whoever writes it.
    pub(crate) async fn read(&self, id: &SessionId) -> Result<Slot, DeskError> {
        let slot = self.slot(id);
        let mut held = slot.lock().await;
        self.catch_up(id, &mut held).await?;
        let is_known = held.log.session.is_some();
        drop(held);
        if !is_known {
            self.logs().remove(id);
            return Err(DeskError::NotFound);
        }
        Ok(slot)
    }

    /// The session, read from its journal only where that is longer than what is known.
    pub(crate) async fn at_length(&self, id: &SessionId, length: u64) -> Result<Arc<Session>, DeskError> {
        let slot = self.slot(id);
        let mut held = slot.lock().await;
        if held.log.length < length {
            self.catch_up(id, &mut held).await?;
        }
        held.log.session.clone().ok_or(DeskError::NotFound)
    }

    /// Sessions that have a journal, with its length, by id.
    pub(crate) async fn page(&self, after: Option<&SessionId>) -> Result<Vec<(SessionId, u64)>, DeskError> {
        let entries = self.backplane.journals(KIND, after.map(SessionId::as_str), JOURNAL_PAGE_MAX).await?;
        Ok(entries
            .into_iter()
            .filter_map(|entry| Some((SessionId::new(entry.name.id()).ok()?, entry.length)))
            .collect())
    }

    /// Sessions of `user` that this instance knows and that are not over.
    pub(crate) fn open_sessions_of(&self, user: &UserId) -> usize {
        let slots: Vec<Slot> = self.logs().values().cloned().collect();
        let is_open = |slot: &Slot| {
            let Ok(held) = slot.try_lock() else { return false };
            held.log.session.as_ref().is_some_and(|session| session.user_id == *user && !session.status.is_over())
        };
        slots.iter().filter(|slot| is_open(slot)).count()
    }

    pub(crate) fn slot(&self, id: &SessionId) -> Slot {
        let mut logs = self.logs();
        if logs.len() >= LOGS_MAX && !logs.contains_key(id) {
            logs.retain(|_, slot| {
                let is_idle = |held: &Held| held.log.session.is_none() || held.log.is_finished();
                Arc::strong_count(slot) > 1 || slot.try_lock().map_or(true, |held| !is_idle(&held))
            });
        }
        Arc::clone(logs.entry(id.clone()).or_default())
    }

    /// What happened since the last call.
    pub(crate) fn take_rung(&self) -> Vec<SessionId> {
        std::mem::take(&mut self.rung.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes sure that this instance is the writer and knows everything that was written.
    async fn lead(&self, id: &SessionId, held: &mut Held) -> Result<(), DeskError> {
        let fence = match self.leases.writer(id) {
            Writer::Here(fence) => fence,
            Writer::At(address) => return Err(DeskError::Elsewhere(address)),
            Writer::Unknown => return Err(DeskError::NoWriter),
        };
        if held.fenced == Some(fence) {
            return Ok(());
        }
        match self.backplane.fence_journal(&name(id)?, fence).await {
            Ok(_) => {}
            Err(BackplaneError::Fenced { .. }) => {
                self.leases.lost(id);
                return Err(DeskError::NoWriter);
            }
            Err(error) => return Err(error.into()),
        }
        self.catch_up(id, held).await?;
        held.fenced = Some(fence);
        Ok(())
    }

    async fn catch_up(&self, id: &SessionId, held: &mut Held) -> Result<(), DeskError> {
        let name = name(id)?;
        loop {
            let page = self.backplane.read_journal(&name, held.log.length, JOURNAL_PAGE_MAX).await?;
            if page.length < held.log.length {
                // The store lost what it had taken (a failover without replicas, a lost file): what it has counts.
                tracing::error!(session = %id, known = held.log.length, stored = page.length, "the store lost records");
                held.log = Log::default();
                continue;
            }
            if page.records.is_empty() && page.length > held.log.length {
                return Err(BackplaneError::Unexpected("a journal without its records".into()).into());
            }
            for record in &page.records {
                held.log.read(id, record)?;
            }
            if held.log.length >= page.length {
                return Ok(());
            }
        }
    }

    /// Appends, and folds what was appended. Whatever fails, the journal is read again before the next append.
    async fn append(&self, id: &SessionId, held: &mut Held, records: Vec<Record>) -> Result<Arc<Session>, DeskError> {
        let Some(fence) = held.fenced else { return Err(DeskError::NoWriter) };
        let bytes: Result<Vec<Bytes>, _> =
            records.iter().map(|record| serde_json::to_vec(record).map(Bytes::from)).collect();
        let bytes = bytes.map_err(|error| BackplaneError::Unexpected(error.to_string()))?;
        let append = Append { journal: name(id)?, fence, expected: held.log.length, records: bytes };
        held.fenced = None;
        match self.backplane.append(append).await {
            Ok(_) => held.fenced = Some(fence),
            Err(BackplaneError::Fenced { .. }) => {
                self.metrics.conflicts.inc();
                self.leases.lost(id);
                return Err(DeskError::NoWriter);
            }
            Err(error) => return Err(error.into()),
        }
        for record in records {
            let number = held.log.length + 1;
            let is_told = matches!(record.what, What::Told { .. });
            self.metrics.events.get_or_create(&EventLabels { event: label(&record.what) }).inc();
            held.log.fold(id, record).ok_or_else(|| Corrupt::Misplaced { id: id.clone(), number })?;
            if !is_told {
                self.ring(id);
            }
        }
        held.log.session.clone().ok_or(DeskError::NotFound)
    }

    fn ring(&self, id: &SessionId) {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).push(id.clone());
        self.bell.notify_one();
    }

    fn logs(&self) -> MutexGuard<'_, HashMap<SessionId, Slot>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(id: &SessionId) -> Result<JournalName, BackplaneError> {
    JournalName::new(KIND, id.as_str()).map_err(|error| BackplaneError::Unexpected(error.to_string()))
}

fn label(what: &What) -> &'static str {
    use tickwire_trading::session::Event;
    match what {
        What::Created { .. } => "created",
        What::Repeated => "repeated",
        What::Told { .. } => "told",
        What::Changed(event) => match event {
            Event::Started => "started",
            Event::Paused => "paused",
            Event::Resumed => "resumed",
            Event::Completed { .. } => "completed",
            Event::Expired => "expired",
            Event::EmergencyStopped { .. } => "emergency_stopped",
            Event::Settled { .. } => "settled",
        },
    }
}
