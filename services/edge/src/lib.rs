//! The edge: where clients attach.
//!
//! It terminates WebSockets (and SSE, long polling), authenticates, subscribes at the backplane to just the channels that
//! its clients use, and fans out. A node holds nothing that a client could not get from another: positions are the
//! client's, history is the backplane's.
//!
//! Invariants:
//! - What serves a client lives on one shard (one thread, one current-thread runtime). Shards share atomics and the
//!   backplane, nothing else; no lock stands on the way of a message.
//! - A connection costs no read buffer, no queue and no timer while it idles.
//! - A publication is encoded once per dialect and node, and written to each connection at most once per batch.

pub mod config;
pub mod connection;
pub mod framing;
pub mod limits;
pub mod metrics;

pub use config::Config;
