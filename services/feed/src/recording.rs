//! Recordings: one JSON record a line, `.jsonl` or `.jsonl.gz`.
//!
//! `{"t":"<receive time, seconds>","dir":"in|out|http|connect","conn":"<id>","url":"<optional>","raw":"<exact text>"}`. The text
//! is byte-exact: key order, digits and trailing zeros are kept.

use std::{
    borrow::Cow,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use crate::{Error, model::instant};

/// A line's bound: the largest frame seen is 5.1 MB, and escaping may double it.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// Which way a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// A frame from the venue.
    #[default]
    In,
    /// A frame to the venue.
    Out,
    /// The body of an HTTP answer, when it arrived.
    Http,
    /// A socket was opened.
    Connect,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<'a> {
    /// Receive time, seconds since the epoch with up to nine places.
    #[serde(default, borrow)]
    pub t: Cow<'a, str>,
    /// Which way.
    #[serde(default)]
    pub dir: Direction,
    /// The connection.
    #[serde(default, borrow)]
    pub conn: Cow<'a, str>,
    /// The address, where one belongs to it.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub url: Option<Cow<'a, str>>,
    /// The text as it was; empty when a socket was opened.
    #[serde(default, borrow)]
    pub raw: Cow<'a, str>,
}

impl Record<'_> {
    /// Receive time in nanoseconds since the epoch; 0 if the record has none.
    pub fn received_ns(&self) -> i64 {
        instant::seconds(&self.t).unwrap_or(0)
    }
}

/// A recording, read line by line: memory holds one line.
pub struct Recording {
    path: PathBuf,
    source: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    number: usize,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording").field("path", &self.path).field("line", &self.number).finish_non_exhaustive()
    }
}

impl Recording {
    /// Opens a file; `.gz` is unpacked on the way.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::Recording { path: path.to_owned(), source })?;
        let packed = path.extension().is_some_and(|extension| extension == "gz");
        let source: Box<dyn Read + Send> =
            if packed { Box::new(MultiGzDecoder::new(BufReader::new(file))) } else { Box::new(file) };
        Ok(Self {
            path: path.to_owned(),
            source: BufReader::with_capacity(1 << 16, source),
            line: Vec::new(),
            number: 0,
        })
    }

    /// The next record; None at the end. Empty lines are passed over.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, Error> {
        loop {
            self.line.clear();
            let mut limited = self.source.by_ref().take(LINE_BYTES_MAX as u64);
            let read = limited
                .read_until(b'\n', &mut self.line)
                .map_err(|source| Error::Recording { path: self.path.clone(), source })?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if read == LINE_BYTES_MAX {
                return Err(Error::LongRecord { path: self.path.clone(), line: self.number, max: LINE_BYTES_MAX });
            }
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        serde_json::from_slice(&self.line).map(Some).map_err(|source| Error::Record {
            path: self.path.clone(),
            line: self.number,
            source,
        })
    }
}
