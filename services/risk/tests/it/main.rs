//! The risk service on the memory backplane, beside stubs of the services that it calls.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod alerts;
mod cluster;
mod isolation;
mod rig;
mod stop;
