//! What others are told of a session: derived from its journal, in its order.
//!
//! Every transition is told to the services (`trading:sessions`, the whole record) and to the user, under keys made of session and
//! version: what is told again after a crash is told once, as long as the emitter knows the keys (five minutes). How far it came is
//! then noted in the journal.

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::value::RawValue;
use tickwire_client::{ClientError, Emitter, emitter::Outgoing};
use tickwire_protocol::{ChannelName, ErrorCode, Priority, RawJson, UserId};
use tickwire_trading::{
    Figures, KEPT, Limits, SESSIONS_CHANNEL, Session, SessionId, Status,
    session::{Event, Name, Summary},
};

use crate::log::Untold;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Started<'a> {
    session_id: &'a SessionId,
    user_id: &'a UserId,
    algorithm_id: &'a Name,
    limits: &'a Limits,
    idempotency_key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusEvent<'a> {
    session_id: &'a SessionId,
    user_id: &'a UserId,
    status: Status,
    data: StatusData,
    idempotency_key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Completed<'a> {
    session_id: &'a SessionId,
    user_id: &'a UserId,
    summary: &'a Summary,
    idempotency_key: String,
}

/// The figures of `session_status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusData {
    /// What is gained or lost, fees included.
    #[serde(rename = "currentPnL", skip_serializing_if = "Option::is_none")]
    current_pnl: Option<Decimal>,
    /// Fills.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_trades: Option<u64>,
    /// The share of the loss limit that is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_limit_utilization: Option<Box<RawValue>>,
    /// Milliseconds since the start, pauses included.
    time_elapsed: u64,
    /// From 0 (the loss limit is lost) over 0.5 (even) to 1 (as much is gained).
    #[serde(skip_serializing_if = "Option::is_none")]
    performance_score: Option<Box<RawValue>>,
}

impl StatusData {
    fn new(session: &Session, figures: Option<&Figures>, now: u64) -> Self {
        let limit = session.limits.loss_limit;
        Self {
            current_pnl: figures.map(Figures::pnl),
            total_trades: figures.map(|figures| figures.trades),
            loss_limit_utilization: figures.and_then(|figures| number(figures.loss_utilization(limit))),
            time_elapsed: session.elapsed_ms(now),
            performance_score: figures.and_then(|figures| number(score(figures.pnl(), limit))),
        }
    }
}

/// Half, more by the gain or less by the loss as a share of twice the loss limit; 0 to 1, four digits.
fn score(pnl: Decimal, loss_limit: Decimal) -> Decimal {
    let half = Decimal::new(5, 1);
    let share =
        pnl.checked_div(loss_limit).map_or(half, |share| half + share.clamp(-Decimal::ONE, Decimal::ONE) * half);
    share.round_dp(4).normalize()
}

/// A share as a JSON number; it has passed through no float.
fn number(value: Decimal) -> Option<Box<RawValue>> {
    RawValue::from_string(value.to_string()).ok()
}

/// Tells the services and the user of one transition.
pub(crate) async fn tell(
    emitter: &Emitter,
    untold: &Untold,
    figures: Option<&Figures>,
    now: u64,
) -> Result<u64, ClientError> {
    let session = untold.session.as_ref();
    let key = format!("session-{}-{}", session.session_id, session.version);
    match record(emitter, session, key.clone(), now).await {
        // The channel is full of sessions that are not over. The services learn of this one by the API; its user must not wait for that.
        Err(ClientError::Server { code: ErrorCode::LimitExceeded, message, .. }) => {
            tracing::warn!(session = %session.session_id, %message, "a record is not told, but by the API");
        }
        recorded => recorded?,
    }
    let (session_id, user_id) = (&session.session_id, &session.user_id);
    let told = match &untold.event {
        // A session that was not started is nothing for its user to see move.
        None => return Ok(1),
        Some(Event::Started) => {
            let (algorithm_id, limits) = (&session.algorithm_id, &session.limits);
            let started = Started { session_id, user_id, algorithm_id, limits, idempotency_key: key.clone() };
            emitter.event("session-started", &started).await?;
            status(emitter, session, figures, now, key).await?;
            3
        }
        Some(Event::Settled { summary }) if session.status != Status::EmergencyStopped => {
            let completed = Completed { session_id, user_id, summary, idempotency_key: key };
            emitter.event("session-completed", &completed).await?;
            2
        }
        Some(_) => {
            status(emitter, session, figures, now, key).await?;
            2
        }
    };
    Ok(told)
}

/// Tells the user how the session stands.
pub(crate) async fn status(
    emitter: &Emitter,
    session: &Session,
    figures: Option<&Figures>,
    now: u64,
    idempotency_key: String,
) -> Result<(), ClientError> {
    let event = StatusEvent {
        session_id: &session.session_id,
        user_id: &session.user_id,
        status: session.status,
        data: StatusData::new(session, figures, now),
        idempotency_key,
    };
    emitter.event("session-status", &event).await.map(drop)
}

async fn record(emitter: &Emitter, session: &Session, idempotency_key: String, now: u64) -> Result<(), ClientError> {
    let invalid = |error: &dyn std::fmt::Display| ClientError::InvalidOptions(error.to_string());
    let channel = ChannelName::new(SESSIONS_CHANNEL).map_err(|error| invalid(&error))?;
    let data = RawJson::of(session).map_err(|error| invalid(&error))?;
    let message = Outgoing {
        key: Some(session.session_id.to_string()),
        priority: Some(Priority::High),
        idempotency_key: Some(idempotency_key),
        // Nothing follows on a summary: it makes room for another session's.
        expires_at: session
            .is_settled()
            .then(|| now.saturating_add(u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX))),
        ..Outgoing::new(channel, data)
    };
    emitter.publish(message).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_half_when_even_and_stays_within_its_bounds() {
        let score = |pnl: i64| score(Decimal::from(pnl), Decimal::from(100)).to_string();
        assert_eq!(score(0), "0.5");
        assert_eq!(score(-50), "0.25");
        assert_eq!((score(-100), score(-500)), ("0".into(), "0".into()));
        assert_eq!((score(100), score(900)), ("1".into(), "1".into()));
    }
}
