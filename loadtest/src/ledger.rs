//! Who should have seen what: the account of every message, without I/O and without a clock.
//!
//! Messages are numbered from 1 by their sender: densely per channel, in `latest` channels per key. A [`Log`] stands for one
//! channel on the sender's side, a [`Follower`] for one client in one channel. A follower judges each arrival at once and,
//! when the run is over, is compared with the log by [`Follower::audit`].
//!
//! What counts as what:
//! - *lost*: a number that was skipped, or that never came although the log says it was published. A number that comes
//!   after all is taken back from the losses and counted as *disordered*.
//! - *excused*: skipped, and the client was told (`reset`, or `recovered:false`).
//! - *uncertain*: nobody knows whether it was published (the emitter did not say so); it may be missing.
//! - A critical inbox message that comes again before its acknowledgement was confirmed is *redelivered*, not doubled.

mod follower;
mod log;
mod ranges;
#[cfg(test)]
mod tests;

pub use follower::{Arrival, Follower, Origin, Verdict};
pub use log::Log;
pub use ranges::Ranges;
