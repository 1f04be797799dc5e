//! Recordings of channels: one message a line, as subscribers get them, `.jsonl`, `.jsonl.gz` or standard input.
//!
//! `{"channel":"book:binance:BTC/USDT","time":1723075200123,"data":{…}}`; other fields (`type`, `position`, …) are passed over, so
//! frames of a WebSocket, written down, are a recording too. `tickwire-feed replay FILE --messages` makes one of an exchange's raw
//! recording, through the parsers and books that run live: that way this service needs to know no exchange.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use tickwire_protocol::RawJson;

/// Longest line, bytes: a snapshot of a whole book.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// A message of a channel.
#[derive(Debug, Clone, Deserialize)]
pub struct Line {
    /// Where it was published.
    pub channel: String,
    /// When it was seen, milliseconds since the Unix epoch.
    pub time: u64,
    /// What it said.
    pub data: RawJson,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file.
    #[error("{path} cannot be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line that is no message.
    #[error("{path}:{line} is no message of a channel")]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A line longer than 16 MiB.
    #[error("{path}:{line} is longer than 16 MiB")]
    Long {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
    },
}

/// A recording, read line by line: memory holds one line.
pub struct Recording {
    path: PathBuf,
    source: BufReader<Box<dyn Read>>,
    text: Vec<u8>,
    line: usize,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording").field("path", &self.path).field("line", &self.line).finish_non_exhaustive()
    }
}

impl Recording {
    /// Opens a file, `.gz` unpacked on the way; `-` is standard input.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let failed = |source| RecordingError::Read { path: path.to_owned(), source };
        let source: Box<dyn Read> = if path == Path::new("-") {
            Box::new(std::io::stdin())
        } else if path.extension().is_some_and(|extension| extension == "gz") {
            Box::new(MultiGzDecoder::new(BufReader::new(File::open(path).map_err(failed)?)))
        } else {
            Box::new(File::open(path).map_err(failed)?)
        };
        Ok(Self { path: path.to_owned(), source: BufReader::new(source), text: Vec::new(), line: 0 })
    }

    /// The next message; `None` at the end. Empty lines are passed over.
    pub fn next_line(&mut self) -> Result<Option<Line>, RecordingError> {
        loop {
            self.text.clear();
            let mut limited = self.source.by_ref().take(LINE_BYTES_MAX);
            let read = limited
                .read_until(b'\n', &mut self.text)
                .map_err(|source| RecordingError::Read { path: self.path.clone(), source })?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            if read as u64 == LINE_BYTES_MAX {
                return Err(RecordingError::Long { path: self.path.clone(), line: self.line });
            }
            if !self.text.trim_ascii().is_empty() {
                break;
            }
        }
        let (path, line) = (&self.path, self.line);
        serde_json::from_slice(&self.text).map(Some).map_err(|source| RecordingError::Line {
            path: path.clone(),
            line,
            source,
        })
    }
}
