//! All bots of this instance: one for each session that is not over, or not yet closed, and whose lease is to be had.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tickwire_backplane::Backplane;
use tickwire_client::Emitter;
use tickwire_protocol::{
    ChannelName,
    namespace::{Namespaces, Policy},
    time::now_ms,
};
use tickwire_trading::{KEPT, Session, SessionId, directory::Directory};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    herald::Standing,
    ledger::{self, Ledger, LedgerError},
    mailbox::Mailbox,
    markets::Markets,
    metrics::Metrics,
    trader::{self, Ended, Heard, Order, Telling, Trader},
};
use crate::{bot::Bot, emission::Teller, engine::Engine, entry::Entry};

/// How often sessions without a bot are looked at, besides when they change.
const ROUND: Duration = Duration::from_secs(1);
/// Pause after a bot could not be had, or was lost.
const PAUSE: Duration = Duration::from_secs(1);
/// Before a session whose bot has nothing left to do is looked at again.
const DONE_PAUSE: Duration = Duration::from_secs(60);
/// Requests that wait for one bot.
const ORDERS_MAX: usize = 64;
/// What is told of a bot within this after its end is told; the rest by who runs it next.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The namespace in which users answer: `approvals:{userId}`.
pub(crate) const APPROVALS: &str = "approvals";

/// A bot from outside.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pub(crate) session: watch::Sender<Session>,
    pub(crate) orders: mpsc::Sender<Order>,
    /// The newest; none until its journal is read.
    pub(crate) standing: watch::Receiver<Option<Standing>>,
}

/// What every bot needs.
pub(crate) struct Floor {
    pub(crate) backplane: Arc<dyn Backplane>,
    pub(crate) emitter: Emitter,
    pub(crate) sessions: Arc<Directory<Session>>,
    pub(crate) markets: Arc<Markets>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) namespaces: Arc<Namespaces>,
    /// This process, as no other is called.
    pub(crate) holder: String,
    pub(crate) bots_max: usize,
    pub(crate) bots: Mutex<BTreeMap<SessionId, Handle>>,
    /// Sessions that need no bot any more, and those to be tried again later.
    pub(crate) resting: Mutex<BTreeMap<SessionId, Instant>>,
    /// Sessions whose bots finished, and when that was seen.
    pub(crate) finished: Mutex<BTreeMap<SessionId, Instant>>,
}

impl Floor {
    pub(crate) fn handle(&self, session: &SessionId) -> Option<Handle> {
        self.bots.lock().unwrap_or_else(PoisonError::into_inner).get(session).cloned()
    }

