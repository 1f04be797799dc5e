//! Alerts: messages whose fate is tracked until their user settles them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tickwire_protocol::{Position, Priority, RawJson, UserId};

/// An alert's tracking data. The id names its user (see [`AlertId`]), so its state lives beside the inbox.
#[derive(Debug, Clone)]
pub struct AlertSpec {
    /// Its id.
    pub id: AlertId,
    /// Escalate if not acknowledged this long after acceptance.
    pub escalate_after: Option<Duration>,
}

/// `{hex(user)}.{random}`: opaque to clients, and enough to find the inbox it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlertId {
    user: UserId,
    text: String,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertStatus {
    /// Stored, not yet written to any connection.
    Queued,
    /// Written to at least one connection.
    Delivered,
    /// The user acknowledged it.
    Acknowledged,
    /// Its deadline passed unacknowledged.
    Escalated,
}

/// An alert's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Where it stands.
    pub status: AlertStatus,
    /// Connections it was written to.
    pub delivered_to: u64,
    /// When it was acknowledged.
    pub acknowledged_at_ms: Option<u64>,
    /// When its escalation reached its receiver.
    pub escalated_at_ms: Option<u64>,
    /// Tries to escalate it that were begun.
    pub attempts: u32,
    /// Its place in the inbox.
    pub position: Position,
}

impl AlertStatus {
    /// The status that follows from an alert's facts.
    pub(crate) fn of(acknowledged: bool, deadline_ms: Option<u64>, delivered_to: u64, now_ms: u64) -> Self {
        if acknowledged {
            Self::Acknowledged
        } else if deadline_ms.is_some_and(|at| at <= now_ms) {
            Self::Escalated
        } else if delivered_to > 0 {
            Self::Delivered
        } else {
            Self::Queued
        }
    }
}

/// An overdue alert, in the hands of one caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueAlert {
    /// Which.
    pub id: AlertId,
    /// When it was accepted, milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// Until when it should have been acknowledged.
    pub deadline_ms: u64,
    /// Of its message.
    pub priority: Priority,
    /// How often it was taken, this time included.
    pub attempt: u32,
    /// Its message's.
    pub data: RawJson,
}

/// What [`crate::Backplane::claim_due`] found.
#[derive(Debug, Clone, Default)]
pub struct DueAlerts {
    /// The caller's.
    pub claimed: Vec<DueAlert>,
    /// Overdue ones that nobody holds.
    pub waiting: u64,
    /// Critical messages that no user acknowledged. Expired ones may be among them until they are the oldest.
    pub unacknowledged: u64,
    /// Age of the oldest critical message that no user acknowledged.
    pub oldest_unacknowledged: Option<Duration>,
    /// Parts of the store that could not be asked: the rest is what the others said.
    pub unreachable: usize,
}

/// What became of a try to escalate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escalation {
    /// Its receiver has it.
    Done,
    /// It failed: to be taken again after this time.
    Again(Duration),
    /// It failed for good. It stays unacknowledged in its inbox and is not taken again.
    GivenUp,
}

impl AlertId {
    /// A new one for `user`.
    pub fn generate(user: &UserId) -> Self {
        use rand::distr::{Alphanumeric, SampleString};
        Self::new(user, &Alphanumeric.sample_string(&mut rand::rng(), 24))
    }

    /// The same one for the same `user` and `seed`: a repeated notification names the alert that the first one made.
    pub fn derived(user: &UserId, seed: &str) -> Self {
        const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let digest = Sha256::new().chain_update(user.as_str()).chain_update(b":").chain_update(seed).finalize();
        let text: String = digest.iter().take(24).map(|byte| char::from(ALPHABET[usize::from(*byte) % 62])).collect();
        Self::new(user, &text)
    }

    fn new(user: &UserId, unique: &str) -> Self {
        use std::fmt::Write;
        let mut text = String::with_capacity(user.as_str().len() * 2 + 25);
        for byte in user.as_str().bytes() {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.push('.');
        text.push_str(unique);
        Self { user: user.clone(), text }
    }

    /// Reads one that a caller gave; `None` if it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let (hex, random) = text.split_once('.')?;
        if random.len() != 24
            || !random.bytes().all(|byte| byte.is_ascii_alphanumeric())
            || !hex.is_ascii()
            || hex.len() % 2 != 0
        {
            return None;
        }
        let bytes: Option<Vec<u8>> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect();
        let user = UserId::new(std::str::from_utf8(&bytes?).ok()?).ok()?;
        Some(Self { user, text: text.to_owned() })
    }

    /// Whose alert it is.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// As on the wire.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}
