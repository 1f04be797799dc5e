//! permessage-deflate against raw bytes: what is agreed, what may come, what goes out.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use serde_json::Value;

use crate::{
    edge::{Edge, token},
    wire::{BINARY, FIN, PING, RSV1, ServerFrame, TEXT, Wire, frame, upgrade_request},
};

const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
const PING_COMMAND: &[u8] = br#"{"id":9,"type":"ping"}"#;

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut stream = Compress::new(Compression::default(), false);
    let mut out = Vec::with_capacity(bytes.len() + 100);
    stream.compress_vec(bytes, &mut out, FlushCompress::Sync).unwrap();
    assert!(out.ends_with(&TAIL));
    out.truncate(out.len() - TAIL.len());
    out
}

fn inflate(payload: &[u8]) -> Vec<u8> {
    let mut stream = Decompress::new(false);
    let mut out = Vec::with_capacity(1 << 20);
    stream.decompress_vec(&[payload, &TAIL].concat(), &mut out, FlushDecompress::Sync).unwrap();
    out
}

/// The next data frame, inflated if it is compressed; and whether it was.
fn next(wire: &mut Wire) -> (Value, bool) {
    loop {
        let ServerFrame { opcode, deflated, payload } = wire.frame().expect("a frame before the end");
        if opcode == TEXT {
            let text = if deflated { inflate(&payload) } else { payload };
            return (serde_json::from_slice(&text).unwrap(), deflated);
        }
        assert_eq!(opcode, PING);
    }
}

/// A client that agreed on permessage-deflate; `connected` has been read.
fn client(edge: &Edge, headers: &[(&str, &str)]) -> Wire {
    let all = [&[("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")], headers].concat();
    let mut wire = Wire::open(edge.addr, &format!("/ws?token={}", token("7")), &all);
    assert_eq!(next(&mut wire).0["type"], "connected");
    wire
}

fn is_served(wire: &mut Wire) -> bool {
    wire.send(&frame(FIN | TEXT, PING_COMMAND));
    next(wire).0["type"] == "pong"
}

#[test]
fn the_agreement_is_no_context_takeover_either_way() {
    let edge = Edge::start();
    let answer = |offer: &str| {
        let mut wire = Wire::connect(edge.addr);
        let request = upgrade_request("/ws", &[("Sec-WebSocket-Extensions", offer)]);
        wire.send(request.as_bytes());
        wire.head().header("sec-websocket-extensions").map(str::to_owned)
    };
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(answer("permessage-deflate; client_max_window_bits").as_deref(), Some(agreed));
    assert_eq!(answer("permessage-deflate; server_max_window_bits=9"), None);
    assert_eq!(answer("permessage-bzip2"), None);
}

#[test]
fn nothing_is_agreed_where_it_is_switched_off() {
    let edge = Edge::start_with(|config| config.edge.deflate = false);
    let headers = [("Sec-WebSocket-Extensions", "permessage-deflate")];
    let mut wire = Wire::connect(edge.addr);
    wire.send(upgrade_request(&format!("/ws?token={}", token("7")), &headers).as_bytes());
    let head = wire.head();
    assert_eq!((head.status, head.header("sec-websocket-extensions")), (101, None));
    wire.send(&frame(FIN | RSV1 | TEXT, &deflate(PING_COMMAND)));
    assert_eq!(wire.close_code().unwrap().0, 1002);
}

