//! WebSocket frames in and out, without I/O.
//!
//! In: bytes as they came from a socket go into [`FrameReader::read`]; whole messages and control frames come out.
//! `header` checks each frame's header by RFC 6455 and by [`FrameLimits`] before a byte of its payload is kept;
//! `decode` lets fastwebsockets unmask what passed, in memory, so its reader never waits and never allocates what a
//! peer merely declared. Out: [`outgoing`] makes the bytes of server frames.
//!
//! permessage-deflate (RFC 7692) without context takeover either way: a message is compressed by itself, so a connection
//! keeps no window, one [`Inflater`] serves all connections of a thread, and what a [`Deflater`] made goes to any of them.
//!
//! Invariants:
//! - Any bytes give events or one [`Violation`], never a panic.
//! - A connection that is between messages holds no heap here; otherwise at most one frame and one message, both within
//!   the limits, and it is given back when the message ends.
//! - After a close frame or a violation nothing is read any more.

mod decode;
pub mod deflate;
mod header;
mod inflate;
mod message;
pub mod outgoing;
mod reader;
#[cfg(test)]
mod tests;

pub use deflate::Deflater;
pub use inflate::Inflater;
pub use reader::{FrameReader, Incoming};

use tickwire_protocol::CloseCode;

/// What a peer may send. One value for all connections of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Largest payload of one frame, bytes.
    pub frame_bytes_max: usize,
    /// Largest message, all its fragments together, bytes.
    pub message_bytes_max: usize,
    /// Most fragments of one message.
    pub fragments_max: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self { frame_bytes_max: 64 * 1024, message_bytes_max: 256 * 1024, fragments_max: 64 }
    }
}

/// Why a peer's bytes are refused. The text is the reason in the close frame, so it stays below 124 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// RFC 6455 §5.2: no negotiated extension gives these bits a meaning here.
    #[error("a reserved bit is set, but no negotiated extension gives it a meaning here")]
    ReservedBits,
    /// RFC 6455 §5.2.
    #[error("the opcode is not defined")]
    Opcode,
    /// RFC 6455 §5.1.
    #[error("a client must mask its frames")]
    Unmasked,
    /// RFC 6455 §5.2: the shortest form must be used.
    #[error("the payload length is not in its shortest form")]
    LengthForm,
    /// RFC 6455 §5.5.
    #[error("a control frame has at most 125 bytes")]
    ControlTooLong,
    /// RFC 6455 §5.5.
    #[error("a control frame must not be fragmented")]
    ControlFragmented,
    /// RFC 6455 §5.4.
    #[error("a continuation needs an unfinished message")]
    StrayContinuation,
    /// RFC 6455 §5.4.
    #[error("a new message began inside an unfinished one")]
    InterleavedMessage,
    /// RFC 6455 §5.5.1 and §7.4: one byte, or a code that must not be on the wire.
    #[error("the close frame carries no valid code")]
    CloseCode,
    /// RFC 6455 §5.5.1.
    #[error("the close reason is not UTF-8")]
    CloseReason,
    /// RFC 6455 §8.1.
    #[error("the text is not UTF-8")]
    Utf8,
    /// [`FrameLimits::frame_bytes_max`].
    #[error("the frame is too big: send less at once")]
    FrameTooBig,
    /// [`FrameLimits::message_bytes_max`].
    #[error("the message is too big: send less at once")]
    MessageTooBig,
    /// [`FrameLimits::fragments_max`].
    #[error("the message has too many fragments: send fewer, larger ones")]
    TooManyFragments,
    /// RFC 7692 §7.2.2.
    #[error("the compressed message cannot be inflated")]
    Inflate,
    /// [`FrameLimits::message_bytes_max`] after inflating, or out of all proportion.
    #[error("the compressed message inflates to too much: send less at once")]
    InflatesTooMuch,
    /// The decoder refused what the checks let through.
    #[error("the frame cannot be decoded")]
    Undecodable,
}

impl Violation {
    /// The code to close with.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::FrameTooBig | Self::MessageTooBig | Self::TooManyFragments | Self::InflatesTooMuch => {
                CloseCode::TooBig
            }
            Self::Utf8 | Self::CloseReason | Self::Inflate => CloseCode::InvalidPayload,
            _ => CloseCode::ProtocolError,
        }
    }
}
