//! The framing layer over real sockets, in cases modelled on the categories of the Autobahn suite, against
//! `examples/echo.rs`.

use std::net::SocketAddr;

use tickwire_edge::framing::FrameLimits;

use crate::{
    echo,
    wire::{BINARY, CLOSE, FIN, PING, PONG, ServerFrame, TEXT, Wire, frame},
};

/// What is sent, in pieces of `piece` bytes, and what must come back, in order. A close is the last thing that comes.
struct Case {
    name: String,
    send: Vec<u8>,
    piece: usize,
    expect: Vec<Expect>,
}

#[derive(Debug, Clone)]
enum Expect {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

use Expect::{Binary, Close, Pong, Text};

fn case(name: impl Into<String>, send: &[Vec<u8>], expect: &[Expect]) -> Case {
    Case { name: name.into(), send: send.concat(), piece: usize::MAX, expect: expect.to_vec() }
}

fn text(payload: &str) -> Vec<u8> {
    frame(FIN | TEXT, payload.as_bytes())
}

fn hello() -> Expect {
    Text(b"hello".to_vec())
}

const PROTOCOL: &[Expect] = &[Close(Some(1002))];
const BAD_UTF8: &[Expect] = &[Close(Some(1007))];
const TOO_BIG: &[Expect] = &[Close(Some(1009))];

/// 1: framing.
fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    for len in [0, 1, 125, 126, 127, 128, 65_535, 65_536] {
        let letters = vec![b'*'; len];
        let bytes = vec![0xFE; len];
        for piece in [usize::MAX, 997] {
            let chopped = |mut case: Case| {
                case.name = format!("{} in pieces of {piece}", case.name);
                case.piece = piece;
                case
            };
            cases.push(chopped(case(
                format!("1.1 text of {len}"),
                &[frame(FIN | TEXT, &letters)],
                &[Text(letters.clone())],
            )));
            cases.push(chopped(case(
                format!("1.2 binary of {len}"),
                &[frame(FIN | BINARY, &bytes)],
                &[Binary(bytes.clone())],
            )));
        }
    }
    cases
}

/// 2: pings and pongs.
fn pings() -> Vec<Case> {
    let ping = |payload: &[u8]| frame(FIN | PING, payload);
    let ten: Vec<Vec<u8>> = (0..10).map(|number| ping(format!("payload-{number}").as_bytes())).collect();
    let ten_pongs: Vec<Expect> = (0..10).map(|number| Pong(format!("payload-{number}").into_bytes())).collect();
    let mut octets = case("2.11 ten pings, octet by octet", &ten, &ten_pongs);
    octets.piece = 1;
    let mut long_octets = case("2.6 ping of 125, octet by octet", &[ping(&[0xFE; 125])], &[Pong(vec![0xFE; 125])]);
    long_octets.piece = 1;
    vec![
        case("2.1 ping without payload", &[ping(b"")], &[Pong(vec![])]),
        case("2.2 ping with text", &[ping(b"Hello, world!")], &[Pong(b"Hello, world!".to_vec())]),
        case("2.3 ping with binary", &[ping(&[0, 0xFF, 0xFE])], &[Pong(vec![0, 0xFF, 0xFE])]),
        case("2.4 ping of 125", &[ping(&[0xFE; 125])], &[Pong(vec![0xFE; 125])]),
        case("2.5 ping of 126", &[ping(&[0xFE; 126])], PROTOCOL),
        long_octets,
        case("2.7 unsolicited pong", &[frame(FIN | PONG, b""), text("hello")], &[hello()]),
        case("2.8 unsolicited pong with payload", &[frame(FIN | PONG, b"x"), text("hello")], &[hello()]),
        case("2.9 pong, then ping", &[frame(FIN | PONG, b"x"), ping(b"y")], &[Pong(b"y".to_vec())]),
        case("2.10 ten pings", &ten, &ten_pongs),
        octets,
        case("2.12 pong of 126", &[frame(FIN | PONG, &[0; 126])], PROTOCOL),
    ]
}

