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
    hex::encode(mac(key, channel, timestamp_ms, data).finalize().into_bytes())
}

/// Whether `signature` (hex of either case) is the one [`sign`] gives. Its time does not depend on where they differ.
pub fn verify(key: &[u8], channel: &ChannelName, timestamp_ms: u64, data: &RawJson, signature: &str) -> bool {
    let mut digest = [0; 32];
    hex::decode_to_slice(signature, &mut digest).is_ok()
        && mac(key, channel, timestamp_ms, data).verify_slice(&digest).is_ok()
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
