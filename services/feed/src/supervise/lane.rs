//! One logical connection: keeps a link open for its topics, replaces it before it ends where it can, and hands on what it brings.

use std::{collections::HashMap, future::Future, pin::Pin, sync::Arc};

use tokio::{
    sync::{mpsc, watch},
    time::{Duration, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    backoff::Retry,
    feed::{Feed, Role},
    handover::{Handover, Step},
    link::{Link, Shared},
    socket::Socket,
};
use crate::{
    metrics,
    model::{Exchange, Market, Topic},
    publish::Input,
    status::{ConnectionState, ConnectionStatus},
    venue::{Backoff, Effect, Facts, Fault, FaultClass, Instruments, Setup, facts},
};

/// A connection that lived so long worked: the next failure begins the backoff anew.
const WORKED: Duration = Duration::from_secs(10);
/// How often status and metrics are brought up to date.
const UPKEEP: Duration = Duration::from_secs(1);

/// What a lane is made of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) exchange: Exchange,
    pub(crate) market: Market,
    /// Unique in the process.
    pub(crate) name: Arc<str>,
    pub(crate) url: String,
    /// Where HTTP requests go, if not to the venue's own host.
    pub(crate) http: Option<String>,
    pub(crate) instruments: Instruments,
    pub(crate) book_depth: usize,
    pub(crate) backoff: Backoff,
}

pub(crate) struct Lane {
    plan: Plan,
    facts: &'static Facts,
    shared: Shared,
    topics: watch::Receiver<Vec<Topic>>,
    feed: Feed,
    retry: Retry,
    status: ConnectionStatus,
    links: u64,
}

/// Why serving ended.
enum End {
    Fault(Fault),
    /// Nothing is wanted any more.
    Idle,
    Stopped,
}

type Dialling = Pin<Box<dyn Future<Output = Result<Socket, Fault>> + Send>>;

impl Lane {
    pub(crate) fn new(
        plan: Plan,
        shared: Shared,
        topics: watch::Receiver<Vec<Topic>>,
        publisher: mpsc::Sender<Input>,
        board: Arc<crate::status::Board>,
        metrics: Arc<metrics::Metrics>,
    ) -> Self {
        let status = ConnectionStatus {
            name: plan.name.to_string(),
            state: ConnectionState::Disconnected,
            topics: 0,
            replayed: false,
            reconnects: 0,
            last_fault: None,
        };
        let feed = Feed::new(plan.exchange, plan.book_depth, publisher, board, metrics);
        Self { facts: facts(plan.exchange), plan, shared, topics, feed, retry: Retry::default(), status, links: 0 }
    }

