//! Keeps the connections where the masters are, for ever.

use std::{collections::HashMap, sync::Arc, sync::atomic::Ordering, time::Duration};

use futures_util::future::join_all;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{Instant, MissedTickBehavior},
};

use super::{
    core::Core,
    error::{from_redis, unavailable},
    intake::{self, ERRANDS_MAX, IntakeEnd},
    link::Link,
    stats::Counters,
    topology::Master,
};
use crate::BackplaneError;

/// How often the supervisor asks who is master, also while all seems well: a master on the wrong side of a partition
/// answers its canaries too. What it takes until then is lost,
/// unless its own `min-replicas-to-write` or the namespace's `replicas_min` says no.
const REVIEW_INTERVAL: Duration = Duration::from_secs(2);
/// Longest pause between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Shortest upper bound of a pause.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// After this long without a loss the next pause is short again.
const CALM: Duration = Duration::from_secs(10);
/// How long dialling all connections for calls may take.
const LINK_TIMEOUT: Duration = Duration::from_secs(5);
/// How often dropped subscribers are forgotten and presence is put right.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Rounds of upkeep between two looks at all presence.
const SWEEP_ROUNDS: u32 = 3;

/// A running subscriber connection and what it serves.
struct Post {
    partitions: Vec<usize>,
    task: AbortHandle,
}

/// Subscriber connections by their master's address.
#[derive(Default)]
struct Posts {
    by_address: HashMap<String, Post>,
    tasks: JoinSet<(String, IntakeEnd)>,
}

/// Runs until dropped. `report` is told why an attempt failed.
pub(super) async fn supervise(core: Arc<Core>, report: impl Fn(Option<BackplaneError>)) {
    let mut posts = Posts::default();
    let mut backoff = Backoff::default();
    let mut review = tokio::time::interval(REVIEW_INTERVAL);
    review.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_up = true;
    loop {
        let arranged = arrange(&core, &mut posts).await;
        let was_up = std::mem::replace(&mut is_up, arranged.is_ok());
        match &arranged {
            Ok(()) if !was_up => tracing::info!(url = core.config.display_url(), "Redis answers again"),
            Err(error) if was_up => {
                let cause = std::error::Error::source(error).map(ToString::to_string);
                tracing::error!(url = core.config.display_url(), %error, cause, "Redis cannot be reached");
            }
            _ => {}
        }
        report(arranged.err());
        tokio::select! {
            () = core.links.lost.notified() => {
                // It worked until it was cut: calls are waiting to be made again.
                if is_up {
                    backoff.restart();
                }
                backoff.pause().await;
            }
            Some(ended) = posts.tasks.join_next() => {
                if let Ok((address, end)) = ended {
                    posts.on_end(&core, &address, &end);
                    // It worked until it was cut: what is published meanwhile may be trimmed before a long pause is over.
                    if matches!(end, IntakeEnd::Closed) {
                        backoff.restart();
                    }
                }
                backoff.pause().await;
            }
            _ = review.tick(), if is_up => {}
            () = backoff.pause(), if !is_up => {}
        }
    }
}

/// Makes the connections what they should be now. Fails with the first master that cannot be reached, after all others are
/// served.
async fn arrange(core: &Arc<Core>, posts: &mut Posts) -> Result<(), BackplaneError> {
    let masters = core.topology.masters(&core.keys).await?;
    let missing: Vec<&Master> = masters.iter().filter(|master| !core.links.serve(master)).collect();
    let dials = missing.iter().map(|master| async {
        core.links.clear(&master.partitions);
        let link = tokio::time::timeout(LINK_TIMEOUT, Link::dial(&core.config, master)).await.map_err(unavailable)?;
        Ok((*master, link.map_err(from_redis)?))
    });
    let dialled = join_all(dials).await;
    // A dial may hang at a frozen master until that is replaced, and then succeed.
    let masters_now = if missing.is_empty() { Vec::new() } else { core.topology.masters(&core.keys).await? };
    let mut failure = None;
    for dial in dialled {
        match dial {
            Ok((master, link)) if masters_now.iter().any(|now| now.is_same(master)) => {
                core.links.set(&master.partitions, &Arc::new(link));
                if let Err(error) = core.look_at_replicas().await {
                    tracing::debug!(%error, "replicas are looked at later");
                }
                Counters::add(&core.counters.link_rebuilds, 1);
                // Another server, or the same one restarted: what it knows of presence may be nothing.
                core.ledger.state_all();
            }
            Ok(_) => failure = Some(unavailable("the master changed while it was dialled")),
            Err(error) => failure = Some(error),
        }
    }
    posts.arrange(core, masters);
    failure.map_or(Ok(()), Err)
}

