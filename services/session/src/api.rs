//! The HTTP API.

mod forward;
mod refusals;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::{FromRef, Path, Query, Request as HttpRequest, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{StatusCode, request::Parts};
use serde::{Deserialize, Serialize};
use tickwire_http::{Credentials, Refusal, body, openapi::describe};
use tickwire_protocol::{RawJson, UserId};
use tickwire_trading::{
    Session, SessionId, Status,
    api::{Api, Caller, IdempotencyKey, Vitals},
    session::{Command, InvalidId, NewSession},
};
use utoipa::{
    ToSchema,
    openapi::{HttpMethod, schema::Type},
};

use crate::{
    SessionError,
    config::SessionConfig,
    desk::{Desk, DeskError, Request},
    leases::{Leases, Writer},
};
use forward::Forward;

/// How long a body may take to arrive, and a writer to be found.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
/// Sessions on a page at most, and without a `limit`.
const PAGE_MAX: usize = 200;
/// Random ids tried until one falls into a partition of this instance: with one of sixteen, one in 10^14 requests finds none.
const OWN_ID_TRIES: usize = 512;
/// Longest reason, bytes.
const REASON_BYTES_MAX: usize = 500;

const DESCRIPTION: &str = "\
Trading sessions. A 2xx means that the session's journal has what happened.

**Callers** send `Authorization: Bearer` with a token of the cluster (a user sees and commands only their own sessions; others' are `404`), or, as a \
service, with an API key.

**Statuses** are `active`, `paused`, `completed`, `expired` and `emergency_stopped`; a session that was created and not started is `paused` without \
`startedAt`. A command that does not fit gets `409` with code `illegal_transition`.

A service names the owner of a new session in `userId`, beside the other fields.

**Idempotency.** The same `Idempotency-Key` with the same command gets the first answer again, for as long as the session exists, also after a crash of \
this service. With another command it gets `409` with code `idempotency_key_reused`. After a 503 repeat the request under the same key.

**Errors** are `{\"error\":{\"code\",\"message\",\"retryable\"}}`.";

/// What every request needs.
pub(crate) struct App {
    desk: Arc<Desk>,
    leases: Arc<Leases>,
    credentials: Arc<Credentials>,
    forward: Forward,
    body_bytes_max: usize,
    sessions_per_user: usize,
}

impl App {
    pub(crate) fn new(
        desk: Arc<Desk>,
        leases: Arc<Leases>,
        credentials: Arc<Credentials>,
        config: &SessionConfig,
    ) -> Result<Self, SessionError> {
        let (body_bytes_max, sessions_per_user) = (config.body_bytes_max, config.sessions_per_user);
        Ok(Self { desk, leases, credentials, forward: Forward::new()?, body_bytes_max, sessions_per_user })
    }
}

/// As axum wants it: a type of one's own.
#[derive(Clone)]
pub(crate) struct Shared(Arc<App>);

impl FromRef<Shared> for Arc<Credentials> {
    fn from_ref(shared: &Shared) -> Self {
        Arc::clone(&shared.0.credentials)
    }
}

/// Why a session is to end.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct ReasonBody {
    /// For people, at most 500 bytes.
    reason: Option<String>,
}

/// Sessions, in the order of their ids.
#[derive(Debug, Serialize, ToSchema)]
struct SessionsBody {
    items: Vec<Session>,
    /// `after` of the next page; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ListQuery {
    status: Option<Status>,
    /// `false`: only those that are not over and summed up.
    settled: Option<bool>,
    after: Option<String>,
    limit: Option<usize>,
}

/// The whole service.
pub(crate) fn router(app: Arc<App>, vitals: Arc<Vitals>) -> Router {
    let described = |summary: &str| describe("sessions", summary).guarded();
    let mut api = Api::<Shared>::default()
        .route(
            HttpMethod::Post,
            "/v1/sessions",
            post(create),
            described("Make a session, not started").body::<NewSession>().answers::<Session>(),
        )
        .route(
            HttpMethod::Get,
            "/v1/sessions",
            get(list),
            described("Sessions, the caller's own or, for a service, all")
                .in_query("status", Type::String)
                .in_query("settled", Type::Boolean)
                .in_query("after", Type::String)
                .in_query("limit", Type::Integer)
                .answers::<SessionsBody>(),
        )
        .route(
            HttpMethod::Get,
            "/v1/sessions/{id}",
            get(session),
            described("A session").in_path("id").answers::<Session>(),
        );
    for (verb, summary) in [
        ("start", "Let its bot trade"),
        ("pause", "Let its bot rest; positions stay open"),
        ("resume", "Let its bot trade again"),
        ("stop", "End it as planned; its positions are closed"),
        ("emergency-stop", "End it at once; risk cancels and closes what is open, and alerts its owner's devices"),
    ] {
        let described = described(summary).in_path("id").body::<ReasonBody>().answers::<Session>();
        let handler = move |shared, path, caller, key, request| command(verb, shared, path, caller, key, request);
        api = api.route(HttpMethod::Post, &format!("/v1/sessions/{{id}}/{verb}"), post(handler), described);
    }
    api.finish(DESCRIPTION, vitals, Shared(app))
}

async fn create(
    State(Shared(app)): State<Shared>,
    caller: Caller,
    key: IdempotencyKey,
    request: HttpRequest,
) -> Result<Response, Refusal> {
    let (parts, stream) = request.into_parts();
    let text = body::read(PATIENCE, &parts, stream, app.body_bytes_max).await?;
    let (user, new) = whose(&text, &caller)?;
    new.check().map_err(|invalid| Refusal::bad_request(invalid.to_string()))?;
    let key = key.digest(&caller);
    // Under a key the id follows from it, so that a repeated request finds the session that the first one made.
    let id = key.as_deref().map_or_else(|| new_id(&app.leases), SessionId::new);
    let id = id.map_err(|error| Refusal::bad_request(error.to_string()))?;
    if app.desk.open_sessions_of(&user) >= app.sessions_per_user && app.desk.read(&id).await.is_err() {
        let message = format!("a user has at most {} open sessions", app.sessions_per_user);
        return Err(Refusal::new(tickwire_protocol::ErrorCode::LimitExceeded, message));
    }
    if let Writer::At(address) = app.leases.known_writer(&id, PATIENCE).await {
        return app.forward.pass(&address, &parts, text).await;
    }
    let session = app.desk.create(&id, user, new, key).await?;
    Ok((StatusCode::CREATED, Json(session.as_ref())).into_response())
}

/// The owner, and what is asked for: `userId` is beside the fields of [`NewSession`].
fn whose(text: &str, caller: &Caller) -> Result<(UserId, NewSession), Refusal> {
    // As text: a number in the parameters stays as it was written.
    let mut fields: BTreeMap<String, RawJson> = body::parse(text)?;
    let refuse = |error: serde_json::Error| Refusal::bad_request(format!("`userId`: {error}"));
    let named: Option<UserId> = fields.remove("userId").map(|named| named.to()).transpose().map_err(refuse)?;
    let user = match (caller, named) {
        (Caller::User(user), None) => user.clone(),
        (Caller::User(user), Some(named)) if named == *user => user.clone(),
        (Caller::User(_), Some(_)) => return Err(Refusal::bad_request("`userId`: a user's session is their own")),
        (Caller::Service, Some(named)) => named,
        (Caller::Service, None) => return Err(Refusal::bad_request("`userId`: whose session is it?")),
    };
    let rest = serde_json::to_string(&fields).map_err(|error| Refusal::bad_request(error.to_string()))?;
    Ok((user, body::parse(&rest)?))
}

/// A random id, of a session that this instance writes if it writes any.
fn new_id(leases: &Leases) -> Result<SessionId, InvalidId> {
    use rand::distr::{Alphanumeric, SampleString};
    let random = || SessionId::new(&Alphanumeric.sample_string(&mut rand::rng(), 20));
    let is_own = |id: &Result<SessionId, _>| id.as_ref().is_ok_and(|id| matches!(leases.writer(id), Writer::Here(_)));
    std::iter::repeat_with(random).take(OWN_ID_TRIES).find(is_own).unwrap_or_else(random)
}

async fn session(
    State(Shared(app)): State<Shared>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Json<Session>, Refusal> {
    let id = known_id(&id)?;
    let slot = app.desk.read(&id).await?;
    let held = slot.lock().await;
    let session =
        held.log.session.as_ref().filter(|session| caller.sees(&session.user_id)).ok_or(DeskError::NotFound)?;
    Ok(Json(Session::clone(session)))
}

/// What cannot be an id is no session's.
fn known_id(id: &str) -> Result<SessionId, Refusal> {
    SessionId::new(id).map_err(|_| DeskError::NotFound.into())
}

async fn list(
    State(Shared(app)): State<Shared>,
    caller: Caller,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<SessionsBody>, Refusal> {
    let Query(query) = query.map_err(|rejection| Refusal::bad_request(body::cut(&rejection.body_text())))?;
    let limit = query.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let mut after = query
        .after
        .as_deref()
        .map(SessionId::new)
        .transpose()
        .map_err(|error| Refusal::bad_request(error.to_string()))?;
    let mut items: Vec<Session> = Vec::new();
    loop {
        let page = app.desk.page(after.as_ref()).await?;
        let Some((last, _)) = page.last().cloned() else { return Ok(Json(SessionsBody { items, next: None })) };
        for (id, length) in page {
            let session = app.desk.at_length(&id, length).await?;
            let is_settled = session.is_settled();
            let is_wanted = caller.sees(&session.user_id)
                && query.status.is_none_or(|status| session.status == status)
                && query.settled.is_none_or(|settled| settled == is_settled);
            if !is_wanted {
                continue;
            }
            items.push(Session::clone(&session));
            if items.len() >= limit {
                return Ok(Json(SessionsBody { items, next: Some(id.to_string()) }));
            }
        }
        after = Some(last);
    }
}

async fn command(
    verb: &'static str,
    State(Shared(app)): State<Shared>,
    Path(id): Path<String>,
    caller: Caller,
    key: IdempotencyKey,
    request: HttpRequest,
) -> Result<Response, Refusal> {
    let id = known_id(&id)?;
    let (parts, stream) = request.into_parts();
    let (text, command) = asked(verb, &caller, &parts, stream, app.body_bytes_max).await?;
    if let Writer::At(address) = app.leases.known_writer(&id, PATIENCE).await {
        return app.forward.pass(&address, &parts, text).await;
    }
    let user = match &caller {
        Caller::User(user) => Some(user.clone()),
        Caller::Service => None,
    };
    let session = app.desk.command(&id, &Request { user, key: key.digest(&caller) }, &command).await?;
    Ok(Json(session.as_ref()).into_response())
}

async fn asked(
    verb: &str,
    caller: &Caller,
    parts: &Parts,
    stream: Body,
    bytes_max: usize,
) -> Result<(String, Command), Refusal> {
    let text = body::read(PATIENCE, parts, stream, bytes_max).await?;
    let ReasonBody { reason } = if text.is_empty() { ReasonBody::default() } else { body::parse(&text)? };
    if reason.as_ref().is_some_and(|reason| !(1..=REASON_BYTES_MAX).contains(&reason.len())) {
        return Err(Refusal::bad_request("`reason`: 1 to 500 bytes"));
    }
    let command = match verb {
        "start" => Command::Start,
        "pause" => Command::Pause,
        "resume" => Command::Resume,
        "stop" => Command::Stop { reason: reason.unwrap_or_else(|| "stopped by its user".into()) },
        _ => {
            let default = match caller {
                Caller::User(_) => "its user asked for an emergency stop",
                Caller::Service => "stopped by risk",
            };
            Command::EmergencyStop { reason: reason.unwrap_or_else(|| default.into()) }
        }
    };
    Ok((text, command))
}
