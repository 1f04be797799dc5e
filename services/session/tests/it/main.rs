//! The session service from outside: its API, what it tells, and what survives a kill.
#![allow(clippy::unwrap_used, reason = "clippy knows #[test] functions, not what they call")]

mod api;
mod killed;
mod platform;
mod telling;
