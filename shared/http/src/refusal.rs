//! What a caller gets instead of what it asked for. The one place where failures become HTTP.

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use tickwire_auth::AuthError;
use tickwire_backplane::BackplaneError;
use tickwire_protocol::ErrorCode;
use utoipa::ToSchema;

/// How long a caller should wait when the backplane is away.
const BACKPLANE_RETRY: Duration = Duration::from_secs(1);

/// An error with its status.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What it is, as the wire contract calls it.
    pub code: ErrorCode,
    /// For a human.
    pub message: String,
    /// How long the caller should wait.
    pub retry_after: Option<Duration>,
    /// A closer name than the contract's, in its place.
    name: Option<&'static str>,
    status: StatusCode,
    is_retryable: bool,
}

/// The body of every answer that is no success.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    error: ErrorFields,
}

/// What was refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorFields {
    /// `bad_request`, `unauthenticated`, …
    code: &'static str,
    /// For a human.
    message: String,
    /// Whether the same request may succeed later.
    retryable: bool,
}

impl Refusal {
    /// With the status and retryability of its code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { code, message: message.into(), retry_after: None, name: None, status, is_retryable: code.is_retryable() }
    }

    /// Something is wrong with the request.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    /// Nothing stands at this path.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::bad_request(message).status(StatusCode::NOT_FOUND)
    }

    /// A clash with what there is: 409 with a `name` of the service's own in place of a code.
    pub fn conflict(name: &'static str, message: impl Into<String>) -> Self {
        Self { name: Some(name), ..Self::bad_request(message).status(StatusCode::CONFLICT) }
    }

    /// With another status than its code's.
    #[must_use]
    pub fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// With a time to wait.
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// The body.
    pub fn body(&self) -> ErrorBody {
        let Self { code, name, message, is_retryable, .. } = self;
        ErrorBody {
            error: ErrorFields {
                code: name.unwrap_or(code.as_str()),
                message: message.clone(),
                retryable: *is_retryable,
            },
        }
    }

    /// The answer with `body` in place of the usual one.
    pub fn respond(&self, body: impl Serialize) -> Response {
        let mut response = (self.status, Json(body)).into_response();
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self.code);
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.respond(self.body())
    }
}

impl From<&BackplaneError> for Refusal {
    fn from(error: &BackplaneError) -> Self {
        let code = match error {
            BackplaneError::Unavailable(_) | BackplaneError::NotDurable { .. } | BackplaneError::Full => {
                ErrorCode::Unavailable
            }
            BackplaneError::InboxFull | BackplaneError::TooManyKeys => ErrorCode::LimitExceeded,
            other => {
                tracing::error!(error = %other, "the backplane failed in a way that it should not");
                ErrorCode::Internal
            }
        };
        let message = match error {
            BackplaneError::NotDurable { .. } => {
                format!("the message is stored but not confirmed: {error}; repeat it under the same idempotency key")
            }
            BackplaneError::Unavailable(_) => {
                format!("{error}; whether the request took effect is unknown: repeat it under the same idempotency key")
            }
            // What an unexpected answer says is nothing for a caller.
            _ if code == ErrorCode::Internal => "internal error".to_owned(),
            other => other.to_string(),
        };
        let refusal = Self { is_retryable: error.is_retryable(), ..Self::new(code, message) };
        if matches!(code, ErrorCode::Unavailable | ErrorCode::LimitExceeded) {
            return refusal.retry_after(BACKPLANE_RETRY);
        }
        refusal
    }
}

impl From<BackplaneError> for Refusal {
    fn from(error: BackplaneError) -> Self {
        Self::from(&error)
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        let refusal = Self::new(error.code(), error.to_string());
        if refusal.code == ErrorCode::Unavailable { refusal.retry_after(BACKPLANE_RETRY) } else { refusal }
    }
}
