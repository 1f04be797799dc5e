//! Prices of the instruments that sessions trade, and the statistics of their returns. The only floats of the service: money is
//! never computed here.

use std::collections::{HashMap, VecDeque};

use rust_decimal::{Decimal, prelude::ToPrimitive};
use tickwire_trading::Instrument;

/// Returns kept of an instrument, one a [`SAMPLE_MS`].
const SAMPLES_MAX: usize = 120;
/// Fewer returns than this say nothing.
const SAMPLES_MIN: usize = 20;
/// Time between two samples, milliseconds.
pub const SAMPLE_MS: u64 = 1_000;
/// Samples of a minute.
const SAMPLES_PER_MINUTE: f64 = 60.0;

/// What is known of all instruments. Its map is as large as the set of instruments that sessions trade: [`Market::keep`].
#[derive(Debug, Default)]
pub struct Market {
    instruments: HashMap<Instrument, Series>,
}

#[derive(Debug)]
struct Series {
    /// The newest price and when it was seen.
    price: Option<(Decimal, u64)>,
    /// Logarithm of the price at the last sample.
    sampled: Option<f64>,
    /// Logarithmic returns, one a sample, newest last. All series are sampled at the same times, so equal distances from the end
    /// are the same moment.
    returns: VecDeque<f64>,
    /// Since when prices are expected.
    since_ms: u64,
}

impl Market {
    /// Prices of `instrument` are expected from `now` on.
    pub fn expect(&mut self, instrument: &Instrument, now_ms: u64) {
        self.instruments.entry(instrument.clone()).or_insert_with(|| Series {
            price: None,
            sampled: None,
            returns: VecDeque::new(),
            since_ms: now_ms,
        });
    }

    /// Every instrument, in no order.
    pub fn instruments(&self) -> impl Iterator<Item = &Instrument> {
        self.instruments.keys()
    }

    /// Whether prices of `instrument` are expected.
    pub fn has(&self, instrument: &Instrument) -> bool {
        self.instruments.contains_key(instrument)
    }

    /// Forgets every instrument that `is_wanted` denies.
    pub fn keep(&mut self, mut is_wanted: impl FnMut(&Instrument) -> bool) {
        self.instruments.retain(|instrument, _| is_wanted(instrument));
    }

    /// A price was seen. What is not expected, or no price, is passed over.
    pub fn price(&mut self, instrument: &Instrument, price: Decimal, now_ms: u64) {
        if let Some(series) = self.instruments.get_mut(instrument)
            && price > Decimal::ZERO
        {
            series.price = Some((price, now_ms));
        }
    }

    /// Takes a sample of every instrument.
    pub fn sample(&mut self) {
        for series in self.instruments.values_mut() {
            let Some(logarithm) = series.price.and_then(|(price, _)| price.to_f64()).map(f64::ln) else { continue };
            if let Some(last) = series.sampled.replace(logarithm) {
                if series.returns.len() == SAMPLES_MAX {
                    series.returns.pop_front();
                }
                series.returns.push_back(logarithm - last);
            }
        }
    }

    /// How old the newest price is, milliseconds; without one, how long it has been waited for. `None` if none is expected.
    pub fn age_ms(&self, instrument: &Instrument, now_ms: u64) -> Option<u64> {
        let series = self.instruments.get(instrument)?;
        let seen = series.price.map_or(series.since_ms, |(_, seen)| seen);
        Some(now_ms.saturating_sub(seen))
    }

    /// By how much of its price an instrument typically moves in a minute.
    pub fn volatility(&self, instrument: &Instrument) -> Option<f64> {
        let returns = &self.instruments.get(instrument)?.returns;
        if returns.len() < SAMPLES_MIN {
            return None;
        }
        Some(deviation(returns.iter().copied()) * SAMPLES_PER_MINUTE.sqrt())
    }

    /// Correlation of two instruments' returns. `None` where one of them stood still.
    pub fn correlation(&self, one: &Instrument, two: &Instrument) -> Option<f64> {
        let (one, two) = (&self.instruments.get(one)?.returns, &self.instruments.get(two)?.returns);
        let count = one.len().min(two.len());
        if count < SAMPLES_MIN {
            return None;
        }
        let pairs = || one.iter().rev().zip(two.iter().rev()).take(count);
        let (mean_one, mean_two) = (mean(pairs().map(|pair| *pair.0)), mean(pairs().map(|pair| *pair.1)));
        let covariance = mean(pairs().map(|(a, b)| (a - mean_one) * (b - mean_two)));
        let spread = (mean(pairs().map(|(a, _)| (a - mean_one).powi(2)))
            * mean(pairs().map(|(_, b)| (b - mean_two).powi(2))))
        .sqrt();
        let correlation = covariance / spread;
        correlation.is_finite().then(|| correlation.clamp(-1.0, 1.0))
    }
}

#[allow(clippy::cast_precision_loss, reason = "120 samples at most")]
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    sum / count.max(1) as f64
}

fn deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let mean_value = mean(values.clone());
    mean(values.map(|value| (value - mean_value).powi(2))).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instrument(base: &str) -> Instrument {
        Instrument::new(&format!("binance:{base}/USDT")).unwrap()
    }

    /// The price of a moment.
    type Price = fn(i64) -> i64;

    fn fed(prices: &[(&Instrument, Price)]) -> Market {
        let mut market = Market::default();
        for (instrument, _) in prices {
            market.expect(instrument, 0);
        }
        for n in 0..60 {
            for (instrument, price) in prices {
                market.price(instrument, Decimal::from(price(n)), n.unsigned_abs() * SAMPLE_MS);
            }
            market.sample();
        }
        market
    }

    #[test]
    fn a_still_price_has_no_volatility_and_a_moving_one_has_its_own() {
        let (still, moving) = (instrument("BTC"), instrument("ETH"));
        let market = fed(&[(&still, |_| 100), (&moving, |n| 1_000 + n % 2)]);
        assert!(market.volatility(&still).unwrap() < 1e-12);
        let expected = 0.001 * 60_f64.sqrt();
        assert!((market.volatility(&moving).unwrap() - expected).abs() < expected / 50.0);
        assert_eq!(market.volatility(&instrument("XRP")), None);
    }

    #[test]
    fn what_moves_together_is_correlated_and_what_moves_against_is_not() {
        let (one, two, three) = (instrument("BTC"), instrument("ETH"), instrument("XRP"));
        let market = fed(&[
            (&one, |n| 1_000 + n * 7 % 13),
            (&two, |n| 2_000 + 2 * (n * 7 % 13)),
            (&three, |n| 1_000 - n * 7 % 13),
        ]);
        assert!(market.correlation(&one, &two).unwrap() > 0.99);
        assert!(market.correlation(&one, &three).unwrap() < -0.99);
    }

    #[test]
    fn an_instrument_without_prices_grows_old_from_when_it_was_expected() {
        let mut market = Market::default();
        let btc = instrument("BTC");
        assert_eq!(market.age_ms(&btc, 5), None);
        market.expect(&btc, 1_000);
        assert_eq!(market.age_ms(&btc, 3_000), Some(2_000));
        market.price(&btc, Decimal::ONE, 2_500);
        market.price(&btc, Decimal::ZERO, 2_900);
        assert_eq!(market.age_ms(&btc, 3_000), Some(500));
        market.keep(|_| false);
        assert_eq!(market.age_ms(&btc, 3_000), None);
    }
}
