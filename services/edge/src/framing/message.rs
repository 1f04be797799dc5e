//! A message in fragments, while it is unfinished.

use super::{FrameLimits, Violation, header::Header};

/// The fragments so far. Text is checked as it comes, so that bad UTF-8 fails with the fragment that holds it.
#[derive(Debug)]
pub(super) struct Fragments {
    text: bool,
    /// Compressed: its text can be checked only when it is whole.
    deflated: bool,
    bytes: Vec<u8>,
    /// Bytes of `bytes` known to be UTF-8; the rest is the beginning of one code point.
    checked: usize,
    count: usize,
}

impl Fragments {
    pub(super) fn begin(text: bool, deflated: bool) -> Self {
        Self { text, deflated, bytes: Vec::new(), checked: 0, count: 0 }
    }

    pub(super) fn is_text(&self) -> bool {
        self.text
    }

    pub(super) fn is_deflated(&self) -> bool {
        self.deflated
    }

    /// Whether a further fragment with this header would pass the limits.
    pub(super) fn check(&self, header: &Header, limits: &FrameLimits) -> Result<(), Violation> {
        if self.bytes.len() + header.payload_len > limits.message_bytes_max {
            return Err(Violation::MessageTooBig);
        }
        if self.count >= limits.fragments_max {
            return Err(Violation::TooManyFragments);
        }
        Ok(())
    }

    /// Appends a fragment that [`Fragments::check`] allowed.
    pub(super) fn append(&mut self, payload: &[u8], fin: bool, limits: &FrameLimits) -> Result<(), Violation> {
        grow(&mut self.bytes, payload.len(), limits.message_bytes_max);
        self.bytes.extend_from_slice(payload);
        self.count += 1;
        if !self.text || self.deflated {
            return Ok(());
        }
        match std::str::from_utf8(&self.bytes[self.checked..]) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_none() && !fin => self.checked += error.valid_up_to(),
            Err(_) => return Err(Violation::Utf8),
        }
        Ok(())
    }

    /// Bytes of heap held.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The message so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Room for `more` bytes, doubling as `Vec` would, but never beyond `bytes_max` unless `more` itself needs it: a peer
/// that dribbles must cost neither quadratic copying nor twice the limit.
pub(super) fn grow(bytes: &mut Vec<u8>, more: usize, bytes_max: usize) {
    let wanted = bytes.len() + more;
    if wanted > bytes.capacity() {
        let target = wanted.max((bytes.capacity() * 2).min(bytes_max));
        bytes.reserve_exact(target - bytes.len());
    }
}