impl Posts {
    /// Ends the connections whose master or partitions changed, and starts those that are missing.
    fn arrange(&mut self, core: &Arc<Core>, masters: Vec<Master>) {
        core.health.planned.store(masters.len(), Ordering::Relaxed);
        self.by_address.retain(|address, post| {
            let stays = masters.iter().any(|master| master.address == *address && master.partitions == post.partitions);
            if !stays {
                post.task.abort();
            }
            stays
        });
        for master in masters {
            // A master that takes no calls takes no subscriber either: the link's dialling asks often enough.
            if self.by_address.contains_key(&master.address) || !core.links.serve(&master) {
                continue;
            }
            let (sender, errands) = mpsc::channel(ERRANDS_MAX);
            core.set_route(&master.partitions, &sender);
            let (address, partitions) = (master.address.clone(), master.partitions.clone());
            let core = Arc::clone(core);
            let task =
                self.tasks.spawn(async move { (master.address.clone(), intake::run(core, master, errands).await) });
            self.by_address.insert(address, Post { partitions, task });
        }
    }

    fn on_end(&mut self, core: &Core, address: &str, end: &IntakeEnd) {
        // Aborted ones end as errors of the task and do not come here; a finished one is still the current one.
        if self.by_address.get(address).is_some_and(|post| post.task.is_finished())
            && let Some(post) = self.by_address.remove(address)
            && matches!(end, IntakeEnd::CanaryLost)
            && let Some(link) = post.partitions.first().and_then(|&partition| core.links.get(partition))
        {
            // Deaf, or dumb: which of the two cannot be seen from here.
            core.links.give_up(&link);
        }
        Counters::add(&core.counters.subscriber_rebuilds, 1);
        let cause = std::error::Error::source(end).map(ToString::to_string);
        tracing::warn!(address, %end, cause, "a subscriber connection is dialled again");
    }
}

/// Pauses of random length up to a bound that doubles: after an outage not all processes come back in one instant.
#[derive(Default)]
struct Backoff {
    bound: Duration,
    last: Option<Instant>,
}

impl Backoff {
    /// The next pause is short again.
    fn restart(&mut self) {
        self.bound = BACKOFF_MIN;
    }

    async fn pause(&mut self) {
        if self.last.is_none_or(|last| last.elapsed() > CALM) {
            self.restart();
        }
        tokio::time::sleep(self.bound.mul_f64(rand::random())).await;
        self.bound = (self.bound * 2).min(BACKOFF_MAX);
        self.last = Some(Instant::now());
    }
}

/// Small duties, each second, until dropped.
pub(super) async fn upkeep(core: Arc<Core>) {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 0u32.. {
        interval.tick().await;
        core.tell(core.interest.sweep());
        if let Err(error) = core.look_at_replicas().await {
            tracing::debug!(%error, "replicas are looked at later");
        }
        let swept = if round % SWEEP_ROUNDS == 0 { core.sweep_presence().await } else { Ok(()) };
        let stated = if core.ledger.has_waiting() { core.state_presence().await } else { Ok(()) };
        if let Err(error) = swept.and(stated) {
            tracing::debug!(%error, "presence is put right later");
        }
        if let Err(error) = core.restate_vouched().await {
            tracing::warn!(%error, "critical messages of a replaced server are published again later");
        }
    }
}