    pub(crate) fn handles(&self) -> Vec<Handle> {
        self.bots.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Until `shutdown`; bots end before this does.
    pub(crate) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = rounds.tick() => {}
                _ = self.sessions.changes() => {}
            }
            self.round(&tasks, &shutdown);
        }
        tasks.close();
        tasks.wait().await;
    }

    fn round(self: &Arc<Self>, tasks: &TaskTracker, shutdown: &CancellationToken) {
        let mut refused = 0;
        let now = Instant::now();
        let mut bots = self.bots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        let all = self.sessions.all();
        resting.retain(|id, _| self.sessions.get(id).is_some());
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        // By then the channel of records has forgotten them too.
        finished.retain(|_, since| now.duration_since(*since) < KEPT * 2);
        for session in all {
            let id = session.session_id.clone();
            if is_summed_up(&session) && finished.contains_key(&id) {
                self.sessions.forget(&id);
                continue;
            }
            if let Some(handle) = bots.get(&id) {
                handle.session.send_if_modified(|before| {
                    let is_new = before.version < session.version;
                    if is_new {
                        *before = (*session).clone();
                    }
                    is_new
                });
                continue;
            }
            // One that was never started has nothing to do and nothing to lose.
            let is_idle = session.started_at.is_none() && !session.status.is_over();
            if is_idle || resting.get(&id).is_some_and(|until| *until > now) {
                continue;
            }
            if bots.len() >= self.bots_max {
                refused += 1;
                continue;
            }
            let (orders, received) = mpsc::channel(ORDERS_MAX);
            let give_up = CancellationToken::new();
            let telling = trader::tell(&self.emitter, &self.metrics, &give_up);
            let (sender, record) = watch::channel((*session).clone());
            let handle = Handle { session: sender, orders, standing: telling.standings.subscribe() };
            bots.insert(id, handle);
            let floor = Arc::clone(self);
            let ways = Ways { telling, received, record, give_up, shutdown: shutdown.clone() };
            tasks.spawn(async move { floor.bot(session, ways).await });
        }
        self.metrics.bots.set(i64::try_from(bots.len()).unwrap_or(i64::MAX));
        self.metrics.bots_refused.set(refused);
    }

    async fn bot(self: Arc<Self>, session: Arc<Session>, ways: Ways) {
        let id = session.session_id.clone();
        let give_up = ways.give_up.clone();
        let seat = Seat { floor: &self, id: &id };
        let pause = match self.run_bot(&session, ways).await {
            Ok(Ended::Shutdown) => return last_words(give_up),
            // Its record stays known until it is summed up; that takes no more bot.
            Ok(Ended::Done) => {
                self.finished.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), Instant::now());
                DONE_PAUSE
            }
            Err(LedgerError::Elsewhere) => PAUSE,
            Err(LedgerError::Lost) => {
                self.metrics.leases_lost.inc();
                PAUSE
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(session = %id, %error, cause, "a bot ended; it is begun again");
                PAUSE
            }
        };
        if pause == PAUSE {
            // Whoever runs the bot now tells of it.
            give_up.cancel();
        } else {
            last_words(give_up);
        }
        // Before the seat is free, so that no round takes it.
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), Instant::now() + pause);
        drop(seat);
    }

    async fn run_bot(&self, session: &Session, ways: Ways) -> Result<Ended, LedgerError> {
        let Ways { telling, received, record, give_up: _, shutdown } = ways;
        // One that was summed up may still owe its user what it did: whoever ran it died before that was told.
        if is_summed_up(session) && ledger::is_finished(&*self.backplane, &session.session_id).await? {
            return Ok(Ended::Done);
        }
        let Telling { outbox, told, standings, heralded } = telling;
        let bot = match Bot::of(session) {
            Ok(bot) => bot,
            Err(error) => {
                tracing::warn!(session = %session.session_id, %error, "a session's parameters make no bot");
                self.refuse(session, &error.to_string()).await;
                return Ok(Ended::Done);
            }
        };
        let ledger = Ledger::take(Arc::clone(&self.backplane), &session.session_id, &self.holder).await?;
        let (id, user) = (session.session_id.clone(), session.user_id.clone());
        let opened = Entry::Opened { session: id, user, capital: bot.capital, at: now_ms() };
        let mailbox = Arc::new(Mailbox::default());
        let teller = Teller {
            session: session.session_id.clone(),
            user: session.user_id.clone(),
            algorithm: session.algorithm_id.clone(),
        };
        let instruments = bot.instruments.clone();
        let mut trader = Trader {
            engine: Engine::new(bot, session.status),
            ledger,
            teller,
            algorithm: session.algorithm_id.to_string(),
            backplane: Arc::clone(&self.backplane),
            approvals: self.approvals(session),
            answered: None,
            mailbox: Arc::clone(&mailbox),
            outbox,
            told,
            heralded,
            told_in_journal: 1,
            finished: false,
            queued: 1,
            standings,
            shown: 0,
            acts_by: 0,
            flattening: Vec::new(),
            heard: Heard::default(),
            metrics: Arc::clone(&self.metrics),
        };
        trader.rebuild(opened).await?;
        trader.show();
        self.markets.join(&instruments, &mailbox);
        let ended = trader.run(received, record, shutdown).await?;
        trader.ledger.release().await;
        Ok(ended)
    }

    /// Says on the strategy's channel why there is no bot. Its session goes on without one until its owner ends it.
    async fn refuse(&self, session: &Session, reason: &str) {
        let body = serde_json::json!({
            "strategyId": session.session_id,
            "userId": session.user_id,
            "status": "refused",
            "event": {"type": "refused", "reason": reason},
            "idempotencyKey": format!("{}-refused-{}", session.session_id, session.version),
        });
        if let Err(error) = self.emitter.event("strategy-update", &body).await {
            tracing::debug!(%error, "a refusal is told again later");
        }
    }

    fn approvals(&self, session: &Session) -> Option<(ChannelName, Policy)> {
        let channel = ChannelName::new(&format!("{APPROVALS}:{}", session.user_id)).ok()?;
        let policy = self.namespaces.policy(&channel)?.clone();
        Some((channel, policy))
    }
}

fn is_summed_up(session: &Session) -> bool {
    session.ending.as_ref().is_some_and(|ending| ending.summary.is_some())
}

/// Figures that were shown last are told, if the emitter takes them soon.
fn last_words(give_up: CancellationToken) {
    tokio::spawn(async move {
        tokio::time::sleep(LAST_WORDS).await;
        give_up.cancel();
    });
}

/// A bot's place, free again however its task ends.
struct Seat<'a> {
    floor: &'a Floor,
    id: &'a SessionId,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.floor.bots.lock().unwrap_or_else(PoisonError::into_inner).remove(self.id);
    }
}

/// The ways in and out of a bot.
struct Ways {
    telling: Telling,
    received: mpsc::Receiver<Order>,
    record: watch::Receiver<Session>,
    give_up: CancellationToken,
    shutdown: CancellationToken,
}
