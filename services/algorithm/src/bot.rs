//! A session's bot: its strategy and how it trades, from the session's parameters.
//!
//! ```json
//! {"fast":5,"slow":20,
//!  "execution":{"entryShare":"0.2","stopLoss":"0.02","takeProfit":"0.04","feeRate":"0.001"},
//!  "agents":{"sentinel":{"autonomy":"approval","actions":["buy","close_position"],"quantityMax":"0.5"}}}
//! ```
//! `execution` and `agents` are read here; everything else is the strategy's.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Map, Value};
use tickwire_protocol::{RawJson, UserId};
use tickwire_trading::{Instrument, Session, SessionId, session::Name};

use crate::{
    agent::AgentPolicy,
    parameter::{Parameter, Type, Unit},
    strategy::{self, InvalidParameters, Strategy},
};

/// Agents of one bot at most.
pub const AGENTS_MAX: usize = 16;

/// How decisions become orders.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Execution {
    /// Time between two samples of a price, milliseconds; 10 to 3,600,000.
    pub sample_ms: u64,
    /// Least time between two evaluations of an instrument, milliseconds, at most 3,600,000.
    pub evaluate_ms: u64,
    /// Share of the capital that an entry costs; above 0, at most 1.
    pub entry_share: Decimal,
    /// Fee as a share of a trade's value; 0 to 0.1.
    pub fee_rate: Decimal,
    /// How much worse than the best price an entry may trade, as a share; 0 to 0.5.
    pub slippage_max: Decimal,
    /// How long an order stands before its rest is cancelled, milliseconds; 1 to 3,600,000.
    pub order_ttl_ms: u64,
    /// Loss of a position, as a share of its entry price, at which it is closed.
    pub stop_loss: Option<Decimal>,
    /// Gain of a position, likewise.
    pub take_profit: Option<Decimal>,
    /// How long a position may be held, milliseconds.
    pub hold_ms_max: Option<u64>,
    /// Least time between two orders of the strategy in an instrument, milliseconds, at most 86,400,000.
    pub cooldown_ms: u64,
    /// Whether it may be short.
    pub allow_short: bool,
    /// Places of an order's quantity; at most 8.
    pub quantity_places: u32,
    /// Age of a market's newest message above which nothing is traded, milliseconds; 100 to 600,000.
    pub stale_ms: u64,
}

impl Default for Execution {
    fn default() -> Self {
        Self {
            sample_ms: 1_000,
            evaluate_ms: 250,
            entry_share: Decimal::new(1, 1),
            fee_rate: Decimal::new(1, 3),
            slippage_max: Decimal::new(5, 3),
            order_ttl_ms: 5_000,
            stop_loss: Some(Decimal::new(2, 2)),
            take_profit: Some(Decimal::new(4, 2)),
            hold_ms_max: None,
            cooldown_ms: 5_000,
            allow_short: false,
            quantity_places: 6,
            stale_ms: 10_000,
        }
    }
}

