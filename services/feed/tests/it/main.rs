//! The feed as a service: simulated exchanges on real sockets, a backplane in memory or a real Redis.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test's failure is its message")]

mod faults;
mod instances;
mod rig;
mod serving;
