//! One pub/sub connection: what it asks for, what it brings, and whether it is alive.
//!
//! An intake lives as long as its connection. It subscribes to all that the registry wants of its partitions, tells every
//! subscriber its channels' tops (what was published while no connection listened is noticed by them), and then runs until
//! the connection is lost, deaf, or no longer where its partitions are. The supervisor starts the next one.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use redis::{AsyncConnectionConfig, PushInfo, PushKind, RedisError, Value, aio::MultiplexedConnection};
use tickwire_protocol::{ChannelName, Position, RawJson, UserId, envelope};
use tokio::sync::{Notify, mpsc};

use super::{
    core::{Asking, Core, Errand},
    fleet::{CONTROL_CHANNEL, read_control},
    interest::Numbered,
    keys::{FLEET_PARTITION, Kind, channel_of_live},
    link::{DIAL_TIMEOUT, Lane, RESPONSE_TIMEOUT, check_master},
    reply,
    stats::Counters,
    topology::Master,
};
use crate::{BackplaneError, Signal};

/// Channels in one pipeline of (un)subscriptions.
const SUBSCRIBE_BATCH: usize = 512;
/// Errands that wait for one intake.
pub(super) const ERRANDS_MAX: usize = 1_024;
/// How often a canary goes through.
const CANARY_INTERVAL: Duration = Duration::from_secs(1);
/// How long it may take.
const CANARY_DEADLINE: Duration = Duration::from_secs(3);
/// Pause before a canary that could not be sent is sent again.
const CANARY_RETRY: Duration = Duration::from_millis(100);
/// How often some channels' tops are told.
const TOPS_INTERVAL: Duration = Duration::from_millis(500);
/// Parts that a round over all channels is done in: each channel every 1.5 s.
const TOPS_PARTS: usize = 3;
/// Channels in one part. Up to three times as many channels of one connection are asked within 2 s; with more, each is
/// asked less often, in turn, so that one process's heartbeat takes about 1 % of the store's time
/// (measured with 10,000 channels).
const TOPS_PART_MAX: usize = 4_000;
/// Rounds until one that also keeps the numbering of quiet channels alive, which no shorter time to live than a day needs
/// more often.
const KEEPING_ROUNDS: u32 = 1_000;
/// How often an intake looks whether an errand was missed.
const RECONCILE_INTERVAL: Duration = Duration::from_secs(1);

