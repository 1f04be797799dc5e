//! Following what another service writes: all sessions, or all accounts.
//!
//! Values come over the cluster as they change, and by the writer's API at the start, after every break, and every
//! [`RECONCILE`]. Of a value only a greater version counts, so it does not matter which way was faster.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, de::DeserializeOwned};
use tickwire_client::{Client, ClientError, SubscribeOptions, Subscription, SubscriptionEvent};
use tickwire_protocol::ChannelName;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{ACCOUNTS_CHANNEL, Figures, SESSIONS_CHANNEL, Session, SessionId, peer::Peer};

/// How often the writer's API is asked.
pub const RECONCILE: Duration = Duration::from_secs(10);
/// Values held at once. Newcomers beyond it are not taken; [`Directory::refused`] counts them.
pub const DIRECTORY_MAX: usize = 100_000;
/// Pages of one reconciliation at most.
const PAGES_MAX: usize = 1_000;
/// Pause after a subscription failed.
const RETRY: Duration = Duration::from_millis(500);

/// Something that a service writes for the others: whole values with a version that only grows.
pub trait Listed: DeserializeOwned + Send + Sync + 'static {
    /// The `latest` channel that carries it.
    const CHANNEL: &'static str;
    /// The path that lists all of them.
    const PATH: &'static str;
    /// Whose it is.
    fn id(&self) -> &SessionId;
    /// Grows with every change.
    fn version(&self) -> u64;
}

impl Listed for Session {
    const CHANNEL: &'static str = SESSIONS_CHANNEL;
    const PATH: &'static str = "/v1/sessions?settled=false";

    fn id(&self) -> &SessionId {
        &self.session_id
    }

    fn version(&self) -> u64 {
        self.version
    }
}

impl Listed for Figures {
    const CHANNEL: &'static str = ACCOUNTS_CHANNEL;
    const PATH: &'static str = "/v1/accounts?open=true";

    fn id(&self) -> &SessionId {
        &self.session_id
    }

    fn version(&self) -> u64 {
        self.version
    }
}

/// A page of such a list: `{"items":[…],"next":"…"}`; `next` goes into the query as `after`.
#[derive(Debug, Deserialize)]
pub struct Page<T> {
    /// In order of their ids.
    pub items: Vec<T>,
    /// Where the next page begins; none on the last one.
    #[serde(default)]
    pub next: Option<String>,
}

/// The newest of every value, and which of them changed since they were last taken.
#[derive(Debug)]
pub struct Directory<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<T> {
    values: HashMap<SessionId, Arc<T>>,
    changed: HashSet<SessionId>,
    refused: u64,
}

impl<T: Listed> Default for Directory<T> {
    fn default() -> Self {
        let state = State { values: HashMap::new(), changed: HashSet::new(), refused: 0 };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }
}

impl<T: Listed> Directory<T> {
    /// Takes a value in, if it is newer than the one known.
    pub fn offer(&self, value: T) {
        let mut state = self.lock();
        let id = value.id().clone();
        let known = state.values.get(&id).map(|known| known.version());
        if known.is_none() && state.values.len() >= DIRECTORY_MAX {
            state.refused += 1;
            return;
        }
        if known.is_none_or(|known| value.version() > known) {
            state.values.insert(id.clone(), Arc::new(value));
            state.changed.insert(id);
            drop(state);
            self.changed.notify_one();
        }
    }

    /// The newest value of `id`.
    pub fn get(&self, id: &SessionId) -> Option<Arc<T>> {
        self.lock().values.get(id).cloned()
    }

    /// All of them, in no order.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.lock().values.values().cloned().collect()
    }

    /// What is over and settled need not be held any longer.
    pub fn forget(&self, id: &SessionId) {
        let mut state = self.lock();
        state.values.remove(id);
        state.changed.remove(id);
    }

    /// Newcomers that were not taken.
    pub fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// Waits until something changed, and answers all that did since the last call. For one consumer.
    pub async fn changes(&self) -> Vec<Arc<T>> {
        self.changes_by(|values, id| values.get(id).cloned()).await
    }

    /// As [`Self::changes`], and forgets them: for a consumer that keeps what it needs itself and takes a value that it knows for
    /// what it is. Every reconciliation brings all of them again.
    pub async fn take_changes(&self) -> Vec<Arc<T>> {
        self.changes_by(HashMap::remove).await
    }

    async fn changes_by(
        &self,
        get: impl Fn(&mut HashMap<SessionId, Arc<T>>, &SessionId) -> Option<Arc<T>>,
    ) -> Vec<Arc<T>> {
        loop {
            let changed = {
                let mut state = self.lock();
                let ids = std::mem::take(&mut state.changed);
                ids.iter().filter_map(|id| get(&mut state.values, id)).collect::<Vec<_>>()
            };
            if !changed.is_empty() {
                return changed;
            }
            self.changed.notified().await;
        }
    }

    /// Follows the channel and the API until `shutdown`.
    pub async fn follow(&self, cluster: &Client, peer: &Peer, shutdown: CancellationToken) {
        let subscribed = async {
            while !shutdown.is_cancelled() {
                match self.subscribe(cluster).await {
                    Ok(subscription) => self.listen(subscription, peer).await,
                    Err(error) => tracing::debug!(%error, channel = T::CHANNEL, "no subscription; trying again"),
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        let reconciled = async {
            let mut rounds = tokio::time::interval(RECONCILE);
            rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !shutdown.is_cancelled() {
                rounds.tick().await;
                self.reconcile(peer).await;
            }
        };
        let followed = async { tokio::join!(subscribed, reconciled) };
        // `None`: cancelled. It ends in no other way.
        let _cancelled = shutdown.run_until_cancelled(followed).await;
    }

    async fn subscribe(&self, cluster: &Client) -> Result<Subscription, ClientError> {
        let channel = ChannelName::new(T::CHANNEL).map_err(|error| ClientError::InvalidOptions(error.to_string()))?;
        cluster.subscribe(channel, SubscribeOptions::default()).await
    }

    async fn listen(&self, mut subscription: Subscription, peer: &Peer) {
        while let Some(event) = subscription.next_event().await {
            match event {
                SubscriptionEvent::Message(delivery) => match delivery.message.data.to::<T>() {
                    Ok(value) => self.offer(value),
                    Err(error) => tracing::warn!(%error, channel = T::CHANNEL, "a value that cannot be read"),
                },
                SubscriptionEvent::Reset { .. } | SubscriptionEvent::Recovered { complete: false, .. } => {
                    self.reconcile(peer).await;
                }
                SubscriptionEvent::Ended(error) => {
                    tracing::warn!(%error, channel = T::CHANNEL, "the subscription ended");
                    return;
                }
                _ => {}
            }
        }
    }

    /// Asks the writer for everything.
    pub async fn reconcile(&self, peer: &Peer) {
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let path = after.as_ref().map_or_else(|| T::PATH.to_owned(), |after| format!("{}&after={after}", T::PATH));
            match peer.get::<Page<T>>(&path).await {
                Ok(page) => {
                    page.items.into_iter().for_each(|value| self.offer(value));
                    after = page.next;
                }
                Err(error) => {
                    tracing::debug!(%error, channel = T::CHANNEL, "the writer cannot be asked; the next round does");
                    return;
                }
            }
            if after.is_none() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
