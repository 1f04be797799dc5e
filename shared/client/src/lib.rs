//! The Rust client of a Tickwire cluster.
//!
//! [`Client`] holds a WebSocket to an edge and keeps its subscriptions over every reconnect, recovering by position;
//! [`Emitter`] publishes over HTTP.
//!
//! Invariants:
//! - The protocol of a connection is [`session`], which does no I/O and reads no clock; [`shell`] only carries out what it
//!   decides.
//! - A message of a `reliable` or `inbox` channel reaches its consumer once and in order, or the consumer is told that
//!   history is gone ([`SubscriptionEvent::Recovered`] without `complete`, [`SubscriptionEvent::Reset`]).
//! - Everything sent again is idempotent: whatever publishes has a key.
//! - Every queue here is bounded. At the bound of a consumer's buffer the client stops reading; TCP tells the edge.
#![allow(rustdoc::private_intra_doc_links, reason = "the crate's own map")]

mod backoff;
mod book;
mod client;
pub mod emitter;
mod error;
mod event;
mod link;
mod options;
mod session;
mod shell;
mod track;

pub use backoff::Backoff;
pub use book::BookView;
pub use client::{Client, Subscription};
pub use emitter::{Emitter, EmitterOptions};
pub use error::{ClientError, DisconnectReason, TokenError};
pub use event::{ConnectionState, Delivery, History, Presence, Published, SubscriptionEvent};
pub use options::{ClientOptions, Encoding, SubscribeOptions, TokenFuture, TokenPlacement, TokenSource};
pub use tickwire_protocol::codec::Message;
