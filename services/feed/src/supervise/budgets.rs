//! What this process may still ask of each venue: venues count connects and HTTP requests by address, so all connections of the
//! process to a venue take from the same budgets.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    book::{Budget, Rate},
    model::Exchange,
    venue::Facts,
};

/// The budgets of all venues.
#[derive(Debug)]
pub(crate) struct Budgets {
    began: Instant,
    venues: Mutex<HashMap<Exchange, VenueBudgets>>,
}

#[derive(Debug)]
struct VenueBudgets {
    connects: Vec<Budget>,
    weight: Budget,
    /// Nobody connects or fetches before, on this clock.
    closed_until_ms: u64,
}

impl VenueBudgets {
    fn new(facts: &Facts) -> Self {
        Self {
            connects: facts.limits.connects.iter().copied().map(Budget::new).collect(),
            weight: Budget::new(facts.limits.http_weight),
            closed_until_ms: 0,
        }
    }

    fn open(&self, now_ms: u64) -> Result<(), Duration> {
        match self.closed_until_ms.saturating_sub(now_ms) {
            0 => Ok(()),
            rest => Err(Duration::from_millis(rest)),
        }
    }

    fn connect(&mut self, now_ms: u64) -> Result<(), Duration> {
        self.open(now_ms)?;
        let tried: Vec<Budget> = self.connects.clone();
        for budget in &mut self.connects {
            if let Err(wait) = budget.take(1, now_ms) {
                // All hold or none: what an earlier one gave is given back.
                self.connects = tried;
                return Err(Duration::from_millis(wait.unwrap_or(60_000).max(1)));
            }
        }
        Ok(())
    }
}

impl Budgets {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), venues: Mutex::default() }
    }

    /// Takes a connect, or says how long to wait before asking again.
    pub(crate) fn connect(&self, facts: &Facts) -> Result<(), Duration> {
        let now_ms = self.now_ms();
        self.lock().entry(facts.exchange).or_insert_with(|| VenueBudgets::new(facts)).connect(now_ms)
    }

    /// The venue refused for being asked too often: nobody asks anything of it for `pause`. It counts by address: connects and requests
    /// over HTTP alike prolong a ban.
    pub(crate) fn close(&self, facts: &Facts, pause: Duration) {
        let until_ms = self.now_ms() + u64::try_from(pause.as_millis()).unwrap_or(u64::MAX / 2);
        let mut venues = self.lock();
        let budgets = venues.entry(facts.exchange).or_insert_with(|| VenueBudgets::new(facts));
        budgets.closed_until_ms = budgets.closed_until_ms.max(until_ms);
    }

    /// Takes `weight` of HTTP requests, or says how long to wait before asking again.
    pub(crate) fn weight(&self, facts: &Facts, weight: u32) -> Result<(), Duration> {
        let now_ms = self.now_ms();
        let mut venues = self.lock();
        let budgets = venues.entry(facts.exchange).or_insert_with(|| VenueBudgets::new(facts));
        budgets.open(now_ms)?;
        budgets.weight.take(weight, now_ms).map_err(|wait| Duration::from_millis(wait.unwrap_or(60_000).max(1)))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Exchange, VenueBudgets>> {
        // Nothing panics while it is held.
        self.venues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pace of frames on one connection: what may not be sent yet waits here.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: std::collections::VecDeque<String>,
    budget: Budget,
}

/// Frames that may wait; a connection with more is given up.
const WAITING_MAX: usize = 1_000;

impl Outbox {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { waiting: std::collections::VecDeque::new(), budget: Budget::new(rate) }
    }

    /// False where no more fit.
    pub(crate) fn push(&mut self, frame: String) -> bool {
        self.waiting.push_back(frame);
        self.waiting.len() <= WAITING_MAX
    }

    /// The next frame to send now, or when to ask again.
    pub(crate) fn next(&mut self, now_ms: u64) -> Result<String, Option<u64>> {
        if self.waiting.is_empty() {
            return Err(None);
        }
        match self.budget.take(1, now_ms) {
            Ok(()) => self.waiting.pop_front().ok_or(None),
            Err(wait) => Err(Some(now_ms + wait.unwrap_or(1_000).max(1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::facts;

    #[tokio::test(start_paused = true)]
    async fn all_connections_to_a_venue_share_its_connects() {
        let budgets = Budgets::new();
        let facts = facts(Exchange::Okx);
        let granted = (0..1_000).take_while(|_| budgets.connect(facts).is_ok()).count();
        assert!((1..=10).contains(&granted), "{granted}");
        assert!(budgets.connect(crate::venue::facts(Exchange::Binance)).is_ok(), "each venue has its own");
    }

    #[tokio::test(start_paused = true)]
    async fn a_ban_closes_the_venue_for_everyone() {
        let budgets = Budgets::new();
        let facts = facts(Exchange::Binance);
        assert!(budgets.connect(facts).is_ok());
        budgets.close(facts, Duration::from_secs(60));
        let wait = budgets.connect(facts).unwrap_err();
        assert_eq!(wait, Duration::from_secs(60));
        assert_eq!(budgets.weight(facts, 1), Err(wait), "nor is anything fetched");
        tokio::time::advance(wait).await;
        assert!(budgets.connect(facts).is_ok());
    }

    #[test]
    fn frames_leave_at_the_venues_pace() {
        let mut outbox = Outbox::new(Rate { max: 2, per_ms: 1_000 });
        for n in 0..3 {
            assert!(outbox.push(n.to_string()));
        }
        assert_eq!(outbox.next(0), Ok("0".to_owned()));
        assert_eq!(outbox.next(0), Ok("1".to_owned()));
        let at = outbox.next(0).unwrap_err().unwrap();
        assert_eq!(at, 500);
        assert_eq!(outbox.next(at), Ok("2".to_owned()));
        assert_eq!(outbox.next(at), Err(None));
    }
}
