//! The loop: everything that is heard, one watch a session, and the keepers of those sessions whose lease this instance holds. Nothing here
//! waits for another service or for the store.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use rust_decimal::Decimal;
use tickwire_backplane::Fence;
use tickwire_protocol::{ChannelName, time::now_ms};
use tickwire_trading::{Figures, Instrument, Session, SessionId};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::RiskConfig,
    error::RecordError,
    keeper::{self, ORDERS_MAX, Order, Tools},
    market::{Market, SAMPLE_MS},
    thresholds::Thresholds,
    turbulence::{Swing, Turbulence},
    watch::{Alert, Breach, Effect, Standing, Watch},
};

/// Inputs that wait; senders then wait, too.
pub(crate) const INPUTS_MAX: usize = 4_096;
/// Orders held for a keeper that is busy. Alerts beyond it are dropped and counted; there is one stop at most.
const BACKLOG_MAX: usize = 64;
/// How long figures wait for their session, milliseconds. By then the session service was asked.
const EARLY_MS: u64 = 60_000;
/// Stops known to be done; at the bound all are forgotten, and looked up again when they are heard of.
const DONE_MAX: usize = 100_000;

/// What a desk hears.
#[derive(Debug)]
pub(crate) enum Input {
    Session(Box<Session>),
    Figures(Box<Figures>),
    Price(Instrument, Decimal),
    /// A stop that is not done, found in the store.
    Unfinished(SessionId),
    /// Stops that are done, found in the store.
    Done(Vec<SessionId>),
    /// Who has which lease.
    Leases(Vec<(SessionId, Option<Fence>)>),
    /// A keeper has read its records.
    Kept {
        id: SessionId,
        fence: Fence,
        restored: Box<Restored>,
    },
    /// A keeper ended; `is_done`: because nothing was left to do.
    Ended {
        id: SessionId,
        fence: Fence,
        is_done: bool,
    },
    Ask(Ask),
}

/// What an earlier holder left.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) thresholds: Thresholds,
    pub(crate) alerts: Vec<Alert>,
    pub(crate) is_stopping: bool,
}

/// What the API asks.
#[derive(Debug)]
pub(crate) enum Ask {
    /// One session; `None` if it is not under watch.
    Session(SessionId, oneshot::Sender<Option<View>>),
    /// Every session, in order of their ids.
    All(oneshot::Sender<Vec<View>>),
    /// Sets thresholds; the answer comes when they are recorded, `None` where another instance keeps the session.
    Thresholds(SessionId, Box<Thresholds>, oneshot::Sender<Option<oneshot::Receiver<Result<(), RecordError>>>>),
}

/// A session as it stands.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) session: Session,
    pub(crate) figures: Option<Figures>,
    pub(crate) is_kept: bool,
    pub(crate) is_stopping: bool,
    pub(crate) standings: Vec<Standing>,
}

/// A keeper and what waits for it.
#[derive(Debug)]
struct Hold {
    fence: Fence,
    /// `None` once its session is over and it has every order: it ends when all is done.
    orders: Option<mpsc::Sender<Order>>,
    backlog: VecDeque<Order>,
    /// The session is over: no further orders come.
    is_closing: bool,
    is_ready: bool,
    task: AbortHandle,
}

pub(crate) struct Desk {
    config: RiskConfig,
    tools: Arc<Tools>,
    inputs: mpsc::Sender<Input>,
    wanted: watch::Sender<BTreeSet<Instrument>>,
    shutdown: CancellationToken,
    holder: String,
    market: Market,
    watches: BTreeMap<SessionId, Watch>,
    /// Figures that came before their session, and when.
    early: BTreeMap<SessionId, (Figures, u64)>,
    holds: BTreeMap<SessionId, Hold>,
    /// Stops that are to be carried out, whoever began them; with the reason of one that is in no journal yet.
    unfinished: BTreeMap<SessionId, Option<Breach>>,
    done: HashSet<SessionId>,
    turbulence: Turbulence,
    swings: mpsc::Sender<Swing>,
    is_asking_leases: bool,
}

