//! From bytes to messages.

use super::{
    FrameLimits, Inflater, Violation,
    decode::Decoder,
    header::{HEADER_BYTES_MAX, Header, Opcode, RSV1},
    message::{Fragments, grow},
};

/// What came from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole message; `payload` is UTF-8 if `text`.
    Message {
        /// It came as text.
        text: bool,
        /// Unmasked and reassembled.
        payload: &'a [u8],
    },
    /// Wants a pong with the same payload, at most 125 bytes.
    Ping(&'a [u8]),
    /// A sign of life.
    Pong,
    /// The peer closes; nothing follows. Answer with the same code.
    Close {
        /// Its code, one that RFC 6455 allows on the wire; `None` if it gave none.
        code: Option<u16>,
        /// Its reason.
        reason: &'a str,
    },
}

/// One connection's place in its peer's stream of frames: 16 bytes, and no heap between messages.
#[derive(Debug, Default)]
pub struct FrameReader {
    unfinished: Option<Box<Unfinished>>,
    ended: bool,
}

/// What waits for more bytes.
#[derive(Debug, Default)]
struct Unfinished {
    /// The beginning of a frame. Empty, or shorter than its frame.
    frame: Vec<u8>,
    /// The beginning of a message.
    message: Option<Fragments>,
}

