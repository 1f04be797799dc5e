//! Keeps the connections where the masters are, for ever.

use std::{collections::HashMap, sync::Arc, sync::atomic::Ordering, time::Duration};

use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{Instant, MissedTickBehavior},
};

use super::{
    core::Core,
    error::unavailable,
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
        match arrange(&core, &mut posts).await {
            Ok(()) => {
                report(None);
                if !std::mem::replace(&mut is_up, true) {
                    tracing::info!(url = core.config.display_url(), "Redis answers again");
                }
            }
            Err(error) => {
                if std::mem::replace(&mut is_up, false) {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(url = core.config.display_url(), %error, cause, "Redis cannot be reached");
                }
                report(Some(error));
                backoff.pause().await;
                continue;
            }
        }
        tokio::select! {
            () = core.link_lost.notified() => backoff.pause().await,
            Some(ended) = posts.tasks.join_next() => {
                if let Ok((address, end)) = ended {
                    posts.on_end(&core, &address, &end);
                }
                backoff.pause().await;
            }
            _ = review.tick() => {}
        }
    }
}

/// Makes the connections what they should be now.
async fn arrange(core: &Arc<Core>, posts: &mut Posts) -> Result<(), BackplaneError> {
    let masters = core.topology.masters(&core.keys).await?;
    let is_current = core.link.load().as_ref().is_some_and(|link| {
        core.topology.is_cluster() || masters.first().is_some_and(|master| master.address == link.address)
    });
    if !is_current {
        core.link.store(None);
        let dial = Link::dial(&core.config, &core.topology, &masters);
        let link = tokio::time::timeout(LINK_TIMEOUT, dial).await.map_err(unavailable)??;
        // A dial may hang at a frozen master until that is replaced, and then succeed.
        let masters_now = core.topology.masters(&core.keys).await?;
        if !core.topology.is_cluster() && masters_now.first().is_none_or(|master| master.address != link.address) {
            return Err(unavailable("the master changed while it was dialled"));
        }
        core.link.store(Some(Arc::new(link)));
        Counters::add(&core.counters.link_rebuilds, 1);
        // Another server, or the same one restarted: what it knows of presence may be nothing.
        core.ledger.state_all();
    }
    posts.arrange(core, masters);
    Ok(())
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
        if self.by_address.get(address).is_some_and(|post| post.task.is_finished()) {
            self.by_address.remove(address);
        }
        Counters::add(&core.counters.subscriber_rebuilds, 1);
        let cause = std::error::Error::source(end).map(ToString::to_string);
        tracing::warn!(address, %end, cause, "a subscriber connection is dialled again");
        if matches!(end, IntakeEnd::CanaryLost)
            && let Some(link) = core.link.load_full()
        {
            // Deaf, or dumb: which of the two cannot be seen from here.
            core.give_up(&link);
        }
    }
}

/// Pauses of random length up to a bound that doubles: after an outage not all processes come back in one instant.
#[derive(Default)]
struct Backoff {
    bound: Duration,
    last: Option<Instant>,
}

impl Backoff {
    async fn pause(&mut self) {
        if self.last.is_none_or(|last| last.elapsed() > CALM) {
            self.bound = BACKOFF_MIN;
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
        let swept = if round % SWEEP_ROUNDS == 0 { core.sweep_presence().await } else { Ok(()) };
        let stated = if core.ledger.has_waiting() { core.state_presence().await } else { Ok(()) };
        if let Err(error) = swept.and(stated) {
            tracing::debug!(%error, "presence is put right later");
        }
    }
}
