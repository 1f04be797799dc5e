//! Recordings and faults through the adapters; the feed as a service: simulated exchanges on real sockets, a backplane in
//! memory or a real Redis.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test's failure is its message")]

mod cli;
mod faults;
mod fuzz;
mod instances;
mod recordings;
mod refusals;
mod rig;
mod sequences;
mod serving;
mod silence;

use std::path::PathBuf;

/// A recording of the test data.
fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}
