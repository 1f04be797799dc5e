//! `publish`, `publish/batch`, `broadcast`.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json,
    extract::{Request, State},
};
use serde::{Deserialize, Serialize};
use tickwire_backplane::Publish;
use tickwire_protocol::{ChannelName, Priority, RawJson, publication::Tags};
use utoipa::ToSchema;

use super::{App, Refusal, body, caller::Service, context};
use crate::publish::{MessageBody, Receipt, RequestContext, check_key};
use tickwire_http::ErrorBody;

/// Messages in one batch.
pub(super) const BATCH_MAX: usize = 256;
/// Channels of one broadcast.
pub(super) const BROADCAST_MAX: usize = 256;

/// Several messages.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BatchBody {
    /// 1 to 256.
    #[schema(value_type = Vec<MessageBody>)]
    messages: Vec<RawJson>,
    /// Of the whole request, as the header `Idempotency-Key`.
    idempotency_key: Option<String>,
}

/// One message for several channels.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BroadcastBody {
    /// 1 to 256, each once.
    #[schema(value_type = Vec<String>)]
    channels: Vec<ChannelName>,
    #[schema(value_type = serde_json::Value)]
    data: RawJson,
    key: Option<String>,
    #[schema(value_type = Option<String>)]
    priority: Option<Priority>,
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    tags: Option<Tags>,
    idempotency_key: Option<String>,
    timestamp: Option<u64>,
}

/// One result per message, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResultsBody {
    pub(super) results: Vec<Outcome>,
}

/// A receipt, or why there is none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Outcome {
    Done(Receipt),
    Refused(ErrorBody),
}

impl From<Result<Receipt, Refusal>> for Outcome {
    fn from(result: Result<Receipt, Refusal>) -> Self {
        match result {
            Ok(receipt) => Self::Done(receipt),
            Err(refusal) => Self::Refused(refusal.body()),
        }
    }
}

pub(crate) async fn publish(
    State(app): State<Arc<App>>,
    _: Service,
    request: Request,
) -> Result<Json<Receipt>, Refusal> {
    let (head, stream) = request.into_parts();
    let context = context(&head)?;
    let text = body::read(app.config.emitter.body_timeout(), &head, stream, app.config.emitter.body_bytes_max).await?;
    let message: MessageBody = body::parse(&text)?;
    let publish = app.prepare(&context, message)?;
    Ok(Json(app.publish(publish).await?))
}

/// Answers 200 when at least one message was taken or refused for its own sake; when the backplane took none because it is
/// away, the answer is its 503.
pub(crate) async fn batch(
    State(app): State<Arc<App>>,
    _: Service,
    request: Request,
) -> Result<axum::response::Response, Refusal> {
    let (head, stream) = request.into_parts();
    let context = context(&head)?;
    let text = body::read(app.config.emitter.body_timeout(), &head, stream, app.config.emitter.batch_bytes_max).await?;
    let BatchBody { messages, idempotency_key } = body::parse(&text)?;
    check_count("messages", messages.len(), BATCH_MAX)?;
    if let Some(key) = &idempotency_key {
        check_key("idempotencyKey", key)?;
    }
    let whole = idempotency_key.or(context.idempotency_key);
    let prepared = messages.into_iter().enumerate().map(|(at, message)| {
        // A key of the whole request; each message gets its own from it.
        let idempotency_key = whole.as_ref().map(|key| format!("{key}/{at}"));
        let context = RequestContext { idempotency_key, traceparent: context.traceparent.clone() };
        app.prepare(&context, body::parse(message.as_str())?)
    });
    Ok(answer(&app, prepared.collect()).await)
}

pub(crate) async fn broadcast(
    State(app): State<Arc<App>>,
    _: Service,
    request: Request,
) -> Result<axum::response::Response, Refusal> {
    let (head, stream) = request.into_parts();
    let context = context(&head)?;
    let text = body::read(app.config.emitter.body_timeout(), &head, stream, app.config.emitter.body_bytes_max).await?;
    let BroadcastBody { channels, data, key, priority, tags, idempotency_key, timestamp } = body::parse(&text)?;
    check_count("channels", channels.len(), BROADCAST_MAX)?;
    let mut seen = BTreeSet::new();
    if let Some(twice) = channels.iter().find(|&channel| !seen.insert(channel)) {
        return Err(Refusal::bad_request(format!("`channels` names `{twice}` twice")));
    }
    let prepared = channels.iter().map(|channel| {
        let message = MessageBody {
            channel: channel.clone(),
            data: data.clone(),
            key: key.clone(),
            priority,
            tags: tags.clone(),
            // Keys are scoped to their channel, so one serves them all.
            idempotency_key: idempotency_key.clone(),
            timestamp,
            signature: None,
            expires_at: None,
        };
        app.prepare(&context, message)
    });
    Ok(answer(&app, prepared.collect()).await)
}

fn check_count(field: &str, count: usize, count_max: usize) -> Result<(), Refusal> {
    if (1..=count_max).contains(&count) {
        Ok(())
    } else {
        Err(Refusal::bad_request(format!("`{field}`: 1 to {count_max} entries, not {count}")))
    }
}

/// Publishes what is ready and puts the results back in order.
async fn answer(app: &App, prepared: Vec<Result<Publish, Refusal>>) -> axum::response::Response {
    use axum::response::IntoResponse;
    let mut refusals: Vec<Option<Refusal>> = Vec::with_capacity(prepared.len());
    let mut ready = Vec::with_capacity(prepared.len());
    for entry in prepared {
        match entry {
            Ok(publish) => {
                ready.push(publish);
                refusals.push(None);
            }
            Err(refusal) => refusals.push(Some(refusal)),
        }
    }
    let published = if ready.is_empty() { Vec::new() } else { app.publish_all(ready).await };
    let failed: Option<Refusal> = match published.iter().find_map(|result| result.as_ref().err()) {
        Some(refusal) if published.iter().all(Result::is_err) => Some(refusal.clone()),
        _ => None,
    };
    let mut published = published.into_iter();
    let merged = refusals.into_iter().filter_map(|refusal| match refusal {
        Some(refusal) => Some(Err(refusal)),
        None => published.next(),
    });
    let results = merged
        .map(|result| {
            if let Err(refusal) = &result {
                app.count_refusal(refusal);
            }
            Outcome::from(result)
        })
        .collect();
    match failed {
        None => Json(ResultsBody { results }).into_response(),
        Some(refusal) => refusal.respond(super::events::PartialBody { error: refusal.body(), results }),
    }
}
