//! What a Redis error means to a caller of the backplane, and to the connection it came from.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::BackplaneError;

/// Server errors that pass: the caller may repeat.
const PASSING: [&str; 13] = [
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "READONLY",
    "MOVED",
    "ASK",
    "NOREPLICAS",
    "MISCONF",
    "BUSY",
    "UNBLOCKED",
    "NOAUTH",
    "WRONGPASS",
];

/// Whether the store lacks this build's functions.
pub(super) fn is_function_missing(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("Function not found"))
}

/// Whether the connection, or what stands at its other end, has to be looked for anew. A slow answer alone is no sign: the
/// canary tells a stopped server from a busy one.
pub(super) fn is_connection_lost(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::Moved)
    ) || (error.is_io_error() && !error.is_timeout())
        || error.is_unrecoverable_error()
}

/// As the trait's callers know it.
pub(super) fn from_redis(error: RedisError) -> BackplaneError {
    if error.code() == Some("OOM") {
        return BackplaneError::Full;
    }
    let passes = match error.kind() {
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound | ErrorKind::AuthenticationFailed => true,
        _ => error.code().is_some_and(|code| PASSING.contains(&code)),
    };
    if passes { unavailable(error) } else { BackplaneError::Unexpected(error.to_string()) }
}

/// No answer, with its cause.
pub(super) fn unavailable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BackplaneError {
    BackplaneError::Unavailable(Some(cause.into()))
}

/// What failed for one failed for all that was sent with it.
pub(super) fn shared(error: &BackplaneError) -> BackplaneError {
    match error {
        BackplaneError::Full => BackplaneError::Full,
        BackplaneError::Unexpected(what) => BackplaneError::Unexpected(what.clone()),
        other => unavailable(std::error::Error::source(other).map_or_else(|| other.to_string(), ToString::to_string)),
    }
}

/// An answer of another shape than the functions give.
pub(super) fn unexpected(what: &str) -> BackplaneError {
    BackplaneError::Unexpected(what.to_owned())
}