#[test]
fn large_messages_go_compressed_and_small_ones_do_not() {
    let edge = Edge::start();
    let mut deflating = client(&edge, &[]);
    let mut plain = edge.client("8");
    for wire in [&mut deflating, &mut plain] {
        wire.send_text(r#"{"id":1,"type":"subscribe","channels":["system"]}"#);
        assert_eq!(wire.json()["type"], "subscribed");
    }
    let large = format!("\"{}\"", "large ".repeat(100));
    edge.publish("system", &large);
    edge.publish("system", "\"small\"");
    let (message, deflated) = next(&mut deflating);
    assert_eq!((&message["data"], deflated), (&serde_json::from_str(&large).unwrap(), true));
    let (message, deflated) = next(&mut deflating);
    assert_eq!((message["data"].as_str(), deflated), (Some("small"), false));
    assert_eq!(plain.json()["data"], serde_json::from_str::<Value>(&large).unwrap());
    // Compressed once, however many shards and clients there are.
    assert!((edge.metric("tickwire_edge_deflated_total") - 1.0).abs() < 0.5);
    assert!(edge.metric("tickwire_edge_deflate_saved_bytes_total") > 400.0);
}

#[test]
fn packed_frames_hold_what_was_compressed_once() {
    let edge = Edge::start();
    let mut wire = client(&edge, &[("Sec-WebSocket-Protocol", "tickwire.v1.json")]);
    wire.send_text(r#"{"id":1,"type":"subscribe","channels":["system"]}"#);
    assert_eq!(next(&mut wire).0["type"], "subscribed");
    let mut expected = Vec::new();
    for number in 0..300 {
        let data = if number % 3 == 0 { format!("\"{number}\"") } else { format!("\"{number} {}\"", "x".repeat(400)) };
        edge.publish("system", &data);
        expected.push(serde_json::from_str::<Value>(&data).unwrap());
    }
    let (mut seen, mut packed) = (Vec::new(), 0);
    while seen.len() < expected.len() {
        match next(&mut wire).0 {
            Value::Array(frames) => {
                packed += 1;
                seen.extend(frames.into_iter().map(|mut message| message["data"].take()));
            }
            mut message => seen.push(message["data"].take()),
        }
    }
    assert_eq!(seen, expected);
    assert!(packed > 0 || seen.len() == 300);
}

#[test]
fn compressed_commands_are_read_whole_and_in_fragments() {
    let edge = Edge::start();
    let mut wire = client(&edge, &[]);
    let command = deflate(PING_COMMAND);
    wire.send(&frame(FIN | RSV1 | TEXT, &command));
    assert_eq!(next(&mut wire).0["type"], "pong");
    // Compressed across fragments, a ping between them: only the first has the bit.
    let (first, rest) = command.split_at(command.len() / 2);
    let (second, third) = rest.split_at(rest.len() / 2);
    let fragments = [frame(RSV1 | TEXT, first), frame(FIN | PING, b""), frame(0, second), frame(FIN, third)].concat();
    for chunk in fragments.chunks(3) {
        wire.send(chunk);
    }
    let pong = wire.frame().unwrap();
    assert_eq!(pong.opcode, crate::wire::PONG);
    assert_eq!(next(&mut wire).0["type"], "pong");
    // Each by itself, and plain ones in between, in one burst.
    let burst = [
        frame(FIN | RSV1 | TEXT, &command),
        frame(FIN | TEXT, PING_COMMAND),
        frame(FIN | RSV1 | BINARY, &command),
        frame(FIN | TEXT, PING_COMMAND),
    ];
    wire.send(&burst.concat());
    for _ in 0..4 {
        assert_eq!(next(&mut wire).0["type"], "pong");
    }
}

#[test]
fn each_broken_rule_of_compression_closes_with_its_code() {
    let edge = Edge::start();
    let command = deflate(PING_COMMAND);
    let bomb = deflate(&vec![b' '; 4 << 20]);
    let bad_text = deflate(b"\xC3\x28");
    let cases: [(&str, Vec<u8>, u16); 10] = [
        ("RSV1 on a ping", frame(FIN | RSV1 | PING, b""), 1002),
        ("RSV1 on a close", frame(FIN | RSV1 | 0x8, &1000_u16.to_be_bytes()), 1002),
        ("RSV1 on a continuation", [frame(RSV1 | TEXT, &command), frame(FIN | RSV1, b"")].concat(), 1002),
        ("RSV2", frame(FIN | 0x20 | TEXT, &command), 1002),
        ("RSV1 and RSV3", frame(FIN | RSV1 | 0x10 | TEXT, &command), 1002),
        ("a cut message", frame(FIN | RSV1 | TEXT, &command[..command.len() - 3]), 1007),
        ("what is not deflate", frame(FIN | RSV1 | TEXT, &[0xFF; 30]), 1007),
        ("nothing at all", frame(FIN | RSV1 | TEXT, b""), 1007),
        ("text that is not UTF-8", frame(FIN | RSV1 | TEXT, &bad_text), 1007),
        ("a bomb", frame(FIN | RSV1 | BINARY, &bomb), 1009),
    ];
    for (name, bytes, code) in cases {
        let mut wire = client(&edge, &[]);
        wire.send(&bytes);
        assert_eq!(wire.close_code().unwrap_or_else(|| panic!("{name}: no close")).0, code, "{name}");
        assert_eq!(wire.frame(), None, "{name}");
    }
    edge.assert_serves();
}

#[test]
fn a_bomb_in_fragments_is_refused() {
    let edge = Edge::start();
    let mut wire = client(&edge, &[]);
    let bomb = deflate(&vec![b' '; 4 << 20]);
    let (first, second) = bomb.split_at(bomb.len() / 2);
    wire.send(&[frame(RSV1 | TEXT, first), frame(FIN, second)].concat());
    assert_eq!(wire.close_code().unwrap().0, 1009);
    assert!(is_served(&mut client(&edge, &[])));
}
