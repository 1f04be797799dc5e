//! The HTTP API: a session's risk and its thresholds. A user sees only their own sessions; others' are answered as what there is not.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{FromRef, Path, Request, State},
    routing::{get, put},
};
use serde::Serialize;
use tickwire_backplane::Backplane;
use tickwire_http::{Credentials, Refusal, body, openapi::describe};
use tickwire_protocol::ErrorCode;
use tickwire_trading::{
    SessionId,
    api::{Api, Caller, Vitals},
};
use tokio::sync::{mpsc, oneshot};
use utoipa::{ToSchema, openapi::HttpMethod};

use crate::{
    desk::{Ask, Input, View},
    error::RecordError,
    level::Level,
    records,
    saga::{Step, Stop},
    thresholds::Thresholds,
    watch::Standing,
};

/// Longest body, bytes.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a question to the desk, or a record, may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Sessions of one list.
const LIST_MAX: usize = 1_000;

const DESCRIPTION: &str = "\
Watches trading sessions: loss limit, time limit, exposure, correlation, volatility and stale prices. Alerts and emergency stops reach users through the \
cluster (`session:{id}` and the inbox); here one reads where each value stands and sets where alerts begin.

**Callers** send `Authorization: Bearer` with a token of the cluster (a user sees their own sessions) or with an API key.

**Values** are decimal strings. A loss that reaches the session's limit stops the session, whatever the thresholds are.";

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) backplane: Arc<dyn Backplane>,
    pub(crate) desk: mpsc::Sender<Input>,
}

impl FromRef<App> for Arc<Credentials> {
    fn from_ref(app: &App) -> Self {
        Self::clone(&app.credentials)
    }
}

/// A session's risk.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RiskBody {
    #[schema(value_type = String)]
    session_id: SessionId,
    #[schema(value_type = String)]
    user_id: tickwire_protocol::UserId,
    /// The gravest level that a value stands at.
    level: Option<Level>,
    /// Whether this instance is the one that alerts and stops.
    is_kept_here: bool,
    /// An emergency stop has begun.
    is_stopping: bool,
    #[schema(value_type = Option<String>)]
    #[serde(rename = "currentPnL", skip_serializing_if = "Option::is_none")]
    current_pnl: Option<rust_decimal::Decimal>,
    standings: Vec<Standing>,
}

/// Sessions and their risk, in order of their ids.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RisksBody {
    /// The first 1,000.
    sessions: Vec<RiskBody>,
}

/// An emergency stop, as far as it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StopBody {
    #[schema(value_type = String)]
    session_id: SessionId,
    /// What happened, and what was done.
    reason: String,
    /// When the limit was reached, milliseconds since the Unix epoch.
    began_at: u64,
    /// In their order.
    steps: Vec<StepBody>,
    is_done: bool,
}

/// A step of a stop.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StepBody {
    step: Step,
    is_done: bool,
}

impl From<View> for RiskBody {
    fn from(view: View) -> Self {
        Self {
            session_id: view.session.session_id,
            user_id: view.session.user_id,
            level: view.standings.iter().filter_map(|standing| standing.level).max(),
            is_kept_here: view.is_kept,
            is_stopping: view.is_stopping,
            current_pnl: view.figures.as_ref().map(tickwire_trading::Figures::pnl),
            standings: view.standings,
        }
    }
}

impl From<RecordError> for Refusal {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Store(error) => {
                tracing::debug!(%error, "records cannot be read");
                Self::new(ErrorCode::Unavailable, "the store is unavailable").retry_after(Duration::from_secs(1))
            }
            RecordError::Lost(_) => elsewhere(),
            error => {
                tracing::error!(%error, "records that cannot be used");
                Self::new(ErrorCode::Internal, "internal error")
            }
        }
    }
}

fn elsewhere() -> Refusal {
    let message = "another instance keeps this session, or none does at the moment";
    Refusal::new(ErrorCode::Unavailable, message).retry_after(Duration::from_secs(1))
}

fn nothing() -> Refusal {
    Refusal::not_found("there is no such session under watch")
}

