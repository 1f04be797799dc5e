//! The load generator of Tickwire: thousands of clients in one process, every message numbered and accounted for.
//!
//! Invariants:
//! - It links no service: what it measures are other processes, reached over sockets as any client reaches them.
//! - It says what it cost itself, and when it was the bottleneck a run says so instead of blaming the servers.
//! - Latency counts from the moment a message was *due*, so a generator or a server that stalls cannot hide the stall
//!   (coordinated omission).
//! - Every queue, buffer and list has a bound.
#![allow(clippy::cast_precision_loss, reason = "figures are made for people; 52 bits are enough")]

pub mod agents;
pub mod ledger;
pub mod processes;
pub mod progress;
pub mod record;
pub mod report;
pub mod settings;
pub mod thresholds;
pub mod watch;

pub use record::RunRecord;
pub use settings::Settings;
