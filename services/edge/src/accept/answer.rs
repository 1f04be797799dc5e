//! HTTP answers: JSON bodies, and errors in the one form of the protocol.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use http_body::{Body, Frame, SizeHint};
use serde::Serialize;
use tickwire_protocol::ErrorCode;

use crate::{fallback::EventStream, limits::Refusal};

/// An answer of the edge.
pub(crate) type Answer = Response<AnswerBody>;

/// What follows an answer's head.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// All of it; `None` once sent.
    Whole(Option<Bytes>),
    /// An event stream, as long as it lasts.
    Events(Box<EventStream>),
}

impl Default for AnswerBody {
    fn default() -> Self {
        Self::Whole(None)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events(events) => events.poll_chunk(cx).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Events(_) => SizeHint::default(),
        }
    }
}

/// `body` with its content type; never cached, for every answer here is of the moment.
pub(crate) fn whole(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(AnswerBody::Whole(Some(body.into())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// `value` as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => whole(status, "application/json", body),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            whole(StatusCode::INTERNAL_SERVER_ERROR, "application/json", "{}")
        }
    }
}

/// `{"error":{"code","message","retryable"}}` with the code's own status.
pub(crate) fn error(code: ErrorCode, message: &str) -> Answer {
    let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    error_as(status, code, message)
}

/// The same with another status.
pub(crate) fn error_as(status: StatusCode, code: ErrorCode, message: &str) -> Answer {
    let body = serde_json::json!({
        "error": { "code": code, "message": message, "retryable": code.is_retryable() }
    });
    json(status, &body)
}

/// A refusal, with `Retry-After` in whole seconds, rounded up.
pub(crate) fn refusal(refusal: &Refusal) -> Answer {
    let mut answer = error(refusal.code, &refusal.message);
    if let Some(after) = refusal.retry_after {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds_up(after)));
    }
    answer
}

fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_and_when() {
        let refused = Refusal::rate(Duration::from_millis(1_200));
        let answer = refusal(&refused);
        assert_eq!(
            (answer.status(), &answer.headers()[RETRY_AFTER]),
            (StatusCode::TOO_MANY_REQUESTS, &"2".parse().unwrap())
        );
        let AnswerBody::Whole(Some(body)) = answer.into_body() else { panic!("no body") };
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"]["code"], "rate_limited");
        assert_eq!(body["error"]["retryable"], true);
    }
}