impl Desk {
    pub(crate) fn new(
        config: RiskConfig,
        tools: Arc<Tools>,
        inputs: mpsc::Sender<Input>,
        wanted: watch::Sender<BTreeSet<Instrument>>,
        swings: mpsc::Sender<Swing>,
        shutdown: CancellationToken,
    ) -> Self {
        let holder = format!("{}-{:08x}", config.node, rand::random::<u32>());
        Self {
            config,
            tools,
            inputs,
            wanted,
            shutdown,
            holder,
            market: Market::default(),
            watches: BTreeMap::new(),
            early: BTreeMap::new(),
            holds: BTreeMap::new(),
            unfinished: BTreeMap::new(),
            done: HashSet::new(),
            turbulence: Turbulence::default(),
            swings,
            is_asking_leases: false,
        }
    }

    /// Until `shutdown`.
    pub(crate) async fn run(mut self, mut heard: mpsc::Receiver<Input>) {
        let timer = |period: Duration| {
            let mut timer = interval(period);
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            timer
        };
        let mut samples = timer(Duration::from_millis(SAMPLE_MS));
        let mut leases = timer(self.config.lease() / 3);
        let shutdown = self.shutdown.clone();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(input) = heard.recv() => self.hear(input),
                _ = samples.tick() => self.sample(),
                _ = leases.tick() => self.ask_leases(),
            }
        }
        // A standby takes over at once instead of after the lease.
        let held: Vec<_> = self.holds.iter().filter_map(|(id, hold)| Some((lease(id)?, hold.fence))).collect();
        if let Err(error) = self.tools.backplane.release_leases(&held).await {
            tracing::debug!(%error, "leases end by themselves");
        }
    }

    fn hear(&mut self, input: Input) {
        match input {
            Input::Session(session) => self.session(*session),
            Input::Figures(figures) => self.figures(*figures),
            Input::Price(instrument, price) => self.market.price(&instrument, price, now_ms()),
            Input::Unfinished(id) => self.unfinished(id, None),
            Input::Done(ids) => ids.into_iter().for_each(|id| self.done(id)),
            Input::Leases(leases) => self.leases(leases),
            Input::Kept { id, fence, restored } => self.kept(&id, fence, &restored),
            Input::Ended { id, fence, is_done } => self.ended(&id, fence, is_done),
            Input::Ask(ask) => self.answer(ask),
        }
    }

    fn session(&mut self, session: Session) {
        if session.status.is_over() {
            return self.over(&session);
        }
        let id = session.session_id.clone();
        let is_full = self.watches.len() >= self.config.sessions_max;
        match self.watches.get_mut(&id) {
            Some(watch) => watch.set_session(session),
            None if is_full => {
                self.tools.metrics.refused.inc();
            }
            None => {
                let early = self.early.remove(&id).map(|(figures, _)| figures);
                let mut watch = Watch::new(session, Thresholds::default());
                if let Some(figures) = early.filter(|figures| figures.user_id == watch.session().user_id) {
                    watch.set_figures(figures);
                }
                self.watches.insert(id, watch);
                self.instruments();
                self.ask_leases();
            }
        }
        self.tools.metrics.sessions.set(signed(self.watches.len()));
    }

    /// Its keeper finishes what was begun, and ends. An emergency stop that somebody else asked for is carried out like this
    /// service's own; of an own one the journal knows already.
    fn over(&mut self, session: &Session) {
        let id = &session.session_id;
        self.early.remove(id);
        let stopped = Breach::of_stopped(session).filter(|_| !self.done.contains(id));
        if self.watches.remove(id).is_some() {
            if let Some(hold) = self.holds.get_mut(id) {
                hold.backlog.extend(stopped.clone().map(Order::Stop));
                hold.is_closing = true;
                flush(hold);
            }
            self.instruments();
            self.tools.metrics.sessions.set(signed(self.watches.len()));
        }
        if stopped.is_some() {
            self.unfinished(id.clone(), stopped);
        }
    }

    /// A stop is to be carried out, by whichever instance has the lease.
    fn unfinished(&mut self, id: SessionId, breach: Option<Breach>) {
        if let Some(known) = self.unfinished.get_mut(&id) {
            *known = known.take().or(breach);
        } else if self.unfinished.len() >= self.config.sessions_max {
            self.tools.metrics.refused.inc();
        } else if !self.done.contains(&id) {
            self.unfinished.insert(id, breach);
            self.ask_leases();
        }
    }

    fn done(&mut self, id: SessionId) {
        self.unfinished.remove(&id);
        if self.done.len() >= DONE_MAX {
            self.done.clear();
        }
        self.done.insert(id);
    }

    fn figures(&mut self, figures: Figures) {
        let id = figures.session_id.clone();
        let Some(watch) = self.watches.get_mut(&id) else {
            // At the bound those that come first are kept.
            if self.early.len() < self.config.sessions_max || self.early.contains_key(&id) {
                self.early.insert(id, (figures, now_ms()));
            }
            return;
        };
        if figures.user_id == watch.session().user_id && watch.set_figures(figures) {
            self.look(&id, false);
        }
    }

    /// Compares a session's values, if it is this instance's.
    fn look(&mut self, id: &SessionId, at_all: bool) {
        let (Some(watch), Some(hold)) = (self.watches.get_mut(id), self.holds.get_mut(id)) else { return };
        if !hold.is_ready {
            return;
        }
        let now = now_ms();
        let effects =
            if at_all { watch.look_at_all(&self.market, now) } else { watch.look_at_account(&self.market, now) };
        for effect in effects {
            let order = match effect {
                Effect::Alert(_) if hold.backlog.len() >= BACKLOG_MAX => {
                    self.tools.metrics.alerts_dropped.inc();
                    continue;
                }
                Effect::Alert(alert) => Order::Alert(alert),
                Effect::Stop(breach) => Order::Stop(breach),
            };
            hold.backlog.push_back(order);
        }
        flush(hold);
    }

    fn sample(&mut self) {
        self.market.sample();
        let now = now_ms();
        self.early.retain(|_, (_, since)| now.saturating_sub(*since) < EARLY_MS);
        for swing in self.turbulence.look(&self.market, now) {
            if self.swings.try_send(swing).is_err() {
                self.tools.metrics.alerts_dropped.inc();
            }
        }
        let ids: Vec<SessionId> = self.watches.keys().cloned().collect();
        for id in ids {
            self.look(&id, true);
        }
        for hold in self.holds.values_mut() {
            flush(hold);
        }
    }

    /// Says which prices are wanted.
    fn instruments(&mut self) {
        let all: BTreeSet<Instrument> =
            self.watches.values().flat_map(|watch| watch.session().symbols.iter().cloned()).collect();
        let dropped = all.len().saturating_sub(self.config.instruments_max);
        self.tools.metrics.refused.inc_by(dropped as u64);
        let wanted: BTreeSet<Instrument> = all.into_iter().take(self.config.instruments_max).collect();
        let now = now_ms();
        self.market.keep(|instrument| wanted.contains(instrument));
        for instrument in &wanted {
            self.market.expect(instrument, now);
        }
        self.tools.metrics.instruments.set(signed(wanted.len()));
        self.wanted.send_if_modified(|before| {
            let is_new = *before != wanted;
            *before = wanted;
            is_new
        });
    }

    /// Takes or prolongs the leases of all sessions that want a keeper, in one call.
    fn ask_leases(&mut self) {
        if self.is_asking_leases {
            return;
        }
        let ids: BTreeSet<SessionId> =
            self.watches.keys().chain(self.holds.keys()).chain(self.unfinished.keys()).cloned().collect();
        let (ids, names): (Vec<SessionId>, Vec<ChannelName>) =
            ids.into_iter().filter_map(|id| lease(&id).map(|name| (id, name))).unzip();
        if ids.is_empty() {
            return;
        }
        self.is_asking_leases = true;
        let (tools, holder, ttl) = (Arc::clone(&self.tools), self.holder.clone(), self.config.lease());
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let taken = tools.backplane.take_leases(&names, &holder, ttl).await;
            let known = ids.into_iter().zip(taken).filter_map(|(id, taken)| match taken {
                Ok(taken) => Some((id, taken.fence())),
                Err(error) => {
                    tools.metrics.lease_failures.inc();
                    tracing::debug!(session = %id, %error, "who keeps a session is unknown");
                    None
                }
            });
            // A desk that is gone needs no answer.
            let _gone = inputs.send(Input::Leases(known.collect())).await;
        });
    }

    fn leases(&mut self, leases: Vec<(SessionId, Option<Fence>)>) {
        self.is_asking_leases = false;
        for (id, fence) in leases {
            match (self.holds.get(&id), fence) {
                (Some(hold), fence) if Some(hold.fence) == fence => {}
                (Some(hold), _) => {
                    // Its fence is old, so nothing it does counts any more. The next round takes the lease if it is free.
                    hold.task.abort();
                    self.drop_hold(&id);
                }
                (None, Some(fence)) if self.watches.contains_key(&id) || self.unfinished.contains_key(&id) => {
                    self.hold(id, fence);
                }
                (None, _) => {}
            }
        }
        self.tools.metrics.kept.set(signed(self.holds.len()));
    }

    fn hold(&mut self, id: SessionId, fence: Fence) {
        let (orders, received) = mpsc::channel(ORDERS_MAX);
        let keeping = keeper::keep(
            id.clone(),
            fence,
            Arc::clone(&self.tools),
            received,
            self.inputs.clone(),
            self.shutdown.clone(),
        );
        let task = tokio::spawn(keeping).abort_handle();
        let is_closing = !self.watches.contains_key(&id);
        let stop = self.unfinished.get(&id).cloned().flatten().map(Order::Stop);
        let mut hold = Hold {
            fence,
            orders: Some(orders),
            backlog: stop.into_iter().collect(),
            is_closing,
            is_ready: false,
            task,
        };
        flush(&mut hold);
        self.holds.insert(id, hold);
    }

    fn kept(&mut self, id: &SessionId, fence: Fence, restored: &Restored) {
        let Some(hold) = self.holds.get_mut(id).filter(|hold| hold.fence == fence) else { return };
        hold.is_ready = true;
        if let Some(watch) = self.watches.get_mut(id) {
            watch.set_thresholds(restored.thresholds.clone());
            for alert in &restored.alerts {
                watch.restore(alert);
            }
            if restored.is_stopping {
                watch.stopping();
            }
            self.look(id, false);
        }
    }

    fn ended(&mut self, id: &SessionId, fence: Fence, is_done: bool) {
        if self.holds.get(id).is_none_or(|hold| hold.fence != fence) {
            return;
        }
        self.drop_hold(id);
        if is_done && self.unfinished.contains_key(id) {
            self.done(id.clone());
        }
        let Some(name) = lease(id) else { return };
        let tools = Arc::clone(&self.tools);
        tokio::spawn(async move {
            if let Err(error) = tools.backplane.release_leases(&[(name, fence)]).await {
                tracing::debug!(%error, "a lease ends by itself");
            }
        });
    }

    /// Forgets a keeper, and with it what was decided but perhaps not recorded: the next one's records say what holds.
    fn drop_hold(&mut self, id: &SessionId) {
        self.holds.remove(id);
        if let Some(watch) = self.watches.get_mut(id) {
            let mut fresh = Watch::new(watch.session().clone(), Thresholds::default());
            if let Some(figures) = watch.figures() {
                fresh.set_figures(figures.clone());
            }
            *watch = fresh;
        }
        self.tools.metrics.kept.set(signed(self.holds.len()));
    }

    fn answer(&mut self, ask: Ask) {
        // Callers that went away need no answer.
        match ask {
            Ask::Session(id, reply) => {
                let _gone = reply.send(self.watches.get(&id).map(|watch| self.view(&id, watch)));
            }
            Ask::All(reply) => {
                let _gone = reply.send(self.watches.iter().map(|(id, watch)| self.view(id, watch)).collect());
            }
            Ask::Thresholds(id, thresholds, reply) => {
                let ready = self.holds.get_mut(&id).filter(|hold| hold.is_ready && hold.backlog.len() < BACKLOG_MAX);
                let set = ready.zip(self.watches.get_mut(&id)).map(|(hold, watch)| {
                    let (done, recorded) = oneshot::channel();
                    watch.set_thresholds((*thresholds).clone());
                    hold.backlog.push_back(Order::Thresholds(thresholds, done));
                    flush(hold);
                    recorded
                });
                let _gone = reply.send(set);
            }
        }
    }

    fn view(&self, id: &SessionId, watch: &Watch) -> View {
        View {
            session: watch.session().clone(),
            figures: watch.figures().cloned(),
            is_kept: self.holds.get(id).is_some_and(|hold| hold.is_ready),
            is_stopping: watch.is_stopping(),
            standings: watch.standings(&self.market, now_ms()),
        }
    }
}

/// Gives a keeper what waits for it, as far as it has room.
fn flush(hold: &mut Hold) {
    let Some(orders) = &hold.orders else { return hold.backlog.clear() };
    while let Some(order) = hold.backlog.pop_front() {
        if let Err(mpsc::error::TrySendError::Full(order)) = orders.try_send(order) {
            hold.backlog.push_front(order);
            return;
        }
    }
    if hold.is_closing {
        hold.orders = None;
    }
}

/// The lease of a session's writer.
fn lease(id: &SessionId) -> Option<ChannelName> {
    ChannelName::new(&format!("risk:{id}")).ok()
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
