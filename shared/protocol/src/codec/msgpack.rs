//! Between MessagePack and JSON text, value by value, without recursion.
//!
//! From MessagePack: integers are exact; a float is its shortest JSON rendering; `bin` becomes a base64 string; keys
//! must be strings; NaN, infinities and extension types have no JSON and are refused.
//! From JSON: integers of 64 bits are exact; other numbers become the nearest double, or, where no finite double or
//! 64-bit integer holds them, a string of their digits.

use base64::{Engine, prelude::BASE64_STANDARD};
use rmp::Marker;

use super::json::{push_string, unescape};

/// Why bytes are not the MessagePack of a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotJson {
    #[error("the MessagePack value is cut short")]
    Truncated,
    #[error("a map's key is not a string")]
    Key,
    #[error("a string is not UTF-8")]
    Utf8,
    #[error("NaN and infinities are not allowed")]
    NotFinite,
    #[error("MessagePack extension types are not allowed")]
    Extension,
    #[error("maps and lists are nested too deep")]
    Depth,
}

/// A list or map not yet complete. `left` counts items still to come; of a map, keys and values.
struct Open {
    left: u64,
    map: bool,
}

/// Appends the first value of `bytes` to `out` as JSON and returns what follows it. After an error `out` holds the part
/// that could be read.
pub(crate) fn to_json<'a>(bytes: &'a [u8], depth_max: usize, out: &mut Vec<u8>) -> Result<&'a [u8], NotJson> {
    let mut input = Input(bytes);
    let mut stack: Vec<Open> = Vec::new();
    loop {
        let is_key = stack.last().is_some_and(|open| open.map && open.left % 2 == 0);
        if let Some(open) = item(&mut input, is_key, out)? {
            if stack.len() >= depth_max {
                return Err(NotJson::Depth);
            }
            out.push(if open.map { b'{' } else { b'[' });
            if open.left > 0 {
                stack.push(open);
                continue;
            }
            out.push(if open.map { b'}' } else { b']' });
        }
        // One item is complete, and with it perhaps the containers around it.
        loop {
            let Some(open) = stack.last_mut() else { return Ok(input.0) };
            open.left -= 1;
            if open.left > 0 {
                out.push(if open.map && open.left % 2 == 1 { b':' } else { b',' });
                break;
            }
            out.push(if open.map { b'}' } else { b']' });
            stack.pop();
        }
    }
}

/// Appends a scalar to `out`, or returns the container that begins.
fn item(input: &mut Input<'_>, is_key: bool, out: &mut Vec<u8>) -> Result<Option<Open>, NotJson> {
    let marker = Marker::from_u8(input.byte()?);
    let string_bytes = match marker {
        Marker::FixStr(length) => Some(u64::from(length)),
        Marker::Str8 => Some(input.uint(1)?),
        Marker::Str16 => Some(input.uint(2)?),
        Marker::Str32 => Some(input.uint(4)?),
        _ => None,
    };
    if let Some(length) = string_bytes {
        let text = std::str::from_utf8(input.take(length)?).map_err(|_| NotJson::Utf8)?;
        push_string(out, text);
        return Ok(None);
    }
    if is_key {
        return Err(NotJson::Key);
    }
    let list = |left| Ok(Some(Open { left, map: false }));
    let map = |pairs: u64| Ok(Some(Open { left: pairs * 2, map: true }));
    match marker {
        Marker::FixArray(items) => return list(u64::from(items)),
        Marker::Array16 => return list(input.uint(2)?),
        Marker::Array32 => return list(input.uint(4)?),
        Marker::FixMap(pairs) => return map(u64::from(pairs)),
        Marker::Map16 => return map(input.uint(2)?),
        Marker::Map32 => return map(input.uint(4)?),
        Marker::Null => out.extend_from_slice(b"null"),
        Marker::True => out.extend_from_slice(b"true"),
        Marker::False => out.extend_from_slice(b"false"),
        Marker::FixPos(number) => push_number(out, number.into()),
        Marker::FixNeg(number) => push_number(out, number.into()),
        Marker::U8 => push_number(out, input.uint(1)?.into()),
        Marker::U16 => push_number(out, input.uint(2)?.into()),
        Marker::U32 => push_number(out, input.uint(4)?.into()),
        Marker::U64 => push_number(out, input.uint(8)?.into()),
        Marker::I8 => push_number(out, i8::from_be_bytes(input.array()?).into()),
        Marker::I16 => push_number(out, i16::from_be_bytes(input.array()?).into()),
        Marker::I32 => push_number(out, i32::from_be_bytes(input.array()?).into()),
        Marker::I64 => push_number(out, i64::from_be_bytes(input.array()?).into()),
        Marker::F32 => push_number(out, finite(f32::from_be_bytes(input.array()?).into())?),
        Marker::F64 => push_number(out, finite(f64::from_be_bytes(input.array()?))?),
        Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
            let length = input.uint(match marker {
                Marker::Bin8 => 1,
                Marker::Bin16 => 2,
                _ => 4,
            })?;
            push_string(out, &BASE64_STANDARD.encode(input.take(length)?));
        }
        _ => return Err(NotJson::Extension),
    }
    Ok(None)
}

fn finite(number: f64) -> Result<serde_json::Number, NotJson> {
    serde_json::Number::from_f64(number).ok_or(NotJson::NotFinite)
}

