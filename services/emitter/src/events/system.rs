//! Notices to everyone.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Event, InvalidEvent, Message, Stamp, common_fields};
use crate::value::Text;

/// A notice to everyone; with `startsAt` and `endsAt`, a maintenance window.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SystemNotification {
    /// `info`, `warning`, `maintenance`, …
    #[schema(value_type = String)]
    level: Text,
    #[schema(value_type = String)]
    message: Text,
    /// Milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_at: Option<u64>,
    /// Milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<u64>,
    #[serde(skip_serializing)]
    timestamp: Option<u64>,
    #[serde(skip_serializing)]
    idempotency_key: Option<String>,
}

impl Event for SystemNotification {
    const KIND: &'static str = "system-notification";
    const SUMMARY: &'static str = "A notice to everyone, such as a maintenance window: to system";
    common_fields!();

    fn check(&self) -> Result<(), InvalidEvent> {
        match (self.starts_at, self.ends_at) {
            (Some(starts_at), Some(ends_at)) if ends_at < starts_at => {
                Err(InvalidEvent::Field { field: "endsAt", reason: "it must not be before `startsAt`" })
            }
            _ => Ok(()),
        }
    }

    fn messages(&self, stamp: &Stamp) -> Result<Vec<Message>, InvalidEvent> {
        Ok(vec![Message::new("system", stamp.data("system_notification", self)?)?])
    }
}
