//! The emitter's client: publishing over HTTP, repeated under one key until the cluster has it.

use std::{collections::BTreeMap, fmt, time::Duration};

use reqwest::{Method, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use tickwire_protocol::{ChannelName, ErrorCode, Position, RawJson, UserId};

use crate::{Backoff, ClientError, client::new_key, link::retry_after};

mod types;

pub use types::{
    AlertState, AlertStatus, Broadcast, ChannelCount, EventReceipt, Notification, Notified, Outgoing, Revocation,
    StoredMessage, StoredMessages,
};

use types::{Channels, ErrorBody, Outcome, Results};

/// `Retry-After` is obeyed up to this; a caller that has more patience calls again.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Settings of an [`Emitter`]; start from [`EmitterOptions::new`].
#[derive(Clone)]
pub struct EmitterOptions {
    /// `http://` or `https://` address, without path.
    pub url: String,
    /// An API key, or a service token.
    pub credential: String,
    /// Tries of one call, the first included.
    pub attempts_max: u32,
    /// Delays between them.
    pub backoff: Backoff,
    /// One try takes at most this.
    pub timeout: Duration,
}

impl EmitterOptions {
    /// Five tries of five seconds.
    pub fn new(url: impl Into<String>, credential: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            credential: credential.into(),
            attempts_max: 5,
            backoff: Backoff { first_max: Duration::from_millis(200), ..Backoff::default() },
            timeout: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for EmitterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmitterOptions").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Publishes through an emitter. Cloning shares its connections.
///
/// Everything that publishes carries an idempotency key, the caller's or one made here, and keeps it over all tries: an
/// answer lost on the way never publishes twice.
#[derive(Debug, Clone)]
pub struct Emitter {
    http: reqwest::Client,
    options: EmitterOptions,
}

impl Emitter {
    /// Checks the options; connects at the first call.
    pub fn new(options: EmitterOptions) -> Result<Self, ClientError> {
        let url = reqwest::Url::parse(&options.url)
            .map_err(|error| ClientError::InvalidOptions(format!("{}: {error}", options.url)))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ClientError::InvalidOptions(format!(
                "{url}: an emitter's address starts with http:// or https://"
            )));
        }
        let mut bearer = header::HeaderValue::from_str(&format!("Bearer {}", options.credential))
            .map_err(|_| ClientError::InvalidOptions("the credential cannot be sent in a header".into()))?;
        bearer.set_sensitive(true);
        let http = reqwest::Client::builder()
            .default_headers([(header::AUTHORIZATION, bearer)].into_iter().collect())
            .timeout(options.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(ClientError::Http)?;
        Ok(Self { http, options: EmitterOptions { url: options.url.trim_end_matches('/').to_owned(), ..options } })
    }

    /// Publishes one message.
    pub async fn publish(&self, mut message: Outgoing) -> Result<crate::Published, ClientError> {
        message.idempotency_key.get_or_insert_with(new_key);
        self.post("/v1/publish", &message).await
    }

    /// Publishes many; one result a message, in order. Only the call as a whole is repeated: messages that were refused
    /// for now are the caller's to send again (under the keys that they had).
    pub async fn publish_batch(
        &self,
        mut messages: Vec<Outgoing>,
    ) -> Result<Vec<Result<crate::Published, ClientError>>, ClientError> {
        for message in &mut messages {
            message.idempotency_key.get_or_insert_with(new_key);
        }
        let results: Results = self.post("/v1/publish/batch", &BTreeMap::from([("messages", messages)])).await?;
        Ok(results.results.into_iter().map(Outcome::into_result).collect())
    }

    /// Publishes the same data to several channels; one result a channel, in order.
    pub async fn broadcast(
        &self,
        mut broadcast: Broadcast,
    ) -> Result<Vec<Result<crate::Published, ClientError>>, ClientError> {
        broadcast.idempotency_key.get_or_insert_with(new_key);
        let results: Results = self.post("/v1/broadcast", &broadcast).await?;
        Ok(results.results.into_iter().map(Outcome::into_result).collect())
    }

    /// Puts a notification into a user's inbox.
    pub async fn notify(&self, user: &UserId, notification: &Notification) -> Result<Notified, ClientError> {
        self.post(&format!("/v1/users/{}/notify", segment(user.as_str())), notification).await
    }

    /// Publishes a typed event, `kind` as in `order-update`.
    pub async fn event<T: Serialize + Sync + ?Sized>(
        &self,
        kind: &str,
        event: &T,
    ) -> Result<EventReceipt, ClientError> {
        self.post(&format!("/v1/events/{}", segment(kind)), event).await
    }

    /// Where an alert stands.
    pub async fn alert(&self, id: &str) -> Result<AlertState, ClientError> {
        self.get(&format!("/v1/alerts/{}", segment(id))).await
    }

    /// Stored messages after `since` (exclusive), or from the oldest.
    pub async fn history(
        &self,
        channel: &ChannelName,
        since: Option<Position>,
        limit: Option<u32>,
    ) -> Result<StoredMessages, ClientError> {
        let since = since.map(|since| format!("since={since}"));
        let limit = limit.map(|limit| format!("limit={limit}"));
        let query: Vec<String> = since.into_iter().chain(limit).collect();
        self.get(&format!("/v1/channels/{}/history?{}", segment(channel.as_str()), query.join("&"))).await
    }

    /// Who is in a channel.
    pub async fn presence(&self, channel: &ChannelName) -> Result<crate::Presence, ClientError> {
        self.get(&format!("/v1/channels/{}/presence", segment(channel.as_str()))).await
    }

    /// Active channels with their subscribers.
    pub async fn channels(&self) -> Result<Vec<ChannelCount>, ClientError> {
        Ok(self.get::<Channels>("/v1/channels").await?.channels)
    }

    /// Closes every connection of a user.
    pub async fn disconnect(&self, user: &UserId, reason: &str) -> Result<(), ClientError> {
        let path = format!("/v1/users/{}/disconnect", segment(user.as_str()));
        self.post::<_, serde::de::IgnoredAny>(&path, &BTreeMap::from([("reason", reason)])).await.map(drop)
    }

    /// Makes tokens void, on every node within a second.
    pub async fn revoke(&self, revocation: &Revocation) -> Result<(), ClientError> {
        self.post::<_, serde::de::IgnoredAny>("/v1/tokens/revoke", revocation).await.map(drop)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, None).await
    }

    async fn post<B: Serialize + Sync + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        let body = RawJson::of(body).map_err(|error| ClientError::InvalidOptions(error.to_string()))?;
        self.call(Method::POST, path, Some(body)).await
    }

    /// Tries until there is an answer that trying again would not change.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<RawJson>,
    ) -> Result<T, ClientError> {
        let key = new_key();
        let mut attempt = 0;
        loop {
            let error = match self.attempt(method.clone(), path, body.as_ref(), &key).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !error.is_retryable() || attempt + 1 >= self.options.attempts_max {
                return Err(error);
            }
            let own = self.options.backoff.delay(attempt, rand::random());
            let delay = match &error {
                ClientError::Server { retry_after: Some(after), .. } => (*after).min(RETRY_AFTER_MAX),
                _ => own,
            };
            attempt += 1;
            tracing::debug!(path, attempt, ?delay, %error, "trying again under the same key");
            tokio::time::sleep(delay).await;
        }
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&RawJson>,
        key: &str,
    ) -> Result<T, ClientError> {
        let mut request = self.http.request(method, format!("{}{path}", self.options.url));
        if let Some(body) = body {
            request = request
                .header("idempotency-key", key)
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.bytes().clone());
        }
        let response = request.send().await.map_err(ClientError::Http)?;
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        let body = response.bytes().await.map_err(ClientError::Http)?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| ClientError::Unexpected(error.to_string()));
        }
        Err(refusal(status, &body, retry_after))
    }
}

