//! Writing JSON text, and what of reading it serde does not do.

use std::fmt::Display;

use crate::RawJson;

/// A JSON object being written to the end of a buffer. Names are ours and need no escaping.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    pub(crate) fn end(self) {
        self.out.push(b'}');
    }

    /// Writes `name` and gives the buffer for exactly one value.
    pub(crate) fn value(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) {
        push_string(self.value(name), text);
    }

    /// A string of what `value` displays.
    pub(crate) fn shown(&mut self, name: &str, value: impl Display) {
        push_string(self.value(name), &value.to_string());
    }

    pub(crate) fn number(&mut self, name: &str, number: impl Display) {
        let rendered = number.to_string();
        self.value(name).extend_from_slice(rendered.as_bytes());
    }

    pub(crate) fn flag(&mut self, name: &str, flag: bool) {
        self.value(name).extend_from_slice(if flag { b"true" } else { b"false" });
    }

    pub(crate) fn raw(&mut self, name: &str, json: &RawJson) {
        push_raw(self.value(name), json);
    }

    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut push: impl FnMut(&mut Vec<u8>, T),
    ) {
        let out = self.value(name);
        out.push(b'[');
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            push(out, item);
        }
        out.push(b']');
    }
}

/// Appends `text` as a JSON string.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[plain_from..at]);
        plain_from = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain_from..]);
    out.push(b'"');
}

/// Appends `json` as it is, on one line: a line break in valid JSON is only ever space between tokens, and Server-Sent
/// Events could not carry it.
pub(crate) fn push_raw(out: &mut Vec<u8>, json: &RawJson) {
    let from = out.len();
    out.extend_from_slice(json.as_str().as_bytes());
    for byte in &mut out[from..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// Whether maps and lists in `text` stand at most `depth_max` inside one another. Linear, without recursion.
pub(crate) fn is_depth_within(text: &str, depth_max: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    return false;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// The text of a JSON string's inside. A lone surrogate, which no text can hold, becomes U+FFFD.
pub(crate) fn unescape(inside: &str) -> String {
    let mut text = String::with_capacity(inside.len());
    let mut units: Vec<u16> = Vec::new();
    let mut rest = inside;
    loop {
        let Some(at) = rest.find('\\') else {
            text.push_str(rest);
            return text;
        };
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        // Surrogate pairs are two escapes in a row, so a run of \u is decoded as one.
        units.clear();
        while let Some(unit) = rest.strip_prefix("\\u").and_then(|hex| hex.get(..4)) {
            let Ok(unit) = u16::from_str_radix(unit, 16) else { break };
            units.push(unit);
            rest = &rest[6..];
        }
        if units.is_empty() {
            let mut chars = rest[1..].chars();
            match chars.next() {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('t') => text.push('\t'),
                Some('b') => text.push('\u{8}'),
                Some('f') => text.push('\u{c}'),
                Some(other) => text.push(other),
                None => {}
            }
            rest = chars.as_str();
        } else {
            text.extend(
                char::decode_utf16(units.iter().copied()).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)),
            );
        }
    }
}
