//! Integration tests of the load generator.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::cast_precision_loss, reason = "figures of tests are small")]

mod agents;
mod cluster;
mod faults;
mod report;
mod sample;
mod scenarios;
mod tls;
