//! Fuzz target of the WebSocket reader; see the protocol crate's for how to run it longer.

use std::time::Duration;

use tickwire_edge::framing::{FrameLimits, FrameReader, Incoming, Inflater, Violation};

const LIMITS: FrameLimits = FrameLimits { frame_bytes_max: 300, message_bytes_max: 1_000, fragments_max: 6 };
/// What is held beside payloads: a header, and what vectors round up to.
const SLACK_BYTES: usize = 2_048;

/// What came, told apart enough to compare two readings.
type Seen = Vec<(u8, Vec<u8>)>;

fn read(bytes: &[u8], piece: usize, with_deflate: bool) -> (Seen, Result<(), Violation>) {
    let (mut reader, mut inflater) = (FrameReader::new(), Inflater::default());
    let mut seen = Seen::new();
    for piece in bytes.chunks(piece) {
        let inflater = with_deflate.then_some(&mut inflater);
        let read = reader.read(piece, &LIMITS, inflater, |incoming| {
            seen.push(match incoming {
                Incoming::Message { text, payload } => {
                    assert!(payload.len() <= LIMITS.message_bytes_max);
                    assert!(!text || std::str::from_utf8(payload).is_ok());
                    (u8::from(text), payload.to_vec())
                }
                Incoming::Ping(payload) => {
                    assert!(payload.len() <= 125);
                    (2, payload.to_vec())
                }
                Incoming::Pong => (3, Vec::new()),
                Incoming::Close { code, reason } => (4, format!("{code:?} {reason}").into_bytes()),
            });
        });
        let most = LIMITS.frame_bytes_max + LIMITS.message_bytes_max + SLACK_BYTES;
        assert!(reader.held_bytes() <= most, "{} bytes are held", reader.held_bytes());
        if let Err(violation) = read {
            return (seen, Err(violation));
        }
    }
    (seen, Ok(()))
}

/// Any bytes, however they are cut, give the same messages and the same verdict, within the limits.
#[test]
fn frames() {
    bolero::check!().with_test_time(Duration::from_secs(3)).with_max_len(4_096).for_each(|bytes: &[u8]| {
        for inflates in [false, true] {
            let whole = read(bytes, bytes.len().max(1), inflates);
            assert_eq!(read(bytes, 1, inflates), whole);
            assert_eq!(read(bytes, 7, inflates), whole);
        }
    });
}
