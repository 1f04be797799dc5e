//! What happens to sessions without a command: their time is over, they are summed up, others are told, figures move.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tickwire_client::Emitter;
use tickwire_protocol::time::now_ms;
use tickwire_trading::{
    Directory, Figures, Peer, PeerError, SETTLEMENT, Session, SessionId,
    session::{Command, Refusal},
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    desk::{Desk, DeskError, Request},
    leases::Leases,
    log::Untold,
    metrics::Metrics,
    outbox,
};

/// How often every open session is looked at.
const ROUND: Duration = Duration::from_millis(100);
/// Least time between two statuses of a session: four a second.
const STATUS_INTERVAL: Duration = Duration::from_millis(250);
/// A session that moves by itself in nothing but time is told this often.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// Sessions looked after at once.
const AT_ONCE: usize = 32;
/// A session whose account's last figures do not come is summed up as it is after this, if the account cannot be asked either.
const UNSETTLED: Duration = Duration::from_secs(30);
/// Pause of a session whose emitter or journal failed.
const PAUSE: Duration = Duration::from_millis(500);

/// Looks after the sessions that this instance writes.
pub(crate) struct Keeper {
    pub(crate) desk: Arc<Desk>,
    pub(crate) accounts: Arc<Directory<Figures>>,
    pub(crate) algorithm: Peer,
    pub(crate) emitter: Emitter,
    pub(crate) metrics: Metrics,
}

/// What was last told of a session.
#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    figures: u64,
    at: Option<Instant>,
    /// Not to be looked at before, after something failed.
    rests_until: Option<Instant>,
}

/// Sessions that are not finished, of the partitions held.
#[derive(Default)]
struct Open {
    shown: HashMap<SessionId, Shown>,
    /// Partitions, with the fence under which their journals were listed.
    listed: HashMap<usize, tickwire_backplane::Fence>,
}

/// What came of looking after a session.
enum Tended {
    /// To be looked at again.
    Open(Shown),
    /// Nothing is left to do, or another instance writes it now.
    Done,
}

