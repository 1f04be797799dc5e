//! Why a run could not be made.

use std::io;

/// See the variants.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The settings contradict each other or ask for the impossible.
    #[error("{0}")]
    Settings(String),
    /// A token could not be made.
    #[error("cannot sign a token")]
    Token(#[from] tickwire_auth::AuthError),
    /// The publishing side could not be set up.
    #[error("cannot set up publishing")]
    Publisher(#[source] reqwest::Error),
    /// A thread or socket of the generator itself.
    #[error("the load generator cannot {what}")]
    Io {
        /// What it tried.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No client became ready in time.
    #[error("no client could connect: {0}")]
    NoneConnected(String),
    /// A thread of the generator ended by itself: a defect of the generator.
    #[error("a thread of the load generator died")]
    ThreadDied,
}
