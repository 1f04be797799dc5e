//! Market data of five exchanges, normalised, with books that are never silently wrong.
//!
//! Data flows one way: a frame → [`venue::Adapter`] (the venue's parser, its rule for books) → [`venue::Effect`] → whoever runs
//! the connection. Everything up to the effects is free of I/O and of clocks, so `replay` runs a recording through exactly what
//! runs live.
//!
//! Invariants: no number passes through a float; a book is published only while every check of its venue holds, and the message
//! at which one fails turns it suspect; a new snapshot replaces a book and never joins an old one; whatever arrives, nothing
//! panics and everything kept has a bound.

#![allow(dead_code, reason = "four venues follow")]

pub mod book;
mod error;
pub mod json;
pub mod model;
pub mod recording;
pub mod replay;
pub mod venue;

pub use error::Error;
