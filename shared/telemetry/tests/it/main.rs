//! Settings from files and environments, traces to a collector, signals from an operator.

#![allow(clippy::unwrap_used, reason = "clippy knows #[test] functions, not what they call")]

mod config;
mod signals;
mod traces;
