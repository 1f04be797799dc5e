//! Prices sampled in time, for indicators.
//!
//! Indicators are the one place where floats are allowed: they say *when*, never *how much*. Nothing computed here reaches an
//! order's quantity, a price, or an account.

/// Samples that are missing after which the rest is forgotten: indicators over a hole would see a jump that nobody traded.
const GAP_SAMPLES: u64 = 10;

/// The newest samples of an instrument, at most as many as its strategy looks at.
#[derive(Debug, Clone)]
pub struct History {
    samples: Vec<f64>,
    wanted: usize,
    period_ms: u64,
    sampled_at: Option<u64>,
}

impl History {
    /// Of `wanted` samples, one in each `period_ms`.
    pub fn new(wanted: usize, period_ms: u64) -> Self {
        Self { samples: Vec::with_capacity(wanted * 2), wanted, period_ms: period_ms.max(1), sampled_at: None }
    }

    /// Takes the first price of each period.
    pub fn observe(&mut self, price: f64, now: u64) {
        let period = now / self.period_ms;
        match self.sampled_at {
            Some(before) if period <= before => return,
            Some(before) if period - before > GAP_SAMPLES => self.samples.clear(),
            _ => {}
        }
        self.sampled_at = Some(period);
        if self.samples.len() == self.samples.capacity() && self.wanted > 0 {
            let old = self.samples.len() - self.wanted + 1;
            self.samples.drain(..old);
        }
        if self.wanted > 0 {
            self.samples.push(price);
        }
    }

    /// Oldest first, as many as were wanted; `None` while there are fewer.
    pub fn samples(&self) -> Option<&[f64]> {
        let from = self.samples.len().checked_sub(self.wanted)?;
        self.samples.get(from..)
    }
}

/// The mean; 0 of nothing.
#[allow(clippy::cast_precision_loss, reason = "a window has far fewer than 2^52 samples")]
pub fn mean(samples: &[f64]) -> f64 {
    if samples.is_empty() { 0.0 } else { samples.iter().sum::<f64>() / samples.len() as f64 }
}

/// The standard deviation (of a population).
pub fn deviation(samples: &[f64]) -> f64 {
    let mean = mean(samples);
    let squares: Vec<f64> = samples.iter().map(|sample| (sample - mean).powi(2)).collect();
    self::mean(&squares).sqrt()
}

/// The change from each sample to the next, as a share.
pub fn returns(samples: &[f64]) -> Vec<f64> {
    samples.windows(2).map(|pair| if pair[0] == 0.0 { 0.0 } else { pair[1] / pair[0] - 1.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sample_a_period_and_the_newest_of_them() {
        let mut history = History::new(3, 100);
        for now in 0..100_u32 {
            history.observe(f64::from(now), u64::from(now) * 50);
        }
        assert_eq!(history.samples(), Some(&[94.0, 96.0, 98.0][..]));
    }

    #[test]
    fn over_a_hole_nothing_is_remembered() {
        let mut history = History::new(2, 100);
        for now in [0, 100, 200] {
            history.observe(1.0, now);
        }
        assert!(history.samples().is_some());
        history.observe(2.0, 5_000);
        assert_eq!(history.samples(), None);
    }

    #[test]
    fn statistics_are_those_of_the_textbook() {
        assert!((deviation(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]) - 2.0).abs() < 1e-12);
        assert!((returns(&[100.0, 110.0])[0] - 0.1).abs() < 1e-12);
        assert!(mean(&[]).abs() < f64::EPSILON);
    }
}