/// The whole service.
pub(crate) fn router(app: App, vitals: Arc<Vitals>) -> Router {
    let risk = describe("risk", "Where a session's values stand").guarded().in_path("id").answers::<RiskBody>();
    let all =
        describe("risk", "The same of all sessions: a user's own, a service's all").guarded().answers::<RisksBody>();
    let stop = describe("risk", "A session's emergency stop").guarded().in_path("id").answers::<StopBody>();
    let read =
        describe("thresholds", "Where alerts of a session begin").guarded().in_path("id").answers::<Thresholds>();
    let set = describe("thresholds", "Set them; what is left out has its default. Repeating it changes nothing")
        .guarded()
        .in_path("id")
        .body::<Thresholds>()
        .answers::<Thresholds>();
    Api::default()
        .route(HttpMethod::Get, "/v1/risk", get(list), all)
        .route(HttpMethod::Get, "/v1/sessions/{id}/risk", get(session), risk)
        .route(HttpMethod::Get, "/v1/sessions/{id}/stop", get(stopped), stop)
        .route(HttpMethod::Get, "/v1/sessions/{id}/thresholds", get(thresholds), read)
        .route(HttpMethod::Put, "/v1/sessions/{id}/thresholds", put(set_thresholds), set)
        .finish(DESCRIPTION, vitals, app)
}

impl App {
    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.desk.send(Input::Ask(ask(reply))).await.ok()?;
            answer.await.ok()
        };
        let late = || Refusal::new(ErrorCode::Unavailable, "no answer in time").retry_after(Duration::from_secs(1));
        tokio::time::timeout(ANSWER_TIMEOUT, asked).await.ok().flatten().ok_or_else(late)
    }

    /// A session under watch that the caller may see.
    async fn view(&self, caller: &Caller, id: &str) -> Result<View, Refusal> {
        let id = SessionId::new(id).map_err(|_| nothing())?;
        let view = self.ask(|reply| Ask::Session(id, reply)).await?;
        view.filter(|view| caller.sees(&view.session.user_id)).ok_or_else(nothing)
    }
}

async fn list(State(app): State<App>, caller: Caller) -> Result<Json<RisksBody>, Refusal> {
    let views = app.ask(Ask::All).await?;
    let seen = views.into_iter().filter(|view| caller.sees(&view.session.user_id)).take(LIST_MAX);
    Ok(Json(RisksBody { sessions: seen.map(RiskBody::from).collect() }))
}

async fn session(State(app): State<App>, caller: Caller, Path(id): Path<String>) -> Result<Json<RiskBody>, Refusal> {
    app.view(&caller, &id).await.map(|view| Json(view.into()))
}

/// Read from its journal: also of a session that is long over.
async fn stopped(State(app): State<App>, caller: Caller, Path(id): Path<String>) -> Result<Json<StopBody>, Refusal> {
    let none = || Refusal::not_found("there is no emergency stop of this session");
    let id = SessionId::new(&id).map_err(|_| none())?;
    let stop: Stop = records::stop(&*app.backplane, &id).await?.ok_or_else(none)?;
    if !caller.sees(&stop.breach.user_id) {
        return Err(none());
    }
    let (reason, is_done) = (stop.reason(), stop.is_done());
    let steps = Step::ALL.map(|step| StepBody { step, is_done: stop.is_over(step) }).into();
    Ok(Json(StopBody { session_id: id, reason, began_at: stop.breach.at, steps, is_done }))
}

async fn thresholds(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Thresholds>, Refusal> {
    let view = app.view(&caller, &id).await?;
    Ok(Json(records::thresholds(&*app.backplane, &view.session.session_id).await?))
}

async fn set_thresholds(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Thresholds>, Refusal> {
    let view = app.view(&caller, &id).await?;
    let (head, stream) = request.into_parts();
    let text = body::read(BODY_TIMEOUT, &head, stream, BODY_BYTES_MAX).await?;
    let thresholds: Thresholds = body::parse(&text)?;
    thresholds.check().map_err(|error| Refusal::bad_request(error.to_string()))?;
    let asked = thresholds.clone();
    let session = view.session.session_id;
    let recorded = app.ask(|reply| Ask::Thresholds(session, Box::new(asked), reply)).await?;
    let late = || Refusal::new(ErrorCode::Unavailable, "not confirmed in time").retry_after(Duration::from_secs(1));
    let done = tokio::time::timeout(ANSWER_TIMEOUT, recorded.ok_or_else(elsewhere)?).await.map_err(|_| late())?;
    done.map_err(|_| elsewhere())??;
    Ok(Json(thresholds))
}
