//! A client on the bare wire: it believes the server word for word and writes everything down.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tickwire_protocol::{
    ChannelName, Command, Position, SubscriptionRequest,
    codec::{Message, ServerEvent, ServerSubscribed},
    time::now_ms,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    fleet::HEARTBEAT_MS,
    ledger::{InboxJoin, Sight},
    watch::{Clock, Payload, Sink, Whereabouts, lock},
    wire::{Came, Refusal, Wire},
};

/// Without a word for this long a connection is given up.
const SILENCE_MAX: Duration = Duration::from_millis(HEARTBEAT_MS * 5 / 2);
/// Longest pause between two attempts, ms; the first is at most a third of it.
const PAUSE_MS_MAX: u64 = 3_000;
/// How long a client waits after a channel was refused for now.
const REFUSED_PAUSE: Duration = Duration::from_millis(700);
/// An inbox's user acknowledges an alert after at most this long, ms.
const ACK_MS_MAX: u64 = 8_000;

/// See the module.
pub(crate) struct Observer {
    pub(crate) token: String,
    pub(crate) port: u16,
    pub(crate) sinks: Vec<Sink>,
    pub(crate) whereabouts: Arc<Mutex<Whereabouts>>,
    pub(crate) clock: Clock,
    /// Goes and comes back by itself after about this long.
    pub(crate) restless: Option<Duration>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) rng: StdRng,
}

/// What an inbox's user still has to do on this connection.
#[derive(Default)]
struct Errands {
    /// When the subscribe of the inbox was sent, Unix ms.
    asked_ms: u64,
    /// Alerts to acknowledge: when, number, position.
    due: Vec<(Instant, u64, Position)>,
    /// Acknowledgements without an answer, by command.
    unconfirmed: HashMap<i64, u64>,
}

enum Next {
    Came(Came),
    Due,
    Stop,
    Leave,
}

