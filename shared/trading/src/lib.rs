//! What the trading services share: the session and its transitions, an account's figures, who calls. No service lives here.
//!
//! Three services run a trading session, and each is the only writer of its part:
//!
//! | service | writes | its journals |
//! | --- | --- | --- |
//! | session | the session's status | `session/{id}` |
//! | algorithm | orders, fills, positions, cash | `account/{id}` |
//! | risk | thresholds' state, emergency stops | `stop/{id}` |
//!
//! They see each other as any backend sees the cluster. `trading:sessions` carries the whole [`Session`] after each transition,
//! `trading:accounts` the whole [`Figures`] of an account; both are `latest` channels whose key is the session's id, readable
//! with the role `service` only. Because each value is complete and carries a version that only grows, losing or doubling one is
//! harmless: a reader keeps the greatest version, and asks the other's API (`GET /v1/sessions`, `GET /v1/accounts`) at its start,
//! on `reset` and every ten seconds.
//!
//! One session runs one bot: wherever the wire says `strategyId`, it is the session's id.
//!
//! When a session is over ([`Status::is_over`]), the algorithm cancels its orders and closes its positions; the session
//! service waits for figures without either, [`SETTLEMENT`] at most, before it says `session-completed` with its summary.

use std::time::Duration;

pub mod account;
pub mod api;
pub mod config;
pub mod directory;
pub mod exact;
pub mod figures;
pub mod instrument;
pub mod peer;
pub mod session;

pub use account::Account;
pub use config::{ClusterError, TradingConfig};
pub use directory::Directory;
pub use figures::{Figures, OpenPosition};
pub use instrument::Instrument;
pub use peer::{Peer, PeerError};
pub use session::{Limits, Session, SessionId, Status};

/// The `latest` channel of all sessions' records, by session id.
pub const SESSIONS_CHANNEL: &str = "trading:sessions";
/// The `latest` channel of all accounts' figures, by session id.
pub const ACCOUNTS_CHANNEL: &str = "trading:accounts";
/// How long a session that is over waits for an account without orders and positions before it is summed up as it is.
pub const SETTLEMENT: Duration = Duration::from_secs(10);
/// How long the two channels keep what is over. They hold 10,000 keys and shed none that is alive: what is over makes room.
pub const KEPT: Duration = Duration::from_secs(600);
