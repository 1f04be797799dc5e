//! What one peer may use, counted per node: connections, and each connection's rate.
//!
//! The counters are touched when a connection opens, authenticates or closes, never on the way of a message, so one lock
//! guards them. Every map is bounded by the connections themselves.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tickwire_backplane::Offender;
use tickwire_protocol::{CloseCode, ErrorCode, UserId};

use crate::{
    config::LimitsConfig,
    metrics::{Metrics, reason},
    offences::{Offences, source},
};

/// Advice to a client that met a connection limit: when places are likely to be free again.
const CONNECTION_RETRY: Duration = Duration::from_secs(5);

/// The counters of a node.
#[derive(Debug)]
pub struct Limits {
    config: LimitsConfig,
    metrics: Arc<Metrics>,
    /// Who may not come in for a while.
    pub offences: Offences,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    by_address: HashMap<IpAddr, usize>,
    by_user: HashMap<UserId, Open>,
    /// Numbers places in the order in which they were taken.
    places: u32,
}

/// A user's connections.
#[derive(Debug, Default)]
struct Open {
    count: usize,
    /// Their places, oldest first; kept only where the oldest gives way, so that there are no more than the limit.
    places: VecDeque<Place>,
}

/// Names one place of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u32);

/// Why something is refused, and what the client should do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Kind, which gives the HTTP status.
    pub code: ErrorCode,
    /// For the client's developer.
    pub message: String,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    fn limit(message: String, retry_after: Option<Duration>) -> Self {
        Self { code: ErrorCode::LimitExceeded, message, retry_after }
    }

    /// A subscription beyond [`LimitsConfig::channels_per_connection`].
    pub fn channels(max: usize) -> Self {
        Self::limit(
            format!("a connection has at most {max} channels: unsubscribe from some, or open another connection"),
            None,
        )
    }

    /// A command beyond the connection's rate.
    pub fn rate(retry_after: Duration) -> Self {
        Self {
            code: ErrorCode::RateLimited,
            message: "too many commands or bytes a second: slow down, and put several channels into one subscribe"
                .into(),
            retry_after: Some(retry_after),
        }
    }

    /// The code to close a WebSocket with that was accepted only to be told this.
    pub fn close_code(&self) -> CloseCode {
        match self.code {
            ErrorCode::Unavailable => CloseCode::GoingAway,
            _ => CloseCode::RateLimited,
        }
    }
}

impl Limits {
    /// Counters at zero.
    pub fn new(config: &LimitsConfig, metrics: Arc<Metrics>) -> Arc<Self> {
        let offences = Offences::new(config, Arc::clone(&metrics));
        Arc::new(Self { config: config.clone(), metrics, offences, counts: Mutex::default() })
    }

    /// Counts a connection from `ip`, until the [`Slot`] is dropped.
    pub fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Slot, Refusal> {
        let source = source(ip);
        self.try_admit(source).map_err(|refused| refused.count(&self.metrics))?;
        Ok(Slot { limits: Arc::clone(self), source, place: Place(0), user: None })
    }

    fn try_admit(&self, source: IpAddr) -> Result<(), Labelled> {
        if let Some(refusal) = self.offences.refusal(&Offender::Address(source)) {
            return Err(Labelled::new("banned", refusal));
        }
        let mut counts = self.counts();
        if exceeds(counts.connections, self.config.connections_per_node) {
            let message = "this node has all the connections it may have: connect to another, or try again later";
            return Err(Labelled::new("connections_per_node", Refusal::limit(message.into(), Some(CONNECTION_RETRY))));
        }
        let open = counts.by_address.get(&source).copied().unwrap_or_default();
        if exceeds(open, self.config.connections_per_ip) {
            let message = format!(
                "an address has at most {} connections: close some, or use one connection for more channels",
                self.config.connections_per_ip
            );
            return Err(Labelled::new("connections_per_ip", Refusal::limit(message, Some(CONNECTION_RETRY))));
        }
        counts.connections += 1;
        *counts.by_address.entry(source).or_default() += 1;
        Ok(())
    }

    fn keeps_places(&self) -> bool {
        self.config.replace_oldest && self.config.connections_per_user > 0
    }

    /// Takes a place of `user`; at the limit perhaps that of the oldest connection, which is said.
    fn claim(&self, user: &UserId) -> Result<(Place, Option<Place>), Labelled> {
        if let Some(refusal) = self.offences.refusal(&Offender::User(user.clone())) {
            return Err(Labelled::new("banned", refusal));
        }
        let most = self.config.connections_per_user;
        let mut counts = self.counts();
        let open = counts.by_user.get(user).map_or(0, |open| open.count);
        if exceeds(open, most) && !self.config.replace_oldest {
            let message = format!("a user has at most {most} connections on a node: close some first");
            return Err(Labelled::new("connections_per_user", Refusal::limit(message, Some(CONNECTION_RETRY))));
        }
        counts.places = counts.places.wrapping_add(1);
        let place = Place(counts.places);
        let open = counts.by_user.entry(user.clone()).or_default();
        let replaced = if exceeds(open.count, most) { open.places.pop_front() } else { None };
        open.count += usize::from(replaced.is_none());
        if self.keeps_places() {
            open.places.push_back(place);
        }
        Ok((place, replaced))
    }