/// An error body, or what its absence says: a proxy or a load balancer answered.
fn refusal(status: StatusCode, body: &[u8], retry_after: Option<Duration>) -> ClientError {
    if let Ok(ErrorBody { error }) = serde_json::from_slice(body) {
        return ClientError::Server { code: error.code, message: error.message, retry_after };
    }
    let code = match status.as_u16() {
        401 => ErrorCode::Unauthenticated,
        403 => ErrorCode::Forbidden,
        413 => ErrorCode::TooLarge,
        429 => ErrorCode::RateLimited,
        500.. => ErrorCode::Unavailable,
        _ => ErrorCode::BadRequest,
    };
    ClientError::Server { code, message: format!("HTTP {status}"), retry_after }
}

/// Percent-encodes everything that is not unreserved: `/`, `?` and `#` may stand in a channel's name.
fn segment(text: &str) -> String {
    use fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channels_slashes_do_not_become_path() {
        assert_eq!(segment("prices:BTC/USDT?#"), "prices:BTC%2FUSDT%3F%23");
    }

    #[test]
    fn an_answer_without_a_body_is_judged_by_its_status() {
        assert!(refusal(StatusCode::BAD_GATEWAY, b"<html>", None).is_retryable());
        assert!(refusal(StatusCode::TOO_MANY_REQUESTS, b"", None).is_retryable());
        assert!(!refusal(StatusCode::NOT_FOUND, b"", None).is_retryable());
    }
}
