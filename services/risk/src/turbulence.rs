//! Instruments that move more than usual: told to everybody on `volatility:{symbol}`, whoever trades them. What a session's owner set for
//! their session is the rule `volatility`'s business; here the default thresholds hold.

use std::{collections::HashMap, sync::Arc};

use rust_decimal::{Decimal, prelude::FromPrimitive};
use serde::Serialize;
use serde_json::value::RawValue;
use tickwire_trading::Instrument;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use crate::{
    keeper::Tools,
    lease::Lease,
    level::{Ladder, Level, Rungs},
    market::Market,
    metrics::StepLabels,
    thresholds::Thresholds,
};

/// Swings that wait to be told; at the bound newer ones are dropped and counted.
pub(crate) const SWINGS_MAX: usize = 256;
/// Whose instance tells them.
pub(crate) const LEASE: &str = "risk-volatility";
/// Digits of a volatility.
const DIGITS: u32 = 6;

/// An instrument's volatility reached a threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Swing {
    pub(crate) symbol: Instrument,
    /// By how much of its price it typically moves in a minute.
    pub(crate) volatility: Decimal,
    pub(crate) threshold: Decimal,
}

/// Where each instrument stands. No I/O and no clock.
#[derive(Debug, Default)]
pub(crate) struct Turbulence {
    places: HashMap<Instrument, Place>,
    thresholds: Thresholds,
}

#[derive(Debug, Default)]
struct Place {
    ladder: Ladder,
    told: Option<(Level, u64)>,
}

impl Turbulence {
    /// What is to be told: levels that were reached, each once until it was left with a margin, and not again within
    /// `repeatSeconds`.
    pub(crate) fn look(&mut self, market: &Market, now_ms: u64) -> Vec<Swing> {
        let Thresholds { volatility: levels, release, repeat_seconds, .. } = &self.thresholds;
        let rungs = Rungs { warning: levels.warning, critical: levels.critical, emergency: None };
        let repeat_ms = u64::from(*repeat_seconds) * 1_000;
        self.places.retain(|instrument, _| market.has(instrument));
        let mut swings = Vec::new();
        for symbol in market.instruments() {
            let volatility = market.volatility(symbol).and_then(Decimal::from_f64).map(|value| value.round_dp(DIGITS));
            let Some(volatility) = volatility else { continue };
            let place = self.places.entry(symbol.clone()).or_default();
            let Some(level) = place.ladder.step(volatility, &rungs, *release) else { continue };
            if place.told.is_some_and(|(told, at)| level <= told && now_ms.saturating_sub(at) < repeat_ms) {
                continue;
            }
            place.told = Some((level, now_ms));
            swings.push(Swing { symbol: symbol.clone(), volatility, threshold: rungs.of(level) });
        }
        swings
    }
}

#[derive(Serialize)]
struct VolatilityAlert<'a> {
    symbol: &'a Instrument,
    volatility: Box<RawValue>,
    threshold: Box<RawValue>,
}

impl VolatilityAlert<'_> {
    /// Shares are JSON numbers on the wire; they pass through no float on their way.
    fn of(swing: &Swing) -> serde_json::Result<VolatilityAlert<'_>> {
        let number = |value: Decimal| RawValue::from_string(value.to_string());
        let (volatility, threshold) = (number(swing.volatility)?, number(swing.threshold)?);
        Ok(VolatilityAlert { symbol: &swing.symbol, volatility, threshold })
    }
}

/// Tells swings, one attempt each: it is news, and old news helps nobody.
pub(crate) async fn tell(mut swings: mpsc::Receiver<Swing>, tools: Arc<Tools>, mut lease: Lease) {
    let mut renewals = interval(lease.renewal());
    renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let swing = tokio::select! {
            swing = swings.recv() => swing,
            _ = renewals.tick() => {
                lease.is_held(&tools).await;
                continue;
            }
        };
        let Some(swing) = swing else { return };
        if !lease.is_held(&tools).await {
            continue;
        }
        let told = match VolatilityAlert::of(&swing) {
            Ok(alert) => tools.emitter.event("volatility-alert", &alert).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = told {
            tools.metrics.step_failures.get_or_create(&StepLabels { step: "tell_volatility" }).inc();
            tracing::warn!(symbol = %swing.symbol, error, "a volatility was not told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{market::SAMPLE_MS, rules::testing::instrument};

    /// Moves the price by `share` up and down, for `samples`.
    fn shake(market: &mut Market, share: Decimal, samples: u64) {
        let btc = instrument("BTC");
        for sample in 0..samples {
            let price = if sample % 2 == 0 { Decimal::ONE } else { Decimal::ONE + share };
            market.price(&btc, price, sample * SAMPLE_MS);
            market.sample();
        }
    }

    #[test]
    fn an_instrument_that_swings_is_told_of_once_a_level() {
        let (mut market, mut turbulence) = (Market::default(), Turbulence::default());
        market.expect(&instrument("BTC"), 0);
        shake(&mut market, "0.0001".parse().unwrap(), 120);
        assert_eq!(turbulence.look(&market, 0), []);
        shake(&mut market, "0.002".parse().unwrap(), 120);
        let swings = turbulence.look(&market, 1_000);
        let [Swing { symbol, volatility, threshold }] = swings.as_slice() else { panic!("{swings:?}") };
        assert_eq!((symbol, threshold.to_string()), (&instrument("BTC"), "0.010".into()));
        assert!(volatility >= threshold && volatility.scale() <= DIGITS, "{volatility}");
        assert_eq!(turbulence.look(&market, 2_000), [], "it stands there already");
        shake(&mut market, "0.01".parse().unwrap(), 120);
        assert_eq!(turbulence.look(&market, 3_000)[0].threshold.to_string(), "0.030", "worse");
        shake(&mut market, "0.0001".parse().unwrap(), 120);
        assert_eq!(turbulence.look(&market, 4_000), []);
        shake(&mut market, "0.01".parse().unwrap(), 120);
        assert_eq!(turbulence.look(&market, 62_999), [], "too soon to say the same again");
        market.keep(|_| false);
        assert_eq!(turbulence.look(&market, 70_000), []);
        assert!(turbulence.places.is_empty());
    }

    #[test]
    fn shares_are_numbers_on_the_wire() {
        let swing =
            Swing { symbol: instrument("BTC"), volatility: Decimal::new(12_345, 6), threshold: Decimal::new(10, 3) };
        let text = serde_json::to_string(&VolatilityAlert::of(&swing).unwrap()).unwrap();
        assert_eq!(text, r#"{"symbol":"binance:BTC/USDT","volatility":0.012345,"threshold":0.010}"#);
    }
}
