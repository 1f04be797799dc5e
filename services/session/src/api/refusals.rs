//! The one place where a command's failure becomes HTTP.

use std::time::Duration;

use http::StatusCode;
use tickwire_backplane::BackplaneError;
use tickwire_http::Refusal;
use tickwire_protocol::ErrorCode;

use crate::desk::DeskError;

impl From<DeskError> for Refusal {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::NotFound => Self::not_found("there is no such session"),
            DeskError::Refused(refusal) => Self::conflict("illegal_transition", refusal.to_string()),
            DeskError::KeyReused => Self::conflict("idempotency_key_reused", DeskError::KeyReused.to_string()),
            DeskError::TooManyCommands => Self::new(ErrorCode::LimitExceeded, DeskError::TooManyCommands.to_string()),
            // Found by the next try: its new writer is known by then.
            DeskError::Elsewhere(_) | DeskError::NoWriter => {
                let message = "no instance writes this session at the moment; repeat it under the same idempotency key";
                Self::new(ErrorCode::Unavailable, message).retry_after(Duration::from_secs(1))
            }
            DeskError::Store(BackplaneError::JournalFull) => {
                Self::new(ErrorCode::LimitExceeded, "the session's journal is full")
            }
            DeskError::Store(error) => Self::from(error),
            DeskError::Corrupt(error) => {
                tracing::error!(%error, "a session's journal cannot be read");
                Self::new(ErrorCode::Internal, "internal error").status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}
