//! A client frame's header, checked as early as its bytes allow.

use super::{FrameLimits, Violation};

/// Longest header of a client frame: two bytes, a 64-bit length, the mask.
pub(super) const HEADER_BYTES_MAX: usize = 14;
/// The first reserved bit of a frame's first byte.
pub(super) const RSV1: u8 = 0x40;
/// RFC 6455 §5.5.
pub(super) const CONTROL_BYTES_MAX: usize = 125;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A whole, valid header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    /// RFC 7692 §6: the message that it begins is compressed.
    pub(super) deflated: bool,
    /// Bytes of payload, within [`FrameLimits::frame_bytes_max`].
    pub(super) payload_len: usize,
    /// Bytes of header and payload.
    pub(super) frame_len: usize,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` while it is incomplete. A bad header is refused with its first bad
    /// byte, so that a peer cannot make the edge wait for the rest of it. `may_deflate`: permessage-deflate was negotiated.
    pub(super) fn parse(bytes: &[u8], limits: &FrameLimits, may_deflate: bool) -> Result<Option<Self>, Violation> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let deflated = first & RSV1 != 0;
        if first & 0x30 != 0 || (deflated && !may_deflate) {
            return Err(Violation::ReservedBits);
        }
        let opcode = Opcode::from_bits(first & 0x0F).ok_or(Violation::Opcode)?;
        // Only the first frame of a data message says whether it is compressed.
        if deflated && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(Violation::ReservedBits);
        }
        let fin = first & 0x80 != 0;
        if opcode.is_control() && !fin {
            return Err(Violation::ControlFragmented);
        }
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(Violation::Unmasked);
        }
        let short_len = usize::from(second & 0x7F);
        if opcode.is_control() && short_len > CONTROL_BYTES_MAX {
            return Err(Violation::ControlTooLong);
        }
        let Some((declared, length_bytes)) = declared_length(short_len, &bytes[2..])? else { return Ok(None) };
        let payload_len = match usize::try_from(declared) {
            Ok(len) if opcode.is_control() || len <= limits.frame_bytes_max => len,
            _ => return Err(Violation::FrameTooBig),
        };
        let header_len = 2 + length_bytes + 4;
        if bytes.len() < header_len {
            return Ok(None);
        }
        Ok(Some(Self { fin, opcode, deflated, payload_len, frame_len: header_len + payload_len }))
    }
}

/// The declared payload length and how many bytes beside the first two it took.
fn declared_length(short_len: usize, rest: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    let (length, bytes, shortest) = match short_len {
        126 => match rest.first_chunk::<2>() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 2, 126),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 8, 0x1_0000),
            None => return Ok(None),
        },
        _ => (short_len as u64, 0, 0),
    };
    if length < shortest {
        return Err(Violation::LengthForm);
    }
    Ok(Some((length, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Option<Header>, Violation> {
        Header::parse(bytes, &FrameLimits::default(), false)
    }

    #[test]
    fn a_header_is_refused_with_its_first_bad_byte() {
        assert_eq!(parse(&[0xC1]), Err(Violation::ReservedBits));
        assert_eq!(parse(&[0xA1]), Err(Violation::ReservedBits));
        assert_eq!(parse(&[0x91]), Err(Violation::ReservedBits));
        assert_eq!(parse(&[0x83]), Err(Violation::Opcode));
        assert_eq!(parse(&[0x8B]), Err(Violation::Opcode));
        assert_eq!(parse(&[0x09]), Err(Violation::ControlFragmented));
        assert_eq!(parse(&[0x81, 0x05]), Err(Violation::Unmasked));
        assert_eq!(parse(&[0x89, 0xFE]), Err(Violation::ControlTooLong));
    }

    #[test]
    fn only_the_first_frame_of_a_data_message_may_say_that_it_is_compressed() {
        let parse = |first: u8| Header::parse(&[first, 0x80, 0, 0, 0, 0], &FrameLimits::default(), true);
        for first in [0xC1, 0x41, 0xC2, 0x42] {
            assert!(parse(first).unwrap().unwrap().deflated, "{first:#x}");
        }
        for first in [0xC0, 0x40, 0xC8, 0xC9, 0xCA, 0xA1, 0x91, 0xE1] {
            assert_eq!(parse(first), Err(Violation::ReservedBits), "{first:#x}");
        }
        assert!(!parse(0x81).unwrap().unwrap().deflated);
    }

    #[test]
    fn a_length_must_be_in_its_shortest_form() {
        assert_eq!(parse(&[0x81, 0xFE, 0, 125]), Err(Violation::LengthForm));
        assert_eq!(parse(&[0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]), Err(Violation::LengthForm));
        assert!(parse(&[0x81, 0xFE, 0, 126, 0, 0, 0, 0]).unwrap().is_some());
        assert!(parse(&[0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap().is_some());
    }

    #[test]
    fn a_declared_size_over_the_limit_is_refused_before_the_mask_arrives() {
        assert_eq!(parse(&[0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 1]), Err(Violation::FrameTooBig));
        assert_eq!(parse(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]), Err(Violation::FrameTooBig));
        assert_eq!(parse(&[0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]), Err(Violation::FrameTooBig));
    }

    #[test]
    fn a_whole_header_says_how_long_its_frame_is() {
        let header = parse(&[0x01, 0x83, 1, 2, 3, 4]).unwrap().unwrap();
        assert_eq!(header, Header { fin: false, opcode: Opcode::Text, deflated: false, payload_len: 3, frame_len: 9 });
        assert_eq!(parse(&[0x01, 0x83, 1, 2, 3]), Ok(None));
        assert_eq!(parse(&[]), Ok(None));
    }
}
