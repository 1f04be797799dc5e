//! What all parts of the Redis backplane share, and how each of its calls is made.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::try_join_all;
use redis::{Cmd, RedisError, Value};
use tickwire_protocol::{ChannelName, Position, namespace::Policy};
use tokio::sync::{mpsc, oneshot};

use super::{
    alerts::Rounds,
    commands::Commands,
    config::RedisConfig,
    error::{self, from_redis, unavailable, unexpected},
    functions,
    interest::{Interest, Numbered},
    keys::{Keys, Kind},
    link::{Answers, CALL_DEADLINE, Lane, Link, Links},
    presence::Ledger,
    reply,
    stats::Counters,
    topology::Topology,
    vouched::Recent,
};
use crate::{BackplaneError, ControlsMark, SubscriberId};

/// Channels that one call asks the tops of: bounds how long it keeps the store busy (about 10 µs each).
const TOPS_BATCH: usize = 256;
/// Times that calls are made again on a new connection when theirs was lost.
pub(super) const REPEATS_MAX: u32 = 3;
/// Pause before an errand is brought to a subscriber connection that is being dialled.
const ERRAND_RETRY: Duration = Duration::from_millis(50);

/// State shared by the backplane's face, its supervisor and its subscriber connections.
pub(super) struct Core {
    pub(super) config: RedisConfig,
    pub(super) topology: Topology,
    pub(super) keys: Keys,
    pub(super) counters: Counters,
    pub(super) commands: Commands,
    pub(super) interest: Interest,
    pub(super) ledger: Ledger,
    pub(super) health: Health,
    pub(super) links: Links,
    pub(super) rounds: Rounds,
    pub(super) vouched: Recent,
    /// See [`RedisConfig::critical_replicas`].
    pub(super) critical_replicas: u32,
    /// How far [`Core::tell_missed_controls`] has told.
    pub(super) controls_told: tokio::sync::Mutex<ControlsMark>,
    /// By partition, the subscriber connection that serves it.
    errands: Mutex<Vec<Option<mpsc::Sender<Errand>>>>,
}

/// How to ask for tops.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asking {
    /// Through the function; it also keeps the numbering of quiet channels alive.
    Keep,
    /// With one plain read each: 1 µs of the server's time instead of 11 (Redis 7.0). Only what another server numbered, or none, goes
    /// through the function.
    Peek,
}

/// Why calls have no answers.
#[derive(Debug)]
pub(super) enum CallError {
    /// The connection is gone: nobody knows which of them took effect.
    Lost(RedisError),
    Failed(RedisError),
}

impl CallError {
    pub(super) fn into_backplane(self) -> BackplaneError {
        match self {
            Self::Lost(error) | Self::Failed(error) => from_redis(error),
        }
    }
}

pub(super) fn no_link() -> BackplaneError {
    unavailable("no connection to Redis")
}

/// Asks a subscriber connection to make its subscriptions of `channels` what the registry says.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) channels: Vec<ChannelName>,
    /// Told when it is so; dropped when the connection is lost first.
    pub(super) done: Option<oneshot::Sender<()>>,
}

/// Whether the data plane works.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Subscriber connections that should be.
    pub(super) planned: AtomicUsize,
    /// Those whose last canary came back.
    pub(super) live: AtomicUsize,
    /// Counts errands that found a full queue: each connection then compares all it holds with the registry.
    pub(super) missed_errands: AtomicU64,
}

impl Core {
    pub(super) fn new(config: RedisConfig) -> Result<Self, BackplaneError> {
        config.check_bounds()?;
        let keys = Keys::new(config.partitions);
        let topology = Topology::new(&config)?;
        let critical_replicas = config.critical_replicas.unwrap_or_else(|| u32::from(topology.is_sentinel()));
        Ok(Self {
            topology,
            critical_replicas,
            errands: Mutex::new(vec![None; keys.partitions()]),
            links: Links::new(keys.partitions()),
            rounds: Rounds::default(),
            controls_told: tokio::sync::Mutex::default(),
            vouched: Recent::default(),
            keys,
            config,
            counters: Counters::default(),
            commands: Commands::default(),
            interest: Interest::default(),
            ledger: Ledger::default(),
            health: Health::default(),
        })
    }

