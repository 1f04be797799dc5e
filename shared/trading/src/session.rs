//! The trading session: its record, and which transitions there are. Pure: no clock, no store.
//!
//! ```text
//!  create ─▶ paused (not started) ──start──▶ active ◀──resume── paused
//!                  │                           │  └────pause──────▶ │
//!                  └─────────┬─────────────────┴───────────────────┘
//!                            ├─ stop ────────────▶ completed
//!                            ├─ expire ──────────▶ expired
//!                            └─ emergency stop ──▶ emergency_stopped
//! ```
//!
//! The wire knows five statuses. A session that was created and not yet started is `paused` without `startedAt`: whoever acts on
//! a session does the same for both, which is nothing.

mod id;
mod record;
mod transition;

pub use id::{InvalidId, Name, SessionId};
pub use record::{Ending, INSTRUMENTS_MAX, InvalidSession, Limits, NewSession, PARAMETERS_BYTES_MAX, Session, Status};
pub use transition::{Command, Event, Refusal, Summary};
