//! Those who use the cluster.

pub mod crowd;
pub mod operator;
pub mod publisher;
pub mod reader;
pub mod stuck;
