//! Just enough of JSON to follow a stream of messages: finds members of an object without copying or building anything.
//!
//! A load client looks at five members of each message, at hundreds of thousands of messages a second. It trusts its peer no
//! further than this: whatever the bytes are, scanning ends, reads nothing outside, and says [`Malformed`] where the outline
//! is no JSON. What lies inside skipped values is not checked.

use memchr::memchr2;
use tickwire_protocol::Position;

/// Bytes that are not what a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no frame of the protocol")]
pub struct Malformed;

/// Members of a server's frame, as they stand in its text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerFrame<'a> {
    /// `type`.
    pub kind: &'a [u8],
    /// `id` of the request it answers.
    pub id: Option<u64>,
    /// `channel`.
    pub channel: &'a [u8],
    /// `position`.
    pub position: Option<Position>,
    /// `recovered`.
    pub recovered: bool,
    /// `messages`: an array.
    pub messages: Option<&'a [u8]>,
    /// `data`: any value.
    pub data: Option<&'a [u8]>,
    /// `code` of an error.
    pub code: &'a [u8],
    /// `afterMs` of a `reconnect`.
    pub after_ms: Option<u64>,
    /// `next` of a poll's answer.
    pub next: &'a [u8],
}

impl<'a> ServerFrame<'a> {
    /// Reads the members of one object.
    pub fn read(text: &'a [u8]) -> Result<Self, Malformed> {
        let mut frame = Self::default();
        each_member(text, |name, value| {
            match name {
                b"type" => frame.kind = string(value)?,
                b"id" => frame.id = number(value),
                b"channel" => frame.channel = string(value)?,
                b"position" => frame.position = position(string(value)?),
                b"recovered" => frame.recovered = value == b"true",
                b"messages" => frame.messages = Some(value),
                b"data" => frame.data = Some(value),
                b"code" => frame.code = string(value)?,
                b"afterMs" => frame.after_ms = number(value),
                b"next" => frame.next = string(value)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(frame)
    }
}

/// Calls `found` for each object of what one WebSocket frame holds: one object, or an array of them.
pub fn each_object<'a>(
    text: &'a [u8],
    mut found: impl FnMut(&'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut at = skip_space(text, 0);
    if text.get(at) != Some(&b'[') {
        return found(&text[at..]);
    }
    at = skip_space(text, at + 1);
    if text.get(at) == Some(&b']') {
        return Ok(());
    }
    loop {
        let end = value_end(text, at)?;
        found(&text[at..end])?;
        at = skip_space(text, end);
        match text.get(at) {
            Some(b',') => at = skip_space(text, at + 1),
            Some(b']') => return Ok(()),
            _ => return Err(Malformed),
        }
    }
}

/// Calls `found` with the name and the text of each member of an object.
pub fn each_member<'a>(
    text: &'a [u8],
    mut found: impl FnMut(&'a [u8], &'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut at = skip_space(text, 0);
    if text.get(at) != Some(&b'{') {
        return Err(Malformed);
    }
    at = skip_space(text, at + 1);
    if text.get(at) == Some(&b'}') {
        return Ok(());
    }
    loop {
        let name_end = value_end(text, at)?;
        let name = string(&text[at..name_end])?;
        at = skip_space(text, name_end);
        if text.get(at) != Some(&b':') {
            return Err(Malformed);
        }
        at = skip_space(text, at + 1);
        let end = value_end(text, at)?;
        found(name, &text[at..end])?;
        at = skip_space(text, end);
        match text.get(at) {
            Some(b',') => at = skip_space(text, at + 1),
            Some(b'}') => return Ok(()),
            _ => return Err(Malformed),
        }
    }
}

/// The inside of a string, escapes left as they are: what is looked for holds none.
pub fn string(value: &[u8]) -> Result<&[u8], Malformed> {
    match value {
        [b'"', inside @ .., b'"'] => Ok(inside),
        b"null" => Ok(b""),
        _ => Err(Malformed),
    }
}

/// A number without sign, fraction or exponent.
pub fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

fn position(text: &[u8]) -> Option<Position> {
    let dash = text.iter().position(|&byte| byte == b'-')?;
    Some(Position::new(number(&text[..dash])?, number(&text[dash + 1..])?))
}

fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// Where the value that begins at `at` ends.
fn value_end(text: &[u8], at: usize) -> Result<usize, Malformed> {
    match text.get(at) {
        Some(b'"') => string_end(text, at),
        Some(b'{' | b'[') => nest_end(text, at),
        Some(b',' | b'}' | b']' | b':') | None => Err(Malformed),
        Some(_) => {
            let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t' | b':' | b'"');
            Ok(text[at..].iter().position(is_end).map_or(text.len(), |length| at + length))
        }
    }
}

fn string_end(text: &[u8], at: usize) -> Result<usize, Malformed> {
    let mut from = at + 1;
    while let Some(found) = text.get(from..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        let found = from + found;
        if text[found] == b'"' {
            return Ok(found + 1);
        }
        from = found + 2;
    }
    Err(Malformed)
}

fn nest_end(text: &[u8], at: usize) -> Result<usize, Malformed> {
    let (mut at, mut depth) = (at, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at = string_end(text, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use proptest::prelude::*;
    use tickwire_protocol::{
        ChannelName, DeliveryClass, Dialect, Event, Priority, Publication, RawJson, event::Subscribed,
        publication::FrameCache,
    };

    use super::*;

    #[test]
    fn members_are_found_between_others() {
        let text = br#" { "id" : 7 , "type":"message","channel":"session:42","position":"1763683200000-21","time":1,"priority":"high",
            "tags":{"type":"no","x":["]}\"",{}]},"data":{"n":5,"p":"\\\"}"} } "#;
        let frame = ServerFrame::read(text).unwrap();
        assert_eq!((frame.kind, frame.id, frame.channel), (&b"message"[..], Some(7), &b"session:42"[..]));
        assert_eq!(frame.position, Some(Position::new(1_763_683_200_000, 21)));
        assert_eq!(frame.data, Some(&br#"{"n":5,"p":"\\\"}"}"#[..]));
    }

    #[test]
    fn packed_frames_are_found_one_by_one() {
        let mut kinds = Vec::new();
        let packed = br#"[{"type":"a"}, {"type":"b","messages":[{"type":"c"}]}]"#;
        each_object(packed, |object| {
            kinds.push(ServerFrame::read(object)?.kind.to_vec());
            Ok(())
        })
        .unwrap();
        assert_eq!(kinds, [b"a", b"b"]);
    }

    #[test]
    fn cut_frames_are_malformed() {
        let text = br#"{"type":"message","data":{"n":[1,2,"x"]},"id":12}"#;
        for length in 0..text.len() {
            assert_eq!(ServerFrame::read(&text[..length]), Err(Malformed), "{length} bytes");
        }
    }

    #[test]
    fn what_the_codec_writes_is_read() {
        let channel = ChannelName::new("room:1").unwrap();
        let publication = Arc::new(Publication {
            channel: channel.clone(),
            position: Some(Position::new(5, 6)),
            class: DeliveryClass::Reliable,
            time_ms: 1,
            stored_ms: None,
            priority: Priority::Critical,
            key: Some("k".into()),
            tags: BTreeMap::from([("type".to_owned(), "\"}".to_owned())]),
            data: RawJson::parse(r#"{"n":3,"t":9}"#.to_owned()).unwrap(),
            publisher: None,
            signature: None,
            expires_at_ms: None,
            traceparent: None,
            frames: FrameCache::default(),
        });
        let event = Event::Subscribed(Box::new(Subscribed {
            id: Some(4),
            channel,
            class: DeliveryClass::Reliable,
            position: Some(Position::new(5, 6)),
            recovered: true,
            messages: vec![publication],
            traced_ms: None,
            expires_at_ms: None,
        }));
        let text = Dialect::Json.encode(&event).unwrap();
        let reply = ServerFrame::read(&text).unwrap();
        assert_eq!((reply.kind, reply.id, reply.recovered), (&b"subscribed"[..], Some(4), true));
        assert_eq!(reply.position, Some(Position::new(5, 6)));
        let mut data = Vec::new();
        each_object(reply.messages.unwrap(), |object| {
            data.extend_from_slice(ServerFrame::read(object)?.data.unwrap());
            Ok(())
        })
        .unwrap();
        assert_eq!(data, br#"{"n":3,"t":9}"#);
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = each_object(&text, |object| ServerFrame::read(object).map(drop));
        }

        #[test]
        fn any_punctuation_ends_in_an_answer(text in r#"[\[\]{}",:\\ a1]{0,60}"#) {
            let _ = each_object(text.as_bytes(), |object| ServerFrame::read(object).map(drop));
        }
    }
}
