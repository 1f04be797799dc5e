//! Momentum with a volatility filter: with a price that has moved, unless it moves wildly.

use serde::Deserialize;

use super::{Advice, InvalidParameters, Parameters, Stance, Strategy, View, check_number, check_samples};
use crate::{
    history::{deviation, returns},
    parameter::{Parameter, Type, Unit},
};

/// Parameters.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Momentum {
    /// Steps from sample to sample that count.
    window: usize,
    /// Change over the window at which to follow it, as a share.
    entry: f64,
    /// Deviation of a step's change above which nothing is opened, and what is held is closed.
    volatility_max: f64,
}

impl Default for Momentum {
    fn default() -> Self {
        Self { window: 20, entry: 0.001, volatility_max: 0.01 }
    }
}

impl Parameters for Momentum {
    const NAME: &'static str = "momentum";
    const SUMMARY: &'static str = "Follows a change of the share `entry` over `window` samples; flat while steps deviate by more than `volatilityMax`";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::new("window", "Window", Type::Integer, Unit::Samples)
            .within("20", "2", "1999")
            .help("Over how many samples the price's change is taken."),
        Parameter::new("entry", "Entry", Type::Number, Unit::Share)
            .within("0.001", "0.000001", "1")
            .help("By how much the price must have changed to be followed."),
        Parameter::new("volatilityMax", "Volatility limit", Type::Number, Unit::Share)
            .within("0.01", "0.000001", "1")
            .help("Above this deviation from step to step nothing is opened, and what is held is closed."),
    ];

    fn check(&self) -> Result<(), InvalidParameters> {
        check_samples("window", self.window, 2)?;
        check_number("entry", self.entry, 0.000_001..=1.0)?;
        check_number("volatilityMax", self.volatility_max, 0.000_001..=1.0)
    }
}

impl Strategy for Momentum {
    fn samples(&self) -> usize {
        self.window + 1
    }

    fn advise(&self, view: &View<'_>) -> Advice {
        let steps = returns(view.samples);
        let volatility = deviation(&steps);
        let change = match view.samples {
            [first, .., last] if *first != 0.0 => last / first - 1.0,
            _ => 0.0,
        };
        if volatility > self.volatility_max {
            let reasoning = format!(
                "steps deviate by {:.4} %, more than {:.4} %: too wild to follow",
                volatility * 100.0,
                self.volatility_max * 100.0
            );
            let stance = if view.held == 0 { Stance::Keep } else { Stance::Flat };
            return Advice::new(stance, 0.8, reasoning);
        }
        let stance = match change {
            change if change >= self.entry => Stance::Long,
            change if change <= -self.entry => Stance::Short,
            _ => Stance::Keep,
        };
        let confidence = if stance == Stance::Keep { 0.5 } else { 0.5 + change.abs() / (self.entry * 10.0) };
        let reasoning = format!(
            "the price changed by {:+.4} % over {} samples, its steps deviate by {:.4} %",
            change * 100.0,
            self.window,
            volatility * 100.0
        );
        Advice::new(stance, confidence, reasoning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Market;
    use tickwire_trading::Instrument;

    #[test]
    fn a_steady_move_is_followed_and_a_wild_one_is_not() {
        let quote = Market::new(Instrument::new("okx:BTC/USDT").unwrap()).quote();
        let strategy = Momentum { window: 4, entry: 0.01, volatility_max: 0.02 };
        let advise = |samples: &[f64], held| strategy.advise(&View { quote: &quote, samples, held }).stance;
        assert_eq!(advise(&[100.0, 101.0, 102.0, 103.0, 104.0], 0), Stance::Long);
        assert_eq!(advise(&[104.0, 103.0, 102.0, 101.0, 100.0], 0), Stance::Short);
        assert_eq!(advise(&[100.0, 100.1, 100.0, 100.1, 100.2], 0), Stance::Keep);
        let wild = [100.0, 120.0, 90.0, 130.0, 140.0];
        assert_eq!((advise(&wild, 0), advise(&wild, 1)), (Stance::Keep, Stance::Flat));
    }
}
