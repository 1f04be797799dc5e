//! Claims about the reader as a whole. Single header rules are tested beside them, whole connections in `tests/it`.

use proptest::prelude::*;
use tickwire_protocol::CloseCode;

use super::{FrameLimits, FrameReader, Incoming, Violation};

const SMALL: FrameLimits = FrameLimits { frame_bytes_max: 300, message_bytes_max: 1_000, fragments_max: 6 };

#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Message(bool, Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>, String),
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xFA, 0x21, 0x3D];
    let mut bytes = vec![first];
    match payload.len() {
        len @ ..126 => bytes.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..0x1_0000 => {
            bytes.push(0xFE);
            bytes.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            bytes.push(0xFF);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Feeds `stream` in pieces of the given sizes, in turn; the largest heap held on the way comes with the result.
fn read(stream: &[u8], sizes: &[usize], limits: &FrameLimits) -> (Vec<Seen>, Result<(), Violation>, usize) {
    let mut reader = FrameReader::new();
    let (mut seen, mut held_max, mut rest) = (Vec::new(), 0, stream);
    for &size in sizes.iter().cycle() {
        let (now, after) = rest.split_at(size.clamp(1, rest.len().max(1)).min(rest.len()));
        rest = after;
        let outcome = reader.read(now, limits, None, |incoming| {
            seen.push(match incoming {
                Incoming::Message { text, payload } => Seen::Message(text, payload.to_vec()),
                Incoming::Ping(payload) => Seen::Ping(payload.to_vec()),
                Incoming::Pong => Seen::Pong,
                Incoming::Close { code, reason } => Seen::Close(code, reason.to_owned()),
            });
        });
        held_max = held_max.max(reader.held_bytes());
        if outcome.is_err() || rest.is_empty() {
            return (seen, outcome, held_max);
        }
    }
    unreachable!("sizes is not empty");
}

fn read_whole(stream: &[u8]) -> (Vec<Seen>, Result<(), Violation>) {
    let (seen, outcome, _) = read(stream, &[usize::MAX], &FrameLimits::default());
    (seen, outcome)
}

#[test]
fn a_ping_between_fragments_comes_before_the_message() {
    let stream = [frame(0x01, b"Hel"), frame(0x89, b"?"), frame(0x80, b"lo")].concat();
    let expected = vec![Seen::Ping(b"?".to_vec()), Seen::Message(true, b"Hello".to_vec())];
    assert_eq!(read_whole(&stream), (expected, Ok(())));
}

#[test]
fn a_code_point_may_be_split_between_fragments_but_not_left_open() {
    let euro = "€".as_bytes();
    let stream = [frame(0x01, &euro[..1]), frame(0x00, &euro[1..2]), frame(0x80, &euro[2..])].concat();
    assert_eq!(read_whole(&stream), (vec![Seen::Message(true, euro.to_vec())], Ok(())));
    let open = [frame(0x01, &euro[..1]), frame(0x80, &euro[1..2])].concat();
    assert_eq!(read_whole(&open).1, Err(Violation::Utf8));
    // A binary message is not text, whatever its fragments look like.
    let binary = [frame(0x02, &euro[..1]), frame(0x80, b"")].concat();
    assert_eq!(read_whole(&binary).1, Ok(()));
}

#[test]
fn bad_utf8_fails_with_the_fragment_that_holds_it() {
    assert_eq!(read_whole(&frame(0x01, b"\xCE\xBA\xED\xA0\x80")).1, Err(Violation::Utf8));
    assert_eq!(read_whole(&frame(0x81, b"\xFF")).1, Err(Violation::Utf8));
}

#[test]
fn an_unfinished_message_is_neither_replaced_nor_continued_without_one() {
    let twice = [frame(0x01, b"AAA"), frame(0x01, b"BBB"), frame(0x80, b"CCC")].concat();
    assert_eq!(read_whole(&twice).1, Err(Violation::InterleavedMessage));
    assert_eq!(read_whole(&frame(0x80, b"x")).1, Err(Violation::StrayContinuation));
}

#[test]
fn fragments_together_stay_below_the_message_limit() {
    let piece = vec![0; 300];
    let mut stream = frame(0x02, &piece);
    for _ in 0..3 {
        stream.extend(frame(0x00, &piece));
    }
    let (seen, outcome, held) = read(&stream, &[usize::MAX], &SMALL);
    assert_eq!((seen, outcome), (vec![], Err(Violation::MessageTooBig)));
    assert!(held <= SMALL.message_bytes_max + 500, "{held} bytes held");
}

#[test]
fn endless_empty_fragments_are_refused() {
    let mut stream = frame(0x02, b"");
    for _ in 0..6 {
        stream.extend(frame(0x00, b""));
    }
    assert_eq!(read(&stream, &[usize::MAX], &SMALL).1, Err(Violation::TooManyFragments));
}

#[test]
fn nothing_is_read_after_a_close_or_a_violation() {
    let stream = [frame(0x88, &[0x03, 0xE8, b'x']), frame(0x81, b"late"), vec![0xFF; 40]].concat();
    assert_eq!(read_whole(&stream), (vec![Seen::Close(Some(1000), "x".into())], Ok(())));
    let mut reader = FrameReader::new();
    assert!(reader.read(&[0x83], &SMALL, None, |_| ()).is_err());
    assert_eq!(reader.read(&frame(0x81, b"x"), &SMALL, None, |_| panic!("read after a violation")), Ok(()));
    assert!(reader.is_ended());
}

#[test]
fn close_codes_are_those_of_rfc_6455() {
    let outcome = |code: u16| read_whole(&frame(0x88, &code.to_be_bytes())).1;
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        assert_eq!(outcome(code), Ok(()), "{code}");
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        assert_eq!(outcome(code), Err(Violation::CloseCode), "{code}");
    }
    assert_eq!(read_whole(&frame(0x88, &[3])).1, Err(Violation::CloseCode));
    assert_eq!(read_whole(&frame(0x88, b"\x03\xE8\xFF")).1, Err(Violation::CloseReason));
    assert_eq!(read_whole(&frame(0x88, b"")).0, vec![Seen::Close(None, String::new())]);
}

#[test]
fn a_frame_that_declares_much_costs_only_what_arrives() {
    let mut reader = FrameReader::new();
    let limits = FrameLimits::default();
    // 64 KB declared, 14 bytes sent.
    reader.read(&[0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4], &limits, None, |_| ()).unwrap();
    assert!(reader.held_bytes() < 128, "{} bytes held", reader.held_bytes());
}

#[test]
fn between_messages_no_memory_is_held() {
    let mut reader = FrameReader::new();
    let limits = FrameLimits::default();
    let piece = vec![0; 40_000];
    let stream = [frame(0x02, &piece), frame(0x00, &piece), frame(0x80, &piece)].concat();
    let mut messages = 0;
    for chunk in stream.chunks(1_000) {
        reader.read(chunk, &limits, None, |_| messages += 1).unwrap();
    }
    assert_eq!((messages, reader.held_bytes()), (1, 0));
    assert!(size_of::<FrameReader>() <= 16);
}

#[test]
fn every_reason_fits_a_close_frame() {
    let all = [
        Violation::ReservedBits,
        Violation::TooManyFragments,
        Violation::Utf8,
        Violation::FrameTooBig,
        Violation::InterleavedMessage,
    ];
    assert!(all.iter().all(|violation| violation.to_string().len() <= 123));
    assert_eq!(Violation::TooManyFragments.close_code(), CloseCode::TooBig);
    assert_eq!(Violation::CloseReason.close_code(), CloseCode::InvalidPayload);
    assert_eq!(Violation::Unmasked.close_code(), CloseCode::ProtocolError);
}

/// One message as its fragments with control frames between them, and what should be seen of it.
fn message() -> impl Strategy<Value = (Vec<u8>, Vec<Seen>)> {
    let text = ".{0,60}".prop_map(|text| (true, text.into_bytes()));
    let binary = proptest::collection::vec(any::<u8>(), 0..250).prop_map(|bytes| (false, bytes));
    let cuts = proptest::collection::vec((any::<prop::sample::Index>(), 0..3_u8), 0..5);
    (prop_oneof![text, binary], cuts).prop_map(|((text, payload), cuts)| {
        let mut at: Vec<_> = cuts.iter().map(|(index, control)| (index.index(payload.len() + 1), *control)).collect();
        at.sort_unstable();
        let (mut stream, mut seen, mut from) = (Vec::new(), Vec::new(), 0);
        for (number, &(to, control)) in at.iter().enumerate() {
            let opcode = if number > 0 {
                0
            } else if text {
                1
            } else {
                2
            };
            stream.extend(frame(opcode, &payload[from..to]));
            from = to;
            match control {
                1 => {
                    stream.extend(frame(0x89, b"are you there"));
                    seen.push(Seen::Ping(b"are you there".to_vec()));
                }
                2 => {
                    stream.extend(frame(0x8A, b""));
                    seen.push(Seen::Pong);
                }
                _ => {}
            }
        }
        let opcode = if !at.is_empty() {
            0
        } else if text {
            1
        } else {
            2
        };
        stream.extend(frame(0x80 | opcode, &payload[from..]));
        seen.push(Seen::Message(text, payload));
        (stream, seen)
    })
}

proptest! {
    #[test]
    fn any_chunking_of_a_valid_stream_gives_the_same_events(
        messages in proptest::collection::vec(message(), 1..6),
        sizes in proptest::collection::vec(1_usize..400, 1..20),
        close in any::<bool>(),
    ) {
        let mut stream: Vec<u8> = messages.iter().flat_map(|(bytes, _)| bytes.iter().copied()).collect();
        let mut expected: Vec<Seen> = messages.into_iter().flat_map(|(_, seen)| seen).collect();
        if close {
            stream.extend(frame(0x88, b"\x0F\xA0bye"));
            stream.extend(b"ignored");
            expected.push(Seen::Close(Some(4000), "bye".into()));
        }
        let (seen, outcome, held) = read(&stream, &sizes, &SMALL);
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(outcome, Ok(()));
        prop_assert!(held <= SMALL.frame_bytes_max + SMALL.message_bytes_max + 200);
    }

    #[test]
    fn any_bytes_give_events_or_a_violation_within_the_memory_limit(
        stream in proptest::collection::vec(any::<u8>(), 0..2_000),
        sizes in proptest::collection::vec(1_usize..100, 1..20),
    ) {
        let (_, _, held) = read(&stream, &sizes, &SMALL);
        prop_assert!(held <= SMALL.frame_bytes_max + SMALL.message_bytes_max + 200);
    }

    /// Random bytes rarely pass the first header; these are valid frames with a few bytes changed.
    #[test]
    fn damaged_streams_give_events_or_a_violation_alike_for_any_chunking(
        messages in proptest::collection::vec(message(), 1..5),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        sizes in proptest::collection::vec(1_usize..300, 1..20),
    ) {
        let mut stream: Vec<u8> = messages.iter().flat_map(|(bytes, _)| bytes.iter().copied()).collect();
        for (index, byte) in damage {
            let at = index.index(stream.len());
            stream[at] = byte;
        }
        let whole = read(&stream, &[usize::MAX], &SMALL);
        let chunked = read(&stream, &sizes, &SMALL);
        prop_assert_eq!((whole.0, whole.1), (chunked.0, chunked.1));
    }
}