    /// Until `shutdown`, or until its topics' sender is gone.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        while self.wait_for_topics(&shutdown).await {
            let Some(link) = self.connect(&shutdown).await else { break };
            match self.serve(link, &shutdown).await {
                End::Fault(fault) => {
                    self.tell_disconnected();
                    let wait = self.failed(&fault);
                    if !self.pause(wait, &shutdown).await {
                        break;
                    }
                }
                End::Idle => self.say(ConnectionState::Disconnected),
                End::Stopped => break,
            }
        }
        self.say(ConnectionState::Terminated);
        self.feed.board.gone(self.plan.exchange, &self.plan.name);
    }

    fn say(&mut self, state: ConnectionState) {
        self.status.state = state;
        self.status.topics = self.topics.borrow().len();
        self.feed.board.connection(self.plan.exchange, self.status.clone());
    }

    async fn wait_for_topics(&mut self, shutdown: &CancellationToken) -> bool {
        tokio::select! {
            () = shutdown.cancelled() => false,
            waited = self.topics.wait_for(|topics| !topics.is_empty()) => waited.is_ok(),
        }
    }

    /// False: the lane ends.
    async fn pause(&mut self, wait: Duration, shutdown: &CancellationToken) -> bool {
        tokio::select! {
            () = shutdown.cancelled() => false,
            () = sleep(wait) => true,
        }
    }

    /// Counts a fault and says how long to wait because of it.
    fn failed(&mut self, fault: &Fault) -> Duration {
        let remedy = fault.class.remedy();
        self.feed.metrics.fault(self.plan.exchange, fault.class);
        let wait = self.retry.failed(&self.plan.backoff, fault.class, rand::random());
        if remedy.long_wait {
            self.shared.budgets.close(self.facts, wait);
        }
        tracing::warn!(
            exchange = %self.plan.exchange, connection = %self.plan.name, class = fault.class.name(),
            failures = self.retry.failures(), wait_ms = wait.as_millis(), "{}", fault.detail
        );
        self.status.last_fault = Some(fault.detail.clone());
        if remedy.recoverable {
            self.say(ConnectionState::Reconnecting);
            return wait;
        }
        self.say(ConnectionState::Error);
        Duration::from_millis(self.plan.backoff.max_ms).max(wait)
    }

    async fn connect(&mut self, shutdown: &CancellationToken) -> Option<Link> {
        let again = self.links > 0;
        self.say(if again { ConnectionState::Reconnecting } else { ConnectionState::Connecting });
        loop {
            let dialled = tokio::select! {
                () = shutdown.cancelled() => return None,
                dialled = self.dial() => dialled,
            };
            match dialled {
                Ok(socket) => {
                    if again {
                        self.status.reconnects += 1;
                        self.feed.metrics.reconnects.get_or_create(&metrics::venue(self.plan.exchange)).inc();
                    }
                    let link = self.link(socket);
                    self.status.replayed = link.is_replayed();
                    self.say(ConnectionState::Connected);
                    return Some(link);
                }
                Err(fault) => {
                    let wait = self.failed(&fault);
                    if !self.pause(wait, shutdown).await {
                        return None;
                    }
                }
            }
        }
    }

    /// Within the venue's budget of connects.
    fn dial(&self) -> Dialling {
        let (url, facts, budgets) = (self.plan.url.clone(), self.facts, Arc::clone(&self.shared.budgets));
        Box::pin(async move {
            while let Err(wait) = budgets.connect(facts) {
                sleep(wait).await;
            }
            Socket::dial(&url, facts.limits.frame_bytes_max).await
        })
    }

    fn link(&mut self, socket: Socket) -> Link {
        self.links += 1;
        let setup = Setup {
            exchange: self.plan.exchange,
            market: self.plan.market,
            conn: format!("{}-{}", self.plan.name, self.links).into(),
            instruments: self.plan.instruments.clone(),
            http: self.plan.http.clone(),
            accept_all: false,
        };
        let topics = self.topics.borrow_and_update().clone();
        Link::new(socket, setup, &topics, self.shared.clone())
    }

    fn handover(&self) -> Handover {
        Handover::new(self.shared.clock.now().mono_ms, self.facts.limits.lifetime_ms, rand::random())
    }

    async fn serve(&mut self, mut primary: Link, shutdown: &CancellationToken) -> End {
        let open = self.feed.metrics.connections.get_or_create(&metrics::venue(self.plan.exchange)).clone();
        let _open = Open::count(open);
        let mut handover = self.handover();
        let mut spare: Option<Link> = None;
        let mut dialling: Option<Dialling> = None;
        let mut upkeep = tokio::time::interval(UPKEEP);
        loop {
            let due_ms = handover.wake_at_ms();
            let due = async {
                match due_ms {
                    Some(due_ms) if due_ms > self.shared.clock.now().mono_ms => {
                        tokio::time::sleep_until(self.shared.clock.instant(due_ms)).await;
                    }
                    _ => std::future::pending().await,
                }
            };
            let failed = tokio::select! {
                () = shutdown.cancelled() => {
                    primary.close().await;
                    return End::Stopped;
                }
                changed = self.topics.changed() => {
                    if changed.is_err() {
                        primary.close().await;
                        return End::Stopped;
                    }
                    None
                }
                turned = primary.turn() => turned.err(),
                turned = turn(&mut spare) => {
                    if let Err(fault) = turned {
                        spare = None;
                        handover.spare_lost(self.shared.clock.now().mono_ms, self.failed_spare(&fault));
                    }
                    None
                }
                dialled = dialled(&mut dialling) => {
                    dialling = None;
                    match dialled {
                        Ok(socket) => spare = Some(self.link(socket)),
                        Err(fault) => {
                            handover.spare_lost(self.shared.clock.now().mono_ms, self.failed_spare(&fault));
                        }
                    }
                    None
                }
                _ = upkeep.tick() => {
                    self.feed.upkeep(&primary.adapter, primary.age());
                    None
                }
                () = due => None,
            };
            let topics = self.topics.borrow_and_update().clone();
            if topics.is_empty() {
                primary.close().await;
                return End::Idle;
            }
            let failed = self.settle(&mut primary, &mut spare, &topics, &mut handover, failed);
            let is_ready = spare.as_ref().is_some_and(|spare| is_ready(&primary, spare));
            let step = handover.step(self.shared.clock.now().mono_ms, is_ready);
            match (step, failed) {
                // What ends while its replacement stands ready has been replaced.
                (Step::Change, _) | (Step::Stay, Some(_)) if spare.is_some() => {
                    if let Some(next) = spare.take() {
                        handover = self.change(&mut primary, next).await;
                    }
                }
                (_, Some(fault)) => {
                    if primary.age() >= WORKED {
                        self.retry.worked();
                    }
                    self.feed.upkeep(&primary.adapter, primary.age());
                    return End::Fault(fault);
                }
                (Step::Open, None) => dialling = Some(self.dial()),
                (Step::Stay | Step::Change, None) => {}
            }
        }
    }

    /// Lets both links have the topics, and takes their effects. The answer is why the primary one must end.
    fn settle(
        &mut self,
        primary: &mut Link,
        spare: &mut Option<Link>,
        topics: &[Topic],
        handover: &mut Handover,
        failed: Option<Fault>,
    ) -> Option<Fault> {
        let now = self.shared.clock.now();
        for link in std::iter::once(&mut *primary).chain(spare.as_mut()) {
            if link.adapter.topics() != topics {
                link.adapter.want(topics, now);
                self.status.topics = topics.len();
            }
        }
        if let Some(link) = spare.as_mut() {
            match link.effects() {
                Ok(effects) => {
                    self.take(effects, Role::Spare, link);
                }
                Err(_) => *spare = None,
            }
        }
        let effects = match primary.effects() {
            Ok(effects) => effects,
            Err(fault) => return failed.or(Some(fault)),
        };
        let (announced, recycle) = self.take(effects, Role::Primary, primary);
        if announced {
            handover.announce();
        }
        let recycle = match recycle {
            Some(fault) if fault.class.remedy().make_before_break => {
                handover.announce();
                None
            }
            other => other,
        };
        failed.or(recycle)
    }

    /// Whether the end was announced, and what makes the connection useless.
    fn take(&mut self, effects: Vec<Effect>, role: Role, link: &Link) -> (bool, Option<Fault>) {
        let (mut announced, mut recycle) = (false, None);
        let mut others = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Fault(fault) => {
                    announced |= fault.class == FaultClass::AnnouncedClose;
                    self.feed.metrics.fault(self.plan.exchange, fault.class);
                    if fault.class == FaultClass::RateLimit {
                        let pause = Duration::from_millis(self.plan.backoff.limited_ms);
                        self.shared.budgets.close(self.facts, pause);
                    }
                    tracing::debug!(connection = %self.plan.name, class = fault.class.name(), "{}", fault.detail);
                    self.status.last_fault = Some(fault.detail);
                }
                Effect::Recycle(fault) => recycle = Some(fault),
                other => others.push(other),
            }
        }
        self.feed.take(others, role, &link.adapter, link.is_replayed());
        (announced, recycle)
    }

    fn failed_spare(&mut self, fault: &Fault) -> Duration {
        self.feed.metrics.fault(self.plan.exchange, fault.class);
        self.retry.failed(&self.plan.backoff, fault.class, rand::random())
    }

    /// The replacement takes over.
    async fn change(&mut self, primary: &mut Link, next: Link) -> Handover {
        let old = std::mem::replace(primary, next);
        self.feed.metrics.handovers.get_or_create(&metrics::venue(self.plan.exchange)).inc();
        tracing::info!(connection = %self.plan.name, "replaced");
        self.status.replayed = primary.is_replayed();
        self.feed.changed(&primary.adapter, primary.is_replayed());
        self.retry.worked();
        old.close().await;
        self.handover()
    }

    /// Nothing that the lost connection said of its books may be shown as live.
    fn tell_disconnected(&mut self) {
        let topics = self.topics.borrow().clone();
        self.feed.disconnected(&topics, self.shared.clock.now());
    }
}

/// Counts an open connection while it lives.
struct Open(prometheus_client::metrics::gauge::Gauge);

impl Open {
    fn count(gauge: prometheus_client::metrics::gauge::Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn turn(link: &mut Option<Link>) -> Result<(), Fault> {
    match link {
        Some(link) => link.turn().await,
        None => std::future::pending().await,
    }
}

async fn dialled(dialling: &mut Option<Dialling>) -> Result<Socket, Fault> {
    match dialling {
        Some(dialling) => dialling.await,
        None => std::future::pending().await,
    }
}

/// The replacement's books are live and nowhere behind, where the venue numbers its messages alike on all connections.
fn is_ready(primary: &Link, spare: &Link) -> bool {
    let is_comparable = matches!(primary.adapter.facts().exchange, Exchange::Binance | Exchange::Bybit | Exchange::Okx);
    let seqs: HashMap<_, _> = primary.adapter.books().map(|(symbol, book)| (symbol, book.last_seq())).collect();
    let is_behind = spare.adapter.books().any(|(symbol, book)| {
        is_comparable
            && seqs.get(symbol).copied().flatten().is_some_and(|seq| book.last_seq().is_some_and(|own| own < seq))
    });
    spare.is_ready() && !is_behind
}
