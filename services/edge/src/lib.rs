//! A node of the cluster that clients attach to.

pub mod framing;
