//! Signatures of messages: HMAC-SHA256 over canonical bytes, as lower-case hex.
//!
//! The canonical bytes are `channel`, a line feed, `timestamp` in decimal digits, a line feed, and the text of `data`
//! exactly as it stands in the request's body. Neither of the first two can hold a line feed, so no two messages share them.
//!
//! A webhook is signed likewise, with the id of its `Idempotency-Key` in the channel's place and its whole body as the data.

use hmac::{Hmac, KeyInit, Mac, digest::Key};
use sha2::{Digest, Sha256};

use crate::{ChannelName, RawJson};

/// Bytes to sign for a message with the `timestamp` its sender gave, milliseconds since the Unix epoch.
pub fn canonical_bytes(channel: &ChannelName, timestamp_ms: u64, data: &RawJson) -> Vec<u8> {
    let mut bytes = head(channel.as_str(), timestamp_ms);
    bytes.extend_from_slice(data.bytes());
    bytes
}

fn head(subject: &str, timestamp_ms: u64) -> Vec<u8> {
    format!("{subject}\n{timestamp_ms}\n").into_bytes()
}

/// The signature, 64 hex digits.
pub fn sign(key: &[u8], channel: &ChannelName, timestamp_ms: u64, data: &RawJson) -> String {
    hex::encode(mac(key, channel.as_str(), timestamp_ms, data.bytes()).finalize().into_bytes())
}

/// The signature of a webhook, 64 hex digits. `id` holds no line feed.
pub fn sign_webhook(key: &[u8], id: &str, timestamp_ms: u64, body: &[u8]) -> String {
    hex::encode(mac(key, id, timestamp_ms, body).finalize().into_bytes())
}

/// Whether `signature` (hex of either case) is the one [`sign_webhook`] gives.
pub fn verify_webhook(key: &[u8], id: &str, timestamp_ms: u64, body: &[u8], signature: &str) -> bool {
    is_signature(mac(key, id, timestamp_ms, body), signature)
}

/// Whether `signature` (hex of either case) is the one [`sign`] gives. Its time does not depend on where they differ.
pub fn verify(key: &[u8], channel: &ChannelName, timestamp_ms: u64, data: &RawJson, signature: &str) -> bool {
    is_signature(mac(key, channel.as_str(), timestamp_ms, data.bytes()), signature)
}

fn is_signature(mac: Hmac<Sha256>, signature: &str) -> bool {
    let mut digest = [0; 32];
    hex::decode_to_slice(signature, &mut digest).is_ok() && mac.verify_slice(&digest).is_ok()
}

fn mac(key: &[u8], subject: &str, timestamp_ms: u64, data: &[u8]) -> Hmac<Sha256> {
    // RFC 2104: a key is filled up with zeros to a block of the hash, a longer one is hashed first.
    let mut block = Key::<Hmac<Sha256>>::default();
    if key.len() <= block.len() {
        block[..key.len()].copy_from_slice(key);
    } else {
        let hashed = Sha256::digest(key);
        block[..hashed.len()].copy_from_slice(&hashed);
    }
    let mut mac = Hmac::<Sha256>::new(&block);
    mac.update(&head(subject, timestamp_ms));
    mac.update(data);
    mac
}
