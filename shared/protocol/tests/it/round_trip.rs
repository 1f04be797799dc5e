//! Encode then decode is the identity, in both native codecs and in the envelope.

use bytes::Bytes;
use proptest::{option, prelude::*};
use tickwire_protocol::{
    DeliveryClass, Dialect, Priority, Request, UserId,
    codec::{DecodeLimits, decode_events, encode_requests},
    envelope::{self, DamagedEnvelope, Envelope},
    publication::Tags,
};

use crate::sample;

fn decoded(dialect: Dialect, frame: &[u8]) -> Vec<Request> {
    dialect.decode(frame, &DecodeLimits::default()).into_iter().map(|request| request.expect("well formed")).collect()
}

proptest! {
    #[test]
    fn requests_survive_both_codecs(requests in prop::collection::vec(sample::requests(), 1..4)) {
        prop_assert_eq!(&decoded(Dialect::Json, &encode_requests(false, &requests)), &requests);
        prop_assert_eq!(&decoded(Dialect::MsgPack, &encode_requests(true, &requests)), &requests);
    }

    #[test]
    fn events_survive_both_codecs(seen in sample::events()) {
        let event = sample::event(seen.clone(), None, None);
        for dialect in [Dialect::Json, Dialect::MsgPack] {
            let frame = dialect.encode(&event).expect("native knows every event");
            prop_assert_eq!(decode_events(dialect.is_binary(), &frame), Ok(vec![seen.clone()]));
        }
    }

    #[test]
    fn packed_events_survive_both_codecs(seen in prop::collection::vec(sample::events(), 1..4)) {
        let frames = |dialect: Dialect| -> Vec<Bytes> {
            seen.iter().filter_map(|seen| dialect.encode(&sample::event(seen.clone(), None, None))).collect()
        };
        let texts = frames(Dialect::Json).iter().map(|frame| String::from_utf8_lossy(frame).into_owned()).collect::<Vec<_>>();
        prop_assert_eq!(decode_events(false, format!("[{}]", texts.join(",")).as_bytes()), Ok(seen.clone()));
        prop_assert_eq!(decode_events(true, &frames(Dialect::MsgPack).concat()), Ok(seen));
    }

    #[test]
    fn every_frame_of_a_json_dialect_is_one_line_of_json(seen in sample::events()) {
        let event = sample::event(seen, None, None);
        for dialect in [Dialect::Json, Dialect::Upper, Dialect::Grekko] {
            // Not every event exists in every dialect.
            let Some(frame) = dialect.encode(&event) else { continue };
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&frame).is_ok());
            prop_assert!(!frame.contains(&b'\n'));
        }
    }

    #[test]
    fn a_message_survives_its_envelope_without_a_copy_of_its_data(
        data in sample::json(),
        tags in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        texts in option::of(any::<String>()),
        number in any::<u64>(),
    ) {
        let publisher = UserId::new("7").expect("a user id");
        let bytes = Envelope {
            class: DeliveryClass::Latest,
            time_ms: number,
            priority: Priority::High,
            key: texts.as_deref(),
            tags: &tags,
            publisher: texts.as_ref().map(|_| &publisher),
            signature: texts.as_deref(),
            expires_at_ms: texts.as_ref().map(|_| number),
            traceparent: texts.as_deref(),
            data: &data,
        }
        .encode();
        let read = envelope::decode(sample::channel("prices:X"), None, bytes.clone()).expect("undamaged");
        prop_assert_eq!(read.data.bytes().as_ptr(), bytes[bytes.len() - data.bytes().len()..].as_ptr());
        prop_assert_eq!(read.data, data);
        prop_assert_eq!(read.tags, tags);
        prop_assert_eq!((read.class, read.time_ms, read.priority), (DeliveryClass::Latest, number, Priority::High));
        for text in [&read.key, &read.signature, &read.traceparent] {
            prop_assert_eq!(text.as_deref(), texts.as_deref());
        }
        prop_assert_eq!(read.publisher.is_some(), texts.is_some());
        prop_assert_eq!(read.expires_at_ms, texts.map(|_| number));
    }
}

#[test]
fn a_damaged_envelope_says_how() {
    let data = tickwire_protocol::RawJson::null();
    let whole = Envelope {
        class: DeliveryClass::Reliable,
        time_ms: 1,
        priority: Priority::Medium,
        key: None,
        tags: &Tags::new(),
        publisher: None,
        signature: None,
        expires_at_ms: None,
        traceparent: None,
        data: &data,
    }
    .encode();
    let read = |bytes: Vec<u8>| envelope::decode(sample::channel("system"), None, bytes.into()).map(|_| ());
    assert_eq!(read(whole.to_vec()), Ok(()));
    assert_eq!(read(Vec::new()), Err(DamagedEnvelope::Truncated));
    assert_eq!(read(whole[..7].to_vec()), Err(DamagedEnvelope::Truncated));
    assert_eq!(read(whole[..whole.len() - 1].to_vec()), Err(DamagedEnvelope::Data));
    let changed = |at: usize, byte: u8| {
        let mut bytes = whole.to_vec();
        bytes[at] = byte;
        bytes
    };
    assert_eq!(read(changed(0, 2)), Err(DamagedEnvelope::Version(2)));
    assert_eq!(read(changed(5, 0xc1)), Err(DamagedEnvelope::Header));
}
