//! The request that tells of an overdue alert.

use reqwest::{Client, StatusCode, Url, header, redirect::Policy};
use serde::Serialize;
use tickwire_auth::Secret;
use tickwire_backplane::DueAlert;
use tickwire_protocol::{Priority, RawJson, UserId, signature, time::now_ms};
use utoipa::ToSchema;

use super::EscalationConfig;

/// What of an answer is read, so that its connection can be used again. A longer one costs its connection.
const ANSWER_BYTES_MAX: usize = 8 * 1024;
/// Tells when the request was signed, milliseconds since the Unix epoch.
const TIMESTAMP: &str = "tickwire-timestamp";
/// See `tickwire_protocol::signature`.
const SIGNATURE: &str = "tickwire-signature";

/// Why a receiver does not have an alert. Shows neither its address nor what it said.
#[derive(Debug, thiserror::Error)]
pub(super) enum WebhookError {
    #[error("the request failed: {0}")]
    Request(#[source] reqwest::Error),
    #[error("the receiver answered {0}")]
    Refused(StatusCode),
    #[error("the body cannot be rendered: {0}")]
    Render(#[from] serde_json::Error),
}

/// Body of an escalation webhook: an alert that its user did not acknowledge in time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EscalationBody<'a> {
    /// Also the `Idempotency-Key`: the same alert may come twice.
    alert_id: &'a str,
    #[schema(value_type = String)]
    user_id: &'a UserId,
    #[schema(value_type = String)]
    priority: Priority,
    /// Milliseconds since the Unix epoch.
    created_at: u64,
    /// Until when it should have been acknowledged.
    deadline: u64,
    /// Which try this is, from 1.
    attempt: u32,
    /// What stands in the inbox.
    #[schema(value_type = serde_json::Value)]
    data: &'a RawJson,
}

/// A receiver.
pub(super) struct Webhook {
    http: Client,
    url: Url,
    secret: Secret,
}

impl Webhook {
    /// `None` where none is configured. The section has been checked.
    pub(super) fn new(config: &EscalationConfig) -> Result<Option<Self>, reqwest::Error> {
        let url = config.url.as_deref().and_then(|url| Url::parse(url).ok());
        let (Some(url), Some(secret)) = (url, config.secret.clone()) else { return Ok(None) };
        // A redirect would carry the alert to a place that nobody configured.
        let http = Client::builder().timeout(config.timeout()).redirect(Policy::none()).build()?;
        Ok(Some(Self { http, url, secret }))
    }

    /// Posts an alert; `Ok` if the receiver answered 2xx.
    pub(super) async fn send(&self, alert: &DueAlert) -> Result<(), WebhookError> {
        let id = alert.id.as_str();
        let body = serde_json::to_vec(&EscalationBody {
            alert_id: id,
            user_id: alert.id.user(),
            priority: alert.priority,
            created_at: alert.created_at_ms,
            deadline: alert.deadline_ms,
            attempt: alert.attempt,
            data: &alert.data,
        })?;
        let timestamp_ms = now_ms();
        let signature = signature::sign_webhook(self.secret.expose().as_bytes(), id, timestamp_ms, &body);
        let request = self
            .http
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", id)
            .header(TIMESTAMP, timestamp_ms)
            .header(SIGNATURE, signature)
            .body(body);
        let without_url = |error: reqwest::Error| WebhookError::Request(error.without_url());
        let mut answer = request.send().await.map_err(without_url)?;
        let status = answer.status();
        let mut read = 0;
        // The status is the answer: a body that breaks off changes nothing.
        while let Ok(Some(chunk)) = answer.chunk().await {
            read += chunk.len();
            if read > ANSWER_BYTES_MAX {
                break;
            }
        }
        if status.is_success() { Ok(()) } else { Err(WebhookError::Refused(status)) }
    }
}
