//! Everybody who is connected during a run, and all that is published to them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use tickwire_auth::{
    Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_protocol::{ChannelName, UserId};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    fleet::SECRET,
    ledger::{Alert, ChannelLedger, Escalated, InboxLog, LatestLog, Ledger, ReaderLog},
    observer::Observer,
    publisher::{ALERTERS, Counts, Publisher, emitter},
    sdk,
    watch::{Clock, Sink, WatchedChannel, Whereabouts, lock},
    webhook::Received,
};

/// Where presence is tracked.
pub(crate) const ROOM: &str = "room:chaos";
/// Clients that share a `reliable` channel.
const CLIENTS_A_CHANNEL: usize = 20;
/// Symbols with a `latest` channel each.
const SYMBOLS: usize = 10;
/// Users with a watched inbox, at most; a tenth of the clients otherwise.
const INBOXES_MAX: usize = 100;
/// Connections of such a user, each for a device of its own; only the first counts as a client.
const DEVICES: usize = 2;
/// Members of the room, at most; a tenth of the clients otherwise.
const MEMBERS_MAX: usize = 40;
/// One publishing task for so many channels.
const CHANNELS_A_PUBLISHER: usize = 10;
/// About how long the user of an inbox stays connected.
const RESTLESS: Duration = Duration::from_secs(20);
/// Clients started at once, and the pause after them.
const START_BATCH: usize = 50;
const START_PAUSE: Duration = Duration::from_millis(100);

/// How many of whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// All clients.
    pub(crate) clients: usize,
    /// Of these, those with the shipped client.
    pub(crate) sdk: usize,
    /// Of each `reliable` channel's messages, one in this long.
    pub(crate) every: Duration,
}

/// The longest waits of all clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    pub(crate) median_ms: u64,
    pub(crate) p99_ms: u64,
    pub(crate) max_ms: u64,
    /// Connections made.
    pub(crate) connects: u64,
}

/// See the module.
pub(crate) struct Crowd {
    pub(crate) channels: Vec<WatchedChannel>,
    pub(crate) clock: Clock,
    pub(crate) counts: Arc<Counts>,
    pub(crate) whereabouts: Vec<(String, Arc<Mutex<Whereabouts>>)>,
    readers: Vec<Arc<Mutex<ReaderLog>>>,
    latest: Vec<Arc<Mutex<LatestLog>>>,
    inboxes: Vec<Arc<Mutex<InboxLog>>>,
    symbols: Vec<ChannelName>,
    latest_acked: Arc<Mutex<HashMap<String, u64>>>,
    alerts: Arc<Mutex<Vec<Alert>>>,
    /// Users that alerts are sent to.
    alerted: BTreeSet<String>,
    /// Names of the room's members.
    members: BTreeSet<String>,
    stop_clients: watch::Sender<bool>,
    stop_publishers: watch::Sender<bool>,
    clients: JoinSet<anyhow::Result<()>>,
    publishers: JoinSet<anyhow::Result<()>>,
    run: String,
    seed: u64,
}

/// A token for `user` with every trading session.
pub(crate) fn token(user: &str) -> anyhow::Result<String> {
    let claims = TokenClaims::new(UserId::new(user)?).valid_for(Duration::from_secs(6 * 3_600)).grant("session:c*");
    Ok(Signer::new(&Secret::new(SECRET))?.sign(&claims)?)
}

impl Crowd {
    /// Nobody yet; channels for `clients` clients.
    pub(crate) fn new(size: Size, seed: u64) -> anyhow::Result<Self> {
        let count = size.clients.div_ceil(CLIENTS_A_CHANNEL).max(1);
        let mut channels = Vec::with_capacity(count);
        for index in 0..count {
            let name = format!("session:c{index}");
            let ledger = ChannelLedger { name: name.clone(), ..ChannelLedger::default() };
            let ledger = Arc::new(Mutex::new(ledger));
            channels.push(WatchedChannel { name: ChannelName::new(&name)?, index, ledger });
        }
        let symbols = (0..SYMBOLS).map(|index| ChannelName::new(&format!("prices:S{index}")));
        Ok(Self {
            channels,
            symbols: symbols.collect::<Result<_, _>>()?,
            clock: Clock::default(),
            counts: Arc::default(),
            whereabouts: Vec::new(),
            readers: Vec::new(),
            latest: Vec::new(),
            inboxes: Vec::new(),
            latest_acked: Arc::default(),
            alerts: Arc::default(),
            alerted: BTreeSet::new(),
            members: BTreeSet::new(),
            stop_clients: watch::channel(false).0,
            stop_publishers: watch::channel(false).0,
            clients: JoinSet::new(),
            publishers: JoinSet::new(),
            run: format!("{:08x}", rand::random::<u32>()),
            seed,
        })
    }