/// 3 and 4: reserved bits and opcodes.
fn reserved() -> Vec<Case> {
    let mut cases = Vec::new();
    for bits in 1..8_u8 {
        let first = FIN | (bits << 4);
        cases.push(case(
            format!("3 reserved bits {bits:03b} after a good frame"),
            &[text("hello"), frame(first | TEXT, b"x"), text("late")],
            &[hello(), Close(Some(1002))],
        ));
        cases.push(case(format!("3 reserved bits {bits:03b} on a ping"), &[frame(first | PING, b"")], PROTOCOL));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        cases.push(case(format!("4 opcode {opcode}"), &[frame(FIN | opcode, b"")], PROTOCOL));
        cases.push(case(
            format!("4 opcode {opcode} with payload, after a good frame"),
            &[text("hello"), frame(FIN | opcode, b"x"), frame(FIN | PING, b"")],
            &[hello(), Close(Some(1002))],
        ));
    }
    cases
}

/// 5: fragmentation.
fn fragments() -> Vec<Case> {
    let (begin, middle, end) = (frame(TEXT, b"he"), frame(0, b"ll"), frame(FIN, b"o"));
    let ping = frame(FIN | PING, b"?");
    let mut octets = case(
        "5.8 text in three, a ping between, octet by octet",
        &[begin.clone(), ping.clone(), middle.clone(), end.clone()],
        &[Pong(b"?".to_vec()), hello()],
    );
    octets.piece = 1;
    vec![
        case("5.1 ping in fragments", &[frame(PING, b"a"), frame(FIN, b"b")], PROTOCOL),
        case("5.2 pong in fragments", &[frame(PONG, b"a"), frame(FIN, b"b")], PROTOCOL),
        case("5.3 text in two", &[frame(TEXT, b"hel"), frame(FIN, b"lo")], &[hello()]),
        case("5.4 text in three", &[begin.clone(), middle.clone(), end.clone()], &[hello()]),
        case("5.5 binary in two", &[frame(BINARY, b"\xFF"), frame(FIN, b"\xFE")], &[Binary(vec![0xFF, 0xFE])]),
        case(
            "5.6 text in three, a ping between",
            &[begin.clone(), ping.clone(), middle.clone(), end.clone()],
            &[Pong(b"?".to_vec()), hello()],
        ),
        case(
            "5.7 text in three, a ping after each",
            &[begin.clone(), ping.clone(), middle.clone(), ping.clone(), end.clone()],
            &[Pong(b"?".to_vec()), Pong(b"?".to_vec()), hello()],
        ),
        octets,
        case("5.9 continuation without a message", &[frame(FIN, b"x"), text("hello")], PROTOCOL),
        case("5.10 the same, not final", &[frame(0, b"x"), text("hello")], PROTOCOL),
        case(
            "5.11 continuation after a whole message",
            &[text("hello"), frame(FIN, b"x")],
            &[hello(), Close(Some(1002))],
        ),
        case("5.12 a text inside a text", &[begin.clone(), text("x"), end.clone()], PROTOCOL),
        case("5.13 a binary inside a text", &[begin.clone(), frame(FIN | BINARY, b"x")], PROTOCOL),
        case("5.14 a fragmented text inside a text", &[begin.clone(), begin.clone(), end.clone()], PROTOCOL),
        case("5.15 empty fragments", &[frame(TEXT, b""), frame(0, b""), frame(FIN, b"")], &[Text(vec![])]),
        case("5.16 an empty fragment in the middle", &[begin, frame(0, b""), middle, end], &[hello()]),
    ]
}

