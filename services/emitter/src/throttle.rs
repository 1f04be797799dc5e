//! A rate for each of many peers, in bounded memory.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Peers remembered. At the bound, those that have their full burst again are forgotten; if that frees nothing, newcomers
/// share one allowance.
const PEERS_MAX: usize = 10_000;

/// Allows each peer `burst` events at once and one more every `interval`.
///
/// The generic cell rate algorithm: a peer is one instant, at which its allowance would be full again.
#[derive(Debug)]
pub(crate) struct Throttle<K> {
    interval: Duration,
    burst: u32,
    peers: Mutex<HashMap<Option<K>, Instant>>,
}

impl<K: Hash + Eq> Throttle<K> {
    /// `None` when `events` is 0: no limit.
    pub(crate) fn new(events: u32, per: Duration, burst: u32) -> Option<Self> {
        let interval = per.checked_div(events)?;
        Some(Self { interval, burst: burst.max(1), peers: Mutex::default() })
    }

    /// Counts one event of `peer`; `Err` says how long until one would be allowed.
    pub(crate) fn take(&self, peer: K, now: Instant) -> Result<(), Duration> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = Self::slot(&mut peers, peer, now);
        let full_at = peers.get(&peer).copied().filter(|at| *at > now).unwrap_or(now);
        self.wait(full_at, now)?;
        peers.insert(peer, full_at + self.interval);
        Ok(())
    }

    /// Whether one event of `peer` would be allowed now, counting nothing.
    pub(crate) fn peek(&self, peer: K, now: Instant) -> Result<(), Duration> {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        match peers.get(&Some(peer)) {
            Some(&full_at) if full_at > now => self.wait(full_at, now),
            _ => Ok(()),
        }
    }

    fn wait(&self, full_at: Instant, now: Instant) -> Result<(), Duration> {
        let allowed_at = full_at.checked_sub(self.interval * (self.burst - 1)).unwrap_or(now);
        if allowed_at > now { Err(allowed_at - now) } else { Ok(()) }
    }

    /// The key under which `peer` is counted: itself, or at the bound the one that newcomers share.
    fn slot(peers: &mut HashMap<Option<K>, Instant>, peer: K, now: Instant) -> Option<K> {
        let peer = Some(peer);
        if peers.len() < PEERS_MAX || peers.contains_key(&peer) {
            return peer;
        }
        peers.retain(|_, full_at| *full_at > now);
        if peers.len() < PEERS_MAX { peer } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_the_rate() {
        let throttle = Throttle::new(10, Duration::from_secs(1), 3).unwrap();
        let start = Instant::now();
        for _ in 0..3 {
            throttle.take("a", start).unwrap();
        }
        assert_eq!(throttle.peek("a", start), Err(Duration::from_millis(100)));
        assert_eq!(throttle.take("a", start), Err(Duration::from_millis(100)));
        throttle.take("b", start).unwrap();
        throttle.take("a", start + Duration::from_millis(100)).unwrap();
        assert!(throttle.take("a", start + Duration::from_millis(100)).is_err());
    }

    #[test]
    fn zero_is_no_limit() {
        assert!(Throttle::<u8>::new(0, Duration::from_secs(1), 3).is_none());
    }

    #[test]
    fn at_the_bound_newcomers_share_one_allowance() {
        let throttle = Throttle::new(1, Duration::from_secs(1), 1).unwrap();
        let start = Instant::now();
        for peer in 0..PEERS_MAX {
            throttle.take(peer, start).unwrap();
        }
        throttle.take(PEERS_MAX, start).unwrap();
        assert!(throttle.take(PEERS_MAX + 1, start).is_err());
        assert!(throttle.peers.lock().unwrap().len() <= PEERS_MAX + 1);
        throttle.take(PEERS_MAX + 1, start + Duration::from_secs(2)).unwrap();
        assert!(throttle.peers.lock().unwrap().len() <= 2, "what is full again is forgotten");
    }
}
