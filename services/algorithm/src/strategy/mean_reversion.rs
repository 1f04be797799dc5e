//! Mean reversion: against a price that is far from its mean, until it is back.

use serde::Deserialize;

use super::{Advice, InvalidParameters, Parameters, Stance, Strategy, View, check_number, check_samples};
use crate::{
    history::{deviation, mean},
    parameter::{Parameter, Type, Unit},
};

/// Parameters.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct MeanReversion {
    /// Samples of mean and deviation.
    window: usize,
    /// Deviations from the mean at which to go against the price.
    entry: f64,
    /// Deviations at which it counts as back.
    exit: f64,
}

impl Default for MeanReversion {
    fn default() -> Self {
        Self { window: 30, entry: 2.0, exit: 0.5 }
    }
}

impl Parameters for MeanReversion {
    const NAME: &'static str = "mean-reversion";
    const SUMMARY: &'static str = "Buys `entry` standard deviations below the mean of `window` samples, sells above, closes within `exit`";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::new("window", "Window", Type::Integer, Unit::Samples)
            .within("30", "5", "1999")
            .help("How many samples mean and deviation are taken from."),
        Parameter::new("entry", "Entry", Type::Number, Unit::Deviations)
            .within("2", "0.1", "10")
            .help("How far from its mean the price must be to trade against it."),
        Parameter {
            at_most: Some("entry"),
            ..Parameter::new("exit", "Exit", Type::Number, Unit::Deviations)
                .within("0.5", "0", "10")
                .help("How near the mean it must be again to close.")
        },
    ];

    fn check(&self) -> Result<(), InvalidParameters> {
        check_samples("window", self.window, 5)?;
        check_number("entry", self.entry, 0.1..=10.0)?;
        check_number("exit", self.exit, 0.0..=self.entry)
    }
}

impl Strategy for MeanReversion {
    fn samples(&self) -> usize {
        self.window
    }

    fn advise(&self, view: &View<'_>) -> Advice {
        let (mean, deviation) = (mean(view.samples), deviation(view.samples));
        let newest = view.samples.last().copied().unwrap_or(mean);
        if deviation <= f64::EPSILON * mean.abs() {
            return Advice::new(Stance::Keep, 0.0, format!("the price has not moved for {} samples", self.window));
        }
        let score = (newest - mean) / deviation;
        let stance = match score {
            score if score <= -self.entry => Stance::Long,
            score if score >= self.entry => Stance::Short,
            score if score.abs() <= self.exit && view.held != 0 => Stance::Flat,
            _ => Stance::Keep,
        };
        let what = match stance {
            Stance::Long => "low enough to buy",
            Stance::Short => "high enough to sell",
            Stance::Flat => "back at its mean",
            Stance::Keep => "neither far nor back",
        };
        let confidence = if stance == Stance::Keep { 0.5 } else { 0.5 + score.abs() / (self.entry * 4.0) };
        let reasoning = format!("the price is {score:+.2} deviations from the mean of {} samples ({mean:.4}): {what}", self.window);
        Advice::new(stance, confidence, reasoning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Market;
    use tickwire_trading::Instrument;

    #[test]
    fn far_from_the_mean_it_goes_against_the_price_and_leaves_when_it_is_back() {
        let quote = Market::new(Instrument::new("okx:BTC/USDT").unwrap()).quote();
        let strategy = MeanReversion { window: 6, entry: 1.5, exit: 0.5 };
        let advise = |newest: f64, held| {
            let samples = [100.0, 101.0, 99.0, 100.0, 101.0, newest];
            strategy.advise(&View { quote: &quote, samples: &samples, held }).stance
        };
        assert_eq!(advise(90.0, 0), Stance::Long);
        assert_eq!(advise(110.0, 0), Stance::Short);
        assert_eq!(advise(100.2, 1), Stance::Flat);
        assert_eq!(advise(100.2, 0), Stance::Keep, "there is nothing to leave");
        let still = strategy.advise(&View { quote: &quote, samples: &[100.0; 6], held: 0 });
        assert_eq!(still.stance, Stance::Keep);
    }
}
