//! The model passes the suite that real Redis passes, and a seed decides everything.
#![allow(clippy::unwrap_used, reason = "tests")]

mod conformance;
mod determinism;
mod mutations;
