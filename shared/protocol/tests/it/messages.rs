//! What becomes of a message's data and type on its way out.

use proptest::prelude::*;
use serde_json::Value;
use tickwire_protocol::{
    DeliveryClass, Dialect, Event, Priority, RawJson,
    codec::{Message, ServerEvent, decode_events},
    raw,
};

use crate::sample;

fn event(data: &str, class: DeliveryClass) -> Event {
    let message = Message {
        channel: sample::channel("public:x"),
        position: None,
        key: None,
        time_ms: 1,
        priority: Priority::Medium,
        data: RawJson::parse(data.to_owned()).expect(data),
        trace: None,
    };
    Event::Message(sample::publication(message, Some(class), None))
}

fn frame(dialect: Dialect, data: &str) -> Vec<u8> {
    dialect.encode(&event(data, DeliveryClass::Volatile)).expect("a message").to_vec()
}

/// The data of the MessagePack frame, as another implementation reads it.
fn msgpack_data(data: &str) -> Value {
    let mut frame: Value = rmp_serde::from_slice(&frame(Dialect::MsgPack, data)).expect("MessagePack");
    frame["data"].take()
}

proptest! {
    #[test]
    fn another_implementation_reads_our_messagepack(data in sample::json()) {
        prop_assert_eq!(RawJson::of(&msgpack_data(data.as_str())).expect("renders"), data);
    }
}

#[test]
fn sizes_around_every_header_of_messagepack_are_right() {
    for length in [0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
        let text = serde_json::to_string(&"x".repeat(length)).expect("renders");
        assert_eq!(msgpack_data(&text), text.parse::<Value>().expect("JSON"), "a string of {length}");
        let list = serde_json::to_string(&vec![7; length]).expect("renders");
        assert_eq!(msgpack_data(&list), list.parse::<Value>().expect("JSON"), "a list of {length}");
        let pairs: Vec<String> = (0..length).map(|at| format!("\"{at}\" : [ ]")).collect();
        let map = format!("{{ {} }}", pairs.join(" ,\n"));
        assert_eq!(msgpack_data(&map), map.parse::<Value>().expect("JSON"), "a map of {length}");
    }
}

#[test]
fn numbers_that_messagepack_cannot_hold_keep_their_digits_as_text() {
    assert_eq!(msgpack_data("18446744073709551616"), "18446744073709551616");
    assert_eq!(msgpack_data("-9223372036854775809"), "-9223372036854775809");
    assert_eq!(msgpack_data("1e999"), "1e999");
    assert_eq!(msgpack_data("0.1"), 0.1);
    assert_eq!(msgpack_data("-0"), 0);
}

#[test]
fn escapes_are_resolved_and_a_lone_surrogate_is_replaced() {
    assert_eq!(msgpack_data(r#""\ud83d\ude00 \u00fc\/\b\f\n\r\t\\\"""#), "😀 ü/\u{8}\u{c}\n\r\t\\\"");
    assert_eq!(msgpack_data(r#""\ud83d x""#), "\u{fffd} x");
    assert_eq!(msgpack_data(r#""\ud83d\n\ude00""#), "\u{fffd}\n\u{fffd}");
}

#[test]
fn line_breaks_between_tokens_do_not_reach_a_frame() {
    let data = "{\r\n  \"a\": \"b\\n\"\n}";
    for dialect in [Dialect::Json, Dialect::Upper, Dialect::Grekko] {
        let frame = frame(dialect, data);
        assert!(!frame.contains(&b'\n') && !frame.contains(&b'\r'));
        serde_json::from_slice::<Value>(&frame).expect("still JSON");
    }
}

#[test]
fn the_type_of_the_data_names_the_message() {
    for (data, upper, grekko) in [
        (r#"{"type":"order_update"}"#, "ORDER_UPDATE", "order_update"),
        (r#"{"channel":"a","topic":"b","payload":[],"type":"market-data"}"#, "MARKET_DATA", "market-data"),
        (r#"{"type":"positionUpdate2X"}"#, "POSITION_UPDATE2_X", "positionUpdate2X"),
        (r#"{"type":"ünï x"}"#, "_N__X", "ünï x"),
        (r#"{"type":7}"#, "MESSAGE", "message"),
        (r#"{"type":""}"#, "MESSAGE", "message"),
        (r#"{"type":"a","type":"b"}"#, "MESSAGE", "message"),
        (r#"["type"]"#, "MESSAGE", "message"),
    ] {
        let kind = |dialect| serde_json::from_slice::<Value>(&frame(dialect, data)).expect("JSON")["type"].take();
        assert_eq!(kind(Dialect::Upper), upper, "{data}");
        assert_eq!(kind(Dialect::Grekko), grekko, "{data}");
    }
}

#[test]
fn only_lossless_channels_show_positions() {
    for (class, shown) in [
        (DeliveryClass::Reliable, true),
        (DeliveryClass::Inbox, true),
        (DeliveryClass::Latest, false),
        (DeliveryClass::Volatile, false),
    ] {
        let frame = Dialect::Json.encode(&event("1", class)).expect("a message");
        let seen = decode_events(false, &frame).expect("native");
        let [ServerEvent::Message(message)] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!(message.position.is_some(), shown, "{class:?}");
    }
}

#[test]
fn a_message_is_encoded_once_for_a_dialect() {
    let event = event(r#"{"type":"x"}"#, DeliveryClass::Reliable);
    for dialect in Dialect::ALL {
        let (first, second) = (dialect.encode(&event).expect("once"), dialect.encode(&event).expect("twice"));
        assert_eq!(first.as_ptr(), second.as_ptr(), "{dialect:?}");
    }
}

#[test]
fn an_event_of_a_newer_server_is_unknown_not_an_error() {
    let seen = decode_events(false, br#"{"type":"weather","id":1,"wind":[{}]}"#);
    assert_eq!(seen, Ok(vec![ServerEvent::Unknown { kind: "weather".to_owned() }]));
}

#[test]
fn data_is_accepted_up_to_its_depth() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(RawJson::parse(nested(raw::DEPTH_MAX)).is_ok());
    assert!(RawJson::parse(nested(raw::DEPTH_MAX + 1)).is_err());
    assert!(serde_json::from_str::<RawJson>(&nested(raw::DEPTH_MAX + 1)).is_err());
    let event = event(&nested(raw::DEPTH_MAX), DeliveryClass::Reliable);
    for dialect in [Dialect::Json, Dialect::MsgPack] {
        assert!(decode_events(dialect.is_binary(), &dialect.encode(&event).expect("a message")).is_ok());
    }
}
