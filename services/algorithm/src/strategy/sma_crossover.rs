//! Moving-average crossover: long while the short average is above the long one.

use serde::Deserialize;

use super::{Advice, InvalidParameters, Parameters, Stance, Strategy, View, check_number, check_samples};
use crate::{
    history::mean,
    parameter::{Parameter, Type, Unit},
};

/// Parameters.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct SmaCrossover {
    /// Samples of the short average.
    fast: usize,
    /// Samples of the long one.
    slow: usize,
    /// How far apart they must be, as a share of the price, so that noise at the crossing is no signal.
    band: f64,
}

impl Default for SmaCrossover {
    fn default() -> Self {
        Self { fast: 5, slow: 20, band: 0.000_1 }
    }
}

impl Parameters for SmaCrossover {
    const NAME: &'static str = "sma-crossover";
    const SUMMARY: &'static str = "Long while the average of `fast` samples is above that of `slow` by the share `band`, short while below";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::new("fast", "Short average", Type::Integer, Unit::Samples)
            .within("5", "1", "1998")
            .help("Samples of the short average."),
        Parameter {
            above: Some("fast"),
            ..Parameter::new("slow", "Long average", Type::Integer, Unit::Samples)
                .within("20", "2", "1999")
                .help("Samples of the long one.")
        },
        Parameter::new("band", "Band", Type::Number, Unit::Share)
            .within("0.0001", "0", "0.5")
            .help("How far apart the averages must be, so that noise at the crossing is no signal."),
    ];

    fn check(&self) -> Result<(), InvalidParameters> {
        check_samples("fast", self.fast, 1)?;
        check_samples("slow", self.slow, self.fast + 1)?;
        check_number("band", self.band, 0.0..=0.5)
    }
}

impl Strategy for SmaCrossover {
    fn samples(&self) -> usize {
        self.slow
    }

    fn advise(&self, view: &View<'_>) -> Advice {
        let slow = mean(view.samples);
        let fast = mean(&view.samples[view.samples.len() - self.fast..]);
        let apart = if slow == 0.0 { 0.0 } else { fast / slow - 1.0 };
        let confidence = 0.5 + apart.abs() / (self.band.max(0.000_01) * 10.0);
        let (stance, relation) = match apart {
            apart if apart > self.band => (Stance::Long, "above"),
            apart if apart < -self.band => (Stance::Short, "below"),
            _ => (Stance::Keep, "within the band of"),
        };
        let reasoning = format!(
            "the average of {} samples ({fast:.4}) is {relation} that of {} ({slow:.4}), {:+.4} %",
            self.fast,
            self.slow,
            apart * 100.0
        );
        Advice::new(stance, if stance == Stance::Keep { 0.5 } else { confidence }, reasoning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Market;
    use tickwire_trading::Instrument;

    #[test]
    fn the_side_of_the_short_average_is_the_side_to_be_on() {
        let quote = Market::new(Instrument::new("okx:BTC/USDT").unwrap()).quote();
        let strategy = SmaCrossover { fast: 2, slow: 4, band: 0.001 };
        let advise = |samples: &[f64]| strategy.advise(&View { quote: &quote, samples, held: 0 });
        let up = advise(&[100.0, 100.0, 101.0, 102.0]);
        assert_eq!(up.stance, Stance::Long);
        assert!(up.reasoning.contains("above") && up.confidence > 0.5, "{up:?}");
        assert_eq!(advise(&[102.0, 101.0, 100.0, 100.0]).stance, Stance::Short);
        assert_eq!(advise(&[100.0, 100.0, 100.0, 100.01]).stance, Stance::Keep);
    }
}