    /// The command that broadcasts.
    pub(super) fn broadcast(&self) -> &'static str {
        if self.topology.is_cluster() { "SPUBLISH" } else { "PUBLISH" }
    }

    pub(super) fn is_healthy(&self) -> bool {
        let planned = self.health.planned.load(Ordering::Relaxed);
        planned > 0 && self.health.live.load(Ordering::Relaxed) == planned && self.links.are_complete()
    }

    /// One call that may be made twice, within the deadline.
    pub(super) async fn call(&self, lane: Lane, command: Cmd) -> Result<Value, BackplaneError> {
        let answers = self.call_all(lane, vec![command]).await?;
        answers.into_iter().next().ok_or_else(|| unexpected("no answer"))?.map_err(from_redis)
    }

    /// The same for a call whose repetition would not be harmless.
    pub(super) async fn call_once(&self, lane: Lane, command: Cmd) -> Result<Value, BackplaneError> {
        let called = async {
            let link = self.links.get(lane.partition()).ok_or_else(no_link)?;
            self.call_on(&link, lane, &[command]).await.map_err(CallError::into_backplane)
        };
        let answers = self.within_deadline(called).await?;
        answers.into_iter().next().ok_or_else(|| unexpected("no answer"))?.map_err(from_redis)
    }

    /// Several calls of one partition in one go, within the deadline. They may be made twice: when the connection is lost
    /// under them, they are repeated on the next one.
    pub(super) async fn call_all(&self, lane: Lane, commands: Vec<Cmd>) -> Result<Answers, BackplaneError> {
        let called = async {
            let mut repeats = 0;
            loop {
                let link = self.links.wait(lane.partition()).await.ok_or_else(no_link)?;
                match self.call_on(&link, lane, &commands).await {
                    Err(CallError::Lost(_)) if repeats < REPEATS_MAX => {
                        repeats += 1;
                        Counters::add(&self.counters.repeats, 1);
                    }
                    outcome => return outcome.map_err(CallError::into_backplane),
                }
            }
        };
        self.within_deadline(called).await
    }

    /// Several calls in one go. None is sent twice unless the server said that it did nothing.
    pub(super) async fn call_on(&self, link: &Arc<Link>, lane: Lane, commands: &[Cmd]) -> Result<Answers, CallError> {
        let mut answers = self.watch(link, self.send(link, lane, commands).await)?;
        let is_missing = |at: usize| answers[at].as_ref().is_err_and(error::is_function_missing);
        let Some(first) = (0..answers.len()).find(|&at| is_missing(at)) else { return Ok(answers) };
        // A server that came up empty, or a master that joined: load, and repeat what had no effect. What is no function
        // call (`WAIT`) speaks of those before it, so it is repeated with them.
        let again: Vec<usize> =
            (first..answers.len()).filter(|&at| is_missing(at) || !functions::is_call(&commands[at])).collect();
        Counters::add(&self.counters.function_loads, 1);
        // They go down a shared connection, which may be one to a server that was replaced while only a pooled one was in use.
        self.watch(link, link.load_functions().await.map(|()| Vec::new()))?;
        let repeated: Vec<Cmd> = again.iter().map(|&at| commands[at].clone()).collect();
        for (at, answer) in again.into_iter().zip(self.watch(link, self.send(link, lane, &repeated).await)?) {
            answers[at] = answer;
        }
        Ok(answers)
    }

    async fn send(&self, link: &Link, lane: Lane, commands: &[Cmd]) -> Result<Answers, RedisError> {
        self.commands.sent(commands);
        let answers = link.send(lane, commands).await;
        self.commands.answered(commands, &answers);
        answers
    }

    /// Gives the link up where an answer says that it is lost, or that the partition has moved.
    fn watch(&self, link: &Arc<Link>, answers: Result<Answers, RedisError>) -> Result<Answers, CallError> {
        let moved =
            |answers: &Answers| answers.iter().any(|answer| answer.as_ref().is_err_and(error::is_connection_lost));
        match answers {
            Err(error) if error::is_connection_lost(&error) => {
                self.links.give_up(link);
                Err(CallError::Lost(error))
            }
            Err(error) => Err(CallError::Failed(error)),
            Ok(answers) => {
                if moved(&answers) {
                    self.links.give_up(link);
                }
                Ok(answers)
            }
        }
    }

    pub(super) async fn within_deadline<T>(
        &self,
        work: impl Future<Output = Result<T, BackplaneError>>,
    ) -> Result<T, BackplaneError> {
        match tokio::time::timeout(CALL_DEADLINE, work).await {
            Ok(result) => result,
            Err(elapsed) => {
                Counters::add(&self.counters.timeouts, 1);
                Err(unavailable(elapsed))
            }
        }
    }

    /// The newest position of each channel, in order. Opens an epoch where this server has not numbered yet.
    pub(super) async fn tops(&self, channels: &[Numbered], asking: Asking) -> Result<Vec<Position>, BackplaneError> {
        let mut by_partition: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, (channel, _)) in channels.iter().enumerate() {
            by_partition.entry(self.keys.partition(channel.as_str())).or_default().push(at);
        }
        let asked = by_partition.into_iter().map(|(partition, places)| async move {
            let positions = match asking {
                Asking::Keep => self.keep_tops(partition, channels, &places).await?,
                Asking::Peek => self.peek_tops(partition, channels, &places).await?,
            };
            if positions.len() == places.len() {
                Ok(places.into_iter().zip(positions))
            } else {
                Err(unexpected("fewer tops than channels"))
            }
        });
        let mut tops = vec![Position::new(0, 0); channels.len()];
        for (at, position) in try_join_all(asked).await?.into_iter().flatten() {
            tops[at] = position;
        }
        Counters::add(&self.counters.tops, channels.len());
        Ok(tops)
    }

    async fn keep_tops(
        &self,
        partition: usize,
        channels: &[Numbered],
        places: &[usize],
    ) -> Result<Vec<Position>, BackplaneError> {
        let commands = places.chunks(TOPS_BATCH).map(|chunk| self.tops_call(channels, chunk)).collect();
        let mut positions = Vec::with_capacity(places.len());
        for answer in self.call_all(Lane::Shared(partition), commands).await? {
            for position in reply::array(answer.map_err(from_redis)?)? {
                positions.push(reply::position(position)?);
            }
        }
        Ok(positions)
    }

    async fn peek_tops(
        &self,
        partition: usize,
        channels: &[Numbered],
        places: &[usize],
    ) -> Result<Vec<Position>, BackplaneError> {
        let run_id = self.links.get(partition).map(|link| link.run_id.clone()).unwrap_or_default();
        let read = |&at: &usize| {
            let mut command = redis::cmd("HMGET");
            command.arg(self.keys.of(Kind::Meta, channels[at].0.as_str())).arg(&["e", "s", "r"]);
            command
        };
        let mut positions = Vec::with_capacity(places.len());
        let mut unknown = Vec::new();
        for answer in self.call_all(Lane::Shared(partition), places.iter().map(read).collect()).await? {
            let position = reply::numbering(answer.map_err(from_redis)?, &run_id)?;
            if position.is_none() {
                unknown.push(positions.len());
            }
            positions.push(position.unwrap_or(Position::new(0, 0)));
        }
        if !unknown.is_empty() {
            let places: Vec<usize> = unknown.iter().map(|&at| places[at]).collect();
            let opened = self.keep_tops(partition, channels, &places).await?;
            for (at, position) in unknown.into_iter().zip(opened) {
                positions[at] = position;
            }
        }
        Ok(positions)
    }

    fn tops_call(&self, channels: &[Numbered], places: &[usize]) -> Cmd {
        let chosen = || places.iter().map(|&at| &channels[at]);
        let keys: Vec<String> = chosen()
            .flat_map(|(channel, _)| [Kind::Meta, Kind::Stream].map(|kind| self.keys.of(kind, channel.as_str())))
            .collect();
        let mut command = functions::call("tops", &keys);
        for (_, ttl_s) in chosen() {
            command.arg(ttl_s);
        }
        command
    }

    pub(super) async fn subscribe(
        &self,
        subscriber: SubscriberId,
        channels: &[(ChannelName, Policy)],
    ) -> Result<Vec<Position>, BackplaneError> {
        let new = self.interest.add(subscriber, channels, |channel| self.keys.partition(channel))?;
        let (places, numbered) = Interest::numbered(channels);
        let asked = async {
            self.reach(channels.iter().map(|(channel, _)| channel.clone()).collect()).await?;
            self.tops(&numbered, Asking::Keep).await
        };
        match self.within_deadline(asked).await {
            Ok(positions) => {
                let mut tops = vec![Position::new(0, 0); channels.len()];
                for (at, position) in places.into_iter().zip(positions) {
                    tops[at] = position;
                }
                Ok(tops)
            }
            Err(error) => {
                self.tell(self.interest.remove(subscriber, &new));
                Err(error)
            }
        }
    }

    /// Waits until the subscriber connections hold what the registry says of `channels`.
    async fn reach(&self, channels: Vec<ChannelName>) -> Result<(), BackplaneError> {
        let errands = self.by_partition(channels).into_iter().map(|(partition, channels)| async move {
            loop {
                if let Some(sender) = self.route(partition) {
                    let (done, heard) = oneshot::channel();
                    let errand = Errand { channels: channels.clone(), done: Some(done) };
                    if sender.send(errand).await.is_ok() && heard.await.is_ok() {
                        return Ok(());
                    }
                }
                tokio::time::sleep(ERRAND_RETRY).await;
            }
        });
        try_join_all(errands).await.map(drop)
    }

    /// The same without waiting; what finds a full queue is reconciled by the connection's next round.
    pub(super) fn tell(&self, channels: Vec<ChannelName>) {
        for (partition, channels) in self.by_partition(channels) {
            let told =
                self.route(partition).is_some_and(|sender| sender.try_send(Errand { channels, done: None }).is_ok());
            if !told {
                self.health.missed_errands.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// From now on errands of `partitions` go to `sender`.
    pub(super) fn set_route(&self, partitions: &[usize], sender: &mpsc::Sender<Errand>) {
        let mut errands = self.errands();
        for &partition in partitions {
            errands[partition] = Some(sender.clone());
        }
    }

    fn route(&self, partition: usize) -> Option<mpsc::Sender<Errand>> {
        self.errands()[partition].clone()
    }

    fn errands(&self) -> MutexGuard<'_, Vec<Option<mpsc::Sender<Errand>>>> {
        self.errands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn by_partition(&self, channels: Vec<ChannelName>) -> BTreeMap<usize, Vec<ChannelName>> {
        let mut by_partition: BTreeMap<usize, Vec<ChannelName>> = BTreeMap::new();
        for channel in channels {
            by_partition.entry(self.keys.partition(channel.as_str())).or_default().push(channel);
        }
        by_partition
    }
}
