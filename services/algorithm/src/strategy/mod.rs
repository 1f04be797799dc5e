//! Strategies: pure functions from what a bot sees to what it should hold.
//!
//! Adding one is a file here and its line in `strategies!`. A strategy is its validated parameters; it keeps no state, so the same
//! view gets the same advice, live, in a backtest and after a restart.

use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{market::Quote, parameter::Parameter};

/// Samples that a strategy may look at.
pub const SAMPLES_MAX: usize = 2_000;

/// What a strategy sees.
#[derive(Debug)]
pub struct View<'a> {
    /// The market.
    pub quote: &'a Quote,
    /// Sampled prices, oldest first, exactly [`Strategy::samples`] of them.
    pub samples: &'a [f64],
    /// What is held: above zero long, below zero short.
    pub held: i8,
}

/// What should be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    /// A long position.
    Long,
    /// A short position, or none where the bot may not be short.
    Short,
    /// Nothing.
    Flat,
    /// What is held now.
    Keep,
}

/// What a strategy says.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// What should be held.
    pub stance: Stance,
    /// 0 to 1.
    pub confidence: f64,
    /// For people.
    pub reasoning: String,
}

impl Advice {
    /// With `confidence` brought into its bounds.
    pub fn new(stance: Stance, confidence: f64, reasoning: String) -> Self {
        let confidence = if confidence.is_finite() { confidence.clamp(0.0, 1.0) } else { 0.0 };
        Self { stance, confidence, reasoning }
    }
}

/// A strategy with its parameters.
pub trait Strategy: Debug + Send + Sync {
    /// How many sampled prices it looks at, at most [`SAMPLES_MAX`]; it is not asked before there are as many.
    fn samples(&self) -> usize;

    /// What should be held. Must depend on nothing but `view`.
    fn advise(&self, view: &View<'_>) -> Advice;
}

/// Parameters that a strategy cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidParameters {
    /// There is no such strategy.
    #[error("there is no strategy `{0}`")]
    UnknownStrategy(String),
    /// A field is unknown or has another type.
    #[error("parameters: {0}")]
    Malformed(String),
    /// A value is out of its bounds.
    #[error("`{field}`: {reason}")]
    OutOfBounds {
        /// The parameter.
        field: &'static str,
        /// What it wants.
        reason: &'static str,
    },
}

type Made = Result<Box<dyn Strategy>, InvalidParameters>;

/// A strategy that can be asked for.
#[derive(Debug)]
pub struct Definition {
    /// As in a session's `algorithmId`.
    pub name: &'static str,
    /// For people.
    pub summary: &'static str,
    /// What can be set of it.
    pub parameters: &'static [Parameter],
    make: fn(Map<String, Value>) -> Made,
}

/// What a strategy's file says of it.
trait Parameters: Strategy + DeserializeOwned + Sized + 'static {
    const NAME: &'static str;
    const SUMMARY: &'static str;
    /// Every field of its own, with the bounds that `check` holds it to.
    const PARAMETERS: &'static [Parameter];

    fn check(&self) -> Result<(), InvalidParameters>;

    fn make(parameters: Map<String, Value>) -> Made {
        let parsed: Self = serde_json::from_value(Value::Object(parameters))
            .map_err(|error| InvalidParameters::Malformed(error.to_string()))?;
        parsed.check()?;
        Ok(Box::new(parsed))
    }
}

macro_rules! strategies {
    ($($module:ident :: $parameters:ident),* $(,)?) => {
        $(mod $module;)*

        /// Every strategy.
        pub const ALL: &[Definition] = &[$(Definition {
            name: <$module::$parameters as Parameters>::NAME,
            summary: <$module::$parameters as Parameters>::SUMMARY,
            parameters: <$module::$parameters as Parameters>::PARAMETERS,
            make: <$module::$parameters as Parameters>::make,
        }),*];
    };
}

strategies! {
    book_imbalance::BookImbalance,
    mean_reversion::MeanReversion,
    momentum::Momentum,
    sma_crossover::SmaCrossover,
}

/// The strategy called `name` with `parameters`; those that are missing have their defaults.
pub fn make(name: &str, parameters: Map<String, Value>) -> Made {
    let definition = ALL.iter().find(|definition| definition.name == name);
    (definition.ok_or_else(|| InvalidParameters::UnknownStrategy(name.to_owned()))?.make)(parameters)
}

fn check_samples(field: &'static str, samples: usize, least: usize) -> Result<(), InvalidParameters> {
    if (least..=SAMPLES_MAX - 1).contains(&samples) {
        return Ok(());
    }
    Err(InvalidParameters::OutOfBounds { field, reason: "too few or more than 1999 samples" })
}

