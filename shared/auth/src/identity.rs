//! Who a verified token speaks for.

use tickwire_protocol::{ChannelName, UserId};

use crate::Pattern;

/// What a verified token says. Made by [`crate::Verifier::verify`] only (and by tests).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `sub`.
    pub user: UserId,
    /// `roles`, at most 64.
    pub roles: Vec<Box<str>>,
    /// `channels`, at most 1,000: grants for namespaces whose access is `granted`.
    pub grants: Vec<Pattern>,
    /// `exp`, milliseconds since the Unix epoch: when a live connection must have been refreshed.
    pub expires_at_ms: u64,
    /// `iat`, seconds since the Unix epoch.
    pub issued_at_s: Option<u64>,
    /// `jti`.
    pub token_id: Option<Box<str>>,
}

impl Identity {
    /// Whether the token carries `role`.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| &**own == role)
    }

    /// Whether a grant of the token covers `channel`.
    pub fn is_granted(&self, channel: &ChannelName) -> bool {
        self.grants.iter().any(|grant| grant.matches(channel.as_str()))
    }

    /// Whether the token has expired at `now_ms`.
    pub const fn is_expired(&self, now_ms: u64) -> bool {
        now_ms >= self.expires_at_ms
    }

    /// Whether a live connection of `current` may go on under this identity (`refresh`): it must be the same user.
    /// Grants and roles may differ, so the caller checks its subscriptions again.
    pub fn may_replace(&self, current: &Self) -> bool {
        self.user == current.user
    }
}
