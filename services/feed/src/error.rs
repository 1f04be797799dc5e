//! What can go wrong in this crate.

use std::path::PathBuf;

/// An operation that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such venue.
    #[error("no exchange is called {0:?}; there are binance, coinbase, kraken, bybit and okx")]
    UnknownExchange(String),
    /// A recording does not say whose it is.
    #[error("{0}: neither its path nor its addresses name the exchange; give --exchange")]
    UnnamedExchange(PathBuf),
    /// A recording cannot be read.
    #[error("cannot read {path}")]
    Recording {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line of a recording is not a record.
    #[error("{path}, line {line}: not a record")]
    Record {
        /// Which recording.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A line of a recording is longer than any frame may be.
    #[error("{path}, line {line}: longer than {max} bytes")]
    LongRecord {
        /// Which recording.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The bound.
        max: usize,
    },
    /// The result of a replay cannot be written.
    #[error("cannot write the result")]
    Output(#[source] std::io::Error),
    /// A sum left the range of decimals.
    #[error("the sum of {0} is beyond 96 bits")]
    Sum(&'static str),
}