fn check_number(
    field: &'static str,
    value: f64,
    within: std::ops::RangeInclusive<f64>,
) -> Result<(), InvalidParameters> {
    if within.contains(&value) {
        return Ok(());
    }
    Err(InvalidParameters::OutOfBounds { field, reason: "out of its bounds" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Market;
    use tickwire_trading::Instrument;

    fn parameters(json: &Value) -> Map<String, Value> {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn every_strategy_has_defaults_that_it_accepts_and_its_own_name() {
        let mut names: Vec<&str> = ALL.iter().map(|definition| definition.name).collect();
        for name in &names {
            let strategy = make(name, Map::new()).unwrap();
            assert!(strategy.samples() <= SAMPLES_MAX, "{name}");
        }
        names.dedup();
        assert_eq!(names.len(), 4);
    }

    #[test]
    fn unknown_and_senseless_parameters_are_refused() {
        assert_eq!(make("astrology", Map::new()).unwrap_err(), InvalidParameters::UnknownStrategy("astrology".into()));
        for (name, bad) in [
            ("sma-crossover", serde_json::json!({"fast": 20, "slow": 10})),
            ("sma-crossover", serde_json::json!({"fast": 0})),
            ("sma-crossover", serde_json::json!({"slow": 1_000_000})),
            ("mean-reversion", serde_json::json!({"entry": -1.0})),
            ("book-imbalance", serde_json::json!({"levels": 0})),
            ("momentum", serde_json::json!({"window": 1})),
            ("momentum", serde_json::json!({"colour": "green"})),
        ] {
            assert!(make(name, parameters(&bad)).is_err(), "{name} {bad}");
        }
    }

    /// A description with the wrong name, default or bound would let a form send what is refused, or keep it from what is not.
    #[test]
    fn described_parameters_are_those_that_are_taken() {
        use crate::parameter::Type;
        let number = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
        let beyond = |text: &str, by: f64| -> Value {
            let value = text.parse::<f64>().unwrap();
            (value + by * value.abs().max(1.0)).into()
        };
        for definition in ALL {
            let name = definition.name;
            let all = |value: fn(&Parameter) -> &'static str| -> Map<String, Value> {
                definition.parameters.iter().map(|it| (it.name.to_owned(), number(value(it)))).collect()
            };
            let defaults = make(name, all(|it| it.default)).unwrap();
            assert_eq!(format!("{defaults:?}"), format!("{:?}", make(name, Map::new()).unwrap()));
            for bounds in [all(|it| it.min), all(|it| it.max)] {
                make(name, bounds.clone()).unwrap_or_else(|error| panic!("{name} {bounds:?}: {error}"));
            }
            for parameter in definition.parameters {
                let mut refused = vec![beyond(parameter.max, 0.01), beyond(parameter.min, -0.01)];
                if parameter.kind == Type::Integer {
                    refused = vec![(number(parameter.max).as_u64().unwrap() + 1).into()];
                    refused.extend(number(parameter.min).as_u64().unwrap().checked_sub(1).map(Value::from));
                }
                for value in refused {
                    let mut given = all(|it| it.default);
                    given.insert(parameter.name.to_owned(), value);
                    assert!(make(name, given.clone()).is_err(), "{name} {given:?}");
                }
                let others = definition.parameters.iter().map(|it| it.name);
                for other in [parameter.above, parameter.at_most].into_iter().flatten() {
                    assert!(others.clone().any(|name| name == other), "{other}");
                    let mut given = all(|it| it.default);
                    let limit = if parameter.above.is_some() { parameter.min } else { parameter.max };
                    given.insert(other.to_owned(), all(|it| it.default)[parameter.name].clone());
                    if parameter.above.is_none() {
                        given.insert(other.to_owned(), number(parameter.min));
                        given.insert(parameter.name.to_owned(), number(limit));
                    }
                    assert!(make(name, given.clone()).is_err(), "{name} {given:?}");
                }
            }
        }
    }

    #[test]
    fn the_same_view_gets_the_same_advice() {
        let quote = Market::new(Instrument::new("okx:BTC/USDT").unwrap()).quote();
        for definition in ALL {
            let strategy = make(definition.name, Map::new()).unwrap();
            let samples: Vec<f64> =
                (0..2_000_u32).take(strategy.samples()).map(|n| 100.0 + f64::sin(f64::from(n))).collect();
            let view = View { quote: &quote, samples: &samples, held: 0 };
            assert_eq!(strategy.advise(&view), strategy.advise(&view));
        }
    }
}
