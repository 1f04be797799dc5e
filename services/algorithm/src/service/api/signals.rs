//! Agents' signals and the user's answers.

use axum::{
    Json,
    extract::{Path, Request, State},
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tickwire_http::Refusal;
use tickwire_protocol::ErrorCode;
use tickwire_trading::{Instrument, api::Caller, session::Name};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::{
    App,
    account::{Running, ask, read, running, session_id},
};
use crate::{
    agent::{Signal, SignalState},
    decision::Action,
    engine::{Known, SignalRefusal},
    service::trader::Order,
};

/// What an agent says.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::service) struct SignalBody {
    /// The agent's own id for it.
    #[schema(value_type = String)]
    id: Name,
    /// The agent's name in the session's `agents`.
    #[schema(value_type = String)]
    agent: Name,
    #[schema(value_type = String)]
    symbol: Instrument,
    action: Action,
    #[schema(value_type = Option<String>)]
    quantity: Option<Decimal>,
    #[schema(minimum = 0, maximum = 1)]
    confidence: f64,
    reasoning: String,
}

/// A yes or a no.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::service) struct AnswerBody {
    approve: bool,
}

/// A signal with what became of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::service) struct KnownBody {
    #[schema(value_type = Object)]
    signal: Signal,
    /// `refused`, `shown`, `waiting`, `declined`, `expired` or `executed`.
    state: &'static str,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Until when it waits, milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<u64>,
}

/// Signals that wait.
#[derive(Serialize, ToSchema)]
pub(in crate::service) struct WaitingBody {
    items: Vec<KnownBody>,
}

impl From<Known> for KnownBody {
    fn from(Known { signal, state }: Known) -> Self {
        let (reason, deadline) = match &state {
            SignalState::Refused { reason } => (Some(reason.clone()), None),
            SignalState::Waiting { deadline } => (None, Some(*deadline)),
            _ => (None, None),
        };
        Self { signal, state: state.as_str(), reason, deadline }
    }
}

impl From<SignalRefusal> for Refusal {
    fn from(refusal: SignalRefusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            SignalRefusal::Unknown => Self::not_found(message),
            SignalRefusal::NotWaiting => Self::conflict("not_waiting", message),
            SignalRefusal::TooMany => Self::new(ErrorCode::LimitExceeded, message),
        }
    }
}

pub(super) async fn hear(
    State(app): State<App>,
    caller: Caller,
    Path(session): Path<String>,
    request: Request,
) -> Result<Json<KnownBody>, Refusal> {
    let session = session_id(&session)?;
    let handle = running(&app, &caller, &session).await?.still()?;
    let SignalBody { id, agent, symbol, action, quantity, confidence, reasoning } = read(&app, request).await?;
    let signal = Signal { id, agent, symbol, action, quantity, confidence, reasoning };
    signal.check().map_err(Refusal::bad_request)?;
    let (reply, answer) = oneshot::channel();
    let known = ask(&handle, Order::Hear { signal, reply }, answer).await??;
    Ok(Json(known.into()))
}

pub(super) async fn answer(
    State(app): State<App>,
    caller: Caller,
    Path((session, signal)): Path<(String, String)>,
    request: Request,
) -> Result<Json<KnownBody>, Refusal> {
    if caller == Caller::Service {
        let message = "only the session's owner answers for it";
        return Err(Refusal::new(ErrorCode::Forbidden, message));
    }
    let session = session_id(&session)?;
    let signal = Name::new(&signal).map_err(|_| Refusal::not_found("there is no such signal"))?;
    let handle = running(&app, &caller, &session).await?.still()?;
    let AnswerBody { approve } = read(&app, request).await?;
    let (reply, answer) = oneshot::channel();
    let order = Order::Answer { signal, is_yes: approve, reply };
    Ok(Json(ask(&handle, order, answer).await??.into()))
}

pub(super) async fn waiting(
    State(app): State<App>,
    caller: Caller,
    Path(session): Path<String>,
) -> Result<Json<WaitingBody>, Refusal> {
    let session = session_id(&session)?;
    let handle = match running(&app, &caller, &session).await? {
        Running::Here(handle) => handle,
        // Nothing of a session that is over waits.
        Running::Over => return Ok(Json(WaitingBody { items: Vec::new() })),
    };
    let (reply, answer) = oneshot::channel();
    let waiting = ask(&handle, Order::Waiting { reply }, answer).await?;
    Ok(Json(WaitingBody { items: waiting.into_iter().map(|(known, _)| known.into()).collect() }))
}
