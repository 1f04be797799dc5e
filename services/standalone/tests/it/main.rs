//! The product end to end: real processes' code, real sockets, a real Redis.
#![allow(clippy::unwrap_used, reason = "clippy knows #[test] functions, not what they call")]

mod audit;
mod binary;
mod books;
mod chain;
mod cluster;
mod delta;
mod desk;
mod dialects;
mod drain;
mod escalation;
mod fallback;
mod fleet;
mod inbox;
mod killed;
mod market;
mod outage;
mod raw;
mod resubscribe;
mod revocation;
mod splice;
mod standalone;
mod status;
mod traces;
mod trading;
