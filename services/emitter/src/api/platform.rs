//! `POST /v1/services/{service}/events`: the wider platform's events, and the dead letters among them.
//!
//! A key that no row of [`ROUTES`] names is refused with 404, counted, and kept in the channel `dead-letters`, which role `operator`
//! may read (also by `GET /v1/dead-letters`) and nobody may publish to. The namespace's history is its bound.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    response::Response,
};
use serde::Serialize;
use tickwire_backplane::Publish;
use tickwire_protocol::{ChannelName, ErrorCode, RawJson, signature};

use super::{
    App, Refusal, body,
    caller::{Operator, Service},
    channels::{self, HistoryParams},
    context, events,
};
use crate::{
    events::{
        Message, Stamp,
        platform::{PlatformBody, ROUTES, Route, Unreadable},
    },
    publish::{RequestContext, check_age, check_key},
};

/// Namespace and channel of the dead letters.
pub(crate) const DEAD_LETTERS: &str = "dead-letters";
/// What is kept of a dead letter's data, bytes.
const KEPT_BYTES_MAX: usize = 4_096;

/// An event that no key stands for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DeadLetter<'a> {
    r#type: &'static str,
    /// `service.topic.type`, cut.
    key: &'a str,
    reason: &'static str,
    /// The text of its data, cut.
    data: &'a str,
    /// All of it, bytes.
    data_bytes: usize,
    timestamp: u64,
}

impl From<Unreadable> for Refusal {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Event(error) => error.into(),
            Unreadable::Data(error) => {
                let path = body::cut(&error.path().to_string());
                let field = if path == "." { "data".to_owned() } else { format!("data.{path}") };
                Self::bad_request(format!("`{field}`: {}", body::cut(&error.inner().to_string())))
            }
        }
    }
}

pub(crate) async fn publish(
    State(app): State<Arc<App>>,
    _: Service,
    Path(service): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, stream) = request.into_parts();
    let context = context(&head)?;
    let text = body::read(app.config.emitter.body_timeout(), &head, stream, app.config.emitter.body_bytes_max).await?;
    let event: PlatformBody = body::parse(&text)?;
    check_age(Some(event.timestamp))?;
    let key = body::cut(&format!("{service}.{}.{}", event.topic, event.r#type));
    check_signature(&app, &key, &event)?;
    let Some(route) = Route::of(&service, &event.topic, &event.r#type) else {
        return Err(app.keep_dead_letter(&key, &event).await);
    };
    let stamp = Stamp { timestamp_ms: event.timestamp, alert: None };
    let batch = prepare(&app, &context, &key, &event, route.messages(&event.data, &stamp)?)?;
    Ok(events::answer(&app, app.publish_all(batch).await, None))
}

/// What is published was rendered, so the sender's signature ends here.
fn check_signature(app: &App, key: &str, event: &PlatformBody) -> Result<(), Refusal> {
    let PlatformBody { data, timestamp, signature: given, .. } = event;
    let Some(given) = given else { return Ok(()) };
    let bad = |message| Err(Refusal::new(ErrorCode::BadSignature, message));
    let Some(secret) = &app.config.emitter.signing_secret else {
        return bad("signatures cannot be verified here: emitter.signing_secret is not set");
    };
    let Ok(subject) = ChannelName::new(key) else { return bad("`signature` does not verify") };
    if signature::verify(secret.expose().as_bytes(), &subject, *timestamp, data, given) {
        Ok(())
    } else {
        bad("`signature` does not verify")
    }
}

fn prepare(
    app: &App,
    context: &RequestContext,
    key: &str,
    event: &PlatformBody,
    messages: Vec<Message>,
) -> Result<Vec<Publish>, Refusal> {
    let idempotency_key = event.idempotency_key.as_deref().or(context.idempotency_key.as_deref());
    if let Some(idempotency_key) = idempotency_key {
        check_key("idempotencyKey", idempotency_key)?;
    }
    let batch = messages.into_iter().map(|message| {
        let Message { channel, data, priority, key: value_key, .. } = message;
        let draft = app.draft(context, channel, data)?;
        let idempotency_key = idempotency_key.map(|given| format!("{key}/{given}"));
        Ok(Publish { priority, key: value_key, idempotency_key, ..draft })
    });
    batch.collect()
}

impl App {
    /// Keeps and counts what has no route; the answer to its sender, who can do nothing but ask an operator.
    async fn keep_dead_letter(&self, key: &str, event: &PlatformBody) -> Refusal {
        self.metrics.dead_letters.inc();
        let text = event.data.as_str();
        let end =
            (0..=KEPT_BYTES_MAX.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
        let kept = text.get(..end).unwrap_or_default();
        let letter = DeadLetter {
            r#type: "dead_letter",
            key,
            reason: "unknown_key",
            data: kept,
            data_bytes: text.len(),
            timestamp: event.timestamp,
        };
        if let Err(refusal) = self.store_dead_letter(&letter).await {
            return refusal;
        }
        Refusal::not_found(format!("no event is known by the key `{key}`; it is kept among the dead letters"))
    }

    async fn store_dead_letter(&self, letter: &DeadLetter<'_>) -> Result<(), Refusal> {
        let internal = || Refusal::new(ErrorCode::Internal, "internal error");
        let channel = ChannelName::new(DEAD_LETTERS).map_err(|_| internal())?;
        let data = RawJson::of(letter).map_err(|_| internal())?;
        let policy = self.namespaces.policy(&channel).cloned().ok_or_else(internal)?;
        self.backplane.publish(Publish::new(channel, policy, data)).await?;
        Ok(())
    }
}

/// The dead letters, as a channel's history.
pub(crate) async fn dead_letters(
    State(app): State<Arc<App>>,
    _: Operator,
    query: Result<Query<HistoryParams>, QueryRejection>,
) -> Result<Response, Refusal> {
    let internal = || Refusal::new(ErrorCode::Internal, "internal error");
    let channel = ChannelName::new(DEAD_LETTERS).map_err(|_| internal())?;
    let policy = app.namespaces.policy(&channel).ok_or_else(internal)?;
    channels::history(&app, &channel, policy, channels::params(query)?).await
}

/// The table in words, for the API's description.
pub(super) fn summary() -> String {
    let mut text = "An event of the wider platform; the key `service.topic.type` says what `data` is and goes to the channel of the topic, \
        `:{userId}` behind it where the data has one. Keys: "
        .to_owned();
    for (at, Route { service, topic, r#type, .. }) in ROUTES.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        // Writing into a text does not fail.
        let _infallible = write!(text, "{comma}{service}.{topic}.{type}");
    }
    text
}
