//! Those who use the cluster.

pub mod operator;
pub mod publisher;
pub mod reader;
