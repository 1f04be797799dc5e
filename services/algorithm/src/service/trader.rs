//! One bot at work: its engine, its journal, and what it tells.
//!
//! Everything that happens goes one way: the engine wants entries, the journal takes them, only then the engine applies them and
//! others are told. While the journal is asked, quotes wait in the mailbox, the newest of each instrument.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tickwire_backplane::{Backplane, HistoryQuery};
use tickwire_client::Emitter;
use tickwire_protocol::{ChannelName, Position, namespace::Policy, time::now_ms};
use tickwire_trading::{Figures, Session, account::Event, session::Name};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    herald::Standing,
    ledger::{Ledger, LedgerError, RENEWAL},
    mailbox::{Arrived, Mailbox},
    metrics::Metrics,
    outbox::Told,
};
use crate::{
    agent::Signal,
    emission::Teller,
    engine::{Engine, Known, SignalRefusal},
    entry::Entry,
};

/// As in a backtest.
const TICK: Duration = Duration::from_millis(crate::backtest::TICK_MS);
/// How often the journal is told how far the emitter was told.
const TELL_ROUND: Duration = Duration::from_secs(2);
/// How long a request to close everything waits for it.
const FLATTEN_WAIT: Duration = Duration::from_secs(2);
/// Room in the outbox without which nothing new is begun.
const ROOM_TO_TRADE: usize = 256;
/// Room without which nothing is closed: more than the entries of one step.
const ROOM_TO_CLOSE: usize = 64;
/// New signals that a bot hears in a minute; further ones are refused and leave no trace.
const SIGNALS_PER_MINUTE: u32 = 120;
/// Answers on the user's channel that are read at once.
const ANSWERS_MAX: usize = 100;

/// What is asked of a bot.
#[derive(Debug)]
pub(crate) enum Order {
    /// Cancel and close everything; answered with the figures when that is done, or as they are after two seconds.
    Flatten { reason: String, reply: oneshot::Sender<Option<Figures>> },
    /// An agent's signal.
    Hear { signal: Signal, reply: oneshot::Sender<Result<Known, SignalRefusal>> },
    /// The user's answer to one.
    Answer { signal: Name, is_yes: bool, reply: oneshot::Sender<Result<Known, SignalRefusal>> },
    /// Signals that wait.
    Waiting { reply: oneshot::Sender<Vec<(Known, u64)>> },
}

/// What the user published on `approvals:{userId}`.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Approval {
    session_id: String,
    signal_id: Name,
    approve: bool,
}

/// Why a bot ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The session is over, nothing is open, everything is told.
    Done,
    /// The process ends.
    Shutdown,
}

pub(crate) struct Trader {
    pub(crate) engine: Engine,
    pub(crate) ledger: Ledger,
    pub(crate) teller: Teller,
    pub(crate) algorithm: String,
    pub(crate) backplane: Arc<dyn Backplane>,
    pub(crate) approvals: Option<(ChannelName, Policy)>,
    pub(crate) answered: Option<Position>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) outbox: mpsc::Sender<Told>,
    pub(crate) told: watch::Receiver<u64>,
    /// The version of the figures that the herald told last.
    pub(crate) heralded: watch::Receiver<u64>,
    /// As the journal has it.
    pub(crate) told_in_journal: u64,
    /// The journal's last entry says that there is nothing left to do.
    pub(crate) finished: bool,
    /// The entry after the newest in the outbox.
    pub(crate) queued: u64,
    pub(crate) standings: watch::Sender<Option<Standing>>,
    pub(crate) shown: u64,
    /// The version of the session's record that it acts by.
    pub(crate) acts_by: u64,
    pub(crate) flattening: Vec<(Instant, oneshot::Sender<Option<Figures>>)>,
    pub(crate) heard: Heard,
    pub(crate) metrics: Arc<Metrics>,
}

/// New signals within a minute: each is an entry of the journal, whatever becomes of it.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    since: Option<Instant>,
    count: u32,
}

impl Heard {
    fn one_more(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(60)) {
            *self = Self { since: Some(now), count: 0 };
        }
        self.count += 1;
        self.count <= SIGNALS_PER_MINUTE
    }
}

