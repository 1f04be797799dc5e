//! What can go wrong, with the facts that a caller decides on.

use std::time::Duration;

use tickwire_protocol::{ChannelName, ErrorCode};

/// Why a call, a subscription or a connection failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server refused; its own words.
    #[error("{message} ({code:?})")]
    Server {
        /// What kind.
        code: ErrorCode,
        /// For a human.
        message: String,
        /// When to try again, where the server said so.
        retry_after: Option<Duration>,
    },
    /// No answer in time. Calls are repeated over reconnects until then, so the outcome is unknown.
    #[error("no answer in time")]
    Timeout,
    /// As many calls wait as [`crate::ClientOptions::calls_max`] allows.
    #[error("too many calls wait for an answer")]
    TooManyCalls,
    /// This client has a subscription to the channel already.
    #[error("{0} has a subscription already")]
    AlreadySubscribed(ChannelName),
    /// The grant behind the subscription ended.
    #[error("the server ended the subscription")]
    GrantEnded,
    /// The client is stopped and will not reconnect.
    #[error("disconnected: {0}")]
    Disconnected(DisconnectReason),
    /// A setting that cannot work.
    #[error("{0}")]
    InvalidOptions(String),
    /// The emitter could not be reached, or its answer could not be read.
    #[error("the emitter could not be reached")]
    Http(#[source] reqwest::Error),
    /// An answer that this version does not understand.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
}

impl ClientError {
    /// Whether the same call may succeed later without being changed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Server { code, .. } => code.is_retryable(),
            Self::Timeout | Self::TooManyCalls => true,
            Self::Http(error) => error.is_connect() || error.is_timeout() || error.is_request() || error.is_body(),
            Self::AlreadySubscribed(_)
            | Self::GrantEnded
            | Self::Disconnected(_)
            | Self::InvalidOptions(_)
            | Self::Unexpected(_) => false,
        }
    }
}

/// Why a client stopped for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DisconnectReason {
    /// [`crate::Client::close`], or every handle was dropped.
    #[error("closed by this program")]
    ClosedHere,
    /// A close code that says stop.
    #[error("the server closed with {code} {reason}")]
    ClosedByServer {
        /// The code.
        code: u16,
        /// The server's words.
        reason: String,
    },
    /// The upgrade was refused with a status that trying again does not change.
    #[error("the server refused the connection with HTTP {status}")]
    Refused {
        /// The status.
        status: u16,
    },
    /// The token is not accepted and no other can be had.
    #[error("the server does not accept the token")]
    Unauthenticated,
}

/// Why a token could not be had; the client tries again with backoff.
#[derive(Debug, thiserror::Error)]
#[error("no token could be had")]
pub struct TokenError(#[source] pub Box<dyn std::error::Error + Send + Sync>);
