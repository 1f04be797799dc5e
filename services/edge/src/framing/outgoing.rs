//! The bytes of server frames. A server never masks, so a frame is a short header and the body as it is, and one body can
//! be shared by all its receivers.

use bytes::{BufMut, Bytes, BytesMut};

use super::header::RSV1;

/// A ping without payload: one for all connections.
pub const PING: Bytes = Bytes::from_static(&[0x89, 0x00]);

/// The first byte of a close frame.
pub const CLOSE: u8 = 0x88;

/// A close reason's bytes at most: a control frame's 125 less the code.
const REASON_BYTES_MAX: usize = 123;

/// Which data frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataKind {
    /// UTF-8.
    Text,
    /// Anything.
    Binary,
}

/// The header of an unfragmented data frame: 2, 4 or 10 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    bytes: [u8; 10],
    len: u8,
}

impl FrameHeader {
    /// For a body of `body_len` bytes.
    pub fn new(kind: DataKind, body_len: usize) -> Self {
        let mut bytes = [0; 10];
        bytes[0] = match kind {
            DataKind::Text => 0x81,
            DataKind::Binary => 0x82,
        };
        let len = if let Some(short) = u8::try_from(body_len).ok().filter(|&len| len < 126) {
            bytes[1] = short;
            2
        } else if let Ok(medium) = u16::try_from(body_len) {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&medium.to_be_bytes());
            4
        } else {
            bytes[1] = 127;
            bytes[2..10].copy_from_slice(&(body_len as u64).to_be_bytes());
            10
        };
        Self { bytes, len }
    }

    /// The same for a compressed body (RFC 7692 §6).
    #[must_use]
    pub fn deflated(mut self) -> Self {
        self.bytes[0] |= RSV1;
        self
    }

    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// A whole data frame, body copied behind its header.
pub fn data(kind: DataKind, body: &[u8]) -> Bytes {
    whole(FrameHeader::new(kind, body.len()), body)
}

/// A whole compressed data frame.
pub(super) fn deflated(kind: DataKind, body: &[u8]) -> Bytes {
    whole(FrameHeader::new(kind, body.len()).deflated(), body)
}

/// Whether a server frame is a compressed one.
pub fn is_deflated(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & RSV1 != 0)
}

fn whole(header: FrameHeader, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(header.as_slice().len() + body.len());
    frame.put_slice(header.as_slice());
    frame.put_slice(body);
    frame.freeze()
}

/// The answer to a ping; `payload` is cut at 125 bytes, which no ping that [`super::FrameReader`] let through exceeds.
pub fn pong(payload: &[u8]) -> Bytes {
    control(0x8A, payload)
}

/// A close frame. `code` `None` makes an empty one, the answer to an empty one; a long reason is cut between characters.
pub fn close(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else { return Bytes::from_static(&[CLOSE, 0x00]) };
    let cut = (0..=reason.len().min(REASON_BYTES_MAX)).rev().find(|&at| reason.is_char_boundary(at)).unwrap_or(0);
    let mut payload = Vec::with_capacity(2 + cut);
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(&reason.as_bytes()[..cut]);
    control(CLOSE, &payload)
}

fn control(first: u8, payload: &[u8]) -> Bytes {
    let len = u8::try_from(payload.len()).map_or(125, |len| len.min(125));
    let mut frame = BytesMut::with_capacity(2 + usize::from(len));
    frame.put_u8(first);
    frame.put_u8(len);
    frame.put_slice(&payload[..usize::from(len)]);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_takes_2_4_or_10_bytes() {
        let header = |len| FrameHeader::new(DataKind::Text, len).as_slice().to_vec();
        assert_eq!(header(0), [0x81, 0]);
        assert_eq!(header(125), [0x81, 125]);
        assert_eq!(header(126), [0x81, 126, 0, 126]);
        assert_eq!(header(0xFFFF), [0x81, 126, 0xFF, 0xFF]);
        assert_eq!(header(0x1_0000), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(FrameHeader::new(DataKind::Binary, 1).as_slice(), [0x82, 1]);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let frame = close(Some(1001), &"é".repeat(100));
        assert_eq!(frame[..4], [0x88, 124, 0x03, 0xE9]);
        assert_eq!(std::str::from_utf8(&frame[4..]).unwrap().chars().count(), 61);
    }

    #[test]
    fn control_frames_are_as_rfc_6455_shows_them() {
        assert_eq!(pong(b"Hello"), &[0x8A, 5, b'H', b'e', b'l', b'l', b'o'][..]);
        assert_eq!(close(None, "not written"), &[0x88, 0][..]);
        assert_eq!(close(Some(1000), ""), &[0x88, 2, 0x03, 0xE8][..]);
        assert_eq!(PING, &[0x89, 0][..]);
    }
}
