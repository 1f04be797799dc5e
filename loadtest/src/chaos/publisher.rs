//! Backends that publish without end, and remember every acknowledgement.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, rngs::StdRng};
use tickwire_client::{
    Backoff, Emitter, EmitterOptions, Published,
    emitter::{Notification, Outgoing},
};
use tickwire_protocol::{ChannelName, Priority, RawJson, UserId, time::now_ms};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{
    fleet::API_KEY,
    ledger::{Ack, Alert},
    watch::{WatchedChannel, lock},
};

/// One publish in so many is made twice at once, under one key.
const REPEATED: u64 = 9;

/// What publishing came to.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    acknowledged: AtomicU64,
    uncertain: AtomicU64,
}

impl Counts {
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Nobody knows whether these were published.
    pub(crate) fn uncertain(&self) -> u64 {
        self.uncertain.load(Ordering::Relaxed)
    }
}

/// The emitter's client with patience for an outage: what it gives up may still be published by a frozen emitter that
/// thaws, so it gives up later than any fault lasts.
pub(crate) fn emitter(port: u16) -> anyhow::Result<Emitter> {
    let mut options = EmitterOptions::new(format!("http://127.0.0.1:{port}"), API_KEY);
    options.attempts_max = 60;
    options.timeout = Duration::from_secs(3);
    options.backoff = Backoff {
        first_max: Duration::from_millis(100),
        min: Duration::from_millis(50),
        base: Duration::from_millis(200),
        max: Duration::from_secs(1),
    };
    Ok(Emitter::new(options)?)
}

/// One message's data; padded to about `bytes`.
pub(crate) fn payload(number: u64, bytes: usize) -> anyhow::Result<RawJson> {
    let pad = "x".repeat(bytes);
    Ok(RawJson::parse(format!(r#"{{"n":{number},"t":{},"pad":"{pad}"}}"#, now_ms()))?)
}

/// A backend of some channels.
pub(crate) struct Publisher {
    pub(crate) emitter: Emitter,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) counts: Arc<Counts>,
    /// Names this run, so that keys of two runs differ.
    pub(crate) run: String,
}

impl Publisher {
    /// Publishes to each channel once in `every`, one after the other; a channel's next message waits for the last one's
    /// answer.
    pub(crate) async fn run(self, channels: Vec<WatchedChannel>, every: Duration) -> anyhow::Result<()> {
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 1.. {
            if self.is_over(&mut ticks).await {
                break;
            }
            for channel in &channels {
                self.publish(channel, number).await?;
            }
        }
        Ok(())
    }

    async fn is_over(&self, ticks: &mut tokio::time::Interval) -> bool {
        let mut stop = self.stop.clone();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => true,
            _ = ticks.tick() => false,
        }
    }

    /// One message into a `reliable` channel.
    pub(crate) async fn publish(&self, channel: &WatchedChannel, number: u64) -> anyhow::Result<()> {
        let mut message = Outgoing::new(channel.name.clone(), payload(number, 32)?);
        message.idempotency_key = Some(format!("{}-{}-{number}", self.run, channel.name));
        let answers = if number.is_multiple_of(REPEATED) {
            let (one, other) = tokio::join!(self.emitter.publish(message.clone()), self.emitter.publish(message));
            vec![one, other]
        } else {
            vec![self.emitter.publish(message).await]
        };
        for answer in answers {
            self.count(answer.is_ok());
            if let Ok(Published { position: Some(position), duplicate: is_duplicate, .. }) = answer {
                lock(&channel.ledger).acks.push(Ack { number, position, is_duplicate, at_ms: now_ms() });
            }
        }
        Ok(())
    }

    fn count(&self, acknowledged: bool) {
        let counter = if acknowledged { &self.counts.acknowledged } else { &self.counts.uncertain };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Publishes the next value of each `latest` channel once in `every`; its key is its symbol.
    pub(crate) async fn run_latest(
        self,
        channels: Vec<ChannelName>,
        every: Duration,
        acked: Arc<Mutex<HashMap<String, u64>>>,
    ) -> anyhow::Result<()> {
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 1.. {
            if self.is_over(&mut ticks).await {
                break;
            }
            for channel in &channels {
                let key = channel.segments().nth(1).unwrap_or_default().to_owned();
                let message =
                    Outgoing { key: Some(key.clone()), ..Outgoing::new(channel.clone(), payload(number, 0)?) };
                let answer = self.emitter.publish(message).await;
                self.count(answer.is_ok());
                if answer.is_ok() {
                    lock(&acked).insert(key, number);
                }
            }
        }
        Ok(())
    }

    /// Sends a critical alert to one of the users once in `every`; their numbers are `first` and every [`ALERTERS`]th after it.
    pub(crate) async fn run_alerts(
        self,
        users: Vec<UserId>,
        every: Duration,
        first: u64,
        alerts: Arc<Mutex<Vec<Alert>>>,
        mut rng: StdRng,
    ) -> anyhow::Result<()> {
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in (first..).step_by(ALERTERS) {
            if self.is_over(&mut ticks).await {
                break;
            }
            let user = rng.random_range(0..users.len());
            let answer = self.emitter.notify(&users[user], &alert(number)?).await;
            self.count(answer.is_ok());
            lock(&alerts).push(Alert { user, number, accepted_ms: answer.is_ok().then(now_ms) });
        }
        Ok(())
    }
}

/// Backends that send alerts: while Redis fails over, one of them has a single alert under way.
pub(crate) const ALERTERS: usize = 4;
/// How long an alert may go unacknowledged before it is escalated.
pub(crate) const ESCALATE_AFTER: Duration = Duration::from_secs(5);

/// A critical notification.
pub(crate) fn alert(number: u64) -> anyhow::Result<Notification> {
    Ok(Notification {
        kind: "margin_call".into(),
        priority: Some(Priority::Critical),
        data: Some(payload(number, 0)?),
        escalate_after_ms: u64::try_from(ESCALATE_AFTER.as_millis()).ok(),
        ..Notification::default()
    })
}