    /// The counts stay right even if a thread panicked while it held them: each change is one step.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A refusal with its metric's label.
struct Labelled(&'static str, Refusal);

impl Labelled {
    fn new(label: &'static str, refusal: Refusal) -> Self {
        Self(label, refusal)
    }

    fn count(self, metrics: &Metrics) -> Refusal {
        metrics.refusals.get_or_create(&reason(self.0)).inc();
        self.1
    }
}

/// One counted connection; gives back its place when dropped.
#[derive(Debug)]
pub struct Slot {
    limits: Arc<Limits>,
    source: IpAddr,
    place: Place,
    user: Option<UserId>,
}

impl Slot {
    /// Counts the connection as one of `user`'s; again for the same user it does nothing. Says whose place it took, if the
    /// oldest had to give way: that one is to be closed.
    pub fn claim_user(&mut self, user: &UserId) -> Result<Option<Place>, Refusal> {
        if self.user.as_ref() == Some(user) {
            return Ok(None);
        }
        let (place, replaced) = self.limits.claim(user).map_err(|refused| refused.count(&self.limits.metrics))?;
        self.release_user();
        self.place = place;
        self.user = Some(user.clone());
        if replaced.is_some() {
            self.limits.metrics.replaced.inc();
        }
        Ok(replaced)
    }

    /// Whether another connection took its place meanwhile.
    pub fn is_replaced(&self) -> bool {
        let Some(user) = self.user.as_ref().filter(|_| self.limits.keeps_places()) else { return false };
        self.limits.counts().by_user.get(user).is_none_or(|open| !open.places.contains(&self.place))
    }

    /// Whether it is `user`'s, at `place`.
    pub fn is_at(&self, user: &UserId, place: Place) -> bool {
        self.place == place && self.user.as_ref() == Some(user)
    }

    fn release_user(&mut self) {
        if let Some(user) = self.user.take() {
            self.limits.counts().release(&user, self.place, self.limits.keeps_places());
        }
    }
}

impl Counts {
    fn release(&mut self, user: &UserId, place: Place, has_places: bool) {
        let Some(open) = self.by_user.get_mut(user) else { return };
        let known = open.places.len();
        open.places.retain(|other| *other != place);
        // Another one took its place, and counts for it.
        if has_places && known == open.places.len() {
            return;
        }
        open.count -= 1;
        if open.count == 0 {
            self.by_user.remove(user);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.release_user();
        let mut counts = self.limits.counts();
        counts.connections -= 1;
        give_back(&mut counts.by_address, &self.source);
    }
}

fn give_back<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// Whether one more is too many; a limit of 0 is off.
fn exceeds(count: usize, most: usize) -> bool {
    most > 0 && count >= most
}

/// One connection's rates, 32 bytes. Each is kept as the time when all that was spent will be paid for (GCRA); a second's worth
/// may be spent ahead.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spending {
    commands: Option<Instant>,
    bytes: Option<Instant>,
}

impl Spending {
    /// Takes `bytes` that hold `commands`. The error says when it would be allowed; nothing is taken then.
    pub fn spend(&mut self, now: Instant, bytes: usize, commands: u32, limits: &LimitsConfig) -> Result<(), Duration> {
        let commands = paid_at(self.commands, now, u64::from(commands), limits.commands_per_second)?;
        let bytes = paid_at(self.bytes, now, bytes as u64, limits.bytes_per_second)?;
        *self = Self { commands, bytes };
        Ok(())
    }
}

fn paid_at(paid: Option<Instant>, now: Instant, amount: u64, per_second: u32) -> Result<Option<Instant>, Duration> {
    if per_second == 0 {
        return Ok(None);
    }
    let from = paid.filter(|&paid| paid > now).unwrap_or(now);
    let cost = Duration::from_nanos(amount.saturating_mul(1_000_000_000) / u64::from(per_second));
    let ahead = (from - now).saturating_add(cost);
    // What is larger than a second's worth by itself passes when nothing is owed, or it would never pass.
    if ahead > Duration::from_secs(1) && from > now {
        return Err((ahead.saturating_sub(Duration::from_secs(1))).min(from - now));
    }
    Ok(from.checked_add(cost))
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
