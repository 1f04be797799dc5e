//! Who did what to other people's access: each administrative call leaves a log line and a message in the channel `audit`,
//! which role `operator` may read and nobody may publish to.

use serde::Serialize;
use tickwire_backplane::{BackplaneError, Control, Publish};
use tickwire_protocol::{ChannelName, Priority, RawJson, UserId, time::now_ms};

use super::{App, caller::Operator};

/// Namespace and channel of the log.
pub(crate) const CHANNEL: &str = "audit";

/// One administrative call.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    r#type: &'static str,
    /// What was ordered.
    action: &'static str,
    /// About whom or what.
    subject: String,
    /// In the caller's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Until when it holds, milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    /// The caller: a user, or a key's fingerprint.
    by: &'a str,
    /// Where the call came from.
    address: String,
    /// Whether the backplane took the order.
    done: bool,
    time: u64,
}

impl App {
    /// Gives an order to all nodes, and writes down who did.
    pub(super) async fn order(&self, operator: &Operator, control: Control) -> Result<(), BackplaneError> {
        let (action, subject, reason, until) = describe(&control);
        let reason = reason.map(str::to_owned);
        let ordered = self.backplane.control(control).await;
        let entry = Entry {
            r#type: "audit",
            action,
            subject,
            reason: reason.as_deref(),
            until,
            by: &operator.who,
            address: operator.address.to_string(),
            done: ordered.is_ok(),
            time: now_ms(),
        };
        let (subject, by, address, done) = (&entry.subject, entry.by, &entry.address, entry.done);
        tracing::info!(target: "tickwire_audit", action, subject, reason, until, by, address, done, "administrative call");
        self.publish_entry(&entry).await;
        ordered
    }

    /// Writes down that a person looks at what belongs to `user`. What a service reads is its trade, and is not.
    pub(super) async fn witness(&self, operator: &Operator, action: &'static str, user: &UserId) {
        if operator.is_service {
            return;
        }
        let (subject, by, address) = (format!("user {user}"), operator.who.as_str(), operator.address.to_string());
        tracing::info!(target: "tickwire_audit", action, subject, by, address, "administrative call");
        let entry = Entry {
            r#type: "audit",
            action,
            subject,
            reason: None,
            until: None,
            by,
            address,
            done: true,
            time: now_ms(),
        };
        self.publish_entry(&entry).await;
    }

    /// The log line stands whether this succeeds or not.
    async fn publish_entry(&self, entry: &Entry<'_>) {
        let (Ok(channel), Ok(data)) = (ChannelName::new(CHANNEL), RawJson::of(entry)) else { return };
        let Some(policy) = self.namespaces.policy(&channel).cloned() else { return };
        let publish = Publish { priority: Priority::High, ..Publish::new(channel, policy, data) };
        if let Err(error) = self.backplane.publish(publish).await {
            tracing::error!(%error, "an administrative call is in this log only, not in the channel `audit`");
        }
    }
}

fn describe(control: &Control) -> (&'static str, String, Option<&str>, Option<u64>) {
    match control {
        Control::Disconnect { user, reason } => ("disconnect", format!("user {user}"), Some(reason), None),
        Control::RevokeToken { jti, expires_at_ms } => ("revoke", format!("token {jti}"), None, Some(*expires_at_ms)),
        Control::RevokeUser { user, issued_until_s, expires_at_ms } => {
            let subject = format!("tokens of user {user} issued until {issued_until_s}");
            ("revoke", subject, None, Some(*expires_at_ms))
        }
        Control::Ban { offender, until_ms, reason } => ("ban", offender.to_string(), Some(reason), Some(*until_ms)),
    }
}
