//! `POST /v1/events/{kind}`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tickwire_backplane::{AlertId, AlertSpec, Publish};
use tickwire_protocol::{Position, time::now_ms};
use utoipa::ToSchema;

use super::{App, Refusal, body, caller::Service, context, publishing::Outcome};
use crate::{
    events::{Event, InvalidEvent, Message, Stamp},
    publish::{Receipt, RequestContext, check_age, check_key},
};
use tickwire_http::ErrorBody;

/// Where an event went. `channel` and `position` repeat the first result.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventBody {
    #[schema(value_type = String)]
    channel: tickwire_protocol::ChannelName,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    position: Option<Position>,
    results: Vec<Receipt>,
    /// Where an alert was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    alert_id: Option<String>,
}

/// Some of several messages were not taken: the error, and what became of each.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartialBody {
    #[serde(flatten)]
    pub(super) error: ErrorBody,
    pub(super) results: Vec<Outcome>,
}

impl From<InvalidEvent> for Refusal {
    fn from(error: InvalidEvent) -> Self {
        Self::bad_request(body::cut(&error.to_string()))
    }
}

pub(crate) async fn publish<E: Event>(
    State(app): State<Arc<App>>,
    _: Service,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, stream) = request.into_parts();
    let context = context(&head)?;
    let text = body::read(app.config.emitter.body_timeout(), &head, stream, app.config.emitter.body_bytes_max).await?;
    let event: E = body::parse(&text)?;
    let mut batch = Vec::new();
    for publish in prepare(&app, &context, &event)? {
        batch.extend(app.present(publish).await?);
    }
    let alert = batch.iter().find_map(|publish| publish.alert.as_ref()).map(|alert| alert.id.clone());
    Ok(answer(&app, app.publish_all(batch).await, alert))
}

pub(crate) async fn unknown(_: Service, Path(kind): Path<String>) -> Refusal {
    Refusal::not_found(format!("there is no event kind `{}`", body::cut(&kind)))
}

/// The messages of `event`. A key is scoped to the kind: backends reuse one order's id for its update and
/// its trade.
fn prepare<E: Event>(app: &App, context: &RequestContext, event: &E) -> Result<Vec<Publish>, Refusal> {
    event.check()?;
    check_age(event.timestamp_ms())?;
    let key = event.idempotency_key().or(context.idempotency_key.as_deref());
    if let Some(key) = key {
        check_key("idempotencyKey", key)?;
    }
    let key = key.map(|key| format!("{}/{key}", E::KIND));
    let alert = event.alerts().map(|user| match &key {
        Some(key) => AlertId::derived(user, key),
        None => AlertId::generate(user),
    });
    let stamp = Stamp { timestamp_ms: event.timestamp_ms().unwrap_or_else(now_ms), alert };
    let messages = event.messages(&stamp)?;
    let batch = messages.into_iter().map(|message| {
        let Message { channel, data, priority, key: value_key, owner, is_alert } = message;
        let draft = app.draft(context, channel, data)?;
        let spec = stamp.alert.clone().filter(|_| is_alert).map(|id| AlertSpec { id, escalate_after: None });
        Ok(Publish { priority, key: value_key, owner, alert: spec, idempotency_key: key.clone(), ..draft })
    });
    batch.collect()
}

pub(super) fn answer(app: &App, results: Vec<Result<Receipt, Refusal>>, alert: Option<AlertId>) -> Response {
    if let Some(first) = results.iter().find_map(|result| result.as_ref().err()) {
        let first = first.clone();
        let results = results.into_iter().map(Outcome::from).collect();
        return first.respond(PartialBody { error: first.body(), results });
    }
    let results: Vec<Receipt> = results.into_iter().flatten().collect();
    let Some(first) = results.first() else {
        tracing::error!("an event made no message");
        return Refusal::new(tickwire_protocol::ErrorCode::Internal, "internal error").into_response();
    };
    let (channel, position) = (first.channel.clone(), first.position);
    let alert_id = alert.map(|alert| alert.as_str().to_owned());
    app.metrics.events.inc();
    Json(EventBody { channel, position, results, alert_id }).into_response()
}
