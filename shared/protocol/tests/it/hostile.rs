//! Any bytes give a value or an error.

use proptest::prelude::*;
use tickwire_protocol::{
    Dialect,
    codec::{DecodeLimits, decode_events, encode_requests},
    envelope,
    filter::Filter,
};

use crate::sample;

/// A frame gives at least one result, and an error is short and printable.
pub(crate) fn check_frame(dialect: Dialect, bytes: &[u8]) {
    let results = dialect.decode(bytes, &DecodeLimits::default());
    assert!(!results.is_empty(), "a frame without any result would go unanswered");
    for malformed in results.into_iter().filter_map(Result::err) {
        assert!(malformed.message.chars().count() <= 200, "{}", malformed.message);
        assert!(!malformed.message.chars().any(char::is_control), "{}", malformed.message);
    }
}

/// Every reader of foreign bytes.
fn read_by_all(bytes: &[u8]) {
    for dialect in Dialect::ALL {
        check_frame(dialect, bytes);
    }
    Dialect::detect(bytes);
    let _ = decode_events(false, bytes);
    let _ = decode_events(true, bytes);
    let _ = envelope::decode(sample::channel("system"), None, bytes.to_vec().into());
    let _ = Filter::parse(&String::from_utf8_lossy(bytes));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_by_all(&bytes);
    }

    #[test]
    fn a_damaged_frame_is_survived(
        requests in prop::collection::vec(sample::requests(), 1..3),
        binary in any::<bool>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut frame = encode_requests(binary, &requests).to_vec();
        for (at, byte) in damage {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        frame.truncate(cut.index(frame.len() + 1));
        read_by_all(&frame);
    }

    #[test]
    fn json_with_our_names_and_foreign_values_is_survived(
        fields in prop::collection::vec(
            (prop::sample::select(vec![
                "id", "type", "channel", "channels", "topic", "since", "limit", "data", "set", "positions", "payload",
                "action", "keys", "maxRate", "token",
            ]), sample::json()),
            0..6,
        ),
        kind in prop::sample::select(vec!["subscribe", "publish", "ack", "history", "preferences", "SUBSCRIPTION", "ACK"]),
    ) {
        let fields: Vec<String> =
            fields.into_iter().map(|(name, value)| format!(",\"{name}\":{}", value.as_str())).collect();
        let text = format!("{{\"type\":\"{kind}\"{}}}", fields.concat());
        read_by_all(text.as_bytes());
    }

    #[test]
    fn a_damaged_envelope_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let framed: Vec<u8> = [&[1, 0, 0, 0, 12, 0x99][..], &bytes].concat();
        read_by_all(&framed);
    }
}

#[test]
fn sixty_four_kilobytes_of_anything_repeated_are_survived() {
    for pattern in
        ["[", "{\"data\":", "[1,", "\"", "\\", "{\"type\":\"subscribe\",\"channels\":[", "\u{91}", "9", "-", "!(", "{}"]
    {
        read_by_all(pattern.repeat(65_536 / pattern.len()).as_bytes());
    }
    for byte in [0x81, 0x91, 0xdd, 0xdf, 0xc7, 0x00, 0xa1] {
        read_by_all(&vec![byte; 65_536]);
    }
}
