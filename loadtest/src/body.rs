//! The data of the messages that are published: their number, when they were due, and padding.

use std::io::Write;

use crate::scan::{Malformed, each_member, number};

/// What stands before the padding.
const PADDING: &[u8] = br#","p":""#;

/// What a message says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    /// Counts from 1: per channel, in `latest` channels per key.
    pub number: u64,
    /// When it was due to be published, microseconds on the clock of the process that runs the scenario.
    pub due_us: u64,
    /// Its key's number, 0 for none.
    pub key: u32,
    /// To be acknowledged.
    pub critical: bool,
}

impl Body {
    /// Appends it as a JSON object of `bytes` bytes (or as many more as its members need).
    pub fn write(&self, out: &mut Vec<u8>, bytes: usize) {
        let start = out.len();
        // Writing to memory does not fail.
        let _ = write!(out, r#"{{"n":{},"t":{}"#, self.number, self.due_us);
        if self.key != 0 {
            let _ = write!(out, r#","k":{}"#, self.key);
        }
        if self.critical {
            out.extend_from_slice(br#","c":1"#);
        }
        let written = out.len() - start + PADDING.len() + 2;
        if written < bytes {
            out.extend_from_slice(PADDING);
            out.resize(out.len() + bytes - written, b'.');
            out.push(b'"');
        }
        out.push(b'}');
    }

    /// Reads it.
    pub fn read(data: &[u8]) -> Result<Self, Malformed> {
        let mut body = Self { number: 0, due_us: 0, key: 0, critical: false };
        each_member(data, |name, value| {
            let member = || number(value).ok_or(Malformed);
            match name {
                b"n" => body.number = member()?,
                b"t" => body.due_us = member()?,
                b"k" => body.key = u32::try_from(member()?).map_err(|_| Malformed)?,
                b"c" => body.critical = true,
                _ => {}
            }
            Ok(())
        })?;
        if body.number == 0 { Err(Malformed) } else { Ok(body) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_as_written_and_as_long_as_asked() {
        for (body, bytes) in [
            (Body { number: 1, due_us: 2, key: 0, critical: false }, 128),
            (Body { number: 99_999, due_us: 1 << 50, key: 7, critical: true }, 128),
            (Body { number: 99_999, due_us: 1 << 50, key: 7, critical: true }, 8_192),
        ] {
            let mut text = Vec::new();
            body.write(&mut text, bytes);
            assert_eq!(text.len(), bytes);
            assert_eq!(Body::read(&text), Ok(body));
            serde_json::from_slice::<serde_json::Value>(&text).unwrap();
        }
    }

    #[test]
    fn a_short_body_has_no_padding() {
        let mut text = Vec::new();
        Body { number: 1, due_us: 2, key: 0, critical: false }.write(&mut text, 0);
        assert_eq!(text, br#"{"n":1,"t":2}"#);
    }

    #[test]
    fn data_of_others_is_malformed() {
        for data in ["{}", "[]", "7", r#"{"n":0}"#, r#"{"n":"1"}"#, r#"{"n":-1}"#] {
            assert_eq!(Body::read(data.as_bytes()), Err(Malformed), "{data}");
        }
    }
}
