//! The files in `vectors/`, in both directions.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tickwire_protocol::{
    Command, DeliveryClass, Delta, Dialect, ErrorCode, Event, Priority, RawJson, Request,
    book::{Book, BookUpdate, Depth, Level},
    codec::{DecodeLimits, Decoded, Malformed, ServerEvent, decode_events, encode_requests},
    event::ResetReason,
    filter::Filter,
    preferences::{Action, AlertLevel, Day, Preferences},
    publication::Tags,
    signature,
};

use crate::sample;

#[derive(Deserialize)]
struct File<T> {
    cases: Vec<T>,
}

fn cases<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = format!("{}/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    serde_json::from_str::<File<T>>(&text).expect(&path).cases
}

#[derive(Deserialize)]
struct CommandCase {
    name: String,
    dialect: String,
    json: Option<String>,
    msgpack: Option<String>,
    #[serde(default)]
    canonical: bool,
    expect: Vec<Value>,
}

/// As the vectors write it: the canonical native form, refused channels beside it.
fn normal(request: Request) -> Value {
    fn split<T>(channels: &mut Vec<Result<T, tickwire_protocol::command::BadChannel>>) -> Vec<String> {
        let refused =
            channels.iter().filter_map(|channel| channel.as_ref().err().map(|bad| bad.name.clone())).collect();
        channels.retain(Result::is_ok);
        refused
    }
    let Request { id, mut command } = request;
    let refused = match &mut command {
        Command::Subscribe { channels } => split(channels),
        Command::Unsubscribe { channels } => split(channels),
        Command::Presence { channel: Err(bad) } => vec![std::mem::take(&mut bad.name)],
        _ => Vec::new(),
    };
    let frame = encode_requests(false, &[Request { id, command }]);
    let mut request: Value = serde_json::from_slice(&frame).expect("JSON");
    if request["channel"] == "" {
        request.as_object_mut().expect("a map").remove("channel");
    }
    if refused.is_empty() { json!({ "request": request }) } else { json!({ "request": request, "refused": refused }) }
}

fn outcome(decoded: Decoded) -> Vec<Value> {
    let entry = |result: Result<Request, Malformed>| match result {
        Ok(request) => normal(request),
        Err(malformed) => json!({ "malformed": { "id": malformed.id } }),
    };
    decoded.into_iter().map(entry).collect()
}

#[test]
fn commands_are_read_as_the_vectors_say() {
    let limits = DecodeLimits::default();
    for case in cases::<CommandCase>("commands.json") {
        let (text, binary) = match case.dialect.as_str() {
            "native" => (Dialect::Json, Some(Dialect::MsgPack)),
            "upper" => (Dialect::Upper, None),
            "grekko" => (Dialect::Grekko, None),
            other => panic!("{}: dialect {other}", case.name),
        };
        if let Some(json) = &case.json {
            let decoded = text.decode(json.as_bytes(), &limits);
            if case.canonical {
                let request = decoded[0].clone().expect(&case.name);
                let requests = std::slice::from_ref(&request);
                assert_eq!(String::from_utf8_lossy(&encode_requests(false, requests)), *json, "{}", case.name);
                assert_eq!(Some(hex::encode(encode_requests(true, requests))), case.msgpack, "{}", case.name);
            }
            assert_eq!(outcome(decoded), case.expect, "{}, JSON", case.name);
        }
        if let (Some(msgpack), Some(dialect)) = (&case.msgpack, binary) {
            let decoded = dialect.decode(&hex::decode(msgpack).expect("hex"), &limits);
            assert_eq!(outcome(decoded), case.expect, "{}, MessagePack", case.name);
        }
    }
}

#[derive(Deserialize)]
struct EventCase {
    name: String,
    json: String,
    msgpack: String,
    upper: Option<String>,
    grekko: Option<String>,
    class: Option<DeliveryClass>,
    signature: Option<String>,
}

#[test]
fn events_are_written_and_read_as_the_vectors_say() {
    for case in cases::<EventCase>("events.json") {
        let name = &case.name;
        let seen = decode_events(false, case.json.as_bytes()).expect(name);
        assert_eq!(decode_events(true, &hex::decode(&case.msgpack).expect(name)).as_ref(), Ok(&seen), "{name}");
        let event = sample::event(seen[0].clone(), case.class, case.signature.as_deref());
        let text = |dialect: Dialect| Some(String::from_utf8(dialect.encode(&event)?.to_vec()).expect(name));
        assert_eq!(text(Dialect::Json).as_ref(), Some(&case.json), "{name}");
        assert_eq!(hex::encode(Dialect::MsgPack.encode(&event).expect(name)), case.msgpack, "{name}");
        assert_eq!(text(Dialect::Grekko), case.grekko, "{name}");
        let upper = text(Dialect::Upper);
        assert_eq!(upper.is_some(), case.upper.is_some(), "{name}");
        let (Some(upper), Some(expected)) = (upper, case.upper) else { continue };
        let frame: Value = serde_json::from_str(&upper).expect(name);
        let timestamp = frame["timestamp"].as_str().expect(name);
        assert_eq!(upper, expected.replace("<now>", timestamp), "{name}");
    }
}

#[derive(Deserialize)]
struct DeltaCase {
    name: String,
    base: String,
    next: String,
    frame: Option<String>,
    applied: Option<String>,
}