impl Observer {
    /// A generator of its own for each client.
    pub(crate) fn rng(seed: u64, number: u64) -> StdRng {
        StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Runs until told to stop.
    pub(crate) async fn run(mut self) {
        let mut attempt = 0_u32;
        while !*self.stop.borrow() {
            match Wire::connect(self.port, &self.token).await {
                Ok(wire) => {
                    if self.stay(wire).await {
                        attempt = 0;
                    }
                }
                Err(Refusal::Status(status @ (400 | 401 | 403))) => {
                    tracing::error!(status, "an honest client is refused");
                }
                Err(Refusal::Status(_) | Refusal::Link) => {}
            }
            attempt += 1;
            let max_ms = if attempt == 1 { PAUSE_MS_MAX / 3 } else { PAUSE_MS_MAX };
            let pause = Duration::from_millis(self.rng.random_range(0..max_ms));
            // Either way the loop looks whether it shall stop.
            let _ = timeout(pause, self.stop.wait_for(|stop| *stop)).await;
        }
    }

    /// One connection. Whether it got as far as being connected.
    async fn stay(&mut self, mut wire: Wire) -> bool {
        let mut errands = Errands::default();
        let leave_at = self.restless.map(|about| Instant::now() + about.mul_f64(0.5 + self.rng.random::<f64>()));
        let mut go_at: Option<Instant> = leave_at;
        let mut heard = Instant::now();
        let mut was_connected = false;
        let said = loop {
            let due = errands.due.iter().map(|&(at, ..)| at).min();
            let until = [Some(heard + SILENCE_MAX), go_at, due].into_iter().flatten().min().unwrap_or(heard);
            let next = tokio::select! {
                came = wire.next() => Next::Came(came),
                _ = self.stop.wait_for(|stop| *stop) => Next::Stop,
                () = sleep_until(until) => {
                    if due == Some(until) { Next::Due } else { Next::Leave }
                }
            };
            match next {
                Next::Came(Came::End(code)) => break code.is_some(),
                Next::Came(Came::SignOfLife) => heard = Instant::now(),
                Next::Came(Came::Events(events)) => {
                    heard = Instant::now();
                    was_connected |= events.iter().any(|event| matches!(event, ServerEvent::Connected(_)));
                    let leaves = self.take_all(&mut wire, events, &mut errands).await.map(|after| heard + after);
                    go_at = leaves.into_iter().chain(go_at).min();
                }
                Next::Due => self.acknowledge(&mut wire, &mut errands).await,
                // Silence is the server's fault, leaving is not; a stop is neither.
                Next::Leave if go_at.is_some_and(|at| at <= Instant::now()) => {
                    tokio::spawn(wire.close());
                    break true;
                }
                Next::Leave => break false,
                Next::Stop => {
                    wire.close().await;
                    break true;
                }
            }
        };
        lock(&self.whereabouts).lost(said);
        for sink in &self.sinks {
            if let Sink::Reliable { log, .. } = sink {
                lock(log).see(Sight::Left);
            }
        }
        was_connected
    }

    /// Takes a frame's events; how long the connection is still wanted, if one of them limits that.
    async fn take_all(&mut self, wire: &mut Wire, events: Vec<ServerEvent>, errands: &mut Errands) -> Option<Duration> {
        let mut leaves = None;
        for event in events {
            match event {
                ServerEvent::Connected(connected) => {
                    lock(&self.whereabouts).connected(&connected.node);
                    self.subscribe(wire, errands).await;
                }
                ServerEvent::Reconnect { after_ms, .. } => {
                    lock(&self.whereabouts).asked_to_go = true;
                    leaves = Some(Duration::from_millis(after_ms));
                }
                // A channel that cannot be had for now: another connection tries it again.
                ServerEvent::Error(error) if error.channel.is_some() => leaves = Some(REFUSED_PAUSE),
                event => self.take(event, errands),
            }
        }
        leaves
    }

    async fn subscribe(&mut self, wire: &mut Wire, errands: &mut Errands) {
        let with_since = self.rng.random::<bool>();
        let requests = self.sinks.iter().map(|sink| {
            let since = match sink {
                Sink::Reliable { log, .. } => lock(log).reached(),
                Sink::Inbox { log, .. } if with_since => lock(log).top,
                _ => None,
            };
            Ok(SubscriptionRequest { since, ..SubscriptionRequest::new(sink.channel().clone()) })
        });
        let channels = requests.collect();
        errands.asked_ms = now_ms();
        // If it is gone, reading says so.
        let _ = wire.send(Command::Subscribe { channels }).await;
    }

    fn take(&mut self, event: ServerEvent, errands: &mut Errands) {
        match event {
            ServerEvent::Subscribed(subscribed) => self.subscribed(&subscribed, errands),
            ServerEvent::Message(message) => self.message(&message, true, errands),
            ServerEvent::Reset { channel, position, .. } => match self.sink(&channel) {
                Some(Sink::Reliable { log, .. }) => lock(&log).see(Sight::Reset { at_ms: now_ms(), position }),
                Some(Sink::Latest { log, .. }) => lock(&log).reset(position),
                _ => {}
            },
            ServerEvent::Acked { id: Some(id), .. } => {
                if let Some(number) = errands.unconfirmed.remove(&id) {
                    for sink in &self.sinks {
                        if let Sink::Inbox { log, .. } = sink {
                            lock(log).acks_confirmed.insert(number, now_ms());
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn sink(&self, channel: &ChannelName) -> Option<Sink> {
        self.sinks.iter().find(|sink| sink.channel() == channel).cloned()
    }

    fn subscribed(&mut self, subscribed: &ServerSubscribed, errands: &mut Errands) {
        let Some(sink) = self.sink(&subscribed.channel) else { return };
        match &sink {
            Sink::Reliable { log, .. } => {
                let Some(position) = subscribed.position else { return };
                lock(log).see(Sight::Joined { at_ms: now_ms(), position, recovered: subscribed.recovered });
            }
            Sink::Latest { log, .. } => lock(log).joined(subscribed.position),
            Sink::Inbox { log, .. } => {
                let numbers = subscribed.messages.iter().filter_map(|message| Payload::of(&message.data));
                let alerts: BTreeSet<u64> = numbers.map(|payload| payload.n).collect();
                let mut log = lock(log);
                log.top = subscribed.position;
                log.joins.push(InboxJoin { asked_ms: errands.asked_ms, at_ms: now_ms(), alerts });
            }
            Sink::Room { .. } => lock(&self.whereabouts).in_room = true,
        }
        for message in &subscribed.messages {
            self.message(message, false, errands);
        }
    }

    fn message(&mut self, message: &Message, is_live: bool, errands: &mut Errands) {
        let Some(sink) = self.sink(&message.channel) else { return };
        let Some(payload) = Payload::of(&message.data) else { return };
        if is_live {
            self.clock.delivered(payload);
        }
        match sink {
            Sink::Reliable { log, channel } => {
                let Some(position) = message.position else { return };
                lock(&log).message(position);
                lock(&channel.ledger).delivered(position, payload.n);
            }
            Sink::Latest { log, .. } => lock(&log).value(message.key.as_deref().unwrap_or_default(), payload.n),
            Sink::Inbox { log, .. } => {
                let Some(position) = message.position else { return };
                let mut log = lock(&log);
                log.top = log.top.max(Some(position));
                let is_new = log.came.insert(payload.n, now_ms()).is_none();
                // Every second one is acknowledged; once, so that it is clear when.
                if is_new && log.device == 0 && payload.n % 2 == 0 {
                    let after = Duration::from_millis(self.rng.random_range(0..ACK_MS_MAX));
                    errands.due.push((Instant::now() + after, payload.n, position));
                }
            }
            Sink::Room { .. } => {}
        }
    }

    async fn acknowledge(&mut self, wire: &mut Wire, errands: &mut Errands) {
        let now = Instant::now();
        let (due, later): (Vec<_>, Vec<_>) = errands.due.drain(..).partition(|&(at, ..)| at <= now);
        errands.due = later;
        let Some(Sink::Inbox { log, name }) =
            self.sinks.iter().find(|sink| matches!(sink, Sink::Inbox { .. })).cloned()
        else {
            return;
        };
        for (_, number, position) in due {
            lock(&log).acks_sent.insert(number, now_ms());
            let ack = Command::Ack { channel: Ok(name.clone()), positions: vec![position] };
            if let Some(id) = wire.send(ack).await {
                errands.unconfirmed.insert(id, number);
            }
        }
    }
}
