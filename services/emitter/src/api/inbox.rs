//! Notifications into a user's inbox.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, Request, State},
};
use serde::{Deserialize, Serialize};
use tickwire_backplane::{AlertId, AlertSpec, Publish};
use tickwire_protocol::{ChannelName, ErrorCode, Priority, RawJson, UserId, time::now_ms};
use utoipa::ToSchema;

use super::{App, Refusal, body, caller::Service, context};
use crate::{
    publish::{Receipt, check_age, check_key},
    value::{Object, Text},
};

/// Longest time until an escalation, milliseconds: 30 days.
const ESCALATE_AFTER_MS_MAX: u64 = 30 * 86_400_000;

/// What to tell a user. It arrives in the inbox with its `alertId`, and a `presentation` where preferences ask for less than sound and toast.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NotificationBody {
    #[schema(value_type = String, example = "margin_call")]
    r#type: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    title: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    message: Option<Text>,
    /// `critical` is kept until it is acknowledged or expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    priority: Option<Priority>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    data: Option<Object>,
    /// Milliseconds since the Unix epoch; not delivered after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    /// Unacknowledged this long, the alert is escalated (unless it expires before).
    #[serde(skip_serializing_if = "Option::is_none")]
    escalate_after_ms: Option<u64>,
    #[serde(skip_serializing)]
    timestamp: Option<u64>,
    #[serde(skip_serializing)]
    idempotency_key: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Delivered<'a> {
    #[serde(flatten)]
    notification: &'a NotificationBody,
    alert_id: &'a str,
}

/// Where a notification went.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NotifiedBody {
    #[serde(flatten)]
    receipt: Receipt,
    /// For `GET /v1/alerts/{id}`.
    alert_id: String,
    /// The user's preferences mute it: nothing was stored, there is no alert and no `position`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    suppressed: bool,
}

/// A user id out of a path.
pub(super) fn user(id: &str) -> Result<UserId, Refusal> {
    UserId::new(id).map_err(|error| Refusal::bad_request(format!("`id`: {error}")))
}

pub(crate) async fn notify(
    State(app): State<Arc<App>>,
    _: Service,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<NotifiedBody>, Refusal> {
    let user = user(&id)?;
    let (head, stream) = request.into_parts();
    let context = context(&head)?;
    let text = body::read(app.config.emitter.body_timeout(), &head, stream, app.config.emitter.body_bytes_max).await?;
    let notification: NotificationBody = body::parse(&text)?;
    notification.check()?;
    let key = notification.idempotency_key.clone().or_else(|| context.idempotency_key.clone());
    let alert = match &key {
        Some(key) => {
            check_key("idempotencyKey", key)?;
            // The same key makes the same id, so that the first answer can be given again.
            AlertId::derived(&user, key)
        }
        None => AlertId::generate(&user),
    };
    let alert_id = alert.as_str().to_owned();
    let render = |_| Refusal::new(ErrorCode::Internal, "internal error");
    let data = RawJson::of(&Delivered { notification: &notification, alert_id: &alert_id }).map_err(render)?;
    let channel = ChannelName::new(&format!("user:{user}")).map_err(|error| Refusal::bad_request(error.to_string()))?;
    let draft = app.draft(&context, channel, data)?;
    let publish = Publish {
        priority: notification.priority.unwrap_or_default(),
        expires_at_ms: notification.expires_at,
        idempotency_key: key,
        alert: Some(AlertSpec { id: alert, escalate_after: notification.escalate_after_ms.map(Duration::from_millis) }),
        ..draft
    };
    let channel = publish.channel.clone();
    let (receipt, suppressed) = match app.present(publish).await? {
        Some(publish) => (app.publish(publish).await?, false),
        None => (Receipt { channel, position: None, duplicate: false }, true),
    };
    Ok(Json(NotifiedBody { receipt, alert_id, suppressed }))
}

impl NotificationBody {
    fn check(&self) -> Result<(), Refusal> {
        check_age(self.timestamp)?;
        if self.expires_at.is_some_and(|expires_at| expires_at <= now_ms()) {
            return Err(Refusal::bad_request("`expiresAt` is not in the future"));
        }
        if self.escalate_after_ms.is_some_and(|after| !(1..=ESCALATE_AFTER_MS_MAX).contains(&after)) {
            return Err(Refusal::bad_request("`escalateAfterMs` is 1 to 2592000000 (30 days)"));
        }
        Ok(())
    }
}