impl Trader {
    /// Takes the journal's past, or begins it with `opened`: applies it, and queues what was not told.
    pub(crate) async fn rebuild(&mut self, opened: Entry) -> Result<(), LedgerError> {
        let mut untold: VecDeque<Told> = VecDeque::new();
        loop {
            let (first, entries) = self.ledger.page().await?;
            if entries.is_empty() {
                break;
            }
            for (number, entry) in (first..).zip(&entries) {
                if let Entry::Told { next } = entry {
                    self.told_in_journal = *next;
                    while untold.front().is_some_and(|told| told.next <= *next) {
                        untold.pop_front();
                    }
                }
                self.finished = matches!(entry, Entry::Finished { .. });
                untold.extend(self.happened(number, entry)?);
            }
        }
        if self.ledger.length() == 0 {
            self.commit(vec![opened]).await?;
        }
        for told in untold {
            while self.outbox.capacity() == 0 {
                tokio::time::sleep(TICK).await;
                self.ledger.renew().await?;
            }
            self.queue(told)?;
        }
        Ok(())
    }

    /// Until the session is over and everything closed and told, the lease is lost, or `shutdown`.
    pub(crate) async fn run(
        &mut self,
        mut orders: mpsc::Receiver<Order>,
        mut session: watch::Receiver<Session>,
        shutdown: CancellationToken,
    ) -> Result<Ended, LedgerError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut renewals, mut tellings) = (interval(RENEWAL), interval(TELL_ROUND));
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tellings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mailbox = Arc::clone(&self.mailbox);
        self.follow(&session.borrow_and_update());
        loop {
            let has_room = self.has_room();
            tokio::select! {
                // What comes now and then goes before what may come without end.
                biased;
                () = shutdown.cancelled() => return Ok(Ended::Shutdown),
                _ = renewals.tick() => self.ledger.renew().await?,
                _ = tellings.tick() => {
                    self.note_told().await?;
                    let is_over = {
                        let session = session.borrow();
                        session.status.is_over() && session.version == self.acts_by
                    };
                    if is_over && self.is_done() {
                        // The last figures say that it knows.
                        self.show();
                        if self.is_heralded() {
                            self.finish().await?;
                            return Ok(Ended::Done);
                        }
                    }
                }
                _ = ticks.tick() => {
                    if has_room {
                        self.tick().await?;
                    } else {
                        self.metrics.outbox_waits.inc();
                    }
                }
                changed = session.changed() => {
                    if changed.is_err() {
                        return Ok(Ended::Shutdown);
                    }
                    self.follow(&session.borrow_and_update());
                }
                order = orders.recv(), if self.outbox.capacity() >= ROOM_TO_CLOSE => match order {
                    Some(order) => self.order(order).await?,
                    None => return Ok(Ended::Shutdown),
                },
                // Who is done watches no market: each quote would be a new standing that has to be told before the end.
                quotes = mailbox.next(), if has_room && !self.engine.is_over() => self.quotes(quotes).await?,
            }
        }
    }

    /// Whether the next step's entries fit into the outbox. Who cannot tell does not trade on, but closes what is held.
    fn has_room(&self) -> bool {
        let needed = if self.engine.is_closing() { ROOM_TO_CLOSE } else { ROOM_TO_TRADE };
        self.outbox.capacity() >= needed
    }

    fn is_done(&self) -> bool {
        let told = *self.told.borrow();
        self.engine.account().is_flat() && told >= self.queued && self.told_in_journal >= told
    }

    fn is_heralded(&self) -> bool {
        let shown = self.standings.borrow().as_ref().map_or(0, |standing| standing.figures.version);
        *self.heralded.borrow() == shown
    }

    async fn finish(&mut self) -> Result<(), LedgerError> {
        if !self.finished {
            self.ledger.append(&[Entry::Finished { at: now_ms() }]).await?;
            self.finished = true;
        }
        Ok(())
    }

    fn follow(&mut self, session: &Session) {
        self.engine.set_status(session.status);
        self.acts_by = session.version;
    }

    async fn quotes(&mut self, quotes: Vec<Arrived>) -> Result<(), LedgerError> {
        let now = now_ms();
        for (quote, _) in &quotes {
            self.engine.see(Arc::clone(quote), now);
        }
        for (quote, arrived) in quotes {
            let entries = self.engine.evaluate(&quote.instrument, now);
            self.metrics.decision_seconds.observe(arrived.elapsed().as_secs_f64());
            self.commit(entries).await?;
        }
        self.show();
        Ok(())
    }

    async fn tick(&mut self) -> Result<(), LedgerError> {
        self.read_answers().await?;
        let entries = if self.ledger.is_full() {
            self.engine.flatten("the account's journal is full", now_ms())
        } else {
            self.engine.tick(now_ms())
        };
        self.commit(entries).await?;
        let now = Instant::now();
        let is_flat = self.engine.account().is_flat();
        let (done, waiting): (Vec<_>, Vec<_>) =
            self.flattening.drain(..).partition(|(deadline, _)| is_flat || *deadline <= now);
        self.flattening = waiting;
        if self.flattening.is_empty() && !self.ledger.is_full() {
            self.engine.reopen();
        }
        self.show();
        let figures = self.standings.borrow().as_ref().map(|standing| standing.figures.clone());
        for (_, reply) in done {
            // Whoever asked may have gone.
            let _gone = reply.send(figures.clone());
        }
        Ok(())
    }

    async fn order(&mut self, order: Order) -> Result<(), LedgerError> {
        // Whoever orders means the market as it is now.
        if self.has_room() && !self.engine.is_over() {
            self.quotes(self.mailbox.take()).await?;
        }
        match order {
            Order::Flatten { reason, reply } => {
                let entries = self.engine.flatten(&reason, now_ms());
                self.commit(entries).await?;
                self.flattening.push((Instant::now() + FLATTEN_WAIT, reply));
                self.tick().await?;
            }
            Order::Hear { signal, reply } => {
                let heard = self.hear(signal).await?;
                let _gone = reply.send(heard);
            }
            Order::Answer { signal, is_yes, reply } => {
                let answered = self.answer(&signal, is_yes).await?;
                let _gone = reply.send(answered);
            }
            Order::Waiting { reply } => {
                let waiting = self.engine.waiting().map(|(known, deadline)| (known.clone(), deadline)).collect();
                let _gone = reply.send(waiting);
            }
        }
        self.show();
        Ok(())
    }

    async fn hear(&mut self, signal: Signal) -> Result<Result<Known, SignalRefusal>, LedgerError> {
        let id = signal.id.clone();
        let may_speak = self.has_room() && !self.ledger.is_full();
        if self.engine.signal(&id).is_none() && !(may_speak && self.heard.one_more(Instant::now())) {
            return Ok(Err(SignalRefusal::TooMany));
        }
        match self.engine.hear(signal, now_ms()) {
            Ok(entries) => {
                self.commit(entries).await?;
                Ok(self.engine.signal(&id).cloned().ok_or(SignalRefusal::Unknown))
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    async fn answer(&mut self, signal: &Name, is_yes: bool) -> Result<Result<Known, SignalRefusal>, LedgerError> {
        match self.engine.answer(signal, is_yes, now_ms()) {
            Ok(entries) => {
                self.commit(entries).await?;
                Ok(self.engine.signal(signal).cloned().ok_or(SignalRefusal::Unknown))
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Answers that the user published, while any are waited for. Those to other signals are passed over.
    async fn read_answers(&mut self) -> Result<(), LedgerError> {
        let Some((channel, policy)) = self.approvals.clone().filter(|_| self.engine.waiting().next().is_some()) else {
            return Ok(());
        };
        let query = HistoryQuery { since: self.answered, limit: ANSWERS_MAX, reverse: false };
        let history = match self.backplane.history(&channel, &policy, query).await {
            Ok(history) => history,
            Err(error) => {
                tracing::debug!(%error, %channel, "answers are read later");
                return Ok(());
            }
        };
        for publication in history.publications {
            self.answered = publication.position.or(self.answered);
            let Ok(approval) = publication.data.to::<Approval>() else { continue };
            if approval.session_id == self.teller.session.as_str()
                && let Err(refusal) = self.answer(&approval.signal_id, approval.approve).await?
            {
                tracing::debug!(%refusal, "an answer is passed over");
            }
        }
        Ok(())
    }

    /// Makes entries happen.
    async fn commit(&mut self, entries: Vec<Entry>) -> Result<(), LedgerError> {
        if entries.is_empty() {
            return Ok(());
        }
        let (first, begun) = (self.ledger.length() + 1, Instant::now());
        self.ledger.append(&entries).await?;
        self.metrics.append_seconds.observe(begun.elapsed().as_secs_f64());
        for (number, entry) in (first..).zip(&entries) {
            self.count(entry);
            if let Some(told) = self.happened(number, entry)? {
                self.queue(told)?;
            }
        }
        self.show();
        Ok(())
    }

    /// Applies an entry that the journal has; answers what it makes known.
    fn happened(&mut self, number: u64, entry: &Entry) -> Result<Option<Told>, LedgerError> {
        let applied = self.engine.apply(entry).map_err(|source| LedgerError::Inconsistent { number, source })?;
        let known = match entry {
            Entry::Signalled { signal, .. } => self.engine.signal(&signal.id),
            Entry::Answered { signal, .. } => self.engine.signal(signal),
            _ => None,
        };
        let emissions = self.teller.emissions(number, entry, &applied, known);
        Ok((!emissions.is_empty()).then_some(Told { next: number + 1, emissions }))
    }

    fn queue(&mut self, told: Told) -> Result<(), LedgerError> {
        self.queued = told.next;
        // A journal that has more to tell than fits is read again, from where it was told.
        self.outbox.try_send(told).map_err(|_| LedgerError::Behind)
    }

    fn count(&self, entry: &Entry) {
        match entry {
            Entry::Decided { .. } => self.metrics.decisions.inc(),
            Entry::Account { event: Event::Filled(_) } => self.metrics.fills.inc(),
            _ => return,
        };
    }

    async fn note_told(&mut self) -> Result<(), LedgerError> {
        let next = *self.told.borrow();
        if next <= self.told_in_journal {
            return Ok(());
        }
        self.ledger.append(&[Entry::Told { next }]).await?;
        self.told_in_journal = next;
        Ok(())
    }

    /// Shows how the bot stands, under a version that grows over restarts and instances: fences grow with the milliseconds, and
    /// fewer than a thousand figures are shown in one.
    pub(crate) fn show(&mut self) {
        let version = self.ledger.fence().0.saturating_mul(1_000) + self.shown + 1;
        let Some(figures) = self.engine.figures(version) else {
            tracing::error!(session = %self.teller.session, "figures cannot be exact; none are shown");
            return;
        };
        let figures = Figures { session_version: Some(self.acts_by), ..figures };
        let status = self.engine.state();
        let is_new =
            self.standings.borrow().as_ref().is_none_or(|before| {
                before.status != status || Figures { version, ..before.figures.clone() } != figures
            });
        if is_new {
            self.shown += 1;
            let capital = self.engine.account().capital();
            let positions = self.engine.account().positions();
            let realized = positions.map(|(symbol, position)| (symbol.clone(), position.realized())).collect();
            let (is_over, algorithm) = (self.engine.is_over(), self.algorithm.clone());
            self.standings.send_replace(Some(Standing { figures, capital, status, is_over, algorithm, realized }));
        }
    }
}

/// A bot's ways to be told of.
pub(crate) struct Telling {
    pub(crate) outbox: mpsc::Sender<Told>,
    /// How far the outbox is.
    pub(crate) told: watch::Receiver<u64>,
    pub(crate) standings: watch::Sender<Option<Standing>>,
    /// The version of the figures that were told last.
    pub(crate) heralded: watch::Receiver<u64>,
}

/// Starts what tells of a bot; both end when their senders are gone.
pub(crate) fn tell(emitter: &Emitter, metrics: &Arc<Metrics>, give_up: &CancellationToken) -> Telling {
    let (outbox, queue) = mpsc::channel(super::outbox::WAITING_MAX);
    let (telling, told) = watch::channel(1);
    let (standings, shown) = watch::channel(None);
    let (heralding, heralded) = watch::channel(0);
    let (ours, events) = (emitter.clone(), Arc::clone(metrics));
    let stop = give_up.clone();
    tokio::spawn(async move { stop.run_until_cancelled(super::outbox::tell(ours, queue, telling, events)).await });
    let metrics = Arc::clone(metrics);
    tokio::spawn(super::herald::herald(emitter.clone(), shown, heralding, metrics, give_up.clone()));
    Telling { outbox, told, standings, heralded }
}
