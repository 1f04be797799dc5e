//! tokio with other sockets.
//!
//! Everything is tokio's own but the TCP types of [`net`], which reach whatever [`net::install`] was given. `[patch]` in the
//! workspace of the simulation puts this crate in tokio's place for every crate of the build, so the shipped code and its
//! libraries dial, listen, read and write as ever, on a simulated network.

pub use real::*;

pub mod net;
