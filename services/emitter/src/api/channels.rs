//! Reading channels: history, presence, and which are in use.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, header};
use serde::{Deserialize, Serialize};
use tickwire_backplane::HistoryQuery;
use tickwire_protocol::{ChannelName, ErrorCode, Event, Position, dialect::Dialect, namespace::Policy};
use utoipa::ToSchema;

use super::{
    App, Refusal, body,
    caller::{Operator, Service},
};

/// Messages of one history answer.
const HISTORY_MAX: usize = 1_000;
/// Messages of one history answer, where the caller names no limit.
const HISTORY_DEFAULT: usize = 100;
/// Channels of one listing.
const LIST_MAX: usize = 1_000;
/// Channels of one listing, where the caller names no limit.
const LIST_DEFAULT: usize = 100;

/// Query of a history.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HistoryParams {
    since: Option<String>,
    limit: Option<usize>,
    reverse: bool,
}

/// Query of the listing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListParams {
    prefix: String,
    limit: Option<usize>,
}

/// Channels with subscribers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelsBody {
    /// The busiest first.
    channels: Vec<ChannelEntry>,
    /// How many there are, listed or not, as far as edges report them.
    count: usize,
}

/// A channel with subscribers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelEntry {
    #[schema(value_type = String)]
    channel: ChannelName,
    subscribers: u64,
}

/// A query string out of its extractor.
pub(super) fn params<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Refusal> {
    match query {
        Ok(Query(params)) => Ok(params),
        Err(rejection) => Err(Refusal::bad_request(body::cut(&rejection.body_text()))),
    }
}

/// `/v1/channels/{channel}/history` and `/presence`: a channel's name may hold slashes, so the last segment decides.
pub(crate) async fn of_channel(
    State(app): State<Arc<App>>,
    _: Service,
    Path(rest): Path<String>,
    query: Result<Query<HistoryParams>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Some((name, view)) = rest.rsplit_once('/') else { return Err(nothing()) };
    let channel = ChannelName::new(name).map_err(|error| Refusal::bad_request(format!("`channel`: {error}")))?;
    let Some(policy) = app.namespaces.policy(&channel) else {
        let message = format!("no namespace is configured for the channel `{channel}`");
        return Err(Refusal::new(ErrorCode::UnknownChannel, message));
    };
    match view {
        "history" => history(&app, &channel, policy, params(query)?).await,
        "presence" => presence(&app, channel.clone(), policy).await,
        _ => Err(nothing()),
    }
}

fn nothing() -> Refusal {
    Refusal::not_found("there is nothing at this path; /openapi.json lists what there is")
}

/// A channel's history as the frame that a client would get. Its caller has checked who asks.
pub(super) async fn history(
    app: &App,
    channel: &ChannelName,
    policy: &Policy,
    HistoryParams { since, limit, reverse }: HistoryParams,
) -> Result<Response, Refusal> {
    if policy.history_count == 0 {
        return Err(Refusal::bad_request("this channel keeps no history"));
    }
    let since: Option<Position> = since
        .map(|since| since.parse().map_err(|error| Refusal::bad_request(format!("`since`: {error}"))))
        .transpose()?;
    let limit = limit.unwrap_or(HISTORY_DEFAULT);
    if limit > HISTORY_MAX {
        return Err(Refusal::bad_request(format!("`limit` is at most {HISTORY_MAX}")));
    }
    let history = app.backplane.history(channel, policy, HistoryQuery { since, limit, reverse }).await?;
    if !reverse && since.is_some_and(|since| history.lacks(since)) {
        let message = "the history does not know this position: read it without `since`";
        return Err(Refusal::new(ErrorCode::UnrecoverablePosition, message));
    }
    answer(&Event::History {
        id: None,
        channel: channel.clone(),
        position: history.top,
        messages: history.publications,
        complete: history.complete,
    })
}

async fn presence(app: &App, channel: ChannelName, policy: &Policy) -> Result<Response, Refusal> {
    if !policy.presence {
        return Err(Refusal::bad_request("presence is not tracked in this channel"));
    }
    let presence = app.backplane.presence(&channel).await?;
    answer(&Event::PresenceList { id: None, channel, users: presence.users, count: presence.count })
}

/// The frame that a client would get, as a body.
fn answer(event: &Event) -> Result<Response, Refusal> {
    let body: Bytes = Dialect::Json.encode(event).ok_or_else(|| Refusal::new(ErrorCode::Internal, "internal error"))?;
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    _: Operator,
    query: Result<Query<ListParams>, QueryRejection>,
) -> Result<Json<ChannelsBody>, Refusal> {
    let ListParams { prefix, limit } = params(query)?;
    let limit = limit.unwrap_or(LIST_DEFAULT);
    if limit > LIST_MAX {
        return Err(Refusal::bad_request(format!("`limit` is at most {LIST_MAX}")));
    }
    let mut subscribers: HashMap<ChannelName, u64> = HashMap::new();
    for report in app.backplane.nodes().await? {
        for (channel, count) in report.subscriptions {
            if channel.as_str().starts_with(&prefix) {
                *subscribers.entry(channel).or_default() += count;
            }
        }
    }
    let count = subscribers.len();
    let mut channels: Vec<ChannelEntry> =
        subscribers.into_iter().map(|(channel, subscribers)| ChannelEntry { channel, subscribers }).collect();
    channels.sort_by(|a, b| (Reverse(a.subscribers), &a.channel).cmp(&(Reverse(b.subscribers), &b.channel)));
    channels.truncate(limit);
    Ok(Json(ChannelsBody { channels, count }))
}