#[allow(clippy::needless_pass_by_value, reason = "made for the call")]
fn push_number(out: &mut Vec<u8>, number: serde_json::Number) {
    out.extend_from_slice(number.to_string().as_bytes());
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], NotJson> {
        let length = usize::try_from(length).map_err(|_| NotJson::Truncated)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(NotJson::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, NotJson> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NotJson> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(NotJson::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn uint(&mut self, bytes: u64) -> Result<u64, NotJson> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// Stands in JSON text for an item that is MessagePack already. Outside of strings JSON has no such byte.
pub(crate) const READY: u8 = b'@';

/// Appends one JSON value, which somebody has parsed before, as MessagePack.
pub(crate) fn from_json(json: &str, out: &mut Vec<u8>) {
    from_json_with(json, std::iter::empty(), out);
}

/// The same of JSON with [`READY`] in it, for each of which the next item of `ready` is taken.
pub(crate) fn from_json_with<'a>(json: &str, mut ready: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    let mut sizes = container_sizes(json).into_iter();
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' => push_map_header(out, sizes.next().unwrap_or(0)),
            b'[' => push_list_header(out, sizes.next().unwrap_or(0)),
            b'"' => {
                let end = string_end(bytes, at);
                push_text(out, json.get(at + 1..end).unwrap_or_default());
                at = end;
            }
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b'}' | b']' => {}
            &READY => out.extend_from_slice(ready.next().unwrap_or_default()),
            _ => {
                let length = bytes[at..].iter().take_while(|byte| !b" \t\n\r,:}]".contains(byte)).count();
                push_word(out, json.get(at..at + length).unwrap_or_default());
                at += length - 1;
            }
        }
        at += 1;
    }
}

/// How many items each list and how many pairs each map holds, in the order in which they begin.
fn container_sizes(json: &str) -> Vec<u32> {
    let bytes = json.as_bytes();
    let (mut sizes, mut open) = (Vec::<u32>::new(), Vec::<usize>::new());
    let mut just_opened = false;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let is_space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        if just_opened && !is_space {
            just_opened = false;
            if let (Some(&container), false) = (open.last(), matches!(byte, b'}' | b']')) {
                sizes[container] = 1;
            }
        }
        match byte {
            b'{' | b'[' => {
                open.push(sizes.len());
                sizes.push(0);
                just_opened = true;
            }
            b'}' | b']' => {
                open.pop();
            }
            b',' => {
                if let Some(&container) = open.last() {
                    sizes[container] += 1;
                }
            }
            b'"' => at = string_end(bytes, at),
            _ => {}
        }
        at += 1;
    }
    sizes
}

/// Index of the quote that closes the string opened at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'"' => break,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    end
}

fn push_map_header(out: &mut Vec<u8>, pairs: u32) {
    push_header(out, pairs, (0x80, 15), [None, Some(0xde), Some(0xdf)]);
}

fn push_list_header(out: &mut Vec<u8>, items: u32) {
    push_header(out, items, (0x90, 15), [None, Some(0xdc), Some(0xdd)]);
}

fn push_text(out: &mut Vec<u8>, inside: &str) {
    let unescaped;
    let text = if inside.contains('\\') {
        unescaped = unescape(inside);
        &unescaped
    } else {
        inside
    };
    push_header(out, u32::try_from(text.len()).unwrap_or(u32::MAX), (0xa0, 31), [Some(0xd9), Some(0xda), Some(0xdb)]);
    out.extend_from_slice(text.as_bytes());
}

/// The shortest header that holds `length`: inside the marker byte, or in 1, 2 or 4 bytes after one of `markers`.
fn push_header(out: &mut Vec<u8>, length: u32, (fixed, fixed_max): (u8, u32), markers: [Option<u8>; 3]) {
    let wide = length.to_be_bytes();
    match (length, markers) {
        (_, _) if length <= fixed_max => out.push(fixed | wide[3]),
        (..=0xff, [Some(marker), ..]) => out.extend_from_slice(&[marker, wide[3]]),
        (..=0xffff, [_, Some(marker), _]) => out.extend_from_slice(&[marker, wide[2], wide[3]]),
        (_, [.., marker]) => {
            out.extend(marker);
            out.extend_from_slice(&wide);
        }
    }
}

/// A number, `true`, `false` or `null`.
fn push_word(out: &mut Vec<u8>, word: &str) {
    match word {
        "null" => return out.push(0xc0),
        "false" => return out.push(0xc2),
        "true" => return out.push(0xc3),
        _ => {}
    }
    if let Ok(number) = word.parse::<u64>() {
        return push_uint(out, number);
    }
    if let Ok(number) = word.parse::<i64>() {
        return push_negative(out, number);
    }
    let is_fraction = word.contains(['.', 'e', 'E']);
    match word.parse::<f64>() {
        Ok(number) if is_fraction && number.is_finite() => {
            out.push(0xcb);
            out.extend_from_slice(&number.to_be_bytes());
        }
        _ => push_text(out, word),
    }
}

fn push_uint(out: &mut Vec<u8>, number: u64) {
    let wide = number.to_be_bytes();
    let (marker, bytes) = match number {
        0..=0x7f => return out.push(wide[7]),
        0x80..=0xff => (0xcc, 1),
        0x100..=0xffff => (0xcd, 2),
        0x1_0000..=0xffff_ffff => (0xce, 4),
        _ => (0xcf, 8),
    };
    out.push(marker);
    out.extend_from_slice(&wide[8 - bytes..]);
}

/// `-0` comes here too, and is 0.
fn push_negative(out: &mut Vec<u8>, number: i64) {
    let wide = number.to_be_bytes();
    let (marker, bytes) = match number {
        -32.. => return out.push(wide[7]),
        -0x80..-32 => (0xd0, 1),
        -0x8000..-0x80 => (0xd1, 2),
        -0x8000_0000..-0x8000 => (0xd2, 4),
        _ => (0xd3, 8),
    };
    out.push(marker);
    out.extend_from_slice(&wide[8 - bytes..]);
}
