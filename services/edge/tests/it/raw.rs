//! Hostile and broken input over raw sockets: each gets its named answer, and the edge serves on.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{
    edge::{Edge, claims, sign, sign_with, token},
    wire::{BINARY, FIN, PING, TEXT, Wire, frame, get_request, upgrade_request},
};

const OTHER_SECRET: &str = "another secret of thirty-two bytes..";

fn error_of(wire: &mut Wire, text: &str) -> Value {
    wire.send_text(text);
    let reply = wire.json();
    assert_eq!(reply["type"], "error", "{text:.100}: {reply}");
    assert!(!reply["message"].as_str().unwrap().is_empty());
    reply
}

#[test]
fn malformed_commands_get_bad_request_and_the_connection_lives() {
    let edge = Edge::start();
    let deep = format!(
        "{}1{}",
        r#"{"id":1,"type":"publish","channel":"room:1","data":"#.to_owned() + &"[".repeat(5_000),
        "]".repeat(5_000) + "}"
    );
    let malformed = [
        "{",
        "",
        "nonsense",
        "[]",
        "null",
        r#"{"type":"no-such-type"}"#,
        r#"{"type":7}"#,
        r#"{"id":1}"#,
        r#"{"id":"one","type":"ping"}"#,
        r#"{"id":1,"type":"subscribe","channels":7}"#,
        r#"{"id":1,"type":"subscribe","channels":[{"channel":"system","since":5}]}"#,
        r#"{"id":1,"type":"subscribe","channels":[{"channel":"prices:X","maxRate":NaN}]}"#,
        r#"{"id":1,"type":"subscribe","channels":[{"channel":"prices:X","maxRate":1e999}]}"#,
        r#"{"id":1,"type":"history","channel":"system","limit":99999999999999999999999999}"#,
        r#"{"id":1e400,"type":"ping"}"#,
        r#"{"id":1,"type":"ack","channel":"user:7","position":"1-99999999999999999999999999"}"#,
        &deep,
    ];
    for chunk in malformed.chunks(8) {
        let mut wire = edge.client("7");
        for text in chunk {
            let reply = error_of(&mut wire, text);
            assert_eq!(reply["code"], "bad_request", "{text:.100}");
        }
        wire.send_text(r#"{"id":9,"type":"ping"}"#);
        assert_eq!(wire.json()["type"], "pong");
    }
    edge.assert_serves();
}

#[test]
fn too_many_malformed_frames_close_with_4400() {
    let edge = Edge::start();
    let mut wire = edge.client("7");
    for _ in 0..40 {
        wire.send_text("{");
    }
    assert_eq!(wire.close_code().unwrap().0, 4400);
    edge.assert_serves();
}

#[test]
fn ten_thousand_entries_are_refused_and_the_connection_lives() {
    let edge = Edge::start();
    let mut wire = edge.client("7");
    let entries = vec![r#""a""#; 10_000].join(",");
    let reply = error_of(&mut wire, &format!(r#"{{"id":1,"type":"subscribe","channels":[{entries}]}}"#));
    assert_eq!((&reply["id"], &reply["code"]), (&json!(1), &json!("bad_request")));
    wire.send_text(r#"{"id":9,"type":"ping"}"#);
    assert_eq!(wire.json()["type"], "pong");
    let long = vec![r#""public:a-long-name""#; 10_000].join(",");
    wire.send_text(&format!(r#"{{"id":1,"type":"subscribe","channels":[{long}]}}"#));
    assert_eq!(wire.close_code().unwrap().0, 1009);
    edge.assert_serves();
}

#[test]
fn names_with_control_characters_are_refused_one_by_one() {
    let edge = Edge::start();
    let mut wire = edge.client("7");
    wire.send_text(
        r#"{"id":1,"type":"subscribe","channels":["sys\u0000tem","sys\ntem","system","\u202eevil","a b",""]}"#,
    );
    let replies: Vec<Value> = (0..6).map(|_| wire.json()).collect();
    assert_eq!(replies.iter().filter(|reply| reply["type"] == "subscribed").count(), 1);
    let refused: Vec<&Value> = replies.iter().filter(|reply| reply["type"] == "error").collect();
    assert_eq!(refused.len(), 5);
    for reply in refused {
        assert_eq!(reply["code"], "bad_request");
        let echoed = reply["channel"].as_str().unwrap_or_default();
        assert!(!echoed.chars().any(char::is_control), "{echoed:?}");
    }
    edge.assert_serves();
}

#[test]
fn broken_frames_close_with_the_code_of_their_rule() {
    let edge = Edge::start();
    let endless = [vec![frame(TEXT, b"x")], vec![frame(0, b"x"); 100]].concat().concat();
    let cases: [(&str, Vec<u8>, u16); 9] = [
        ("text that is not UTF-8", frame(FIN | TEXT, b"\xC3\x28"), 1007),
        ("an unmasked frame", b"\x81\x02{}".to_vec(), 1002),
        ("a frame of 2^63 bytes", b"\x82\xFF\x80\0\0\0\0\0\0\0".to_vec(), 1009),
        ("a frame over the limit", frame(FIN | BINARY, &vec![0; 65_537]), 1009),
        ("endless fragments", endless, 1009),
        ("a reserved bit", frame(FIN | 0x40 | TEXT, b"{}"), 1002),
        ("a long ping", frame(FIN | PING, &[0; 126]), 1002),
        ("an unknown opcode", frame(FIN | 0x3, b""), 1002),
        ("a stray continuation", frame(FIN, b"x"), 1002),
    ];
    for (name, bytes, code) in cases {
        let mut wire = edge.client("7");
        wire.send(&bytes);
        assert_eq!(wire.close_code().unwrap_or_else(|| panic!("{name}: no close")).0, code, "{name}");
        assert_eq!(wire.frame(), None, "{name}");
    }
    edge.assert_serves();
}

#[test]
fn binary_garbage_is_an_error_and_not_the_end() {
    let edge = Edge::start();
    let mut wire = edge.client("7");
    wire.send(&frame(FIN | BINARY, &[0xC1, 0xFF, 0x00, 0x93]));
    assert_eq!(wire.json()["code"], "bad_request");
    wire.send_text(r#"{"id":9,"type":"ping"}"#);
    assert_eq!(wire.json()["type"], "pong");
}

#[test]
fn a_text_frame_in_a_binary_dialect_is_one_mistake() {
    let edge = Edge::start();
    let protocols = format!("tickwire.v1.msgpack, bearer.{}", token("7"));
    let mut wire = Wire::open(edge.addr, "/ws", &[("Sec-WebSocket-Protocol", &protocols)]);
    wire.frame().expect("connected");
    wire.send_text(r#"{"id":9,"type":"ping","and":"each of these characters is a MessagePack value"}"#);
    let error = wire.frame().expect("an error");
    assert_eq!(error.opcode, BINARY);
    assert!(String::from_utf8_lossy(&error.payload).contains("bad_request"), "{error:?}");
    wire.send(&frame(FIN | BINARY, b"\x82\xa2id\x09\xa4type\xa4ping"));
    let pong = wire.frame().expect("the connection lives");
    assert!(String::from_utf8_lossy(&pong.payload).contains("pong"), "{pong:?}");
}

#[test]
fn a_slow_upgrade_ends_at_its_deadline_while_others_are_served() {
    let edge = Edge::start_with(|config| {
        config.edge.handshake_timeout_ms = 400;
        // Fewer than there are slow ones.
        config.edge.handshakes_max = 1;
        config.edge.shards = 1;
    });
    let request = upgrade_request("/ws", &[]);
    let mut slow: Vec<Wire> = (0..4).map(|_| Wire::connect(edge.addr)).collect();
    let mut silent = Wire::connect(edge.addr);
    let start = Instant::now();
    for byte in request.as_bytes()[..20].chunks(1) {
        for wire in &mut slow {
            wire.send(byte);
        }
        if start.elapsed() < Duration::from_millis(200) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    edge.assert_serves();
    for wire in &mut slow {
        wire.read_to_end();
    }
    silent.read_to_end();
    edge.assert_serves();
}

#[test]
fn half_an_upgrade_costs_nothing_that_stays() {
    let edge = Edge::start();
    let request = upgrade_request("/ws", &[]);
    for part in [1, 10, request.len() / 2, request.len() - 1] {
        let mut wire = Wire::connect(edge.addr);
        wire.send(&request.as_bytes()[..part]);
        wire.shutdown_write();
        wire.read_to_end();
        let mut gone = Wire::connect(edge.addr);
        gone.send(&request.as_bytes()[..part]);
        drop(gone);
    }
    edge.assert_serves();
    edge.until("no connection is left", |edge| edge.metric("tickwire_edge_connections") == 0.0);
}

#[test]
fn what_is_no_http_is_refused() {
    let edge = Edge::start();
    let long_header = format!("GET /ws HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(20_000));
    let many_headers = format!("GET /ws HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-A: b\r\n".repeat(200));
    for (request, statuses) in [
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}".to_owned() + "\r\n\r\n", [400, 400]),
        (long_header, [431, 400]),
        (many_headers, [431, 400]),
        ("GET /ws HTTP/9.9\r\n\r\n".to_owned(), [400, 505]),
    ] {
        let answer = Wire::request(edge.addr, &request);
        assert!(statuses.contains(&answer.status), "{answer:?}");
    }
    edge.assert_serves();
}

/// Every token that must not pass, and the code it gets.
fn bad_tokens() -> Vec<(&'static str, String, &'static str)> {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let good = token("7");
    let payload = good.split('.').nth(1).unwrap();
    let mut future = claims("7");
    future.iat += 3_600;
    future.exp += 7_200;
    let mut expired = claims("7");
    expired.iat -= 7_200;
    expired.exp = expired.iat + 60;
    let nbf = json!({"sub": "7", "exp": claims("7").exp, "nbf": claims("7").exp - 60});
    let signer = tickwire_auth::issue::Signer::new(&tickwire_auth::Secret::new(OTHER_SECRET)).unwrap();
    vec![
        ("alg none", format!("{}.{payload}.", part(json!({"alg": "none"}))), "unauthenticated"),
        ("alg none, mixed case", format!("{}.{payload}.", part(json!({"alg": "nOnE"}))), "unauthenticated"),
        ("expired", sign(&expired), "token_expired"),
        ("issued in the future", sign(&future), "unauthenticated"),
        ("signed by another key", sign_with(OTHER_SECRET, &claims("7")), "unauthenticated"),
        ("not valid yet, by another key", signer.sign(&nbf).unwrap(), "unauthenticated"),
        ("no token at all", "x".into(), "unauthenticated"),
        ("cut off", good[..good.len() - 2].into(), "unauthenticated"),
    ]
}

#[test]
fn bad_tokens_are_refused_with_401_wherever_they_stand() {
    let edge = Edge::start_with(|config| config.limits.auth_failures_per_minute = 0);
    for (name, token, code) in bad_tokens() {
        let bearer = format!("Bearer {token}");
        let subprotocol = format!("tickwire.v1.json, bearer.{token}");
        let query = format!("/ws?token={token}");
        for (path, headers) in [
            ("/ws", vec![("Authorization", bearer.as_str())]),
            (query.as_str(), vec![]),
            ("/ws/trading", vec![("Sec-WebSocket-Protocol", subprotocol.as_str())]),
        ] {
            let answer = Wire::request(edge.addr, &upgrade_request(path, &headers));
            assert_eq!(answer.status, 401, "{name}: {answer:?}");
            assert_eq!(answer.json()["error"]["code"], code, "{name}");
            assert!(!answer.body.contains(&token) || token.len() < 5, "{name}: the answer holds the token");
        }
        for path in ["/sse?channels=system", "/poll?channels=system"] {
            let answer = Wire::get(edge.addr, path, &[("Authorization", &bearer)]);
            assert_eq!((answer.status, &answer.json()["error"]["code"]), (401, &json!(code)), "{name}");
        }
    }
    edge.assert_serves();
}

#[test]
fn bad_tokens_in_connect_get_an_error_and_4401() {
    let edge = Edge::start_with(|config| config.limits.auth_failures_per_minute = 0);
    for (name, token, code) in bad_tokens() {
        let mut wire = Wire::open(edge.addr, "/ws", &[]);
        let reply = error_of(&mut wire, &json!({"id": 1, "type": "connect", "token": token}).to_string());
        assert_eq!(reply["code"], code, "{name}");
        assert_eq!(wire.close_code().unwrap().0, 4401, "{name}");
    }
    edge.assert_serves();
}

#[test]
fn declared_but_unsent_bytes_take_no_memory() {
    const CONNECTIONS: usize = 150;
    let edge = Edge::start();
    let mut clients: Vec<Wire> = (0..CONNECTIONS).map(|_| edge.client("7")).take(49).collect();
    clients.extend((49..CONNECTIONS).map(|number| edge.client(&number.to_string())));
    let before = resident_kb();
    for wire in &mut clients {
        // 64 KB declared; the mask and one byte sent. Then a fragment, so that a message waits too.
        wire.send(&[0x02, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4, 5]);
    }
    edge.assert_serves();
    let grown = resident_kb().saturating_sub(before);
    assert!(grown < CONNECTIONS * 64 / 2, "{grown} KB more for {CONNECTIONS} connections");
    drop(clients);
    edge.until("no connection is left", |edge| edge.metric("tickwire_edge_connections") == 0.0);
}

#[test]
fn rounds_of_hostile_input_leave_the_memory_where_it_was() {
    let edge = Edge::start_with(|config| config.limits.ban_seconds = 0);
    let piece = vec![b'x'; 60_000];
    let round = || {
        for first in [0x81, 0xC1, 0x83, 0x09, 0x02, 0x88] {
            let mut wire = edge.client("7");
            wire.send(&frame(TEXT, &piece));
            wire.send(&frame(0, &piece));
            wire.send(&[first, 0xFF, 0x7F, 0, 0, 0, 0, 0, 0, 0]);
            wire.close_code();
            let mut half = Wire::connect(edge.addr);
            half.send(get_request("/ws", &[]).as_bytes());
        }
    };
    for _ in 0..5 {
        round();
    }
    let before = resident_kb();
    for _ in 0..40 {
        round();
    }
    let grown = resident_kb().saturating_sub(before);
    // 240 connections held 120 KB each for a moment.
    assert!(grown < 8_192, "{grown} KB more");
    edge.until("no connection is left", |edge| edge.metric("tickwire_edge_connections") == 0.0);
    edge.assert_serves();
}

fn resident_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
