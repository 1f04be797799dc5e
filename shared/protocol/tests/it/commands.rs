//! Limits of one frame, and which dialect a connection speaks.

use tickwire_protocol::{
    Command, Dialect, Request,
    codec::{DecodeLimits, Malformed, encode_requests},
};

const LIMITS: DecodeLimits = DecodeLimits { channels_max: 3, packed_max: 2, depth_max: 8 };

fn one(frame: &str) -> Result<Request, Malformed> {
    let mut results = Dialect::Json.decode(frame.as_bytes(), &LIMITS);
    assert_eq!(results.len(), 1);
    results.remove(0)
}

#[test]
fn a_list_over_the_limit_is_one_error_that_names_it() {
    for list in [
        r#""type":"subscribe","channels":["a","b","c","d"]"#,
        r#""type":"unsubscribe","topics":["a","b","c","d"]"#,
        r#""type":"ack","channel":"a","positions":["1-1","1-2","1-3","1-4"]"#,
    ] {
        let malformed = one(&format!("{{\"id\":9,{list}}}")).expect_err("too many");
        assert_eq!(malformed.id, Some(9));
        assert!(malformed.message.contains("at most 3"), "{malformed}");
    }
}

#[test]
fn too_many_keys_spoil_only_their_own_entry() {
    let request = one(r#"{"type":"subscribe","channels":["a",{"channel":"b","keys":["1","2","3","4"]}]}"#).expect("ok");
    let Command::Subscribe { channels } = request.command else { panic!("{request:?}") };
    assert!(channels[0].is_ok());
    let bad = channels[1].as_ref().expect_err("four keys");
    assert_eq!(bad.name, "b");
    assert!(bad.to_string().contains("at most 3"), "{bad}");
}

#[test]
fn a_pack_over_the_limit_executes_nothing() {
    let pings = vec![Request { id: Some(1), command: Command::Ping }; 3];
    for binary in [false, true] {
        let dialect = if binary { Dialect::MsgPack } else { Dialect::Json };
        let results = dialect.decode(&encode_requests(binary, &pings), &LIMITS);
        let [Err(malformed)] = results.as_slice() else { panic!("{results:?}") };
        assert!(malformed.message.contains("at most 2"), "{malformed}");
        assert_eq!(dialect.decode(&encode_requests(binary, &pings[..2]), &LIMITS).len(), 2);
    }
}

#[test]
fn nesting_is_bounded_by_what_is_configured() {
    let publish = |depth: usize| {
        let data = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        one(&format!(r#"{{"id":1,"type":"publish","channel":"a","data":{data}}}"#))
    };
    assert!(publish(7).is_ok());
    assert_eq!(publish(8).expect_err("with the command's own map it is 9 deep").id, Some(1));
}

#[test]
fn braces_inside_strings_are_not_nesting() {
    let quoted = r#"{"type":"publish","channel":"a","data":"[[[[[[[[[[[[\"[[[[[["}"#;
    assert!(one(quoted).is_ok());
}

#[test]
fn a_name_over_64_characters_comes_back_cut() {
    let name = "x".repeat(300);
    let request =
        one(&format!(r#"{{"type":"presence","channel":"{name}"}}"#)).expect("the channel is refused, not the frame");
    let Command::Presence { channel: Err(bad) } = request.command else { panic!("{request:?}") };
    assert_eq!(bad.name, name[..64]);
}

#[test]
fn the_data_is_the_text_the_client_wrote() {
    let request =
        one(r#"{"type":"publish","channel":"a","data":{"price": 64213.1000,"big":123456789012345678901234567890}}"#);
    let Command::Publish { data, .. } = request.expect("ok").command else { panic!("not a publish") };
    assert_eq!(data.as_str(), r#"{"price": 64213.1000,"big":123456789012345678901234567890}"#);
}

#[test]
fn the_first_frame_or_the_subprotocol_chooses_the_dialect() {
    assert_eq!(Dialect::detect(br#"{"timestamp":"x","type":"SUBSCRIPTION"}"#), Dialect::Upper);
    assert_eq!(Dialect::detect(br#"{"type":"HEARTBEAT"}"#), Dialect::Upper);
    for native in [&br#"{"type":"subscribe"}"#[..], b"[]", b"", b"\xff", br#"{"type":""}"#, br#"{"type":"_"}"#] {
        assert_eq!(Dialect::detect(native), Dialect::Json);
    }
    for dialect in Dialect::ALL {
        if let Some(name) = dialect.subprotocol() {
            assert_eq!(Dialect::from_subprotocol(name), Some(dialect));
        }
    }
    assert_eq!(Dialect::from_subprotocol("bearer.x"), None);
}

#[test]
fn each_dialect_has_a_slot_of_its_own() {
    let mut slots: Vec<usize> = Dialect::ALL.iter().map(|dialect| dialect.slot()).collect();
    slots.dedup();
    assert_eq!(slots.len(), Dialect::ALL.len());
    assert!(slots.iter().all(|slot| *slot < tickwire_protocol::publication::FrameCache::SLOTS));
}
