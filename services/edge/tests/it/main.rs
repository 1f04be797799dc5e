//! The edge over real sockets.

#![allow(clippy::unwrap_used, reason = "clippy knows #[test] functions, not what they call")]

mod accept;
mod books;
mod deflate;
mod delivery;
mod delta;
#[allow(dead_code, reason = "its `main` is for the command line")]
#[path = "../../examples/echo.rs"]
mod echo;
mod edge;
mod fallback;
mod framing;
mod fuzz;
mod load;
mod pressure;
mod rates;
mod raw;
mod sessions;
mod start;
mod support;
mod tls;
mod trace;
mod wire;
