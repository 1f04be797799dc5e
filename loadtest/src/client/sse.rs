//! Events out of an HTTP body: chunks, lines, `data`.

use crate::frame::{MESSAGE_BYTES_MAX, Violation};

/// Takes an event stream apart.
#[derive(Debug)]
pub(super) struct EventReader {
    chunk: Chunk,
    /// A line that is not finished.
    line: Vec<u8>,
}

/// Where in the body the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    /// The body has no chunks.
    Plain,
    /// In the line with the chunk's size, of which so much is read; `true` after its digits.
    Size(usize, bool),
    /// So many bytes of the chunk are to come.
    Data(usize),
    /// In the line end after a chunk.
    End,
}

impl EventReader {
    /// At the start of a body.
    pub(super) fn new(is_chunked: bool) -> Self {
        Self { chunk: if is_chunked { Chunk::Size(0, false) } else { Chunk::Plain }, line: Vec::new() }
    }

    /// Takes bytes of the body and gives out the data of every whole event.
    pub(super) fn feed<E: From<Violation>>(
        &mut self,
        mut bytes: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while let [first, rest @ ..] = bytes {
            match self.chunk {
                Chunk::Plain => return self.lines(bytes, &mut sink),
                Chunk::Size(size, _) if *first == b'\n' => {
                    self.chunk = if size == 0 { Chunk::End } else { Chunk::Data(size) };
                    bytes = rest;
                }
                Chunk::Size(size, over) => {
                    self.chunk = match char::from(*first).to_digit(16) {
                        Some(digit) if !over => {
                            let size = size * 16 + digit as usize;
                            if size > MESSAGE_BYTES_MAX {
                                return Err(Violation.into());
                            }
                            Chunk::Size(size, false)
                        }
                        _ => Chunk::Size(size, true),
                    };
                    bytes = rest;
                }
                Chunk::Data(left) => {
                    let (data, rest) = bytes.split_at(left.min(bytes.len()));
                    self.lines(data, &mut sink)?;
                    self.chunk = if data.len() == left { Chunk::End } else { Chunk::Data(left - data.len()) };
                    bytes = rest;
                }
                Chunk::End => {
                    if *first == b'\n' {
                        self.chunk = Chunk::Size(0, false);
                    }
                    bytes = rest;
                }
            }
        }
        Ok(())
    }

    fn lines<E: From<Violation>>(
        &mut self,
        mut data: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(end) = memchr::memchr(b'\n', data) {
            if self.line.is_empty() {
                event(&data[..end], sink)?;
            } else {
                self.line.extend_from_slice(&data[..end]);
                event(&std::mem::take(&mut self.line), sink)?;
            }
            data = &data[end + 1..];
        }
        if self.line.len() + data.len() > MESSAGE_BYTES_MAX {
            return Err(Violation.into());
        }
        self.line.extend_from_slice(data);
        Ok(())
    }
}

/// The edge writes each event's data as one line.
fn event<E>(line: &[u8], sink: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    match line.strip_prefix(b"data: ") {
        Some(data) => sink(data),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8], is_chunked: bool, step: usize) -> Vec<String> {
        let (mut reader, mut seen) = (EventReader::new(is_chunked), Vec::new());
        for part in body.chunks(step) {
            reader
                .feed(part, |data| {
                    seen.push(String::from_utf8_lossy(data).into_owned());
                    Ok::<_, Violation>(())
                })
                .unwrap();
        }
        seen
    }

    #[test]
    fn events_come_out_however_the_body_is_cut() {
        let plain = b"retry: 2000\n\nid: a@1-2\ndata: {\"a\":1}\n\n:\n\ndata: [2]\n\n";
        let chunked = b"d\r\nretry: 2000\n\n\r\n16;x=1\r\nid: a@1-2\ndata: {\"a\":1\r\n4\r\n}\n\n:\r\nD\r\n\n\ndata: [2]\n\n\r\n0\r\n\r\n";
        for step in [1, 2, 5, 1_000] {
            assert_eq!(read(plain, false, step), ["{\"a\":1}", "[2]"]);
            assert_eq!(read(chunked, true, step), ["{\"a\":1}", "[2]"], "steps of {step}");
        }
    }

    #[test]
    fn a_chunk_beyond_all_measure_is_a_violation() {
        let mut reader = EventReader::new(true);
        assert_eq!(reader.feed(b"ffffffffffffffff\r\n", |_| Ok::<_, Violation>(())), Err(Violation));
    }
}
