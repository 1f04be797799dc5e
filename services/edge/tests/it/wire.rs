//! A client made of bytes: it sends what a test says, valid or not, and reads the server's frames by itself.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

/// Generous, for a busy machine; a test that passes never waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;
pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;

/// A frame from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerFrame {
    pub(crate) opcode: u8,
    /// RSV1: the payload is compressed.
    pub(crate) deflated: bool,
    pub(crate) payload: Vec<u8>,
}

/// An answer's head and body.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl HttpAnswer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value.trim()))
    }
}

/// One TCP connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, read: Vec::new() }
    }

    /// Connects and upgrades; panics unless the answer is 101.
    pub(crate) fn open(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut wire = Self::connect(addr);
        wire.send(upgrade_request(path, headers).as_bytes());
        let answer = wire.head();
        assert_eq!(answer.status, 101, "{answer:?}");
        assert!(answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")), "{answer:?}");
        assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        wire
    }

    /// A whole request and its whole answer.
    pub(crate) fn request(addr: SocketAddr, request: &str) -> HttpAnswer {
        let mut wire = Self::connect(addr);
        wire.send(request.as_bytes());
        let mut answer = wire.head();
        wire.read_to_end();
        answer.body = String::from_utf8_lossy(&wire.read).into_owned();
        answer
    }

    /// `GET path` with its whole answer.
    pub(crate) fn get(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> HttpAnswer {
        Self::request(addr, &get_request(path, headers))
    }

    /// A peer that closed already is what some tests provoke, so errors show on reading.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes));
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.send(&frame(FIN | TEXT, text.as_bytes()));
    }

    /// Reads up to the empty line.
    pub(crate) fn head(&mut self) -> HttpAnswer {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.more(), "closed before the head ended: {:?}", String::from_utf8_lossy(&self.read));
        };
        let head: Vec<u8> = self.read.drain(..end).collect();
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        HttpAnswer { status, head, body: String::new() }
    }

    /// The next frame, or `None` at the end of the stream.
    pub(crate) fn frame(&mut self) -> Option<ServerFrame> {
        loop {
            if let Some((frame, used)) = parse(&self.read) {
                self.read.drain(..used);
                return Some(frame);
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// The next data frame as JSON; pings are passed over.
    pub(crate) fn json(&mut self) -> serde_json::Value {
        loop {
            let frame = self.frame().expect("a frame before the end");
            match frame.opcode {
                TEXT if !frame.deflated => return serde_json::from_slice(&frame.payload).unwrap(),
                PING | PONG => {}
                _ => panic!("{frame:?}"),
            }
        }
    }

    /// Reads on until a close frame, and gives its code and reason; `None` if the stream ends without one.
    pub(crate) fn close_code(&mut self) -> Option<(u16, String)> {
        while let Some(frame) = self.frame() {
            if frame.opcode == CLOSE {
                let (code, reason) = frame.payload.split_at(2);
                let code = u16::from_be_bytes([code[0], code[1]]);
                return Some((code, String::from_utf8(reason.to_vec()).unwrap()));
            }
        }
        None
    }

    /// Everything until the end, into `read`.
    pub(crate) fn read_to_end(&mut self) {
        while self.more() {}
    }

    /// All text until the end.
    pub(crate) fn text_to_end(&mut self) -> String {
        self.read_to_end();
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Text of a stream as it comes, until `done` says that it is enough.
    pub(crate) fn text_until(&mut self, done: impl Fn(&str) -> bool) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if done(&text) {
                return text;
            }
            assert!(self.more(), "ended after {text:?}");
        }
    }

    pub(crate) fn shutdown_write(&self) {
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// One more read; false at the end. Running out of patience fails the test.
    fn more(&mut self) -> bool {
        let mut chunk = [0; 8_192];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(count) => {
                self.read.extend_from_slice(&chunk[..count]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error} after {} bytes", self.read.len()),
        }
    }
}

pub(crate) fn get_request(path: &str, headers: &[(&str, &str)]) -> String {
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\nHost: edge.test\r\n{}\r\n", lines.concat())
}

pub(crate) fn upgrade_request(path: &str, headers: &[(&str, &str)]) -> String {
    let mut all = vec![
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    all.extend_from_slice(headers);
    get_request(path, &all)
}

/// A masked frame with the given first byte and the shortest length.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
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

fn parse(bytes: &[u8]) -> Option<(ServerFrame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(first & 0xB0, FIN, "a server frame is final and has no reserved bit but that of compression");
    assert_eq!(second & 0x80, 0, "a server frame is not masked");
    let (len, at) = match second {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())), 4),
        127 => (usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap())).unwrap(), 10),
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(at..at + len)?.to_vec();
    Some((ServerFrame { opcode: first & 0x0F, deflated: first & RSV1 != 0, payload }, at + len))
}