impl Keeper {
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let open = Mutex::new(Open::default());
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = rounds.tick() => {}
                () = self.desk.bell.notified() => {}
                () = self.desk.leases.changed() => {}
            }
            if let Err(error) = self.list(&open).await {
                tracing::warn!(%error, "sessions could not be listed; the next round does");
            }
            self.round(&open).await;
        }
    }

    /// Finds the open sessions of partitions that were taken since, and drops those of partitions that are not held any more.
    async fn list(&self, open: &Mutex<Open>) -> Result<(), DeskError> {
        let held: HashMap<usize, _> = self.desk.leases.held().into_iter().collect();
        let fresh: HashSet<usize> = {
            let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
            open.shown.retain(|id, _| held.contains_key(&Leases::partition(id)));
            open.listed.retain(|partition, fence| held.get(partition) == Some(fence));
            for id in self.desk.take_rung() {
                open.shown.entry(id).or_default();
            }
            held.keys().copied().filter(|partition| !open.listed.contains_key(partition)).collect()
        };
        if fresh.is_empty() {
            return Ok(());
        }
        let mut after = None;
        loop {
            let page = self.desk.page(after.as_ref()).await?;
            let Some((last, _)) = page.last().cloned() else { break };
            for (id, _) in page {
                if fresh.contains(&Leases::partition(&id)) {
                    let slot = self.desk.read(&id).await?;
                    if !slot.lock().await.log.is_finished() {
                        open.lock().unwrap_or_else(PoisonError::into_inner).shown.entry(id).or_default();
                    }
                }
            }
            after = Some(last);
        }
        let listed = fresh.into_iter().filter_map(|partition| Some((partition, *held.get(&partition)?)));
        open.lock().unwrap_or_else(PoisonError::into_inner).listed.extend(listed);
        Ok(())
    }

    async fn round(&self, open: &Mutex<Open>) {
        let now = Instant::now();
        let due: Vec<(SessionId, Shown)> = {
            let open = open.lock().unwrap_or_else(PoisonError::into_inner);
            self.metrics.open.set(i64::try_from(open.shown.len()).unwrap_or(i64::MAX));
            let is_due = |shown: &Shown| shown.rests_until.is_none_or(|until| until <= now);
            open.shown.iter().filter(|(_, shown)| is_due(shown)).map(|(id, shown)| (id.clone(), *shown)).collect()
        };
        let tended = stream::iter(due).map(|(id, shown)| async move {
            let tended = self.tend(&id, shown).await;
            (id, shown, tended)
        });
        let mut tended = std::pin::pin!(tended.buffer_unordered(AT_ONCE));
        while let Some((id, shown, tended)) = tended.next().await {
            let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
            match tended {
                Ok(Tended::Open(shown)) => {
                    open.shown.insert(id, shown);
                }
                Ok(Tended::Done) => {
                    open.shown.remove(&id);
                }
                Err(error) => {
                    self.metrics.keep_failures.inc();
                    tracing::warn!(session = %id, %error, "a session is looked after again in a moment");
                    open.shown.insert(id, Shown { rests_until: Some(now + PAUSE), ..shown });
                }
            }
        }
    }

    async fn tend(&self, id: &SessionId, shown: Shown) -> Result<Tended, DeskError> {
        let shown = Shown { rests_until: None, ..shown };
        let figures = self.accounts.get(id);
        let slot = self.desk.slot(id);
        let seen = {
            let held = slot.lock().await;
            held.log.session.clone().map(|session| {
                (session, held.log.untold.iter().cloned().collect::<Vec<Untold>>(), held.log.is_finished())
            })
        };
        drop(slot);
        // Made here and then dropped for room: its journal has it.
        let Some((session, untold, is_finished)) = seen else {
            return match self.desk.read(id).await {
                Err(DeskError::NotFound) => Ok(Tended::Done),
                read => read.map(|_| Tended::Open(shown)),
            };
        };
        let is_waiting = match self.move_on(id, &session, figures.as_deref()).await {
            Ok(is_waiting) => is_waiting,
            Err(DeskError::Elsewhere(_)) => return Ok(Tended::Done),
            Err(DeskError::NoWriter) => return Ok(Tended::Open(shown)),
            Err(error) => return Err(error),
        };
        if let Some(last) = untold.last() {
            let told = self.tell(&untold, figures.as_deref()).await;
            if !told {
                return Ok(Tended::Open(Shown { rests_until: Some(Instant::now() + PAUSE), ..shown }));
            }
            self.desk.told(id, last.session.version).await?;
            let at = last.event.is_some().then(Instant::now).or(shown.at);
            return Ok(Tended::Open(Shown { at, figures: version(figures.as_deref()), ..shown }));
        }
        if is_finished {
            self.accounts.forget(id);
            return Ok(Tended::Done);
        }
        let shown = self.show(&session, figures.as_deref(), shown).await;
        let rests_until = if is_waiting { Some(Instant::now() + PAUSE) } else { shown.rests_until };
        Ok(Tended::Open(Shown { rests_until, ..shown }))
    }

    /// What time and the account make of the session; answers whether the account was asked in vain.
    async fn move_on(&self, id: &SessionId, session: &Session, figures: Option<&Figures>) -> Result<bool, DeskError> {
        let now = now_ms();
        let command = if session.expires_at().is_some_and(|expires_at| expires_at <= now) {
            Command::Expire
        } else if let Some(ending) = session.ending.as_ref().filter(|ending| ending.summary.is_none()) {
            let last = figures.filter(|figures| figures.are_last_of(session));
            let waited = Duration::from_millis(now.saturating_sub(ending.at));
            if session.started_at.is_some() && last.is_none() && waited < SETTLEMENT {
                return Ok(false);
            }
            let asked = if last.is_some() || session.started_at.is_none() { None } else { self.account(id).await };
            match asked {
                None if last.is_none() && session.started_at.is_some() && waited < UNSETTLED => return Ok(true),
                None => Command::Settle { summary: session.summary(figures) },
                Some(asked) => Command::Settle { summary: session.summary(asked.as_ref().or(figures)) },
            }
        } else {
            return Ok(false);
        };
        match self.desk.command(id, &Request { user: None, key: None }, &command).await {
            // Another command was first.
            Ok(_) | Err(DeskError::Refused(Refusal::IllegalTransition { .. } | Refusal::NotExpired)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The account's figures by the API, where they are flat, or that there is no account; `None` where that is not known.
    async fn account(&self, id: &SessionId) -> Option<Option<Figures>> {
        match self.algorithm.get::<Figures>(&format!("/v1/accounts/{id}")).await {
            Ok(figures) => figures.is_flat().then_some(Some(figures)),
            Err(PeerError::Refused { status: http::StatusCode::NOT_FOUND, .. }) => Some(None),
            Err(error) => {
                tracing::debug!(session = %id, %error, "the account cannot be asked");
                None
            }
        }
    }

    async fn tell(&self, transitions: &[Untold], figures: Option<&Figures>) -> bool {
        for untold in transitions {
            match outbox::tell(&self.emitter, untold, figures, now_ms()).await {
                Ok(messages) => drop(self.metrics.told.inc_by(messages)),
                Err(error) => {
                    self.metrics.tell_failures.inc();
                    tracing::warn!(session = %untold.session.session_id, %error, "a transition could not be told; again in a moment");
                    return false;
                }
            }
        }
        true
    }

    /// Tells figures that moved, four times a second at most; the last ones always.
    async fn show(&self, session: &Session, figures: Option<&Figures>, shown: Shown) -> Shown {
        let since = shown.at.map_or(Duration::MAX, |at| at.elapsed());
        let has_moved = version(figures) > shown.figures;
        let is_running = session.started_at.is_some() && !session.status.is_over();
        if !is_running || since < STATUS_INTERVAL || !(has_moved || since >= PROGRESS_INTERVAL) {
            return shown;
        }
        let now = now_ms();
        let key = format!("session-{}-at-{now}", session.session_id);
        match outbox::status(&self.emitter, session, figures, now, key).await {
            Ok(()) => {
                self.metrics.told.inc();
                Shown { figures: version(figures), at: Some(Instant::now()), ..shown }
            }
            Err(error) => {
                self.metrics.tell_failures.inc();
                tracing::debug!(session = %session.session_id, %error, "figures were not told; newer ones follow");
                Shown { rests_until: Some(Instant::now() + PAUSE), ..shown }
            }
        }
    }
}

fn version(figures: Option<&Figures>) -> u64 {
    figures.map_or(0, |figures| figures.version)
}
