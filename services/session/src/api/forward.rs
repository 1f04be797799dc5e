//! Passing a command on to the instance that writes the session.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, StatusCode, header, request::Parts};
use tickwire_http::Refusal;
use tickwire_protocol::ErrorCode;
use tickwire_trading::api::Foreign;

/// A request that was passed on once is not passed on again: the leases are changing hands.
const FORWARDED: HeaderName = HeaderName::from_static("x-tickwire-forwarded");
/// How long the other instance may take.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Forward(reqwest::Client);

impl Forward {
    pub(super) fn new() -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
        Ok(Self(http.build()?))
    }

    /// The answer of the instance at `address` to the same request.
    pub(super) async fn pass(&self, address: &str, parts: &Parts, body: String) -> Result<Response, Refusal> {
        let unavailable =
            |message: &str| Refusal::new(ErrorCode::Unavailable, message).retry_after(Duration::from_secs(1));
        if parts.headers.contains_key(&FORWARDED) {
            return Err(unavailable("the session is changing its writer; repeat it under the same idempotency key"));
        }
        let mut request = self.0.post(format!("{address}{}", parts.uri.path())).header(FORWARDED, "1").body(body);
        for name in
            [header::AUTHORIZATION, HeaderName::from_static("idempotency-key"), HeaderName::from_static("traceparent")]
        {
            if let Some(value) = parts.headers.get(&name) {
                request = request.header(name, value);
            }
        }
        let gone = "the instance that writes the session does not answer; repeat it under the same idempotency key";
        let answer = request.send().await.map_err(|error| {
            tracing::debug!(%error, address, "a request could not be passed on");
            unavailable(gone)
        })?;
        let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
        let bytes = answer.bytes().await.map_err(|_| unavailable(gone))?;
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], Body::from(bytes)).into_response();
        response.extensions_mut().insert(Foreign);
        Ok(response)
    }
}
