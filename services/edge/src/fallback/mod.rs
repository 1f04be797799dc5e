//! Clients without a WebSocket: Server-Sent Events and long polling, over the same hub and the same outbox.
//!
//! Both speak native JSON frames. Where a client stands is in its own hands: the event id (or `next`) names the position in
//! every channel, and gives it all back at the next request, on whichever node.

mod cursors;
mod opening;
pub(crate) mod poll;
pub(crate) mod sse;

pub(crate) use sse::EventStream;
