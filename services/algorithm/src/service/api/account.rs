//! Accounts: figures, what happened in them, and closing everything.

use std::{cmp::Reverse, collections::VecDeque};

use axum::{
    Json,
    body::Body,
    extract::{Path, Query, Request, State, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};
use tickwire_backplane::JournalName;
use tickwire_http::{Refusal, body};
use tickwire_protocol::ErrorCode;
use tickwire_trading::{
    Account, Figures, SessionId,
    account::{Event, Fill, Order},
    api::Caller,
    directory::RECONCILE,
};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::{App, PATIENCE};
use crate::{
    decision::Decision,
    entry::Entry,
    service::{
        floor::Handle,
        ledger::{self, LedgerError},
        trader,
    },
};

/// Accounts of one page at most.
const PAGE_MAX: usize = 1_000;
/// Orders, fills and decisions that are listed, each.
const ACTIVITY_MAX: usize = 200;

/// Figures, as `trading:accounts` carries them.
#[derive(Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub(in crate::service) struct FiguresBody(pub(super) Figures);

/// A page of figures.
#[derive(Serialize, ToSchema)]
pub(in crate::service) struct PageBody {
    items: Vec<FiguresBody>,
    /// Goes into the query as `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    after: Option<String>,
    limit: Option<usize>,
    /// Accounts whose bot runs: there are no others here.
    #[serde(default)]
    #[allow(dead_code, reason = "part of the contract among the services; every account that is listed is open")]
    open: Option<bool>,
}

/// Why everything is closed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::service) struct FlattenBody {
    /// For people, at most 500 bytes.
    reason: Option<String>,
}

/// What happened in an account lately.
#[derive(Default, Serialize, ToSchema)]
pub(in crate::service) struct ActivityBody {
    #[schema(value_type = Vec<Object>)]
    orders: Vec<Order>,
    #[schema(value_type = Vec<Object>)]
    fills: VecDeque<Fill>,
    #[schema(value_type = Vec<Object>)]
    decisions: VecDeque<Decision>,
}

pub(super) fn session_id(text: &str) -> Result<SessionId, Refusal> {
    SessionId::new(text).map_err(|_| unknown())
}

/// Others' accounts look like none.
pub(super) fn unknown() -> Refusal {
    Refusal::not_found("there is no such account")
}

/// The bot of `session`, if it is here and the caller may know of it.
fn bot(app: &App, caller: &Caller, session: &SessionId) -> Result<Option<Handle>, Refusal> {
    match app.floor.handle(session) {
        Some(handle) if !caller.sees(&handle.session.borrow().user_id) => Err(unknown()),
        handle => Ok(handle),
    }
}

fn elsewhere() -> Refusal {
    let refusal = Refusal::new(ErrorCode::Unavailable, "the session's bot does not run here; try again");
    refusal.retry_after(std::time::Duration::from_secs(1))
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Store(error) => Self::from(error),
            LedgerError::Elsewhere | LedgerError::Lost | LedgerError::Behind => elsewhere(),
            error => {
                tracing::error!(%error, "a journal cannot be used");
                Self::new(ErrorCode::Internal, "internal error")
            }
        }
    }
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<PageBody>, Refusal> {
    let Query(query) = query.map_err(|rejection| Refusal::bad_request(body::cut(&rejection.body_text())))?;
    let limit = query.limit.unwrap_or(100).clamp(1, PAGE_MAX);
    let after = query.after.unwrap_or_default();
    let mut items = Vec::new();
    let mut next = None;
    for handle in app.floor.handles() {
        let Some(figures) = handle.standing.borrow().as_ref().map(|standing| standing.figures.clone()) else {
            continue;
        };
        if figures.session_id.as_str() <= after.as_str() || !caller.sees(&figures.user_id) {
            continue;
        }
        if items.len() == limit {
            next = items.last().map(|FiguresBody(last): &FiguresBody| last.session_id.to_string());
            break;
        }
        items.push(FiguresBody(figures));
    }
    Ok(Json(PageBody { items, next }))
}

pub(super) async fn figures(
    State(app): State<App>,
    caller: Caller,
    Path(session): Path<String>,
) -> Result<Json<FiguresBody>, Refusal> {
    let session = session_id(&session)?;
    if let Some(handle) = bot(&app, &caller, &session)?
        && let Some(standing) = handle.standing.borrow().as_ref()
    {
        return Ok(Json(FiguresBody(standing.figures.clone())));
    }
    let (account, _) = past(&app, &caller, &session).await?;
    settled(&account).map(|figures| Json(FiguresBody(figures)))
}

/// Figures of an account without a bot: positions, if there are any, at their last fill. Versions of a live bot are greater.
fn settled(account: &Account) -> Result<Figures, Refusal> {
    account.figures(0, None).ok_or_else(|| Refusal::new(ErrorCode::Internal, "internal error"))
}