    /// Connects all clients through `port`: the first ones with the shipped client, the others on the bare wire, of whom some
    /// have an inbox and some are in the room.
    pub(crate) async fn connect(&mut self, size: Size, port: u16) -> anyhow::Result<()> {
        let bare = size.clients.saturating_sub(size.sdk);
        let inboxes = (size.clients / 10).clamp(1, INBOXES_MAX).min(bare);
        let members = (size.clients / 10).clamp(1, MEMBERS_MAX).min(bare);
        for number in 0..size.clients {
            let user = format!("u{number}");
            let mut sinks = vec![self.reliable(&user, number), self.latest(&user, number)];
            let whereabouts = Arc::new(Mutex::new(Whereabouts::default()));
            self.whereabouts.push((user.clone(), Arc::clone(&whereabouts)));
            let token = token(&user)?;
            let (clock, stop) = (self.clock.clone(), self.stop_clients.subscribe());
            if number < size.sdk {
                self.clients.spawn(Box::pin(sdk::run(port, token, sinks, whereabouts, clock, stop)));
            } else {
                let bare_number = number - size.sdk;
                let has_inbox = bare_number < inboxes;
                if has_inbox {
                    sinks.push(self.inbox(&user, bare_number, 0)?);
                    for device in 1..DEVICES {
                        self.further_device(&user, bare_number, device, port)?;
                    }
                } else if bare_number < inboxes + members {
                    sinks.push(Sink::Room { name: ChannelName::new(ROOM)? });
                    self.members.insert(user);
                }
                let restless = has_inbox.then_some(RESTLESS);
                let rng = Observer::rng(self.seed, number as u64);
                let observer = Observer { token, port, sinks, whereabouts, clock, restless, stop, rng };
                self.clients.spawn(async move {
                    Box::pin(observer.run()).await;
                    Ok(())
                });
            }
            if number % START_BATCH == START_BATCH - 1 {
                sleep(START_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Connects a device of `user` that looks at the inbox and at nothing else.
    fn further_device(&mut self, user: &str, number: usize, device: usize, port: u16) -> anyhow::Result<()> {
        let whereabouts = Arc::new(Mutex::new(Whereabouts::default()));
        self.whereabouts.push((user.to_owned(), Arc::clone(&whereabouts)));
        let observer = Observer {
            token: token(user)?,
            port,
            sinks: vec![self.inbox(user, number, device)?],
            whereabouts,
            clock: self.clock.clone(),
            restless: Some(RESTLESS),
            stop: self.stop_clients.subscribe(),
            rng: Observer::rng(!self.seed, (number * DEVICES + device) as u64),
        };
        self.clients.spawn(async move {
            Box::pin(observer.run()).await;
            Ok(())
        });
        Ok(())
    }

    fn reliable(&mut self, user: &str, number: usize) -> Sink {
        let channel = self.channels[number % self.channels.len()].clone();
        let log = ReaderLog { name: user.to_owned(), channel: channel.index, stays: true, ..ReaderLog::default() };
        let log = Arc::new(Mutex::new(log));
        self.readers.push(Arc::clone(&log));
        Sink::Reliable { log, channel }
    }

    fn latest(&mut self, user: &str, number: usize) -> Sink {
        let name = self.symbols[number % self.symbols.len()].clone();
        let log = LatestLog { name: format!("{user} in {name}"), stays: true, ..LatestLog::default() };
        let log = Arc::new(Mutex::new(log));
        self.latest.push(Arc::clone(&log));
        Sink::Latest { log, name }
    }

    fn inbox(&mut self, user: &str, number: usize, device: usize) -> anyhow::Result<Sink> {
        let log = Arc::new(Mutex::new(InboxLog { user: number, device, ..InboxLog::default() }));
        self.inboxes.push(Arc::clone(&log));
        Ok(Sink::Inbox { log, name: ChannelName::new(&format!("user:{user}"))? })
    }

    /// Begins to publish to all of them.
    pub(crate) fn publish(&mut self, size: Size, port: u16) -> anyhow::Result<()> {
        let emitter = emitter(port)?;
        let publisher = || Publisher {
            emitter: emitter.clone(),
            stop: self.stop_publishers.subscribe(),
            counts: Arc::clone(&self.counts),
            run: self.run.clone(),
        };
        for part in self.channels.chunks(CHANNELS_A_PUBLISHER) {
            self.publishers.spawn(publisher().run(part.to_vec(), size.every));
        }
        for part in self.symbols.chunks(CHANNELS_A_PUBLISHER / 2) {
            let acked = Arc::clone(&self.latest_acked);
            self.publishers.spawn(publisher().run_latest(part.to_vec(), size.every, acked));
        }
        let users = (0..self.inboxes.len() / DEVICES).map(|number| UserId::new(&format!("u{}", size.sdk + number)));
        let users: Vec<UserId> = users.collect::<Result<_, _>>()?;
        self.alerted = users.iter().map(ToString::to_string).collect();
        for first in (1..).take(if users.is_empty() { 0 } else { ALERTERS }) {
            let rng = Observer::rng(self.seed, u64::MAX - first);
            let alerts = Arc::clone(&self.alerts);
            self.publishers.spawn(publisher().run_alerts(users.clone(), size.every / 2, first, alerts, rng));
        }
        Ok(())
    }

    /// Clients with a connection now.
    pub(crate) fn connected(&self) -> usize {
        self.whereabouts.iter().filter(|(_, whereabouts)| lock(whereabouts).edge.is_some()).count()
    }

    /// Members of the room that are connected and have joined.
    pub(crate) fn present(&self) -> BTreeSet<String> {
        let is_present = |(name, whereabouts): &&(String, Arc<Mutex<Whereabouts>>)| {
            self.members.contains(name) && lock(whereabouts).in_room
        };
        self.whereabouts.iter().filter(is_present).map(|(name, _)| name.clone()).collect()
    }

    /// Waits until every client has subscribed to everything.
    pub(crate) async fn until_settled(&self, patience: Duration) -> anyhow::Result<()> {
        let settled = async {
            while !self.readers.iter().all(|log| lock(log).reached().is_some()) {
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(patience, settled).await.context("not all clients could connect and subscribe")
    }

    /// Of what the webhook received, the alerts sent from here, by number: probes have users of their own.
    pub(crate) fn escalated(&self, received: Received) -> HashMap<u64, Escalated> {
        let own = received.into_iter().filter(|((user, _), _)| self.alerted.contains(user));
        own.map(|((_, number), escalated)| (number, escalated)).collect()
    }

    /// Ends all publishing once the publishes under way have their answers.
    pub(crate) async fn stop_publishing(&mut self) -> anyhow::Result<()> {
        self.stop_publishers.send_replace(true);
        while let Some(ended) = self.publishers.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// Waits until every client has everything that was acknowledged, but not for ever: what is missing then is missing.
    pub(crate) async fn until_caught_up(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let tops: Vec<_> = self.channels.iter().map(|channel| lock(&channel.ledger).top()).collect();
            let readers = self.readers.iter().all(|log| {
                let log = lock(log);
                log.reached() >= tops[log.channel]
            });
            let acked = lock(&self.latest_acked).clone();
            let latest = self.latest.iter().all(|log| {
                let log = lock(log);
                log.values.iter().all(|(key, value)| acked.get(key).is_none_or(|last| value >= last))
            });
            if readers && latest && self.have_alerts() {
                return true;
            }
            sleep(Duration::from_millis(100)).await;
        }
        false
    }

    /// Whether every device has every alert that the emitter acknowledged and its user did not.
    fn have_alerts(&self) -> bool {
        let settled = self.inboxes.iter().flat_map(|log| lock(log).acks_sent.keys().copied().collect::<Vec<_>>());
        let settled: BTreeSet<u64> = settled.collect();
        let is_owed = |alert: &&Alert| alert.accepted_ms.is_some() && !settled.contains(&alert.number);
        let owed: Vec<Alert> = lock(&self.alerts).iter().filter(is_owed).copied().collect();
        self.inboxes.iter().all(|log| {
            let log = lock(log);
            owed.iter().all(|alert| alert.user != log.user || log.came.contains_key(&alert.number))
        })
    }

    /// Disconnects everybody.
    pub(crate) async fn disconnect(&mut self) -> anyhow::Result<()> {
        self.stop_clients.send_replace(true);
        while let Some(ended) = self.clients.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// For each client, the longest that a message took to reach it.
    pub(crate) fn longest_waits(&self) -> Waits {
        let mut waits: Vec<u64> = self.readers.iter().map(|log| lock(log).longest_ms).collect();
        waits.sort_unstable();
        let at = |share: usize| waits.get((waits.len() * share / 100).min(waits.len().saturating_sub(1))).copied();
        Waits {
            median_ms: at(50).unwrap_or(0),
            p99_ms: at(99).unwrap_or(0),
            max_ms: waits.last().copied().unwrap_or(0),
            connects: self.whereabouts.iter().map(|(_, whereabouts)| lock(whereabouts).connects).sum(),
        }
    }

    /// Everything that was written down. The crowd is empty afterwards.
    pub(crate) fn take_ledger(&mut self) -> Ledger {
        let take = |channel: &WatchedChannel| std::mem::take(&mut *lock(&channel.ledger));
        Ledger {
            channels: self.channels.iter().map(take).collect(),
            readers: self.readers.drain(..).map(|log| lock(&log).clone()).collect(),
            latest: self.latest.drain(..).map(|log| lock(&log).clone()).collect(),
            latest_acked: lock(&self.latest_acked).clone(),
            alerts: lock(&self.alerts).clone(),
            inboxes: self.inboxes.drain(..).map(|log| lock(&log).clone()).collect(),
            ..Ledger::default()
        }
    }
}
