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
pub mod bench;
pub mod body;
pub mod capacity;
pub mod chaos;
mod client;
pub mod error;
pub mod frame;
pub mod generator;
pub mod ledger;
pub mod machine;
pub mod meter;
pub mod plan;
pub mod processes;
pub mod progress;
mod publisher;
pub mod record;
pub mod report;
pub mod run;
pub mod scan;
pub mod schedule;
pub mod settings;
pub mod thresholds;
pub mod token;
pub mod watch;
mod worker;

pub use error::LoadError;
pub use record::RunRecord;
pub use run::run;
pub use settings::Settings;
