//! The product end to end: real processes' code, real sockets, a real Redis.

mod cluster;
mod dialects;
mod drain;
mod fallback;
mod inbox;
mod outage;
mod raw;
mod revocation;
mod splice;
mod standalone;
mod status;