/// 6: UTF-8.
fn utf8() -> Vec<Case> {
    let kosme = "κόσμε";
    let mut cases = vec![
        case("6.1 empty text", &[text("")], &[Text(vec![])]),
        case(
            "6.2 text of several scripts",
            &[text("Hello-µ@ßöäüàá-UTF-8!! 🎉")],
            &[Text("Hello-µ@ßöäüàá-UTF-8!! 🎉".into())],
        ),
    ];
    let octets: Vec<Vec<u8>> =
        kosme.bytes().enumerate().map(|(at, byte)| frame(if at == 0 { TEXT } else { 0 }, &[byte])).collect();
    cases.push(case("6.2 a fragment for each byte", &[octets.concat(), frame(FIN, b"")], &[Text(kosme.into())]));
    for (name, good) in [
        ("the last of one byte", "\u{7F}"),
        ("the first of two bytes", "\u{80}"),
        ("the first of three bytes", "\u{800}"),
        ("the first of four bytes", "\u{10000}"),
        ("the last before the surrogates", "\u{D7FF}"),
        ("a noncharacter", "\u{FFFF}"),
        ("the very last", "\u{10FFFF}"),
    ] {
        cases.push(case(format!("6 {name}"), &[text(good)], &[Text(good.into())]));
    }
    for (name, bad) in [
        ("6.3 a surrogate", &b"\xCE\xBA\xED\xA0\x80edited"[..]),
        ("6.6 cut off in the middle", b"\xCE"),
        ("6.8 five bytes", b"\xF8\x88\x80\x80\x80"),
        ("6.10 beyond the last", b"\xF4\x90\x80\x80"),
        ("6.12 a continuation byte alone", b"\x80"),
        ("6.14 a lonely start", b"\xE2\x82 "),
        ("6.18 overlong slash", b"\xC0\xAF"),
        ("6.20 overlong in three", b"\xE0\x80\xAF"),
        ("6.21 FE and FF", b"\xFE\xFF"),
    ] {
        cases.push(case(name, &[frame(FIN | TEXT, bad)], BAD_UTF8));
        cases.push(case(format!("{name}, in fragments"), &[frame(TEXT, bad), frame(FIN, b"")], BAD_UTF8));
    }
    cases.push(case("6.4 fails before the message ends", &[frame(TEXT, b"\xED\xA0\x80")], BAD_UTF8));
    cases.push(case("6 binary is not checked", &[frame(FIN | BINARY, b"\xFF")], &[Binary(vec![0xFF])]));
    cases
}

/// 7: closing.
fn closing() -> Vec<Case> {
    let close = |payload: &[u8]| frame(FIN | CLOSE, payload);
    let coded = |code: u16, reason: &str| close(&[&code.to_be_bytes(), reason.as_bytes()].concat());
    let mut cases = vec![
        case("7.1.1 a message, then close", &[text("hello"), coded(1000, "")], &[hello(), Close(Some(1000))]),
        case("7.1.2 two closes", &[coded(1000, ""), coded(1000, "")], &[Close(Some(1000))]),
        case("7.1.3 ping after close", &[coded(1000, ""), frame(FIN | PING, b"")], &[Close(Some(1000))]),
        case("7.1.4 text after close", &[coded(1000, ""), text("late")], &[Close(Some(1000))]),
        case(
            "7.1.5 close inside a message",
            &[frame(TEXT, b"a"), coded(1000, ""), frame(FIN, b"b")],
            &[Close(Some(1000))],
        ),
        case("7.1.6 garbage after close", &[coded(1000, ""), vec![0xFF; 50]], &[Close(Some(1000))]),
        case("7.3.1 empty close", &[close(b"")], &[Close(None)]),
        case("7.3.2 close of one byte", &[close(b"\x03")], PROTOCOL),
        case("7.3.3 close with a code", &[coded(1000, "")], &[Close(Some(1000))]),
        case("7.3.4 close with a reason", &[coded(1000, "Hello World!")], &[Close(Some(1000))]),
        case("7.3.5 the longest reason", &[coded(1000, &"*".repeat(123))], &[Close(Some(1000))]),
        case("7.3.6 a reason too long", &[coded(1000, &"*".repeat(124))], PROTOCOL),
        case("7.5.1 a reason that is not UTF-8", &[close(b"\x03\xE8\xCE\xBA\xED\xA0\x80")], BAD_UTF8),
    ];
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        cases.push(case(format!("7.7 code {code}"), &[coded(code, "")], &[Close(Some(code))]));
    }
    for code in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535] {
        cases.push(case(format!("7.9 code {code}"), &[coded(code, "")], PROTOCOL));
    }
    cases
}

