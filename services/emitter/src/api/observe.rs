//! What happens around every request: its span, its metrics, its place among those in progress, panics, and the form of
//! the answer.

use std::{any::Any, sync::Arc, time::Instant};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use tickwire_protocol::{ErrorCode, codec};
use tickwire_telemetry::trace;
use tracing::Instrument;

use super::{App, Refusal, body::Format, metrics_code};
use crate::metrics::{RequestLabels, RouteLabels};

/// Longest answer that is turned into MessagePack, bytes; a history is the longest there is.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The sender's sampled trace context, or that of the current span.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<String> {
    trace::current_traceparent().or_else(|| {
        let given = headers.get("traceparent")?.to_str().ok()?;
        is_sampled(given).then(|| given.to_owned())
    })
}

/// Whether `text` is a W3C `traceparent` of version 0 whose sampled bit is set.
fn is_sampled(text: &str) -> bool {
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = text.split('-');
    let (Some("00"), Some(trace), Some(span), Some(flags), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    is_hex(trace, 32)
        && is_hex(span, 16)
        && is_hex(flags, 2)
        && u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1)
}

/// The outermost layer.
pub(super) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let matched = request.extensions().get::<MatchedPath>();
    // What matches no route is one label, so that nobody can invent labels.
    let route = matched.map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", method = %request.method(), route, trace_id = tracing::field::Empty);
    if let Some(parent) = request.headers().get("traceparent").and_then(|value| value.to_str().ok()) {
        trace::set_parent(&span, parent);
    }
    trace::note_id(&span);
    let format = Format::of_answer(request.headers());
    app.metrics.in_progress.inc();
    let response = next.run(request).instrument(span.clone()).await;
    app.metrics.in_progress.dec();
    let response = with_error_body(response).await;
    if let Some(&code) = response.extensions().get::<ErrorCode>() {
        app.metrics.refusals.get_or_create(&metrics_code(code)).inc();
    }
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    span.in_scope(|| tracing::debug!(status, elapsed_us = elapsed.as_micros(), "answered"));
    app.metrics.request_seconds.get_or_create(&RouteLabels { route: route.clone() }).observe(elapsed.as_secs_f64());
    app.metrics.requests.get_or_create(&RequestLabels { route, status: status.into() }).inc();
    with_security(in_format(response, format).await)
}

/// Bounds the requests in progress. Probes are answered whatever happens.
pub(super) async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Ok(_slot) = app.slots.try_acquire() else {
        let busy = Refusal::new(ErrorCode::Unavailable, "too many requests in progress");
        return busy.retry_after(std::time::Duration::from_secs(1)).into_response();
    };
    next.run(request).await
}

/// Gives an error that axum made by itself (a path that is not UTF-8, a method that is not there) the common body.
async fn with_error_body(response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || response.extensions().get::<ErrorCode>().is_some() {
        return response;
    }
    let text = axum::body::to_bytes(response.into_body(), 1_024).await.unwrap_or_default();
    let message = super::body::cut(&String::from_utf8_lossy(&text));
    let refusal = if status.is_server_error() {
        Refusal::new(ErrorCode::Internal, "internal error")
    } else {
        Refusal::bad_request(if message.is_empty() { status.to_string() } else { message })
    };
    refusal.status(status).into_response()
}

/// Answers are made as JSON; a caller of MessagePack gets them as that.
async fn in_format(response: Response, format: Format) -> Response {
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json");
    if format == Format::Json || !is_json {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, ANSWER_BYTES_MAX).await else {
        return Refusal::new(ErrorCode::Internal, "internal error").into_response();
    };
    let packed = codec::msgpack_of_json(std::str::from_utf8(&bytes).unwrap_or("null"));
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/msgpack"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(packed))
}

fn with_security(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The answer in place of a panic, which is a bug and logged as one.
#[allow(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let what = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = what.unwrap_or("unknown"), "a request panicked");
    Refusal::new(ErrorCode::Internal, "internal error").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sampled_trace_context_is_passed_on() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        assert!(is_sampled(&format!("{trace}-01")));
        assert!(is_sampled(&format!("{trace}-03")));
        for bad in [format!("{trace}-00"), format!("{trace}-01-x"), trace.into(), trace.to_uppercase(), String::new()] {
            assert!(!is_sampled(&bad), "{bad}");
        }
    }
}