#[test]
fn deltas_are_made_and_applied_as_the_vectors_say() {
    for case in cases::<DeltaCase>("deltas.json") {
        let name = &case.name;
        let value = |text: &str, time_ms| sample::value("prices:X", "X", time_ms, text);
        let (base, next) = (value(&case.base, 17), value(&case.next, 250));
        let delta = Delta::between(&base, &next);
        assert_eq!(delta.is_some(), case.frame.is_some(), "{name}");
        let (Some(delta), Some(frame)) = (delta, case.frame) else { continue };
        let event = Event::Delta(Box::new(delta.clone()));
        let text = Dialect::Json.encode(&event).expect(name);
        assert_eq!(std::str::from_utf8(&text).expect(name), frame, "{name}");
        for dialect in [Dialect::Json, Dialect::MsgPack] {
            let bytes = dialect.encode(&event).expect(name);
            let seen = decode_events(dialect.is_binary(), &bytes).expect(name);
            let ServerEvent::Delta(seen) = &seen[0] else { panic!("{name}: {seen:?}") };
            if dialect == Dialect::Json {
                assert_eq!(**seen, delta, "{name}");
            }
        }
        assert!(Dialect::Upper.encode(&event).is_none() && Dialect::Grekko.encode(&event).is_none());
        let applied = delta.apply(&base.data).expect(name);
        assert_eq!(applied.as_str(), case.applied.as_ref().unwrap_or(&case.next), "{name}");
    }
}

#[derive(Deserialize)]
struct BookCase {
    name: String,
    depth: Depth,
    messages: Vec<Value>,
    #[serde(default)]
    malformed: bool,
    #[serde(default)]
    live: bool,
    #[serde(default)]
    bids: Vec<Level>,
    #[serde(default)]
    asks: Vec<Level>,
}

#[test]
fn books_are_put_together_as_the_vectors_say() {
    for case in cases::<BookCase>("books.json") {
        let name = &case.name;
        let updates: Result<Vec<BookUpdate>, _> =
            case.messages.iter().map(|message| RawJson::of(message).expect(name).to()).collect();
        assert_eq!(updates.is_err(), case.malformed, "{name}");
        let mut book = Book::default();
        for update in updates.iter().flatten() {
            book.apply(update).expect(name);
        }
        let top = book.top(case.depth);
        assert_eq!((book.is_live(), top.bids, top.asks), (case.live, case.bids, case.asks), "{name}");
    }
}

#[derive(Deserialize)]
struct FilterCase {
    filter: String,
    #[serde(default)]
    tags: Tags,
    matches: Option<bool>,
    error: Option<Place>,
}

#[derive(Deserialize)]
struct Place {
    at: usize,
}

#[test]
fn filters_match_as_the_vectors_say() {
    for case in cases::<FilterCase>("filters.json") {
        match Filter::parse(&case.filter) {
            Ok(filter) => assert_eq!(Some(filter.matches(&case.tags)), case.matches, "{}", case.filter),
            Err(error) => assert_eq!(Some(error.at), case.error.map(|place| place.at), "{}", case.filter),
        }
    }
}

#[derive(Deserialize)]
struct SignatureCase {
    key: String,
    channel: String,
    timestamp: u64,
    data: String,
    canonical: String,
    signature: String,
}

#[test]
fn signatures_are_as_the_vectors_say() {
    for case in cases::<SignatureCase>("signatures.json") {
        let (key, channel) = (case.key.as_bytes(), sample::channel(&case.channel));
        let data = RawJson::parse(case.data).expect("JSON");
        assert_eq!(hex::encode(signature::canonical_bytes(&channel, case.timestamp, &data)), case.canonical);
        assert_eq!(signature::sign(key, &channel, case.timestamp, &data), case.signature);
        assert!(signature::verify(key, &channel, case.timestamp, &data, &case.signature));
        assert!(signature::verify(key, &channel, case.timestamp, &data, &case.signature.to_uppercase()));
        let other = case.timestamp.wrapping_add(1);
        assert!(!signature::verify(key, &channel, other, &data, &case.signature));
        assert!(!signature::verify(key, &channel, case.timestamp, &data, &case.signature[1..]));
        assert!(!signature::verify(b"another key", &channel, case.timestamp, &data, &case.signature));
    }
}

#[derive(Deserialize)]
struct Words {
    name: String,
    values: Vec<String>,
}

/// The words of a closed set, as serde lists them when it refuses another one.
fn words<T: DeserializeOwned>() -> Vec<String> {
    let refused = serde_json::from_value::<T>(json!("?")).err().expect("`?` is no word of it").to_string();
    refused.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

#[test]
fn closed_sets_of_words_are_whole_in_the_vectors() {
    let all: std::collections::HashMap<String, Vec<String>> =
        cases::<Words>("enums.json").into_iter().map(|words| (words.name, words.values)).collect();
    let reasons = [ResetReason::HistoryLost, ResetReason::HistoryTrimmed].map(|reason| reason.as_str().to_owned());
    for (name, expected) in [
        ("ErrorCode", words::<ErrorCode>()),
        ("DeliveryClass", words::<DeliveryClass>()),
        ("Priority", words::<Priority>()),
        ("ResetReason", reasons.into()),
        ("AlertLevel", words::<AlertLevel>()),
        ("RuleAction", words::<Action>()),
        ("Weekday", words::<Day>()),
    ] {
        assert_eq!(all[name], expected, "{name}");
    }
}

#[derive(Deserialize)]
struct PreferencesCase {
    name: String,
    document: RawJson,
}

#[test]
fn documents_of_preferences_are_accepted_as_the_vectors_say() {
    for case in cases::<PreferencesCase>("preferences.json") {
        assert!(Preferences::parse(&case.document).is_ok(), "{}", case.name);
    }
}
