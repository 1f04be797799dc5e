//! From a request's bytes to a closed struct, and the form of answers.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, StatusCode, header, request::Parts};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;
use tickwire_protocol::{ErrorCode, codec};

use crate::Refusal;

/// Maps and lists inside one another in a body.
const DEPTH_MAX: usize = 64;

/// How a body is written. Answers have the form of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the formats' names")]
pub enum Format {
    Json,
    MsgPack,
}

impl Format {
    /// The form a `Content-Type` names. Without one a body is taken for JSON.
    fn of_content(headers: &HeaderMap) -> Option<Self> {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Some(Self::Json) };
        let essence = value.to_str().ok()?.split(';').next()?.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" | "text/json" => Some(Self::Json),
            "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => Some(Self::MsgPack),
            other if other.starts_with("application/") && other.ends_with("+json") => Some(Self::Json),
            _ => None,
        }
    }

    /// The form of the answer: that of the body, or of what `Accept` asks for.
    pub fn of_answer(headers: &HeaderMap) -> Self {
        if headers.contains_key(header::CONTENT_TYPE) {
            return Self::of_content(headers).unwrap_or(Self::Json);
        }
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if accept.contains("msgpack") { Self::MsgPack } else { Self::Json }
    }
}

/// Reads a whole body as JSON text, at most `bytes_max` bytes as sent, which have `timeout` to arrive.
pub async fn read(timeout: Duration, parts: &Parts, body: Body, bytes_max: usize) -> Result<String, Refusal> {
    let Some(format) = Format::of_content(&parts.headers) else {
        let message = "the Content-Type is application/json or application/msgpack";
        return Err(Refusal::bad_request(message).status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    };
    let too_large = || Refusal::new(ErrorCode::TooLarge, format!("the body is longer than {bytes_max} bytes"));
    // What says itself that it is too long is not waited for.
    if axum::body::HttpBody::size_hint(&body).lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let reading = axum::body::to_bytes(body, bytes_max);
    let bytes = match tokio::time::timeout(timeout, reading).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => {
            let is_long = error.into_inner().is::<LengthLimitError>();
            return Err(if is_long { too_large() } else { Refusal::bad_request("the body could not be read") });
        }
        Err(_) => {
            let late = Refusal::bad_request("the body did not arrive in time");
            return Err(late.status(StatusCode::REQUEST_TIMEOUT));
        }
    };
    let text = match format {
        Format::Json => codec::json_text(&bytes, DEPTH_MAX).map(str::to_owned),
        Format::MsgPack => codec::json_from_msgpack(&bytes, DEPTH_MAX),
    };
    text.map_err(|malformed| Refusal::bad_request(malformed.message))
}

/// Parses `text` into `T`; the message names the field that is wrong.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Refusal> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let reason = cut(&error.inner().to_string());
        // The path of a body that is wrong as a whole is a dot.
        let message = if path == "." { reason } else { format!("`{}`: {reason}", cut(&path)) };
        Refusal::bad_request(message)
    })?;
    deserializer.end().map_err(|_| Refusal::bad_request("there is something after the JSON value"))?;
    Ok(value)
}

/// `text` fit to be echoed: short and without control characters.
pub fn cut(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    text.chars().take(CHARS_MAX).map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}
