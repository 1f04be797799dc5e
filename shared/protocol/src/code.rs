//! Error and close codes.

use serde::{Deserialize, Serialize};

/// The `code` of an `error` frame and of an HTTP error body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum ErrorCode {
    BadRequest,
    Unauthenticated,
    TokenExpired,
    Forbidden,
    UnknownChannel,
    NotSubscribed,
    AlreadySubscribed,
    TooLarge,
    RateLimited,
    LimitExceeded,
    StaleMessage,
    BadSignature,
    UnrecoverablePosition,
    Duplicate,
    Unavailable,
    Internal,
}

impl ErrorCode {
    /// All.
    pub const ALL: [Self; 16] = [
        Self::BadRequest,
        Self::Unauthenticated,
        Self::TokenExpired,
        Self::Forbidden,
        Self::UnknownChannel,
        Self::NotSubscribed,
        Self::AlreadySubscribed,
        Self::TooLarge,
        Self::RateLimited,
        Self::LimitExceeded,
        Self::StaleMessage,
        Self::BadSignature,
        Self::UnrecoverablePosition,
        Self::Duplicate,
        Self::Unavailable,
        Self::Internal,
    ];

    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthenticated => "unauthenticated",
            Self::TokenExpired => "token_expired",
            Self::Forbidden => "forbidden",
            Self::UnknownChannel => "unknown_channel",
            Self::NotSubscribed => "not_subscribed",
            Self::AlreadySubscribed => "already_subscribed",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::LimitExceeded => "limit_exceeded",
            Self::StaleMessage => "stale_message",
            Self::BadSignature => "bad_signature",
            Self::UnrecoverablePosition => "unrecoverable_position",
            Self::Duplicate => "duplicate",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The code written as `text`.
    pub fn from_wire(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// Whether the same request may succeed later without being changed.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::LimitExceeded | Self::Unavailable | Self::Internal)
    }

    /// The status of an HTTP answer that carries this code.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::BadRequest
            | Self::NotSubscribed
            | Self::AlreadySubscribed
            | Self::StaleMessage
            | Self::BadSignature => 400,
            Self::Unauthenticated | Self::TokenExpired => 401,
            Self::Forbidden => 403,
            Self::UnknownChannel => 404,
            Self::Duplicate => 409,
            Self::UnrecoverablePosition => 410,
            Self::TooLarge => 413,
            Self::RateLimited | Self::LimitExceeded => 429,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }
}

/// WebSocket close codes that Tickwire sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// Normal end.
    Normal = 1000,
    /// The node drains; come back after `afterMs`.
    GoingAway = 1001,
    /// The peer broke RFC 6455.
    ProtocolError = 1002,
    /// A text frame was not UTF-8.
    InvalidPayload = 1007,
    /// A frame or message over the limit.
    TooBig = 1009,
    /// Malformed frame or bad command, too many of them.
    BadCommand = 4400,
    /// Not authenticated, or the token expired and was not refreshed.
    Unauthenticated = 4401,
    /// Blocked or disconnected by an operator.
    Blocked = 4403,
    /// Handshake or heartbeat timeout.
    Timeout = 4408,
    /// Replaced by a newer connection.
    Replaced = 4409,
    /// Rate limit or connection limit.
    RateLimited = 4429,
    /// Too slow for a `reliable` channel.
    TooSlow = 4430,
    /// Internal error.
    Internal = 4500,
}

impl CloseCode {
    /// Every code.
    pub const ALL: [Self; 13] = [
        Self::Normal,
        Self::GoingAway,
        Self::ProtocolError,
        Self::InvalidPayload,
        Self::TooBig,
        Self::BadCommand,
        Self::Unauthenticated,
        Self::Blocked,
        Self::Timeout,
        Self::Replaced,
        Self::RateLimited,
        Self::TooSlow,
        Self::Internal,
    ];

    /// The number on the wire.
    pub const fn as_u16(self) -> u16 {
        self as u16
    }
}