/// Why an intake ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum IntakeEnd {
    #[error("the connection could not be made or used")]
    Redis(#[from] RedisError),
    #[error("no answer in time")]
    Timeout,
    #[error("missed orders could not be read")]
    Controls(#[source] BackplaneError),
    #[error("the connection was closed")]
    Closed,
    #[error("a canary did not come back in time")]
    CanaryLost,
    #[error("the server took a subscription back: its slot has moved")]
    Moved,
}

/// What the connection's reader and the intake tell each other.
#[derive(Debug, Default)]
struct Wire {
    /// The newest canary that came back.
    canary: AtomicU64,
    canary_came: Notify,
    closed: Notify,
    moved: Notify,
    /// Unsubscriptions that were asked for and are not confirmed yet.
    leaving: Mutex<HashSet<String>>,
}

impl Wire {
    fn leaving(&self) -> MutexGuard<'_, HashSet<String>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Intake {
    core: Arc<Core>,
    partitions: Vec<usize>,
    connection: MultiplexedConnection,
    wire: Arc<Wire>,
    canary_channel: String,
    /// `(S)SUBSCRIBE` and `(S)UNSUBSCRIBE`.
    verbs: (&'static str, &'static str),
}

/// Serves `master`'s partitions until the connection ends.
pub(super) async fn run(core: Arc<Core>, master: Master, mut errands: mpsc::Receiver<Errand>) -> IntakeEnd {
    let served = async {
        let intake = Intake::dial(core, &master).await?;
        let held = intake.subscribe_to_all().await?;
        let core = &intake.core;
        let tops = core.interest.numbered_in(&intake.partitions);
        for part in tops.chunks(TOPS_PART_MAX) {
            tell_tops(core, part, core.tops(part, Asking::Keep).await);
        }
        tokio::select! {
            end = intake.run_errands(held, &mut errands) => end,
            end = intake.send_canaries() => end,
            end = intake.tell_tops_in_turn() => end,
            () = intake.wire.closed.notified() => Err(IntakeEnd::Closed),
            () = intake.wire.moved.notified() => Err(IntakeEnd::Moved),
        }
    };
    // Once a connection: its size on the heap, not in every frame above.
    let end: Result<std::convert::Infallible, IntakeEnd> = Box::pin(served).await;
    match end {
        Err(end) => end,
        Ok(never) => match never {},
    }
}

impl Intake {
    async fn dial(core: Arc<Core>, master: &Master) -> Result<Self, IntakeEnd> {
        let wire = Arc::new(Wire::default());
        let canary_channel =
            core.keys.prefix(master.partitions[0], "canary") + &format!("{:016x}", rand::random::<u64>());
        let reader = Reader {
            core: Arc::clone(&core),
            wire: Arc::clone(&wire),
            canary_channel: canary_channel.clone(),
            control_channel: core.keys.fleet(CONTROL_CHANNEL),
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(DIAL_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_push_sender(move |push| {
                reader.on_push(push);
                Ok::<(), redis::aio::SendError>(())
            });
        let dial = master.client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = tokio::time::timeout(DIAL_TIMEOUT, dial).await.map_err(|_| IntakeEnd::Timeout)??;
        check_master(&mut connection).await?;
        let verbs =
            if core.topology.is_cluster() { ("SSUBSCRIBE", "SUNSUBSCRIBE") } else { ("SUBSCRIBE", "UNSUBSCRIBE") };
        Ok(Self { core, partitions: master.partitions.clone(), connection, wire, canary_channel, verbs })
    }

    async fn subscribe_to_all(&self) -> Result<HashSet<ChannelName>, IntakeEnd> {
        let mut own = vec![self.canary_channel.clone()];
        if self.partitions.contains(&FLEET_PARTITION) {
            own.push(self.core.keys.fleet(CONTROL_CHANNEL));
        }
        self.send(self.verbs.0, &own).await?;
        self.tell_missed_controls().await?;
        let wanted = self.core.interest.wanted_in(&self.partitions);
        self.send(self.verbs.0, &self.live_names(&wanted)).await?;
        Ok(wanted.into_iter().collect())
    }

    /// What was ordered while no connection listened comes before the first message that this one brings: a node that did not
    /// hear of a revocation must not go on delivering.
    async fn tell_missed_controls(&self) -> Result<(), IntakeEnd> {
        match self.core.tell_missed_controls().await {
            // Another master has them. While that one is away nothing can be ordered, and its own intake will ask again.
            Err(error) if !self.partitions.contains(&FLEET_PARTITION) => {
                tracing::debug!(%error, "missed orders are told later");
                Ok(())
            }
            told => told.map_err(IntakeEnd::Controls),
        }
    }

    /// Makes the subscriptions what the registry says, channel by channel as errands come, and all of them after one was
    /// missed. Only this changes them, so that they never disagree for longer than an errand.
    async fn run_errands(
        &self,
        mut held: HashSet<ChannelName>,
        errands: &mut mpsc::Receiver<Errand>,
    ) -> Result<std::convert::Infallible, IntakeEnd> {
        let mut waiting = Vec::new();
        let mut interval = tokio::time::interval(RECONCILE_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut missed = u64::MAX;
        loop {
            tokio::select! {
                received = errands.recv_many(&mut waiting, ERRANDS_MAX) => {
                    if received == 0 {
                        return Err(IntakeEnd::Closed);
                    }
                    let channels = waiting.iter_mut().flat_map(|errand| std::mem::take(&mut errand.channels)).collect();
                    self.reconcile(&mut held, channels).await?;
                    for errand in waiting.drain(..) {
                        // Who asked may have given up.
                        let _ = errand.done.map(|done| done.send(()));
                    }
                }
                _ = interval.tick() => {
                    let now_missed = self.core.health.missed_errands.load(Ordering::Relaxed);
                    if missed != now_missed {
                        missed = now_missed;
                        let wanted = self.core.interest.wanted_in(&self.partitions);
                        let all: HashSet<ChannelName> = held.iter().cloned().chain(wanted).collect();
                        self.reconcile(&mut held, all).await?;
                    }
                }
            }
        }
    }

    async fn reconcile(
        &self,
        held: &mut HashSet<ChannelName>,
        channels: HashSet<ChannelName>,
    ) -> Result<(), IntakeEnd> {
        let is_wanted = |channel: &ChannelName| self.core.interest.is_wanted(channel.as_str());
        let (wanted, unwanted): (Vec<_>, Vec<_>) = channels.into_iter().partition(is_wanted);
        let new: Vec<ChannelName> = wanted.into_iter().filter(|channel| !held.contains(channel)).collect();
        let old: Vec<ChannelName> = unwanted.into_iter().filter(|channel| held.remove(channel)).collect();
        let old = self.live_names(&old);
        if self.core.topology.is_cluster() {
            self.wire.leaving().extend(old.iter().cloned());
        }
        self.send(self.verbs.1, &old).await?;
        self.send(self.verbs.0, &self.live_names(&new)).await?;
        held.extend(new);
        Ok(())
    }

    /// One command a channel: each is then answered on its own, also where a slot has moved.
    async fn send(&self, verb: &str, names: &[String]) -> Result<(), IntakeEnd> {
        for batch in names.chunks(SUBSCRIBE_BATCH) {
            let mut pipeline = redis::Pipeline::with_capacity(batch.len());
            for name in batch {
                pipeline.cmd(verb).arg(name);
            }
            let mut connection = self.connection.clone();
            self.core.commands.sent_plain(verb, batch.len());
            let answers = connection.send_packed_commands(&pipeline, 0, batch.len()).await;
            let answers =
                answers.and_then(|answers| answers.into_iter().try_for_each(|answer| answer.extract_error().map(drop)));
            answers.inspect_err(|_| self.core.commands.failed_plain(verb, batch.len()))?;
        }
        Ok(())
    }

    fn live_names(&self, channels: &[ChannelName]) -> Vec<String> {
        channels.iter().map(|channel| self.core.keys.of(Kind::Live, channel.as_str())).collect()
    }

    /// Publishes as any message is published and waits until this connection brings it back: an open socket is no proof.
    async fn send_canaries(&self) -> Result<std::convert::Infallible, IntakeEnd> {
        let mut alive = None;
        for number in 1.. {
            let sent_at = Instant::now();
            if tokio::time::timeout(CANARY_DEADLINE, self.send_canary(number)).await.is_err() {
                Counters::add(&self.core.counters.canaries_lost, 1);
                return Err(IntakeEnd::CanaryLost);
            }
            alive.get_or_insert_with(|| Alive::begin(&self.core));
            Counters::add(&self.core.counters.canaries, 1);
            let took = usize::try_from(sent_at.elapsed().as_micros()).unwrap_or(usize::MAX);
            Counters::add(&self.core.counters.canary_us, took);
            tokio::time::sleep(CANARY_INTERVAL.saturating_sub(sent_at.elapsed())).await;
        }
        Err(IntakeEnd::CanaryLost)
    }

    async fn send_canary(&self, number: u64) {
        let mut publish = redis::cmd(self.core.broadcast());
        publish.arg(&self.canary_channel).arg(number);
        // The publishers take turns, so that each is proved.
        let turn = usize::try_from(number).unwrap_or(0) % self.partitions.len();
        let lane = Lane::Shared(self.partitions[turn]);
        while let Err(error) = self.core.call_once(lane, publish.clone()).await {
            tracing::trace!(%error, "a canary could not be sent");
            tokio::time::sleep(CANARY_RETRY).await;
        }
        while self.wire.canary.load(Ordering::Acquire) < number {
            self.wire.canary_came.notified().await;
        }
    }

    /// A lost last message is noticed by the next top, not by the next message.
    async fn tell_tops_in_turn(&self) -> Result<std::convert::Infallible, IntakeEnd> {
        let mut interval = tokio::time::interval(TOPS_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut round: Vec<Numbered> = Vec::new();
        let mut part = 1;
        let mut rounds = 0u32;
        loop {
            interval.tick().await;
            if round.is_empty() {
                rounds = rounds.wrapping_add(1);
                round = self.core.interest.numbered_in(&self.partitions);
                part = round.len().div_ceil(TOPS_PARTS).clamp(1, TOPS_PART_MAX);
            }
            let rest = round.len().saturating_sub(part);
            let asked: Vec<Numbered> =
                round.drain(rest..).filter(|(channel, _)| self.core.interest.is_wanted(channel.as_str())).collect();
            let asking = if rounds.is_multiple_of(KEEPING_ROUNDS) { Asking::Keep } else { Asking::Peek };
            let tops = self.core.tops(&asked, asking).await;
            tell_tops(&self.core, &asked, tops);
        }
    }
}

/// A failure is no loss: the next round asks again, and the canary judges the connection.
fn tell_tops(core: &Core, channels: &[Numbered], tops: Result<Vec<Position>, BackplaneError>) {
    match tops {
        Ok(tops) => {
            for ((channel, _), position) in channels.iter().zip(tops) {
                core.interest.deliver(channel.as_str(), &Signal::Top { channel: channel.clone(), position });
            }
        }
        Err(error) => tracing::debug!(%error, "the tops are told later"),
    }
}

/// Counts as a live connection while it exists.
struct Alive(Arc<Core>);

impl Alive {
    fn begin(core: &Arc<Core>) -> Self {
        core.health.live.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(core))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.health.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs on the connection's own task, for each push; it never waits.
struct Reader {
    core: Arc<Core>,
    wire: Arc<Wire>,
    canary_channel: String,
    control_channel: String,
}

impl Reader {
    fn on_push(&self, push: PushInfo) {
        match push.kind {
            PushKind::Message | PushKind::SMessage => {
                let mut data = push.data.into_iter();
                if let (Some(Value::BulkString(name)), Some(Value::BulkString(payload))) = (data.next(), data.next()) {
                    self.on_message(&name, payload.into());
                }
            }
            // Asked for, or the slot has moved to another master.
            PushKind::SUnsubscribe => {
                let name = push.data.first().and_then(|name| match name {
                    Value::BulkString(name) => std::str::from_utf8(name).ok(),
                    _ => None,
                });
                if name.is_some_and(|name| !self.wire.leaving().remove(name)) {
                    self.wire.moved.notify_one();
                }
            }
            PushKind::Disconnection => self.wire.closed.notify_one(),
            _ => {}
        }
    }

    fn on_message(&self, name: &[u8], payload: Bytes) {
        let Ok(name) = std::str::from_utf8(name) else { return };
        if name == self.canary_channel {
            if let Some(number) = std::str::from_utf8(&payload).ok().and_then(|text| text.parse().ok()) {
                self.wire.canary.fetch_max(number, Ordering::AcqRel);
                self.wire.canary_came.notify_one();
            }
        } else if name == self.control_channel {
            if let Some(control) = read_control(&payload) {
                self.core.interest.fan_in().deliver_to_all(&Signal::Control(control));
            }
        } else if let Some(channel) = channel_of_live(name).filter(|channel| self.core.interest.is_wanted(channel)) {
            Counters::add(&self.core.counters.messages, 1);
            match read_signal(channel, payload) {
                Ok(signal) => self.core.interest.deliver(channel, &signal),
                Err(error) => {
                    // Lossless channels see the hole; the counter is what an operator looks at.
                    Counters::add(&self.core.counters.damaged, 1);
                    tracing::debug!(channel, %error, "a message cannot be read");
                }
            }
        }
    }
}

/// Reads `m<position>@<milliseconds> <envelope>` (the position may be empty, the time absent), `p+<user>` and `p-<user>`,
/// `a<position> <position>…` and `f<preferences>`.
fn read_signal(channel: &str, mut payload: Bytes) -> Result<Signal, Box<dyn std::error::Error>> {
    let channel = ChannelName::new(channel)?;
    if payload.is_empty() {
        return Err("nothing in it".into());
    }
    match payload.split_to(1)[0] {
        b'm' => {
            let (stamp, data) = reply::word(payload)?;
            let (position, time) = stamp.split_once('@').map_or((&*stamp, None), |(at, time)| (at, Some(time)));
            let position: Option<Position> = if position.is_empty() { None } else { Some(position.parse()?) };
            let mut publication = envelope::decode(channel, position, data)?;
            publication.stored_ms = time.map(str::parse).transpose()?;
            Ok(Signal::Publication(Arc::new(publication)))
        }
        b'p' => {
            let text = std::str::from_utf8(&payload)?;
            let (sign, user) = text.split_at_checked(1).ok_or("no sign")?;
            Ok(Signal::Presence { channel, joined: sign == "+", user: UserId::new(user)? })
        }
        b'a' => {
            let positions = std::str::from_utf8(&payload)?.split(' ').map(str::parse).collect::<Result<_, _>>()?;
            Ok(Signal::Acknowledged { channel, positions })
        }
        b'f' => Ok(Signal::Preferences { channel, preferences: RawJson::parse(payload)? }),
        _ => Err("of an unknown kind".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_is_read() {
        let joined = read_signal("room:1", Bytes::from_static(b"p+ann")).unwrap();
        assert!(matches!(joined, Signal::Presence { joined: true, user, .. } if user.as_str() == "ann"));
        let left = read_signal("room:1", Bytes::from_static(b"p-ann")).unwrap();
        assert!(matches!(left, Signal::Presence { joined: false, .. }));
    }

    #[test]
    fn damaged_messages_are_errors() {
        let damaged =
            ["", "m", "mx y", "m5-1", "m5-1 \x01", "m5-1@ \x01", "m@x \x01", "p", "p+", "a", "ax", "f", "f{", "q"];
        for payload in damaged {
            assert!(read_signal("room:1", Bytes::from(payload)).is_err(), "{payload:?}");
        }
    }
}
