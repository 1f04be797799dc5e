//! What crosses a process boundary, and nothing else.
//!
//! Channel names, positions, codes, the commands a client may send, the events it receives, and the codecs that turn
//! both into bytes: JSON and MessagePack in the native dialect, and one module for each other dialect. The edge, the
//! emitter and the clients all speak through this crate, so a wire type exists once.
//!
//! Invariants:
//! - No I/O, no clock but [`time::now_ms`], no async. Everything here can be fuzzed as a function.
//! - Any bytes in give a value or a [`codec::Malformed`], never a panic.
//! - `data` is carried as the JSON text its sender wrote ([`RawJson`]): no number in it is ever re-rendered.

pub mod book;
pub mod channel;
pub mod class;
pub mod code;
pub mod codec;
pub mod command;
pub mod delta;
pub mod dialect;
pub mod envelope;
pub mod event;
pub mod filter;
pub mod namespace;
pub mod origin;
pub mod position;
pub mod preferences;
pub mod publication;
pub mod raw;
pub mod signature;
pub mod time;
pub mod user;

pub use channel::ChannelName;
pub use class::{DeliveryClass, Priority};
pub use code::{CloseCode, ErrorCode};
pub use command::{Command, Request, SubscriptionRequest};
pub use delta::Delta;
pub use dialect::Dialect;
pub use event::Event;
pub use origin::Origin;
pub use position::Position;
pub use publication::Publication;
pub use raw::RawJson;
pub use user::{DeviceId, UserId};