impl Execution {
    /// What people set of it; the rest is for tests and for those who read this file.
    pub const PARAMETERS: &'static [Parameter] = &[
        Parameter::new("entryShare", "Entry size", Type::Decimal, Unit::Share)
            .within("0.1", "0.0001", "1")
            .help("Part of the capital that one entry costs."),
        Parameter {
            is_optional: true,
            ..Parameter::new("stopLoss", "Stop loss", Type::Decimal, Unit::Share)
                .within("0.02", "0.0001", "1")
                .help("Loss of a position at which it is closed; empty: none.")
        },
        Parameter {
            is_optional: true,
            ..Parameter::new("takeProfit", "Take profit", Type::Decimal, Unit::Share)
                .within("0.04", "0.0001", "100")
                .help("Gain of a position at which it is closed; empty: none.")
        },
        Parameter::new("slippageMax", "Slippage limit", Type::Decimal, Unit::Share)
            .within("0.005", "0", "0.5")
            .help("How much worse than the best price an entry may trade."),
        Parameter::new("feeRate", "Fee", Type::Decimal, Unit::Share)
            .within("0.001", "0", "0.1")
            .help("Part of each trade's value that counts as its fee."),
        Parameter::new("cooldownMs", "Pause", Type::Integer, Unit::Milliseconds)
            .within("5000", "0", "86400000")
            .help("Least time between two orders in an instrument."),
        Parameter::new("sampleMs", "Sample every", Type::Integer, Unit::Milliseconds)
            .within("1000", "10", "3600000")
            .help("Time between two samples of a price."),
        Parameter::new("allowShort", "May be short", Type::Flag, Unit::None)
            .within("false", "", "")
            .help("Whether it may sell what it does not hold."),
    ];

    fn check(&self) -> Result<(), InvalidParameters> {
        let share = |field, value: Decimal, max: Decimal| {
            let is_within = value >= Decimal::ZERO && value <= max && value.scale() <= 8;
            let refusal =
                InvalidParameters::OutOfBounds { field, reason: "a share with at most 8 places is wanted here" };
            if is_within { Ok(()) } else { Err(refusal) }
        };
        let time = |field, value: u64, within: std::ops::RangeInclusive<u64>| {
            let refusal = InvalidParameters::OutOfBounds { field, reason: "out of its bounds, milliseconds" };
            if within.contains(&value) { Ok(()) } else { Err(refusal) }
        };
        time("execution.sampleMs", self.sample_ms, 10..=3_600_000)?;
        time("execution.evaluateMs", self.evaluate_ms, 0..=3_600_000)?;
        time("execution.orderTtlMs", self.order_ttl_ms, 1..=3_600_000)?;
        time("execution.cooldownMs", self.cooldown_ms, 0..=86_400_000)?;
        time("execution.staleMs", self.stale_ms, 100..=600_000)?;
        time("execution.holdMsMax", self.hold_ms_max.unwrap_or(1), 1..=u64::MAX)?;
        share("execution.entryShare", self.entry_share, Decimal::ONE)?;
        share("execution.feeRate", self.fee_rate, Decimal::new(1, 1))?;
        share("execution.slippageMax", self.slippage_max, Decimal::new(5, 1))?;
        share("execution.stopLoss", self.stop_loss.unwrap_or_default(), Decimal::ONE)?;
        share("execution.takeProfit", self.take_profit.unwrap_or_default(), Decimal::from(100))?;
        let is_zero = |share: Option<Decimal>| share.is_some_and(|share| share.is_zero());
        if self.entry_share.is_zero() || is_zero(self.stop_loss) || is_zero(self.take_profit) {
            let field = "execution";
            return Err(InvalidParameters::OutOfBounds {
                field,
                reason: "entryShare, stopLoss and takeProfit are above zero",
            });
        }
        if self.quantity_places > 8 {
            return Err(InvalidParameters::OutOfBounds { field: "execution.quantityPlaces", reason: "at most 8" });
        }
        Ok(())
    }
}

/// Everything an engine needs to know of its session.
#[derive(Debug)]
pub struct Bot {
    /// Its session.
    pub session_id: SessionId,
    /// Its owner.
    pub user_id: UserId,
    /// Its strategy's name.
    pub algorithm_id: Name,
    /// What it trades.
    pub instruments: Vec<Instrument>,
    /// What it started with.
    pub capital: Decimal,
    /// Greatest sum of its positions' values.
    pub exposure_max: Decimal,
    /// Who decides.
    pub strategy: Box<dyn Strategy>,
    /// How it trades.
    pub execution: Execution,
    /// Agents that may speak up.
    pub agents: BTreeMap<Name, AgentPolicy>,
}

/// The parts of a session's parameters.
#[derive(Debug)]
struct Parts {
    strategy: Map<String, Value>,
    execution: Execution,
    agents: BTreeMap<Name, AgentPolicy>,
}

