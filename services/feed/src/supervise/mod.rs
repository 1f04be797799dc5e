//! Keeps connections to the venues.
//!
//! A venue is supervised by one task ([`Venue`]), each of its connections by another (`lane`): a venue that is stuck, floods or
//! flaps has its own sockets, queue and publisher, and disturbs no other. What is decided without I/O stands apart: `backoff`,
//! `budgets`, `handover`, `pool`, and the adapters.

mod backoff;
mod budgets;
mod clock;
pub(crate) mod feed;
mod handover;
mod lane;
pub(crate) mod link;
mod pool;
pub(crate) mod socket;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use tickwire_protocol::time::now_ms;
use tokio::{
    sync::{mpsc, watch},
    task::{Id, JoinSet},
    time::{Duration, Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

pub(crate) use budgets::Budgets;
pub(crate) use clock::Clock;
pub(crate) use link::{Shared, get};

use crate::{
    config::VenueConfig,
    metrics::Metrics,
    model::{Exchange, Market, Symbol, Topic},
    publish::{Input, VenueWants, market},
    status::Board,
    venue::{Endpoint, Instruments, facts},
};
use lane::{Lane, Plan};
use pool::Pool;

/// How long no connection may be open before the venue counts as away.
const DOWN_AFTER: Duration = Duration::from_secs(5);

/// One venue.
pub(crate) struct Venue {
    pub(crate) exchange: Exchange,
    pub(crate) config: VenueConfig,
    pub(crate) book_depth: usize,
    pub(crate) wanted: watch::Receiver<Arc<VenueWants>>,
    pub(crate) publisher: mpsc::Sender<Input>,
    pub(crate) shared: Shared,
    pub(crate) board: Arc<Board>,
    pub(crate) metrics: Arc<Metrics>,
}

/// The connections to one endpoint of a market.
struct Group {
    endpoint: &'static Endpoint,
    instruments: Instruments,
    pool: Pool,
    lanes: HashMap<u64, watch::Sender<Vec<Topic>>>,
}

type Groups = BTreeMap<(Market, &'static str), Group>;

impl Venue {
    /// Until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        self.metrics.begin(self.exchange);
        let mut groups = Groups::new();
        let mut tasks: JoinSet<()> = JoinSet::new();
        let mut owners: HashMap<Id, ((Market, &'static str), u64)> = HashMap::new();
        let mut watch_over = interval(Duration::from_secs(1));
        watch_over.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut down_since = None;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                changed = self.wanted.changed() => if changed.is_err() { break },
                Some(ended) = tasks.join_next_with_id() => {
                    let id = match &ended {
                        Ok((id, ())) => *id,
                        Err(error) => {
                            tracing::error!(exchange = %self.exchange, %error, "a connection's task ended by itself");
                            error.id()
                        }
                    };
                    // Its topics are placed anew below.
                    if let Some((key, lane)) = owners.remove(&id)
                        && let Some(group) = groups.get_mut(&key)
                    {
                        group.lanes.remove(&lane);
                        group.pool.forget(lane);
                    }
                }
                _ = watch_over.tick() => {
                    self.watch_over(&mut down_since);
                    continue;
                }
            }
            self.arrange(&mut groups, &mut tasks, &mut owners, &shutdown).await;
        }
        drop(groups);
        // Lanes see the same token; each closes its socket within half a second.
        while tasks.join_next().await.is_some() {}
    }

    /// Tells when the venue goes away and comes back.
    fn watch_over(&self, down_since: &mut Option<Instant>) {
        let status = self.board.snapshot().remove(&self.exchange).unwrap_or_default();
        let (is_up, reason) = if status.is_down() {
            let since = *down_since.get_or_insert_with(Instant::now);
            if since.elapsed() < DOWN_AFTER {
                return;
            }
            let last = status.connections.values().find_map(|connection| connection.last_fault.clone());
            (false, last.unwrap_or_else(|| "no connection".to_owned()))
        } else {
            *down_since = None;
            (true, "connected".to_owned())
        };
        // A full queue has other worries; the next second tells it again.
        let _full = self.publisher.try_send(Input::Venue { is_up, reason });
    }

    /// Brings the connections in line with what is wanted.
    async fn arrange(
        &mut self,
        groups: &mut Groups,
        tasks: &mut JoinSet<()>,
        owners: &mut HashMap<Id, ((Market, &'static str), u64)>,
        shutdown: &CancellationToken,
    ) {
        let wanted = Arc::clone(&self.wanted.borrow_and_update());
        let gone = self.board.retain(self.exchange, |symbol| wanted.contains_key(&Symbol::new(symbol)));
        for symbol in gone {
            self.metrics.forget(self.exchange, &Symbol::new(&symbol));
        }
        let mut by_group: BTreeMap<(Market, &'static str), BTreeSet<Topic>> = BTreeMap::new();
        for (symbol, wants) in wanted.iter() {
            for topic in wants.topics(symbol) {
                let market = market(symbol);
                if let Some(endpoint) = facts(self.exchange).endpoint(market, topic.channel) {
                    by_group.entry((market, endpoint.url)).or_default().insert(topic);
                }
            }
        }
        for (&(market, url), topics) in &by_group {
            if !groups.contains_key(&(market, url))
                && let Some(topic) = topics.first()
                && let Some(endpoint) = facts(self.exchange).endpoint(market, topic.channel)
            {
                let instruments = self.instruments(market, endpoint).await;
                let pool = Pool::new(&facts(self.exchange).limits);
                groups.insert((market, url), Group { endpoint, instruments, pool, lanes: HashMap::new() });
            }
        }
        let nothing = BTreeSet::new();
        for (key, group) in groups.iter_mut() {
            let changed = group.pool.assign(by_group.get(key).unwrap_or(&nothing));
            for (lane, topics) in changed {
                if topics.is_empty() {
                    // The lane ends with its sender.
                    group.lanes.remove(&lane);
                } else if let Some(sender) = group.lanes.get(&lane) {
                    sender.send_replace(topics);
                } else {
                    let (sender, receiver) = watch::channel(topics);
                    group.lanes.insert(lane, sender);
                    let task = self.lane(*key, lane, group, receiver).run(shutdown.clone());
                    owners.insert(tasks.spawn(task).id(), (*key, lane));
                }
            }
        }
    }

    fn lane(&self, key: (Market, &'static str), lane: u64, group: &Group, topics: watch::Receiver<Vec<Topic>>) -> Lane {
        let market = if key.0 == Market::Linear { "linear" } else { "spot" };
        let plan = Plan {
            exchange: self.exchange,
            market: key.0,
            name: format!("{}-{market}-{}-{lane}", self.exchange, path(group.endpoint.url).len()).into(),
            url: self.config.url(group.endpoint.url),
            http: self.config.http.clone(),
            instruments: group.instruments.clone(),
            book_depth: self.book_depth,
            backoff: self.config.backoff.over(facts(self.exchange).backoff),
        };
        let (publisher, board) = (self.publisher.clone(), Arc::clone(&self.board));
        Lane::new(plan, self.shared.clone(), topics, publisher, board, Arc::clone(&self.metrics))
    }

    /// From the venue's metadata; by its naming rule where that cannot be had, or where the other end is a simulator.
    async fn instruments(&self, market: Market, endpoint: &Endpoint) -> Instruments {
        let derived = || Instruments::derived(self.exchange, market);
        if self.config.http.is_some() {
            return derived();
        }
        let body = match get(&self.shared.http, &format!("{}{}", endpoint.http, endpoint.instruments)).await {
            Ok(body) => body,
            Err(status) => {
                tracing::warn!(exchange = %self.exchange, ?status, "no metadata: names are derived");
                return derived();
            }
        };
        Instruments::parse(self.exchange, market, &body, now_ms()).unwrap_or_else(|error| {
            tracing::warn!(exchange = %self.exchange, %error, "metadata that cannot be read: names are derived");
            derived()
        })
    }
}

/// The path of an address.
pub(crate) fn path(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or("", |at| &url[host + at..])
}
