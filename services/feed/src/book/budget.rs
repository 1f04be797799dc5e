//! What may be done how often, as data, and the bucket that keeps to it.

/// At most `max` in `per_ms` milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub max: u32,
    /// In which time, milliseconds.
    pub per_ms: u64,
}

/// A token bucket over a [`Rate`], on the caller's clock.
#[derive(Debug, Clone)]
pub struct Budget {
    rate: Rate,
    /// A token is `per_ms` of these, and `max` of them come each millisecond: no fraction is ever lost.
    parts: u64,
    filled_at_ms: u64,
}

impl Budget {
    /// Full.
    pub fn new(rate: Rate) -> Self {
        Self { rate, parts: u64::from(rate.max) * rate.per_ms, filled_at_ms: 0 }
    }

    /// Takes `count` tokens, or says in how many milliseconds they will be there. None: never, more than the bucket holds.
    pub fn take(&mut self, count: u32, now_ms: u64) -> Result<(), Option<u64>> {
        let Rate { max, per_ms } = self.rate;
        let gained = now_ms.saturating_sub(self.filled_at_ms).saturating_mul(u64::from(max));
        self.parts = self.parts.saturating_add(gained).min(u64::from(max) * per_ms);
        self.filled_at_ms = self.filled_at_ms.max(now_ms);
        let wanted = u64::from(count) * per_ms;
        match self.parts.checked_sub(wanted) {
            Some(left) => {
                self.parts = left;
                Ok(())
            }
            None if count > max => Err(None),
            None => Err(Some((wanted - self.parts).div_ceil(u64::from(max)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Rate};

    #[test]
    fn a_budget_is_kept_over_any_time() {
        let mut budget = Budget::new(Rate { max: 10, per_ms: 60_000 });
        let granted = (0..3_600_000).step_by(7).filter(|&now| budget.take(1, now).is_ok()).count();
        assert!((600..=610).contains(&granted), "{granted}");
    }

    #[test]
    fn the_wait_named_is_enough() {
        let mut budget = Budget::new(Rate { max: 4, per_ms: 60_000 });
        while budget.take(2, 0).is_ok() {}
        let wait = budget.take(2, 0).unwrap_err().unwrap();
        assert!(budget.take(2, wait - 1).is_err());
        assert!(budget.take(2, wait).is_ok());
        assert_eq!(budget.take(5, wait), Err(None));
    }
}
