//! The backplanes, whole.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod memory;
mod redis;
