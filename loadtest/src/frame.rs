//! WebSocket frames as a client sees them (RFC 6455 §5): masked ones out, plain ones in.

/// Longest message taken, bytes: more than a recovery of a whole history at the greatest payload of a load test.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A buffer greater than this is given back once it is empty, bytes.
const KEPT_BYTES: usize = 4 << 10;

/// Bit of the second byte.
const MASKED: u8 = 0x80;
/// Lengths that stand for longer ones.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What a server sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole text or binary message.
    Message(&'a [u8]),
    /// To be answered with the same payload.
    Ping(&'a [u8]),
    /// Nothing to do.
    Pong,
    /// With its code, 1005 where there was none.
    Close(u16),
}

/// What a server may not send, or what this client does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server broke the WebSocket protocol")]
pub struct Violation;

/// Kinds of frames that a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// A message.
    Text = 1,
    /// The end.
    Close = 8,
    /// Answer to a ping.
    Pong = 10,
}

/// Appends a whole masked frame.
pub fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: u32) {
    out.push(0x80 | opcode as u8);
    match payload.len() {
        length @ 0..=125 => out.push(MASKED | u8::try_from(length).unwrap_or_default()),
        length @ 126..=0xFFFF => {
            out.push(MASKED | LENGTH_16);
            out.extend_from_slice(&u16::try_from(length).unwrap_or_default().to_be_bytes());
        }
        length => {
            out.push(MASKED | LENGTH_64);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let mask = mask.to_be_bytes();
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Puts a server's frames together. Holds a buffer only while a frame is incomplete.
#[derive(Debug, Default)]
pub struct FrameReader {
    partial: Vec<u8>,
    /// Fragments of a message that is not finished.
    fragments: Vec<u8>,
}

impl FrameReader {
    /// Takes what was read from the socket and gives out every whole frame. Stops at the first error that `sink` returns.
    pub fn feed<E: From<Violation>>(
        &mut self,
        read: &[u8],
        mut sink: impl FnMut(Incoming<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.partial.is_empty() {
            let used = Self::frames(&mut self.fragments, read, &mut sink)?;
            self.partial.extend_from_slice(&read[used..]);
            return Ok(());
        }
        self.partial.extend_from_slice(read);
        let used = Self::frames(&mut self.fragments, &self.partial, &mut sink)?;
        self.partial.drain(..used);
        if self.partial.is_empty() && self.partial.capacity() > KEPT_BYTES {
            self.partial = Vec::new();
        }
        Ok(())
    }

    /// Gives out the whole frames of `bytes`; returns how many bytes they took.
    fn frames<E: From<Violation>>(
        fragments: &mut Vec<u8>,
        bytes: &[u8],
        sink: &mut impl FnMut(Incoming<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut at = 0;
        while let Some(header) = Header::read(&bytes[at..])? {
            let Some(payload) = bytes.get(at + header.bytes..at + header.bytes + header.payload) else { break };
            at += header.bytes + header.payload;
            match (header.opcode, header.is_final) {
                (1 | 2, true) if fragments.is_empty() => sink(Incoming::Message(payload))?,
                (1 | 2, false) if fragments.is_empty() => fragments.extend_from_slice(payload),
                (0, is_final) => {
                    if fragments.len() + payload.len() > MESSAGE_BYTES_MAX {
                        return Err(Violation.into());
                    }
                    fragments.extend_from_slice(payload);
                    if is_final {
                        sink(Incoming::Message(&std::mem::take(fragments)))?;
                    }
                }
                (8, true) => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    sink(Incoming::Close(code))?;
                }
                (9, true) => sink(Incoming::Ping(payload))?,
                (10, true) => sink(Incoming::Pong)?,
                _ => return Err(Violation.into()),
            }
        }
        Ok(at)
    }
}

struct Header {
    is_final: bool,
    opcode: u8,
    bytes: usize,
    payload: usize,
}

impl Header {
    /// `None` while bytes of it are missing.
    fn read(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        // No extension is offered, and a server does not mask.
        if first & 0x70 != 0 || second & MASKED != 0 {
            return Err(Violation);
        }
        let (bytes, payload) = match second {
            LENGTH_16 => match rest.first_chunk() {
                Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
                None => return Ok(None),
            },
            LENGTH_64 => match rest.first_chunk() {
                Some(length) => (10, usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX)),
                None => return Ok(None),
            },
            short => (2, usize::from(short)),
        };
        if payload > MESSAGE_BYTES_MAX {
            return Err(Violation);
        }
        Ok(Some(Self { is_final: first & 0x80 != 0, opcode: first & 0x0F, bytes, payload }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..=125 => frame.push(u8::try_from(length).unwrap()),
            length @ 126..=0xFFFF => {
                frame.push(126);
                frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        frame
    }

    /// What comes of `stream` fed in chunks of `chunk` bytes.
    fn read(stream: &[u8], chunk: usize) -> Result<Vec<String>, Violation> {
        let (mut reader, mut seen) = (FrameReader::default(), Vec::new());
        for part in stream.chunks(chunk) {
            reader.feed(part, |incoming| {
                seen.push(match incoming {
                    Incoming::Message(payload) => format!("message {}", String::from_utf8_lossy(payload)),
                    other => format!("{other:?}"),
                });
                Ok::<_, Violation>(())
            })?;
        }
        Ok(seen)
    }

    #[test]
    fn frames_come_out_however_they_are_cut() {
        let long = "x".repeat(300);
        let huge = "y".repeat(70_000);
        let mut stream = server_frame(0x81, b"a");
        stream.extend(server_frame(0x81, long.as_bytes()));
        stream.extend(server_frame(0x01, b"one "));
        stream.extend(server_frame(0x89, b"ping"));
        stream.extend(server_frame(0x80, b"two"));
        stream.extend(server_frame(0x82, huge.as_bytes()));
        stream.extend(server_frame(0x88, &4430_u16.to_be_bytes()));
        let expected = [
            "message a".to_owned(),
            format!("message {long}"),
            "Ping([112, 105, 110, 103])".to_owned(),
            "message one two".to_owned(),
            format!("message {huge}"),
            "Close(4430)".to_owned(),
        ];
        for chunk in [1, 2, 3, 7, 100, 65_536, usize::MAX] {
            assert_eq!(read(&stream, chunk).unwrap(), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn what_a_server_may_not_send_is_a_violation() {
        for stream in [
            &[0xC1_u8, 0][..],
            &[0x81, 0x80, 0, 0, 0, 0],
            &[0x83, 0],
            &[0x09, 0],
            &[0x81, 127, 0xFF, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(read(stream, usize::MAX), Err(Violation), "{stream:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(stream in proptest::collection::vec(any::<u8>(), 0..300), chunk in 1_usize..50) {
            let _ = read(&stream, chunk);
        }

        #[test]
        fn what_is_written_unmasks_to_the_payload(payload in proptest::collection::vec(any::<u8>(), 0..300), mask: u32) {
            let mut frame = Vec::new();
            write(&mut frame, Opcode::Text, &payload, mask);
            let header = frame.len() - payload.len();
            let mask = mask.to_be_bytes();
            let plain: Vec<u8> = frame[header..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            prop_assert_eq!(&frame[header - 4..header], &mask);
            prop_assert_eq!(plain, payload);
        }
    }
}
