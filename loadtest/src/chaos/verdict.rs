//! A verdict per promise. What a run gave no occasion to judge is said to be not judged; it never counts as held.

use serde::Serialize;

use super::{ledger::Ledger, reading::Reading};

mod access;
mod alerts;
mod delivery;
mod nodes;

pub(crate) use nodes::DRAIN_GRACE_MS;

/// Breaches listed for each promise.
const BREACHES_MAX: usize = 20;

/// What became of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Held,
    Broken,
    NotJudged,
}

impl Outcome {
    /// For people.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broken => "BROKEN",
            Self::NotJudged => "not judged",
        }
    }
}

/// The verdict on one promise of the design.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verdict {
    /// `G1` to `G10`.
    pub(crate) promise: &'static str,
    pub(crate) claim: &'static str,
    pub(crate) outcome: Outcome,
    /// What was looked at, and what was found besides breaches.
    pub(crate) facts: Vec<String>,
    /// What broke it; the first [`BREACHES_MAX`].
    pub(crate) breaches: Vec<String>,
}

impl Verdict {
    fn new(promise: &'static str, claim: &'static str) -> Self {
        Self { promise, claim, outcome: Outcome::NotJudged, facts: Vec::new(), breaches: Vec::new() }
    }

    /// For a terminal.
    pub(crate) fn lines(&self) -> String {
        let head = format!("{:<4} {:<11} {}", self.promise, self.outcome.word(), self.claim);
        let facts = self.facts.iter().map(|fact| format!("       {fact}"));
        let breaches = self.breaches.iter().map(|breach| format!("     ! {breach}"));
        std::iter::once(head).chain(facts).chain(breaches).collect::<Vec<_>>().join("\n")
    }

    fn fact(&mut self, fact: String) {
        self.facts.push(fact);
    }

    /// A breach; the outcome is `Broken` from here on.
    fn breach(&mut self, breach: impl FnOnce() -> String) {
        self.outcome = Outcome::Broken;
        if self.breaches.len() < BREACHES_MAX {
            self.breaches.push(breach());
        }
    }

    fn breach_if(&mut self, is_breach: bool, breach: impl FnOnce() -> String) {
        if is_breach {
            self.breach(breach);
        }
    }

    /// `Held` if there was an occasion and no breach.
    fn conclude(mut self, occasions: u64, without: &str) -> Self {
        if occasions == 0 && self.outcome != Outcome::Broken {
            self.facts.push(format!("not judged: {without}"));
        } else if self.outcome != Outcome::Broken {
            self.outcome = Outcome::Held;
        }
        self
    }
}

/// All of them, in order.
pub(crate) fn judge(ledger: &Ledger) -> Vec<Verdict> {
    let readings: Vec<Reading> = ledger.readers.iter().map(Reading::of).collect();
    vec![
        delivery::reliable(ledger, &readings),
        delivery::acknowledged(ledger, &readings),
        delivery::latest(ledger),
        alerts::alerts(ledger),
        delivery::idempotent(ledger),
        access::access(ledger),
        nodes::stuck(ledger),
        nodes::drained(ledger),
        nodes::presence(ledger),
        nodes::overtakes(ledger),
    ]
}

#[cfg(test)]
mod tests;
