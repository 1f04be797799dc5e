//! Leases: one holder at a time for what must have one writer, and the fences that make a late writer harmless.
//!
//! A lease has the form of a channel's name, mostly the name of the channel that its holder writes to
//! (`book:binance:BTC/USDT`, `session:42`). How to be the only writer, and to publish nothing twice over a takeover:
//!
//! 1. [`crate::Backplane::take_leases`]. The term counts from *before* the call was made, by the holder's own monotonic clock.
//!    Renew at a third of it; when it is over, stop writing whatever the answers say.
//! 2. [`crate::Backplane::fence`] on each channel to be written to. From then on every publish with an older fence is refused
//!    ([`crate::BackplaneError::Fenced`]), however late it comes: a process that slept through its lease, a repeated call. The answer
//!    is the channel's newest position: what the predecessor published up to there is all that it ever will.
//! 3. Read the history up to it, and go on behind the last thing found there (a trade's number, a session's state).
//! 4. [`crate::Publish::fence`] on every publish.
//!
//! Idempotency keys do the same without step 3, for 5 minutes, at the price of a key in the store for each message; fences
//! cost an argument. Fences are for writers that agree on them: a publish without one is never refused.
//!
//! What a failover of Redis can do: a promoted replica may not know of the newest lease, so a second process may get it while
//! the first one's term lasts. It gets a greater fence all the same, as long as its server's clock is not behind by more than
//! the time since the lease was given, because a fence is never less than the server's milliseconds. The same holds when
//! Redis lost everything. A channel's fence may be lost with the same writes; the older holder could then publish for the rest of
//! its term, until the newer one's first publish.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Grows with every change of a lease's holder. Never less than the milliseconds since the Unix epoch at which it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fence(pub u64);

impl std::fmt::Display for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What became of an attempt to take a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is the caller's, for the time asked for. Asking again while it is answers the same fence.
    Held(Fence),
    /// It is another's.
    Elsewhere {
        /// Who that is.
        holder: String,
        /// How long, unless it is renewed.
        rest: Duration,
    },
}

impl Taken {
    /// The fence, if the lease is the caller's.
    pub fn fence(&self) -> Option<Fence> {
        match self {
            Self::Held(fence) => Some(*fence),
            Self::Elsewhere { .. } => None,
        }
    }
}
