//! One run by several processes, on as many machines: agents wait, one coordinator splits a run over them, starts them
//! together and joins what they found.
//!
//! Invariants:
//! - Nothing of a peer is believed before it has proved that it knows the shared token; every later frame carries a tag
//!   over its place in the stream, so that nothing can be altered, repeated or slipped in. Frames are not encrypted, and
//!   secrets of the cluster are never in them: each agent has its own.
//! - An agent works for one coordinator at a time, stops when it goes away, and holds a bounded number of connections.
//! - A run of which a part is missing is no run: an agent that fails or falls silent fails it, with a sentence that names it.

mod coordinator;
mod merge;
mod serve;
mod share;
mod wire;

pub use coordinator::{Agents, coordinate};
pub use merge::merge;
pub use serve::{Secrets, serve};
pub use share::{Layout, share};
pub use wire::{AgentError, SharedToken};
