//! Signatures of messages: HMAC-SHA256 over canonical bytes, as lower-case hex.
//!
//! The canonical bytes are `channel`, a line feed, `timestamp` in decimal digits, a line feed, and the text of `data`
//! exactly as it stands in the request's body. Neither of the first two can hold a line feed, so no two messages share them.

use hmac::{Hmac, KeyInit, Mac, digest::Key};
use sha2::{Digest, Sha256};

use crate::{ChannelName, RawJson};

/// Bytes to sign for a message with the `timestamp` its sender gave, milliseconds since the Unix epoch.
pub fn canonical_bytes(channel: &ChannelName, timestamp_ms: u64, data: &RawJson) -> Vec<u8> {
    let mut bytes = format!("{channel}\n{timestamp_ms}\n").into_bytes();
    bytes.extend_from_slice(data.bytes());
    bytes
}

/// The signature, 64 hex digits.
pub fn sign(key: &[u8], channel: &ChannelName, timestamp_ms: u64, data: &RawJson) -> String {
    let digest = mac(key, channel, timestamp_ms, data).finalize().into_bytes();
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        for nibble in [byte >> 4, byte & 15] {
            hex.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
        hex
    })
}

/// Whether `signature` (hex of either case) is the one [`sign`] gives. Its time does not depend on where they differ.
pub fn verify(key: &[u8], channel: &ChannelName, timestamp_ms: u64, data: &RawJson, signature: &str) -> bool {
    let Some(digest) = parse_hex(signature) else { return false };
    mac(key, channel, timestamp_ms, data).verify_slice(&digest).is_ok()
}

fn mac(key: &[u8], channel: &ChannelName, timestamp_ms: u64, data: &RawJson) -> Hmac<Sha256> {
    // RFC 2104: a key is filled up with zeros to a block of the hash, a longer one is hashed first.
    let mut block = Key::<Hmac<Sha256>>::default();
    if key.len() <= block.len() {
        block[..key.len()].copy_from_slice(key);
    } else {
        let hashed = Sha256::digest(key);
        block[..hashed.len()].copy_from_slice(&hashed);
    }
    let mut mac = Hmac::<Sha256>::new(&block);
    mac.update(&canonical_bytes(channel, timestamp_ms, data));
    mac
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(bytes)
}