fn parts(parameters: &RawJson) -> Result<Parts, InvalidParameters> {
    let malformed = |error: serde_json::Error| InvalidParameters::Malformed(error.to_string());
    let mut strategy: Map<String, Value> = parameters.to().map_err(malformed)?;
    let execution = strategy.remove("execution").map_or(Ok(Execution::default()), serde_json::from_value);
    let execution = execution.map_err(malformed)?;
    execution.check()?;
    let agents = strategy.remove("agents").map_or(Ok(BTreeMap::new()), serde_json::from_value);
    let agents: BTreeMap<Name, AgentPolicy> = agents.map_err(malformed)?;
    if agents.len() > AGENTS_MAX {
        return Err(InvalidParameters::OutOfBounds { field: "agents", reason: "there are at most 16" });
    }
    for policy in agents.values() {
        policy.check()?;
    }
    Ok(Parts { strategy, execution, agents })
}

impl Bot {
    /// The bot of `session`.
    pub fn of(session: &Session) -> Result<Self, InvalidParameters> {
        let Parts { strategy, execution, agents } = parts(&session.parameters)?;
        Ok(Self {
            session_id: session.session_id.clone(),
            user_id: session.user_id.clone(),
            algorithm_id: session.algorithm_id.clone(),
            instruments: session.symbols.clone(),
            capital: session.capital,
            exposure_max: session.limits.exposure_limit.unwrap_or(session.capital),
            strategy: strategy::make(session.algorithm_id.as_str(), strategy)?,
            execution,
            agents,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<Parts, InvalidParameters> {
        parts(&RawJson::parse(json.to_owned()).unwrap())
    }

    fn execution(name: &str, value: Value) -> Option<Execution> {
        let given = Value::Object([(name.to_owned(), value)].into_iter().collect());
        serde_json::from_value::<Execution>(given).ok().filter(|given| given.check().is_ok())
    }

    #[test]
    fn what_is_described_of_its_trading_is_what_is_taken() {
        for Parameter { name, kind, default, min, max, is_optional, .. } in Execution::PARAMETERS {
            let value = |text: &str| match kind {
                Type::Decimal => Value::from(text),
                _ => serde_json::from_str(text).unwrap(),
            };
            assert_eq!(execution(name, value(default)), Some(Execution::default()), "{name}");
            assert_eq!(execution(name, Value::Null).is_some(), *is_optional, "{name}");
            if *kind != Type::Flag {
                assert!(execution(name, value(min)).is_some() && execution(name, value(max)).is_some(), "{name}");
                let beyond = (max.parse::<Decimal>().unwrap() + Decimal::ONE).to_string();
                assert_eq!(execution(name, value(&beyond)), None, "{name}");
            }
        }
    }

    #[test]
    fn parameters_are_divided_among_those_who_know_them() {
        let parts = of(
            r#"{"fast":3,"execution":{"entryShare":"0.25","stopLoss":null},"agents":{"a":{"autonomy":"advisory"}}}"#,
        )
        .unwrap();
        assert_eq!(parts.strategy.keys().collect::<Vec<_>>(), ["fast"]);
        assert_eq!((parts.execution.entry_share, parts.execution.stop_loss), (Decimal::new(25, 2), None));
        assert_eq!(parts.agents.len(), 1);
    }

    #[test]
    fn senseless_execution_is_refused() {
        for bad in [
            r#"{"execution":{"entryShare":"0"}}"#,
            r#"{"execution":{"entryShare":"1.5"}}"#,
            r#"{"execution":{"stopLoss":"-0.1"}}"#,
            r#"{"execution":{"sampleMs":0}}"#,
            r#"{"execution":{"feeRate":"0.000000001"}}"#,
            r#"{"execution":{"leverage":"100"}}"#,
            r#"{"agents":{"a":{"autonomy":"approval","approvalMs":0}}}"#,
            r#"{"agents":{"a b":{"autonomy":"advisory"}}}"#,
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
