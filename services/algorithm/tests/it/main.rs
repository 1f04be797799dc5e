//! The program from outside.
#![allow(clippy::unwrap_used, reason = "clippy knows #[test] functions, not what they call")]

mod backtest;
