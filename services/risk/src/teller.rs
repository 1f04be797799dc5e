//! Alerts on their way to the user: the emitter's typed events, under keys that make a repetition harmless.

use serde::Serialize;
use tickwire_backplane::AlertId;
use tickwire_client::{ClientError, Emitter, emitter::Notification};
use tickwire_protocol::{ErrorCode, Priority, RawJson, UserId, time::now_ms};
use tickwire_trading::SessionId;

use crate::{error::StepError, level::Level, rules::Kind, saga::Stop, watch::Alert};

/// The emitter remembers a key for five minutes. What may have been told longer ago than this is looked up first.
const KEY_AGE_MAX_MS: u64 = 4 * 60_000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RiskAlert<'a> {
    session_id: &'a SessionId,
    user_id: &'a UserId,
    alert_level: Level,
    alert_type: Kind,
    message: &'a str,
    current_value: &'a str,
    threshold: &'a str,
    idempotency_key: &'a str,
}

/// What the contract has no alert type for goes into the inbox as a notification with these fields.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NotificationData<'a> {
    session_id: &'a SessionId,
    alert_level: Level,
    current_value: &'a str,
    threshold: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EmergencyStop<'a> {
    session_id: &'a SessionId,
    user_id: &'a UserId,
    reason: &'a str,
    idempotency_key: &'a str,
}

/// Tells an alert, one attempt. `number` is its record's.
pub(crate) async fn alert(emitter: &Emitter, number: u64, alert: &Alert) -> Result<(), StepError> {
    let key = format!("risk/{}/{number}", alert.session_id);
    let told = match alert.kind {
        Kind::LossLimit | Kind::TimeLimit | Kind::Volatility | Kind::Correlation => {
            if was_told(emitter, &alert.user_id, "risk-alert", &key, alert.at).await? {
                return Ok(());
            }
            let event = RiskAlert {
                session_id: &alert.session_id,
                user_id: &alert.user_id,
                alert_level: alert.level,
                alert_type: alert.kind,
                message: &alert.message,
                current_value: &alert.current,
                threshold: &alert.threshold,
                idempotency_key: &key,
            };
            emitter.event("risk-alert", &event).await.map(drop)
        }
        Kind::StaleMarketData | Kind::Exposure => {
            emitter.notify(&alert.user_id, &notification(alert, key)?).await.map(drop)
        }
    };
    told.or_else(|error| match error {
        // Trying again would change nothing, and nothing is owed to a user by an alert that can never be made.
        ClientError::Server { code: ErrorCode::BadRequest | ErrorCode::TooLarge, .. } => {
            tracing::error!(session = %alert.session_id, %error, "an alert was refused for good");
            Ok(())
        }
        error => Err(StepError::Emitter(error)),
    })
}

fn notification(alert: &Alert, key: String) -> Result<Notification, StepError> {
    let Alert { session_id, level, current, threshold, .. } = alert;
    let data = NotificationData { session_id, alert_level: *level, current_value: current, threshold };
    let data =
        RawJson::of(&data).map_err(|error| StepError::Emitter(ClientError::InvalidOptions(error.to_string())))?;
    let priority = if *level == Level::Warning { Priority::High } else { Priority::Critical };
    Ok(Notification {
        kind: alert.kind.as_str().to_owned(),
        title: Some(format!("Session {session_id}")),
        message: Some(alert.message.clone()),
        priority: Some(priority),
        data: Some(data),
        idempotency_key: Some(key),
        ..Notification::default()
    })
}

/// Tells that a session was stopped, one attempt; answers the alert's id.
pub(crate) async fn stop(emitter: &Emitter, session_id: &SessionId, stop: &Stop) -> Result<Option<String>, StepError> {
    let key = format!("stop/{session_id}");
    let user_id = &stop.breach.user_id;
    let reason = stop.reason();
    if was_told(emitter, user_id, "emergency-stop", &key, stop.breach.at).await? {
        return Ok(None);
    }
    let event = EmergencyStop { session_id, user_id, reason: &reason, idempotency_key: &key };
    let receipt = emitter.event("emergency-stop", &event).await.map_err(StepError::Emitter)?;
    Ok(receipt.alert_id)
}

/// Whether the alert of this key is there already. The emitter derives its id from the user and the key.
async fn was_told(emitter: &Emitter, user: &UserId, kind: &str, key: &str, at_ms: u64) -> Result<bool, StepError> {
    if now_ms().saturating_sub(at_ms) < KEY_AGE_MAX_MS {
        return Ok(false);
    }
    let id = AlertId::derived(user, &format!("{kind}/{key}"));
    match emitter.alert(id.as_str()).await {
        Ok(_) => Ok(true),
        Err(ClientError::Server { code: ErrorCode::BadRequest, .. }) => Ok(false),
        Err(error) => Err(StepError::Emitter(error)),
    }
}
