//! What one worker counts, and how it is handed over each second.

use std::time::Instant;

use crate::record::{Distribution, FAULTS_MAX, Fault, FaultKind, Measure, Totals};

/// Time since the run began; every number of microseconds in messages and records is on this clock.
#[derive(Debug, Clone, Copy)]
pub struct RunClock(Instant);

impl RunClock {
    /// Begins now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Microseconds since it began.
    pub fn now_us(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Milliseconds since it began.
    pub fn now_ms(self) -> u64 {
        self.now_us() / 1_000
    }

    /// The moment it began.
    pub fn began(self) -> Instant {
        self.0
    }
}

/// Distributions of one interval: those that got nothing cost nothing.
#[derive(Debug, Default)]
pub struct Distributions([Option<Box<Distribution>>; Measure::ALL.len()]);

impl Distributions {
    /// Counts one value.
    pub fn record_us(&mut self, measure: Measure, us: u64) {
        self.0[measure as usize].get_or_insert_default().record_us(us);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            if let Some(other) = other {
                own.get_or_insert_default().merge(other);
            }
        }
    }

    /// Forgets what was recorded of `measure`.
    pub fn clear(&mut self, measure: Measure) {
        self.0[measure as usize] = None;
    }

    /// That of `measure`, if anything was recorded.
    pub fn get(&self, measure: Measure) -> Option<&Distribution> {
        self.0[measure as usize].as_deref()
    }
}

/// What one worker has counted so far.
#[derive(Debug, Default)]
pub struct Meter {
    /// Over the whole run.
    pub totals: Totals,
    /// Since the last [`Meter::take`].
    pub distributions: Distributions,
    /// Reads that brought something, over the whole run.
    pub reads: u64,
    /// The first faults.
    pub faults: Vec<Fault>,
}

impl Meter {
    /// Remembers a fault, if it is among the first.
    pub fn fault(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }

    /// What is handed over each second: totals as they stand, distributions and faults since the last time.
    #[must_use]
    pub fn take(&mut self) -> Meter {
        Meter {
            totals: self.totals.clone(),
            distributions: std::mem::take(&mut self.distributions),
            reads: self.reads,
            faults: std::mem::take(&mut self.faults),
        }
    }

    /// Adds what another worker handed over.
    pub fn merge(&mut self, other: Meter) {
        self.totals += &other.totals;
        self.distributions.merge(&other.distributions);
        self.reads += other.reads;
        let room = FAULTS_MAX.saturating_sub(self.faults.len());
        self.faults.extend(other.faults.into_iter().take(room));
    }
}

/// A fault without the place where it was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FaultNote {
    pub(crate) kind: FaultKind,
    pub(crate) number: u64,
    pub(crate) count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_handed_over_once() {
        let mut meter = Meter::default();
        meter.totals.delivered = 5;
        meter.distributions.record_us(Measure::Delivery, 10);
        let (first, second) = (meter.take(), meter.take());
        assert_eq!(first.distributions.get(Measure::Delivery).unwrap().len(), 1);
        assert!(second.distributions.get(Measure::Delivery).is_none());
        assert_eq!((first.totals.delivered, second.totals.delivered), (5, 5), "totals stand for the whole run");
    }
}
