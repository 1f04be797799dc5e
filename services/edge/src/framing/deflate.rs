//! Compressed messages out.
//!
//! Every message is compressed by itself and ends between two deflate blocks, on a whole byte. So compressed messages put
//! one behind the other are one valid deflate stream again, in which none refers to another: that is how a packed
//! frame is made of messages that were compressed once for all connections (`outbox`). What of them a single compression of
//! the whole batch would save costs 10 to 30 µs for each connection, this costs a copy.

use bytes::{BufMut, Bytes};
use flate2::{Compress, Compression, FlushCompress, Status};

use super::outgoing::{self, DataKind};

/// Measured on messages of 200 to 500 bytes with zlib-rs: levels 2 to 6 take 7 to 10 µs and differ by 1 % in size, level 1
/// takes 3 µs and leaves 30 % more; at 4 KB level 6 takes 31 µs for 7 % less than level 2's 26 µs. It is paid once for all
/// receivers. (`miniz_oxide` takes twice the time for the same sizes.)
const LEVEL: u32 = 6;
/// How a flushed message ends; RFC 7692 §7.2.1 leaves it out.
const FLUSH: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
/// RFC 1951 §3.2.4.
const STORED_BYTES_MAX: usize = 0xFFFF;
/// Output buffer kept between messages.
const KEPT_BYTES: usize = 64 * 1024;

/// Compresses messages, each by itself. About 300 KB once it is used, however many connections it serves.
#[derive(Debug, Default)]
pub struct Deflater {
    stream: Option<Compress>,
    out: Vec<u8>,
}

impl Deflater {
    /// The compressed frame of `body`; `None` where that would not be smaller.
    pub fn frame(&mut self, kind: DataKind, body: &[u8]) -> Option<Bytes> {
        let stream = self.stream.get_or_insert_with(|| Compress::new(Compression::new(LEVEL), false));
        stream.reset();
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES);
        // As much room as the body takes: what fills it saves nothing.
        self.out.reserve(body.len());
        let room = self.out.capacity();
        let status = stream.compress_vec(body, &mut self.out, FlushCompress::Sync);
        // A flush is complete if it left room.
        let is_whole = matches!(status, Ok(Status::Ok)) && self.out.len() < room;
        let deflated = self.out.strip_suffix(&FLUSH).filter(|_| is_whole)?;
        (deflated.len() < body.len()).then(|| outgoing::deflated(kind, deflated))
    }
}

/// A compressed body made of parts: those that a [`Deflater`] made, and bytes as they are in stored blocks. Each leaves the
/// stream between two blocks, on a whole byte.
#[derive(Debug, Default)]
pub struct Joined {
    out: Vec<u8>,
    /// A compressed part ended with the header of a stored block, whose length is due.
    length_due: bool,
    /// Where the stored block that is being written begins, with its length.
    stored_at: Option<usize>,
}

impl Joined {
    /// With room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Appends the body of a frame that a [`Deflater`] made.
    pub fn push_deflated(&mut self, body: &[u8]) {
        self.end_stored();
        if self.length_due {
            self.out.put_slice(&FLUSH);
        }
        self.out.put_slice(body);
        self.length_due = true;
    }

    /// Appends bytes as they are.
    pub fn push_stored(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let begin = self.stored_at.unwrap_or_else(|| self.begin_stored());
            let room = STORED_BYTES_MAX - (self.out.len() - begin - FLUSH.len());
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.out.put_slice(now);
            bytes = rest;
            if !rest.is_empty() {
                self.end_stored();
            }
        }
    }

    /// The body of the whole.
    pub fn finish(mut self) -> Vec<u8> {
        self.end_stored();
        if !self.length_due {
            self.out.put_u8(0);
        }
        self.out
    }

    fn begin_stored(&mut self) -> usize {
        if !std::mem::take(&mut self.length_due) {
            self.out.put_u8(0);
        }
        let begin = self.out.len();
        self.out.put_slice(&FLUSH);
        self.stored_at = Some(begin);
        begin
    }

    fn end_stored(&mut self) {
        let Some(begin) = self.stored_at.take() else { return };
        // A block is never filled beyond what its length can say.
        let length = u16::try_from(self.out.len() - begin - FLUSH.len()).unwrap_or(u16::MAX);
        self.out[begin..begin + 2].copy_from_slice(&length.to_le_bytes());
        self.out[begin + 2..begin + 4].copy_from_slice(&(!length).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Inflater, outgoing::is_deflated};
    use super::*;

    /// The body behind the header of a frame that a deflater made, if it made one.
    fn deflated(body: &[u8]) -> Option<Vec<u8>> {
        let frame = Deflater::default().frame(DataKind::Text, body)?;
        assert!(is_deflated(&frame));
        let header = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        Some(frame[header..].to_vec())
    }

    #[test]
    fn what_would_not_shrink_is_not_compressed() {
        assert_eq!(deflated(b""), None);
        assert_eq!(deflated(b"{}"), None);
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        let noise: Vec<u8> = std::iter::repeat_with(&mut next).take(2_000).collect();
        assert_eq!(deflated(&noise), None);
        assert!(deflated(&[b'a'; 200]).is_some());
    }

    #[test]
    fn a_stored_part_may_be_longer_than_a_stored_block() {
        let long = vec![7; 3 * STORED_BYTES_MAX + 5];
        let mut joined = Joined::default();
        joined.push_stored(&long);
        assert_eq!(Inflater::default().inflate(&joined.finish(), usize::MAX - 1).unwrap(), long);
    }

    #[test]
    fn nothing_joined_is_the_empty_message_of_rfc_7692() {
        assert_eq!(Joined::default().finish(), [0x00]);
    }

    proptest! {
        #[test]
        fn a_message_comes_back_as_it_was(words in proptest::collection::vec("[a-z]{1,6}", 0..300)) {
            let body = words.join(" ").into_bytes();
            if let Some(deflated) = deflated(&body) {
                prop_assert!(deflated.len() < body.len());
                let mut inflater = Inflater::default();
                prop_assert_eq!(inflater.inflate(&deflated, body.len()).unwrap(), &body);
            }
        }

        #[test]
        fn parts_joined_are_one_message(
            parts in proptest::collection::vec((any::<bool>(), "[a-c]{0,400}"), 0..12),
        ) {
            let mut joined = Joined::default();
            let mut expected = Vec::new();
            for (compress, part) in &parts {
                match deflated(part.as_bytes()).filter(|_| *compress) {
                    Some(body) => joined.push_deflated(&body),
                    None => joined.push_stored(part.as_bytes()),
                }
                expected.extend_from_slice(part.as_bytes());
            }
            let mut inflater = Inflater::default();
            prop_assert_eq!(inflater.inflate(&joined.finish(), 1 << 20).unwrap(), &expected);
        }
    }
}
