//! Recordings: one JSON record a line, `.jsonl` or `.jsonl.gz`.
//!
//! `{"t":"<receive time, seconds>","dir":"in|out|http|connect","conn":"<id>","url":"<optional>","raw":"<exact text>"}`. The text
//! is byte-exact: key order, digits and trailing zeros are kept.

use std::{
    borrow::Cow,
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use crate::{Error, model::instant};

/// A line's bound: the largest frame seen is 5.1 MB, and escaping may double it.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// Bytes read ahead at most, and then to the end of a line.
const AHEAD_BYTES_MAX: usize = 16 << 20;

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

/// A recording, read line by line, once: it may be a pipe. Memory holds one line, and what was looked at ahead.
pub struct Recording {
    path: PathBuf,
    source: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    /// Of `line`, from 1.
    number: usize,
    /// Lines that were looked at and are still to come, with their numbers.
    ahead: VecDeque<(usize, Vec<u8>)>,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording").field("path", &self.path).field("line", &self.number).finish_non_exhaustive()
    }
}

impl Recording {
    /// Opens a file; `.gz` is unpacked on the way. `-` is standard input.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let packed = path.extension().is_some_and(|extension| extension == "gz");
        let source: Box<dyn Read + Send> = if path == Path::new("-") {
            Box::new(io::stdin())
        } else {
            let file = File::open(path).map_err(|source| Error::Recording { path: path.to_owned(), source })?;
            if packed { Box::new(MultiGzDecoder::new(BufReader::new(file))) } else { Box::new(file) }
        };
        Ok(Self {
            path: path.to_owned(),
            source: BufReader::with_capacity(1 << 16, source),
            line: Vec::new(),
            number: 0,
            ahead: VecDeque::new(),
        })
    }

    /// The next record; None at the end. Empty lines are passed over.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, Error> {
        if let Some((number, line)) = self.ahead.pop_front() {
            (self.number, self.line) = (number, line);
        } else if !self.next_line()? {
            return Ok(None);
        }
        serde_json::from_slice(&self.line).map(Some).map_err(|source| Error::Record {
            path: self.path.clone(),
            line: self.number,
            source,
        })
    }

    /// Shows the next records, at most `records`, up to the first that is none; [`Recording::next_record`] yields them all the same.
    pub(crate) fn look_ahead(&mut self, records: usize, mut see: impl FnMut(&Record<'_>)) -> Result<(), Error> {
        let mut bytes = 0;
        while self.ahead.len() < records && bytes < AHEAD_BYTES_MAX && self.next_line()? {
            let record = serde_json::from_slice(&self.line).ok();
            record.iter().for_each(&mut see);
            let is_none = record.is_none();
            bytes += self.line.len();
            self.ahead.push_back((self.number, std::mem::take(&mut self.line)));
            if is_none {
                break;
            }
        }
        Ok(())
    }

    /// Reads the next line that is not empty; false at the end.
    fn next_line(&mut self) -> Result<bool, Error> {
        loop {
            self.line.clear();
            let mut limited = self.source.by_ref().take(LINE_BYTES_MAX as u64);
            let read = limited
                .read_until(b'\n', &mut self.line)
                .map_err(|source| Error::Recording { path: self.path.clone(), source })?;
            if read == 0 {
                return Ok(false);
            }
            self.number += 1;
            if read == LINE_BYTES_MAX {
                return Err(Error::LongRecord { path: self.path.clone(), line: self.number, max: LINE_BYTES_MAX });
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }
}
