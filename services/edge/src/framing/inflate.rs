//! Compressed messages in.

use flate2::{Decompress, FlushDecompress, Status};

use super::Violation;

/// What RFC 7692 §7.2.2 appends to a message, and a last empty block: only a message that ends between two blocks reaches
/// the end of the stream behind it, a cut one does not.
const TAIL: [u8; 9] = [0x00, 0x00, 0xFF, 0xFF, 0x01, 0x00, 0x00, 0xFF, 0xFF];
/// Deflate reaches 1:1032; no command comes near this.
const RATIO_MAX: usize = 100;
/// A message that stays below it is no bomb, whatever its ratio.
const HARMLESS_BYTES: usize = 16 * 1024;
/// Output made room for at a time, so that little is reserved for little.
const STEP_BYTES: usize = 4 * 1024;
/// Output buffer kept between messages.
const KEPT_BYTES: usize = 64 * 1024;

/// Inflates messages, each by itself: clients are told to use no context takeover. About 48 KB once it is used; nothing
/// of a message stays.
#[derive(Debug, Default)]
pub struct Inflater {
    stream: Option<Decompress>,
    out: Vec<u8>,
}

impl Inflater {
    /// A whole message's payload inflated, at most `bytes_max` bytes and in proportion to what came.
    pub(super) fn inflate(&mut self, payload: &[u8], bytes_max: usize) -> Result<&[u8], Violation> {
        let bytes_max = bytes_max.min(HARMLESS_BYTES.max(payload.len().saturating_mul(RATIO_MAX)));
        let stream = self.stream.get_or_insert_with(|| Decompress::new(false));
        stream.reset(false);
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES);
        feed(stream, payload, &mut self.out, bytes_max)?;
        if feed(stream, &TAIL, &mut self.out, bytes_max)? { Ok(&self.out) } else { Err(Violation::Inflate) }
    }
}

/// Takes all of `input`; whether a stream ended just with it.
fn feed(stream: &mut Decompress, mut input: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<bool, Violation> {
    loop {
        if out.len() == out.capacity() {
            // One byte more than allowed, to see that there is more.
            out.reserve_exact(STEP_BYTES.max(out.len()).min(bytes_max + 1 - out.len()));
        }
        let (taken, made) = (stream.total_in(), stream.total_out());
        let status = stream.decompress_vec(input, out, FlushDecompress::Sync).map_err(|_| Violation::Inflate)?;
        let taken = usize::try_from(stream.total_in() - taken).map_err(|_| Violation::Inflate)?;
        input = &input[taken..];
        if out.len() > bytes_max {
            return Err(Violation::InflatesTooMuch);
        }
        let ended = status == Status::StreamEnd;
        if ended {
            // A sender may end the stream inside a message (RFC 7692 §7.2.3.4); what follows begins another.
            stream.reset(false);
        } else if taken == 0 && stream.total_out() == made && out.len() < out.capacity() && !input.is_empty() {
            return Err(Violation::Inflate);
        }
        if input.is_empty() && (ended || out.len() < out.capacity()) {
            return Ok(ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `Hello` as RFC 7692 §7.2.3.1 shows it.
    const HELLO: [u8; 7] = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];

    fn inflate(payload: &[u8], bytes_max: usize) -> Result<Vec<u8>, Violation> {
        Inflater::default().inflate(payload, bytes_max).map(<[u8]>::to_vec)
    }

    /// `bytes` zeros, compressed.
    fn bomb(bytes: usize) -> Vec<u8> {
        let mut stream = flate2::Compress::new(flate2::Compression::best(), false);
        let mut out = Vec::with_capacity(bytes / 100 + 1_000);
        stream.compress_vec(&vec![0; bytes], &mut out, flate2::FlushCompress::Sync).unwrap();
        out.truncate(out.len() - 4);
        out
    }

    #[test]
    fn the_examples_of_rfc_7692_are_read() {
        assert_eq!(inflate(&HELLO, 100).unwrap(), b"Hello");
        let stored = [0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00];
        assert_eq!(inflate(&stored, 100).unwrap(), b"Hello");
        let with_final_block = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00];
        assert_eq!(inflate(&with_final_block, 100).unwrap(), b"Hello");
        let two_blocks = [0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00];
        assert_eq!(inflate(&two_blocks, 100).unwrap(), b"Hello");
        assert_eq!(inflate(&[0x00], 100).unwrap(), b"");
    }

    #[test]
    fn what_is_cut_or_damaged_is_refused() {
        for cut in 0..HELLO.len() {
            assert_eq!(inflate(&HELLO[..cut], 100), Err(Violation::Inflate), "{cut}");
        }
        assert_eq!(inflate(&[0xFF; 20], 100), Err(Violation::Inflate));
        // RFC 7692 §7.2.3.2: it refers to a message before it, which nobody kept.
        assert_eq!(inflate(&[0xF2, 0x00, 0x11, 0x00, 0x00], 100), Err(Violation::Inflate));
    }

    #[test]
    fn a_bomb_is_refused_by_size_and_by_ratio_before_it_takes_memory() {
        let million = bomb(1 << 20);
        let mut inflater = Inflater::default();
        assert_eq!(inflater.inflate(&million, 256 * 1024), Err(Violation::InflatesTooMuch));
        assert!(inflater.out.capacity() <= 512 * 1024, "{}", inflater.out.capacity());
        assert_eq!(inflater.inflate(&million, usize::MAX - 1), Err(Violation::InflatesTooMuch));
        // What came before leaves nothing behind.
        assert_eq!(inflater.inflate(&HELLO, 100).unwrap(), b"Hello");
        assert!(inflater.out.capacity() <= KEPT_BYTES);
        // Small is harmless.
        assert_eq!(inflate(&bomb(HARMLESS_BYTES), 1 << 20).unwrap().len(), HARMLESS_BYTES);
    }

    #[test]
    fn a_limit_is_the_last_size_allowed() {
        assert_eq!(inflate(&HELLO, 5).unwrap(), b"Hello");
        assert_eq!(inflate(&HELLO, 4), Err(Violation::InflatesTooMuch));
    }

    proptest! {
        #[test]
        fn any_bytes_inflate_within_the_limit_or_not_at_all(
            payload in proptest::collection::vec(any::<u8>(), 0..400),
            bytes_max in 0_usize..40_000,
        ) {
            let mut inflater = Inflater::default();
            if let Ok(message) = inflater.inflate(&payload, bytes_max) {
                prop_assert!(message.len() <= bytes_max);
            }
            prop_assert!(inflater.out.capacity() <= bytes_max + 1 + STEP_BYTES);
        }
    }
}
