//! The client's shell against scripted servers on loopback.
#![allow(clippy::unwrap_used, reason = "clippy knows #[test] functions, not what they call")]

mod client;
mod edge;
mod emitter;