/// An account as its journal has it.
async fn past(app: &App, caller: &Caller, session: &SessionId) -> Result<(Account, ActivityBody), Refusal> {
    let (mut account, journal) = opened(app, caller, session).await?;
    // Reading a long one takes a while; who comes then waits.
    let _place = app.reading.acquire().await.map_err(|_| elsewhere())?;
    let mut activity = ActivityBody::default();
    let mut orders = std::collections::BTreeMap::new();
    let fold = |number, entry| {
        match entry {
            Entry::Account { event } => {
                let order = account.apply(&event).map_err(|source| LedgerError::Inconsistent { number, source })?;
                orders.insert(Reverse(order.number), order);
                if orders.len() > ACTIVITY_MAX {
                    orders.pop_last();
                }
                if let Event::Filled(fill) = event {
                    keep(&mut activity.fills, fill);
                }
            }
            Entry::Decided { decision } => keep(&mut activity.decisions, decision),
            _ => {}
        }
        Ok(())
    };
    ledger::read(&*app.floor.backplane, &journal, fold).await?;
    activity.orders = orders.into_values().rev().collect();
    Ok((account, activity))
}

/// An account as it was opened, with its journal; others' and unknown ones are refused alike.
async fn opened(app: &App, caller: &Caller, session: &SessionId) -> Result<(Account, JournalName), Refusal> {
    let journal = ledger::journal_of(session)?;
    match ledger::first(&*app.floor.backplane, &journal).await? {
        Some(Entry::Opened { session, user, capital, .. }) if caller.sees(&user) => {
            Ok((Account::new(session, user, capital), journal))
        }
        _ => Err(unknown()),
    }
}

/// The bot of an account that the caller may know of.
pub(super) enum Running {
    Here(Handle),
    /// The session is over, and with it the bot.
    Over,
}

impl Running {
    /// The bot, where it has to be there.
    pub(super) fn still(self) -> Result<Handle, Refusal> {
        match self {
            Self::Here(handle) => Ok(handle),
            Self::Over => Err(Refusal::conflict("session_over", "the session is over")),
        }
    }
}

pub(super) async fn running(app: &App, caller: &Caller, session: &SessionId) -> Result<Running, Refusal> {
    if let Some(handle) = bot(app, caller, session)? {
        return Ok(Running::Here(handle));
    }
    opened(app, caller, session).await?;
    let is_over = match app.floor.sessions.get(session) {
        Some(session) => session.status.is_over(),
        // What is over and summed up is not among the sessions any more, and at first none is known.
        None => app.begun.elapsed() >= 2 * RECONCILE,
    };
    if is_over { Ok(Running::Over) } else { Err(elsewhere()) }
}

fn keep<T>(newest: &mut VecDeque<T>, item: T) {
    newest.push_back(item);
    if newest.len() > ACTIVITY_MAX {
        newest.pop_front();
    }
}

pub(super) async fn activity(
    State(app): State<App>,
    caller: Caller,
    Path(session): Path<String>,
) -> Result<Json<ActivityBody>, Refusal> {
    let (_, activity) = past(&app, &caller, &session_id(&session)?).await?;
    Ok(Json(activity))
}

/// Reads a request's JSON body within the service's bounds.
pub(super) async fn read<T: serde::de::DeserializeOwned>(app: &App, request: Request) -> Result<T, Refusal> {
    let (parts, bytes): (_, Body) = request.into_parts();
    body::parse(&body::read(PATIENCE, &parts, bytes, app.body_bytes_max).await?)
}

pub(super) async fn flatten(
    State(app): State<App>,
    caller: Caller,
    Path(session): Path<String>,
    request: Request,
) -> Result<Json<FiguresBody>, Refusal> {
    caller.service()?;
    let session = session_id(&session)?;
    let FlattenBody { reason } = read(&app, request).await?;
    let reason = reason.unwrap_or_else(|| "asked to close everything".to_owned());
    if reason.len() > 500 {
        return Err(Refusal::bad_request("`reason` has at most 500 bytes"));
    }
    let Some(handle) = bot(&app, &caller, &session)? else {
        // An account that is flat already stays so: its bot is gone because of that.
        let (account, _) = past(&app, &caller, &session).await?;
        return if account.is_flat() {
            settled(&account).map(|flat| Json(FiguresBody(flat)))
        } else {
            Err(elsewhere())
        };
    };
    let (reply, answer) = oneshot::channel();
    let order = trader::Order::Flatten { reason, reply };
    match ask(&handle, order, answer).await? {
        Some(figures) => Ok(Json(FiguresBody(figures))),
        None => Err(elsewhere()),
    }
}

/// Asks a bot; one that is gone or busy for too long is tried again by the caller.
pub(super) async fn ask<T>(handle: &Handle, order: trader::Order, answer: oneshot::Receiver<T>) -> Result<T, Refusal> {
    let asked = async {
        handle.orders.send(order).await.ok()?;
        answer.await.ok()
    };
    tokio::time::timeout(PATIENCE, asked).await.ok().flatten().ok_or_else(elsewhere)
}
