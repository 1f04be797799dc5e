//! Where alerts stand: one by its id, and all that an inbox still knows of.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tickwire_backplane::{Alert, AlertId, AlertStatus, BackplaneError, HistoryQuery};
use tickwire_protocol::{ChannelName, ErrorCode, Position, Priority, Publication, RawJson, UserId};
use utoipa::ToSchema;

use super::{
    App, Refusal,
    caller::{Operator, Service},
    channels::params,
    inbox::user,
};

/// Alerts of one listing.
const LIST_MAX: usize = 200;
/// The same, where the caller names no limit.
const LIST_DEFAULT: usize = 50;
/// Alerts that one listing asks the store about: with a `status` few of them may be what is wanted.
const LOOKED_AT_MAX: usize = 1_000;
/// Of them at a time.
const LOOKUPS: usize = 16;
/// Messages of an inbox's log that are looked through, beside all that it owes.
const LOG_MAX: usize = 1_000;

/// Where an alert stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AlertBody {
    /// `queued`, `delivered`, `acknowledged` or `escalated`.
    #[schema(value_type = String)]
    status: AlertStatus,
    /// Connections it was written to.
    delivered_to: u64,
    /// Milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_at: Option<u64>,
    /// When the escalation webhook took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    escalated_at: Option<u64>,
    /// Calls of the escalation webhook that were begun.
    attempts: u32,
    #[schema(value_type = String)]
    position: Position,
}

impl From<Alert> for AlertBody {
    fn from(alert: Alert) -> Self {
        let Alert { status, delivered_to, acknowledged_at_ms, escalated_at_ms, attempts, position } = alert;
        let (acknowledged_at, escalated_at) = (acknowledged_at_ms, escalated_at_ms);
        Self { status, delivered_to, acknowledged_at, escalated_at, attempts, position }
    }
}

/// Query of a listing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListParams {
    before: Option<String>,
    limit: Option<usize>,
    status: Option<AlertStatus>,
}

/// A user's alerts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlertsBody {
    /// The newest first.
    alerts: Vec<AlertEntry>,
    /// There may be older ones: ask again with `before` set to this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    next: Option<Position>,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AlertEntry {
    alert_id: String,
    #[serde(flatten)]
    stands: AlertBody,
    /// When it was accepted, milliseconds since the Unix epoch.
    time: u64,
    #[schema(value_type = String)]
    priority: Priority,
    /// What the inbox holds.
    #[schema(value_type = Object)]
    data: RawJson,
}

pub(crate) async fn alert(
    State(app): State<Arc<App>>,
    _: Service,
    Path(id): Path<String>,
) -> Result<Json<AlertBody>, Refusal> {
    let unknown = || Refusal::not_found("no alert has this id, or it was settled long ago");
    let id = AlertId::parse(&id).ok_or_else(unknown)?;
    Ok(Json(AlertBody::from(app.backplane.alert(&id).await?.ok_or_else(unknown)?)))
}

/// What the inbox owes, however old, and what its log has beside that.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(id): Path<String>,
    query: Result<Query<ListParams>, QueryRejection>,
) -> Result<Json<AlertsBody>, Refusal> {
    let user = user(&id)?;
    let ListParams { before, limit, status } = params(query)?;
    let before: Option<Position> = before
        .map(|before| before.parse().map_err(|error| Refusal::bad_request(format!("`before`: {error}"))))
        .transpose()?;
    let limit = limit.unwrap_or(LIST_DEFAULT);
    if !(1..=LIST_MAX).contains(&limit) {
        return Err(Refusal::bad_request(format!("`limit` is 1 to {LIST_MAX}")));
    }
    app.witness(&operator, "read alerts", &user).await;
    let alerts = alerts_of(&app, &user, before).await?;
    let (known, is_cut) = (alerts.len(), alerts.len() > LOOKED_AT_MAX);
    let mut found = Vec::new();
    let mut looked_at = 0;
    let mut last = None;
    let mut standing = stream::iter(alerts.into_iter().take(LOOKED_AT_MAX))
        .map(|(position, (id, message))| stand(&app, position, id, message))
        .buffered(LOOKUPS);
    while found.len() < limit
        && let Some(entry) = standing.next().await
    {
        let (position, entry) = entry?;
        looked_at += 1;
        last = Some(position);
        found.extend(entry.filter(|entry| status.is_none_or(|wanted| entry.stands.status == wanted)));
    }
    let next = last.filter(|_| is_cut || looked_at < known);
    Ok(Json(AlertsBody { alerts: found, next }))
}

type Alerts = Vec<(Position, (AlertId, Arc<Publication>))>;

/// The alerts in `user`'s inbox, the newest first.
async fn alerts_of(app: &App, user: &UserId, before: Option<Position>) -> Result<Alerts, Refusal> {
    let inbox = ChannelName::new(&format!("user:{user}")).map_err(|error| Refusal::bad_request(error.to_string()))?;
    let policy =
        app.namespaces.policy(&inbox).ok_or_else(|| Refusal::new(ErrorCode::UnknownChannel, "there are no inboxes"))?;
    let query = HistoryQuery { since: None, limit: LOG_MAX, reverse: true };
    let (owed, log) =
        tokio::try_join!(app.backplane.inbox(&inbox, policy, None), app.backplane.history(&inbox, policy, query))?;
    let messages = owed.owed.into_iter().chain(log.publications);
    let alerts: BTreeMap<Position, _> = messages
        .filter_map(|message| Some((message.position?, (alert_in(&message, user)?, message))))
        .filter(|(position, _)| before.is_none_or(|before| *position < before))
        .collect();
    Ok(alerts.into_iter().rev().collect())
}

/// The alert that a message of `user`'s inbox is about, if any.
fn alert_in(message: &Publication, user: &UserId) -> Option<AlertId> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        alert_id: String,
    }
    let named: Named = message.data.to().ok()?;
    AlertId::parse(&named.alert_id).filter(|id| id.user() == user)
}

/// Where one stands; nothing for one that is settled and forgotten, or that a message only claims to be about.
async fn stand(
    app: &App,
    position: Position,
    id: AlertId,
    message: Arc<Publication>,
) -> Result<(Position, Option<AlertEntry>), BackplaneError> {
    let alert = app.backplane.alert(&id).await?.filter(|alert| alert.position == position);
    let entry = alert.map(|alert| AlertEntry {
        alert_id: id.as_str().to_owned(),
        stands: alert.into(),
        time: message.time_ms,
        priority: message.priority,
        data: message.data.clone(),
    });
    Ok((position, entry))
}
