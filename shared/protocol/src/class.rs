//! How a channel delivers, and how urgent a message is.

use serde::{Deserialize, Serialize};

/// What a namespace promises its subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryClass {
    /// Every message, in order, recoverable by position.
    Reliable,
    /// The newest message per key; a slow connection skips stale ones.
    Latest,
    /// Live only; dropped and counted for a connection that cannot keep up.
    Volatile,
    /// `Reliable` for one user, with a read cursor and acknowledgements.
    Inbox,
}

impl DeliveryClass {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reliable => "reliable",
            Self::Latest => "latest",
            Self::Volatile => "volatile",
            Self::Inbox => "inbox",
        }
    }

    /// Whether every message must reach a subscriber (a hole is repaired, a slow reader closed with 4430).
    pub const fn is_lossless(self) -> bool {
        matches!(self, Self::Reliable | Self::Inbox)
    }
}

/// Urgency of a message: among what waits for one connection the higher goes first; inside a channel order never changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Goes before everything.
    Critical,
    /// Before ordinary traffic.
    High,
    /// The default.
    #[default]
    Medium,
    /// When nothing else waits.
    Low,
}

impl Priority {
    /// All, most urgent first; `as usize` indexes it.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Medium, Self::Low];

    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}