impl FrameReader {
    /// A reader at the start of the stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a close frame came or a rule was broken: bytes after that are ignored.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Bytes of heap held for an unfinished frame or message.
    pub fn held_bytes(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |unfinished| {
            let message = unfinished.message.as_ref().map_or(0, Fragments::capacity);
            size_of::<Unfinished>() + unfinished.frame.capacity() + message
        })
    }

    /// Takes the next bytes of the stream, all of them, and calls `on_incoming` for each message and control frame that they
    /// complete, in order. The caller's buffer may be reused at once: an unfinished tail is copied.
    ///
    /// `inflater` is given where permessage-deflate was negotiated, and then each time: without it a compressed message is a
    /// violation. It keeps nothing of a connection, so all connections of a thread share one.
    ///
    /// On a violation the events before it have been handed over; close with its [`Violation::close_code`].
    pub fn read(
        &mut self,
        bytes: &[u8],
        limits: &FrameLimits,
        inflater: Option<&mut Inflater>,
        mut on_incoming: impl FnMut(Incoming<'_>),
    ) -> Result<(), Violation> {
        let outcome = self.read_on(bytes, &mut Reading { limits, inflater }, &mut on_incoming);
        if outcome.is_err() {
            self.ended = true;
        }
        if self.ended {
            self.unfinished = None;
        }
        outcome
    }

    fn read_on(
        &mut self,
        bytes: &[u8],
        reading: &mut Reading<'_>,
        on_incoming: &mut impl FnMut(Incoming<'_>),
    ) -> Result<(), Violation> {
        if self.ended {
            return Ok(());
        }
        let mut rest = self.complete_frame(bytes, reading, on_incoming)?;
        let mut decoder: Option<Decoder<'_>> = None;
        while !self.ended {
            let Some(header) = self.checked_header(rest, reading)? else { break };
            if rest.len() < header.frame_len {
                break;
            }
            let (whole, after) = rest.split_at(header.frame_len);
            if header.deflated {
                self.take_deflated(header, whole.to_vec(), reading, on_incoming)?;
                decoder = None;
            } else {
                // Built on the first whole frame: a burst that completes none allocates nothing for decoding.
                let frame = decoder.get_or_insert_with(|| Decoder::new(rest)).next_frame()?;
                self.take_frame(header, &frame.payload, reading, on_incoming)?;
            }
            rest = after;
        }
        if !rest.is_empty() && !self.ended {
            self.unfinished.get_or_insert_default().frame = rest.to_vec();
        }
        Ok(())
    }

    /// Completes the frame that earlier bytes began, as far as `bytes` reach, and returns what is left of them.
    fn complete_frame<'b>(
        &mut self,
        bytes: &'b [u8],
        reading: &mut Reading<'_>,
        on_incoming: &mut impl FnMut(Incoming<'_>),
    ) -> Result<&'b [u8], Violation> {
        let Some(unfinished) = self.unfinished.as_mut().filter(|unfinished| !unfinished.frame.is_empty()) else {
            return Ok(bytes);
        };
        let mut frame = std::mem::take(&mut unfinished.frame);
        let mut rest = bytes;
        // Byte by byte while the header is short: at most 13 times, and never a byte of the next frame.
        let header = loop {
            if let Some(header) = self.checked_header(&frame, reading)? {
                break header;
            }
            let Some((&byte, after)) = rest.split_first() else {
                self.unfinished.get_or_insert_default().frame = frame;
                return Ok(rest);
            };
            grow(&mut frame, 1, HEADER_BYTES_MAX);
            frame.push(byte);
            rest = after;
        };
        let (now, after) = rest.split_at(rest.len().min(header.frame_len - frame.len()));
        grow(&mut frame, now.len(), header.frame_len);
        frame.extend_from_slice(now);
        if frame.len() < header.frame_len {
            self.unfinished.get_or_insert_default().frame = frame;
        } else if header.deflated {
            self.take_deflated(header, frame, reading, on_incoming)?;
        } else {
            let mut decoder = Decoder::new(&frame);
            let unmasked = decoder.next_frame()?;
            self.take_frame(header, &unmasked.payload, reading, on_incoming)?;
        }
        Ok(after)
    }

    /// The header at the start of `bytes`, allowed by the frame rules and by the message that is unfinished.
    fn checked_header(&self, bytes: &[u8], reading: &Reading<'_>) -> Result<Option<Header>, Violation> {
        let limits = reading.limits;
        let Some(header) = Header::parse(bytes, limits, reading.inflater.is_some())? else { return Ok(None) };
        let message = self.unfinished.as_ref().and_then(|unfinished| unfinished.message.as_ref());
        match (header.opcode, message) {
            (Opcode::Continuation, None) => return Err(Violation::StrayContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Violation::InterleavedMessage),
            (Opcode::Continuation, Some(message)) => message.check(&header, limits)?,
            (Opcode::Text | Opcode::Binary, None) if header.payload_len > limits.message_bytes_max => {
                return Err(Violation::MessageTooBig);
            }
            _ => {}
        }
        Ok(Some(header))
    }

    /// Takes the first frame of a compressed message. The decoder knows no reserved bits and would check the text before it
    /// is inflated, so it is shown a plain binary frame.
    fn take_deflated(
        &mut self,
        header: Header,
        mut frame: Vec<u8>,
        reading: &mut Reading<'_>,
        on_incoming: &mut impl FnMut(Incoming<'_>),
    ) -> Result<(), Violation> {
        if let Some(first) = frame.first_mut() {
            *first = (*first & !(RSV1 | 0x0F)) | 0x2;
        }
        let mut decoder = Decoder::new(&frame);
        let unmasked = decoder.next_frame()?;
        self.take_frame(header, &unmasked.payload, reading, on_incoming)
    }

    fn take_frame(
        &mut self,
        header: Header,
        payload: &[u8],
        reading: &mut Reading<'_>,
        on_incoming: &mut impl FnMut(Incoming<'_>),
    ) -> Result<(), Violation> {
        match header.opcode {
            Opcode::Text | Opcode::Binary if header.fin => {
                let text = header.opcode == Opcode::Text;
                reading.hand_over(text, header.deflated, payload, on_incoming)?;
            }
            Opcode::Text | Opcode::Binary => {
                let mut message = Fragments::begin(header.opcode == Opcode::Text, header.deflated);
                message.append(payload, false, reading.limits)?;
                self.unfinished.get_or_insert_default().message = Some(message);
            }
            Opcode::Continuation => self.take_continuation(header, payload, reading, on_incoming)?,
            Opcode::Ping => on_incoming(Incoming::Ping(payload)),
            Opcode::Pong => on_incoming(Incoming::Pong),
            Opcode::Close => {
                let (code, reason) = close_payload(payload)?;
                self.ended = true;
                on_incoming(Incoming::Close { code, reason });
            }
        }
        Ok(())
    }

    fn take_continuation(
        &mut self,
        header: Header,
        payload: &[u8],
        reading: &mut Reading<'_>,
        on_incoming: &mut impl FnMut(Incoming<'_>),
    ) -> Result<(), Violation> {
        let Some(message) = self.unfinished.as_mut().and_then(|unfinished| unfinished.message.as_mut()) else {
            return Err(Violation::StrayContinuation);
        };
        message.append(payload, header.fin, reading.limits)?;
        if header.fin {
            reading.hand_over(message.is_text(), message.is_deflated(), message.bytes(), on_incoming)?;
            // Both parts end here: while frames are taken, `frame` is empty.
            self.unfinished = None;
        }
        Ok(())
    }
}

/// What a read goes by.
struct Reading<'a> {
    limits: &'a FrameLimits,
    inflater: Option<&'a mut Inflater>,
}

impl Reading<'_> {
    /// Hands a whole message over, inflated if it came compressed.
    fn hand_over(
        &mut self,
        text: bool,
        deflated: bool,
        payload: &[u8],
        on_incoming: &mut impl FnMut(Incoming<'_>),
    ) -> Result<(), Violation> {
        if !deflated {
            on_incoming(Incoming::Message { text, payload });
            return Ok(());
        }
        let Some(inflater) = &mut self.inflater else { return Err(Violation::ReservedBits) };
        let payload = inflater.inflate(payload, self.limits.message_bytes_max)?;
        if text && std::str::from_utf8(payload).is_err() {
            return Err(Violation::Utf8);
        }
        on_incoming(Incoming::Message { text, payload });
        Ok(())
    }
}

/// A close frame's code and reason, RFC 6455 §5.5.1 and §7.4.
fn close_payload(payload: &[u8]) -> Result<(Option<u16>, &str), Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok((None, "")) } else { Err(Violation::CloseCode) };
    };
    let code = u16::from_be_bytes(*code);
    // Registered with IANA, or in the ranges of libraries and applications; 1004 to 1006 and 1015 never travel.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::CloseCode);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| Violation::CloseReason)?;
    Ok((Some(code), reason))
}
