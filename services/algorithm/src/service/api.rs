//! The HTTP API: accounts, orders and fills, closing everything, agents' signals and the answers to them.

mod account;
mod signals;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::FromRef,
    routing::{get, post},
};
use serde::Serialize;
use tickwire_http::{Credentials, openapi::describe};
use tickwire_trading::api::{Api, Caller, Vitals};
use tokio::sync::Semaphore;
use utoipa::{
    ToSchema,
    openapi::{HttpMethod, schema::Type},
};

use super::floor::Floor;
use crate::{bot::Execution, parameter::Parameter, strategy};

/// Journals that are read from their beginning at once.
pub(super) const READS_AT_ONCE: usize = 4;
/// How long a body may take to arrive, and a bot to answer.
const PATIENCE: Duration = Duration::from_secs(5);

const DESCRIPTION: &str = "\
Runs the bots of trading sessions, on paper, and keeps their accounts. Money is in decimal strings.

**Callers** send `Authorization: Bearer` with a token of the cluster (users see and do only what is theirs) or, as services, with an API key.

**Agents** give signals with `POST /v1/accounts/{session}/signals`; what becomes of them follows from the session's `agents`: `advisory` ones are shown, \
`approval` ones wait for the user's answer (`POST …/signals/{id}/answer`, or `{\"sessionId\",\"signalId\",\"approve\"}` published on the channel \
`approvals:{userId}`), `autonomous` ones are executed. A signal's `id` names it: the same one again is answered as before and does nothing.

**Errors** are `{\"error\":{\"code\",\"message\",\"retryable\"}}`.";

/// What handlers need.
#[derive(Clone)]
pub(super) struct App {
    pub(super) floor: Arc<Floor>,
    pub(super) credentials: Arc<Credentials>,
    pub(super) body_bytes_max: usize,
    /// Since when it serves.
    pub(super) begun: Instant,
    /// Places to read journals of any length.
    pub(super) reading: Arc<Semaphore>,
}

impl FromRef<App> for Arc<Credentials> {
    fn from_ref(app: &App) -> Self {
        Arc::clone(&app.credentials)
    }
}

/// A strategy that sessions can name.
#[derive(Debug, Serialize, ToSchema)]
struct StrategyBody {
    name: &'static str,
    summary: &'static str,
    /// What can be set of it in a session's `parameters`.
    parameters: &'static [Parameter],
}

/// All of them.
#[derive(Debug, Serialize, ToSchema)]
struct StrategiesBody {
    items: Vec<StrategyBody>,
    /// What can be set of every strategy's trading, in `execution` of a session's `parameters`.
    execution: &'static [Parameter],
}

async fn strategies(_caller: Caller) -> Json<StrategiesBody> {
    let body = |&strategy::Definition { name, summary, parameters, .. }: &strategy::Definition| StrategyBody {
        name,
        summary,
        parameters,
    };
    Json(StrategiesBody { items: strategy::ALL.iter().map(body).collect(), execution: Execution::PARAMETERS })
}

/// Every path.
pub(super) fn router(vitals: Arc<Vitals>, app: App) -> Router {
    let accounts = describe("accounts", "Accounts that have a bot, by session; users get their own")
        .guarded()
        .in_query("after", Type::String)
        .in_query("limit", Type::Integer)
        .in_query("open", Type::Boolean)
        .answers::<account::PageBody>();
    let one = |what: &str| describe("accounts", what).guarded().in_path("session");
    let signal = describe("agents", "An agent's signal").guarded().in_path("session");
    let answer =
        describe("agents", "The user's answer to a signal that waits").guarded().in_path("session").in_path("signal");
    Api::default()
        .route(
            HttpMethod::Get,
            "/v1/strategies",
            get(strategies),
            describe("strategies", "Every strategy").guarded().answers::<StrategiesBody>(),
        )
        .route(HttpMethod::Get, "/v1/accounts", get(account::list), accounts)
        .route(
            HttpMethod::Get,
            "/v1/accounts/{session}",
            get(account::figures),
            one("An account's figures").answers::<account::FiguresBody>(),
        )
        .route(
            HttpMethod::Get,
            "/v1/accounts/{session}/activity",
            get(account::activity),
            one("Its newest orders, fills and decisions, oldest first").answers::<account::ActivityBody>(),
        )
        .route(
            HttpMethod::Post,
            "/v1/accounts/{session}/flatten",
            post(account::flatten),
            one("Cancel every order and close every position; for services. Repeating it changes nothing")
                .body::<account::FlattenBody>()
                .answers::<account::FiguresBody>(),
        )
        .route(
            HttpMethod::Get,
            "/v1/accounts/{session}/signals",
            get(signals::waiting),
            one("Signals that wait for an answer").answers::<signals::WaitingBody>(),
        )
        .route(
            HttpMethod::Post,
            "/v1/accounts/{session}/signals",
            post(signals::hear),
            signal.body::<signals::SignalBody>().answers::<signals::KnownBody>(),
        )
        .route(
            HttpMethod::Post,
            "/v1/accounts/{session}/signals/{signal}/answer",
            post(signals::answer),
            answer.body::<signals::AnswerBody>().answers::<signals::KnownBody>(),
        )
        .finish(DESCRIPTION, vitals, app)
}