/// 9: limits, and what Autobahn leaves out: masks and length forms.
fn limits() -> Vec<Case> {
    let piece = vec![b'x'; 65_536];
    let begin = frame(BINARY, &piece);
    let middle = frame(0, &piece);
    let many = [vec![frame(BINARY, b"")], vec![frame(0, b""); 64]].concat();
    let whole = [vec![frame(BINARY, b"x")], vec![frame(0, b"x"); 62], vec![frame(FIN, b"x")]].concat();
    let declared = |len: u64| [&[0x82, 0xFF][..], &len.to_be_bytes()].concat();
    vec![
        case(
            "9 a message of 256 KB in four",
            &[begin.clone(), middle.clone(), middle.clone(), frame(FIN, &piece)],
            &[Binary(vec![b'x'; 262_144])],
        ),
        case("9 one byte more", &[begin, middle.clone(), middle.clone(), middle, frame(FIN, b"x")], TOO_BIG),
        case("9 a frame of 64 KB and one byte", &[declared(65_537)], TOO_BIG),
        case("9 a frame of 2^63 bytes", &[declared(1 << 63)], TOO_BIG),
        case("9 a frame of 2^64 - 1 bytes", &[declared(u64::MAX)], TOO_BIG),
        case("9 64 fragments", &whole, &[Binary(vec![b'x'; 64])]),
        case("9 65 fragments", &many, TOO_BIG),
        case("10 an unmasked frame", &[vec![0x81, 0x01, b'x']], PROTOCOL),
        case("10 an unmasked close", &[vec![0x88, 0x00]], PROTOCOL),
        case("10 16 bits for a short length", &[vec![0x81, 0xFE, 0, 1, 1, 2, 3, 4, 5]], PROTOCOL),
        case("10 64 bits for a medium length", &[declared(65_535)], PROTOCOL),
        case("10 a second handshake", &[b"GET /ws HTTP/1.1\r\n\r\n".to_vec()], PROTOCOL),
    ]
}

fn run(addr: SocketAddr, case: &Case) {
    let mut wire = Wire::open(addr, "/", &[]);
    for piece in case.send.chunks(case.piece.min(case.send.len().max(1))) {
        wire.send(piece);
    }
    for expect in &case.expect {
        let frame = wire.frame().unwrap_or_else(|| panic!("{}: ended before {expect:?}", case.name));
        let matches = match expect {
            Text(payload) => frame == ServerFrame { opcode: TEXT, deflated: false, payload: payload.clone() },
            Binary(payload) => frame == ServerFrame { opcode: BINARY, deflated: false, payload: payload.clone() },
            Pong(payload) => frame == ServerFrame { opcode: PONG, deflated: false, payload: payload.clone() },
            Close(code) => {
                let code = code.map(u16::to_be_bytes);
                frame.opcode == CLOSE && frame.payload.first_chunk::<2>() == code.as_ref()
            }
        };
        assert!(matches, "{}: {frame:?}", case.name);
    }
    if let Some(Close(_)) = case.expect.last() {
        assert_eq!(wire.frame(), None, "{}: more after the close", case.name);
    } else {
        // The connection is as good as new.
        wire.send(&text("hello"));
        assert_eq!(wire.frame().map(|frame| frame.payload), Some(b"hello".to_vec()), "{}", case.name);
    }
}

/// The echo server on a thread of its own, for as long as the test process lives.
fn start_echo() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            echo::serve(listener, FrameLimits::default()).await.unwrap();
        });
    });
    addr
}

fn run_all(cases: &[Case], least: usize) {
    assert!(cases.len() >= least, "{} cases", cases.len());
    let addr = start_echo();
    for case in cases {
        run(addr, case);
    }
}

#[test]
fn frames_of_every_length_come_back() {
    run_all(&lengths(), 32);
}

#[test]
fn pings_are_answered_in_order() {
    run_all(&pings(), 12);
}

#[test]
fn reserved_bits_and_opcodes_close_with_1002() {
    run_all(&reserved(), 34);
}

#[test]
fn fragments_are_one_message_or_a_violation() {
    run_all(&fragments(), 16);
}

#[test]
fn text_is_utf8_or_closes_with_1007() {
    run_all(&utf8(), 30);
}

#[test]
fn a_close_is_answered_once_and_ends_everything() {
    run_all(&closing(), 37);
}

#[test]
fn limits_close_with_1009_and_broken_rules_with_1002() {
    run_all(&limits(), 12);
}
