//! Risk: what must reach a user whether or not someone is looking.

use serde::{Deserialize, Serialize};
use tickwire_protocol::{Priority, UserId};
use utoipa::ToSchema;

use super::{
    Event, InvalidEvent, Message, Stamp, common_fields,
    session::{Status, StatusFields, session_channel},
};
use crate::value::{Figure, Ratio, Segment, Text};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AlertLevel {
    Warning,
    Critical,
    Emergency,
}

/// What it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AlertType {
    LossLimit,
    TimeLimit,
    Volatility,
    Correlation,
}

/// A limit is near or broken.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RiskAlert {
    #[schema(value_type = String)]
    session_id: Segment,
    #[schema(value_type = String)]
    user_id: UserId,
    alert_level: AlertLevel,
    alert_type: AlertType,
    #[schema(value_type = String)]
    message: Text,
    /// Published as it came: a string (money) or a number (a ratio).
    #[schema(value_type = String)]
    current_value: Figure,
    /// As `currentValue`.
    #[schema(value_type = String)]
    threshold: Figure,
    #[serde(skip_serializing)]
    timestamp: Option<u64>,
    #[serde(skip_serializing)]
    idempotency_key: Option<String>,
}

/// A loss limit is being used up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LossLimitWarning {
    #[schema(value_type = String)]
    session_id: Segment,
    #[schema(value_type = String)]
    user_id: UserId,
    /// The share of the limit that is used: 1 is all of it.
    #[schema(value_type = f64, minimum = 0)]
    utilization: Ratio,
    timestamp: Option<u64>,
    idempotency_key: Option<String>,
}

/// A session was stopped at once.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EmergencyStop {
    #[schema(value_type = String)]
    session_id: Segment,
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = String)]
    reason: Text,
    #[serde(skip_serializing)]
    timestamp: Option<u64>,
    #[serde(skip_serializing)]
    idempotency_key: Option<String>,
}

#[derive(Serialize)]
struct Reason<'a> {
    reason: &'a Text,
}

fn alert(alert: &RiskAlert, stamp: &Stamp) -> Result<Vec<Message>, InvalidEvent> {
    let data = stamp.data("risk_alert", alert)?;
    let priority = match alert.alert_level {
        AlertLevel::Warning => Priority::High,
        AlertLevel::Critical | AlertLevel::Emergency => Priority::Critical,
    };
    Ok(vec![
        Message::new(&session_channel(&alert.session_id), data.clone())?.priority(priority),
        Message::inbox(&alert.user_id, data)?.priority(priority),
    ])
}

impl Event for RiskAlert {
    const KIND: &'static str = "risk-alert";
    const SUMMARY: &'static str = "A risk limit is near or broken: to session:{sessionId} and the inbox user:{userId}, `critical` and `emergency` with priority critical";
    common_fields!();

    fn alerts(&self) -> Option<&UserId> {
        Some(&self.user_id)
    }

    fn messages(&self, stamp: &Stamp) -> Result<Vec<Message>, InvalidEvent> {
        alert(self, stamp)
    }
}

impl Event for LossLimitWarning {
    const KIND: &'static str = "loss-limit-warning";
    const SUMMARY: &'static str = "A loss limit is being used up: a risk_alert of level warning and type loss_limit";
    common_fields!();

    fn alerts(&self) -> Option<&UserId> {
        Some(&self.user_id)
    }

    fn messages(&self, stamp: &Stamp) -> Result<Vec<Message>, InvalidEvent> {
        let warning = RiskAlert {
            session_id: self.session_id.clone(),
            user_id: self.user_id.clone(),
            alert_level: AlertLevel::Warning,
            alert_type: AlertType::LossLimit,
            message: Text::from(format!("{} of the loss limit is used", self.utilization.as_str())),
            current_value: self.utilization.to_figure(),
            threshold: Figure::one(),
            timestamp: None,
            idempotency_key: None,
        };
        alert(&warning, stamp)
    }
}

impl Event for EmergencyStop {
    const KIND: &'static str = "emergency-stop";
    const SUMMARY: &'static str = "A session was stopped at once: to session:{sessionId} as status emergency_stopped and the inbox user:{userId}, critical";
    common_fields!();

    fn alerts(&self) -> Option<&UserId> {
        Some(&self.user_id)
    }

    fn messages(&self, stamp: &Stamp) -> Result<Vec<Message>, InvalidEvent> {
        let data = Reason { reason: &self.reason };
        let fields = StatusFields { session_id: &self.session_id, status: Status::EmergencyStopped, data };
        let status = stamp.data("session_status", &fields)?;
        let notice = stamp.data("emergency_stop", self)?;
        Ok(vec![
            Message::new(&session_channel(&self.session_id), status)?.priority(Priority::Critical),
            Message::inbox(&self.user_id, notice)?.priority(Priority::Critical),
        ])
    }
}
