//! The emitter on real sockets and the memory backplane.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod bodies;
mod escalation;
mod events;
mod inbox;
mod operation;
mod platform;
mod preferences;
mod publishing;
mod reading;
mod rig;
