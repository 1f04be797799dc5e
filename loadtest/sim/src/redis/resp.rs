//! The wire format: commands in, RESP3 out.

use bytes::{Buf, BytesMut};

/// What a command answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    Nil,
    Status(&'static str),
    Int(i64),
    Bulk(Vec<u8>),
    Array(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
    Push(Vec<Reply>),
    /// With its code, as `ERR no such thing`.
    Error(String),
}

impl Reply {
    pub(crate) const OK: Self = Self::Status("OK");

    pub(crate) fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bulk(bytes.as_ref().to_vec())
    }

    pub(crate) fn error(text: impl std::fmt::Display) -> Self {
        Self::Error(format!("ERR {text}"))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nil => out.extend_from_slice(b"_\r\n"),
            Self::Status(text) => out.extend_from_slice(format!("+{text}\r\n").as_bytes()),
            Self::Int(number) => out.extend_from_slice(format!(":{number}\r\n").as_bytes()),
            Self::Bulk(bytes) => {
                out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Self::Array(items) => Self::encode_all(b'*', items, out),
            Self::Push(items) => Self::encode_all(b'>', items, out),
            Self::Map(pairs) => {
                out.extend_from_slice(format!("%{}\r\n", pairs.len()).as_bytes());
                for (key, value) in pairs {
                    key.encode(out);
                    value.encode(out);
                }
            }
            Self::Error(text) => out.extend_from_slice(format!("-{}\r\n", text.replace(['\r', '\n'], " ")).as_bytes()),
        }
    }

    fn encode_all(kind: u8, items: &[Self], out: &mut Vec<u8>) {
        out.push(kind);
        out.extend_from_slice(format!("{}\r\n", items.len()).as_bytes());
        for item in items {
            item.encode(out);
        }
    }
}

/// Takes one whole command off `buffer`: an array of bulk strings. `None` while it is not whole.
pub(crate) fn take_command(buffer: &mut BytesMut) -> Option<Vec<Vec<u8>>> {
    let mut at = 0;
    let count = number(buffer, &mut at, b'*')?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let length = number(buffer, &mut at, b'$')?;
        words.push(buffer.get(at..at + length)?.to_vec());
        at += length + 2;
    }
    if buffer.len() < at {
        return None;
    }
    buffer.advance(at);
    Some(words)
}

fn number(buffer: &[u8], at: &mut usize, kind: u8) -> Option<usize> {
    let rest = buffer.get(*at..)?;
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    assert_eq!(rest.first(), Some(&kind), "no RESP: {:?}", String::from_utf8_lossy(rest));
    *at += end + 2;
    std::str::from_utf8(&rest[1..end]).ok()?.parse().ok()
}
