//! The bot execution engine: strategies that decide on live prices and trade on paper.
//!
//! Data flows one way: a message of a market → [`market`] → [`engine`] ([`strategy`], [`decision`], [`fill`]) → [`entry`] → the
//! bot's journal → the emitter ([`emission`]). Everything up to the entries is free of I/O and of clocks; `service` is the shell: it
//! follows sessions, holds a lease for each bot, and answers for the accounts.
//!
//! Invariants:
//! - No order ever leaves: fills are worked out against the books of the feed.
//! - Money is exact and decimal from wire to wire; floats are in indicators and confidences only, which say when and not how much.
//! - A fill exists when the journal has it. Whoever applies a journal has the account to the last digit.
//! - Live and backtest share every line between price and decision.

pub mod agent;
pub mod backtest;
pub mod bot;
pub mod decision;
pub mod emission;
pub mod engine;
pub mod entry;
pub mod fill;
pub mod history;
pub mod market;
pub mod parameter;
pub mod recording;
mod service;
pub mod strategy;

pub use service::{AlgorithmConfig, AlgorithmError, Config, InvalidConfig, check, run};
