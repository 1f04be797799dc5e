//! Market data of five exchanges, normalised, with books that are never silently wrong.
//!
//! Data flows one way: a frame → [`venue::Adapter`] (the venue's parser, its rule for books) → [`venue::Effect`] → the connection
//! that it came through (`supervise`) → the channels of the cluster ([`publish`]). Everything up to the effects is free of I/O and
//! of clocks, so `replay` runs a recording through exactly what runs live; [`simulate`] serves one as its exchange would.
//!
//! Invariants: no number passes through a float; a book is published only while every check of its venue holds, and the message
//! at which one fails turns it suspect; a new snapshot replaces a book and never joins an old one; whatever arrives, nothing
//! panics and everything kept has a bound.

pub mod book;
pub mod config;
mod error;
pub mod json;
mod metrics;
pub mod model;
pub mod publish;
pub mod record;
pub mod recording;
pub mod replay;
mod service;
pub mod simulate;
mod status;
mod supervise;
pub mod venue;

pub use config::{BackoffConfig, Config, FeedConfig, Source, VenueConfig};
pub use error::Error;
pub use service::{FeedError, run};
pub use status::{ConnectionState, ConnectionStatus, SymbolStatus, VenueStatus};
