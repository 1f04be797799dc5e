//! What can go wrong, and what a client is told about it.

use tickwire_protocol::ErrorCode;

/// Why a token was refused, or why verification could not be set up.
///
/// `Display` is fit for a client: it names the rule that was broken, never a key or a part of the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No key is configured, so nobody could ever be authenticated.
    #[error(
        "no key to verify tokens with: set TICKWIRE_AUTH__HS256_SECRET (or auth.public_keys, or auth.jwks_url) before starting"
    )]
    NoKeys,
    /// A value of the configuration cannot be used.
    #[error("auth.{key}: {reason}")]
    InvalidConfig {
        /// The key below `auth`.
        key: &'static str,
        /// What is wrong with it, without its value.
        reason: String,
    },
    /// The cryptographic library gave a wrong answer to a known question.
    #[error("the cryptographic self-test failed")]
    CryptoBackend,
    /// Not three base64url parts with JSON in the first two.
    #[error("the token is malformed")]
    Malformed,
    /// Longer than `auth.token_bytes_max`.
    #[error("the token is too long")]
    TooLong,
    /// No key fits the token's algorithm and key id: `none`, a foreign algorithm, a foreign `kid`.
    #[error("the token is signed with an algorithm or key that is not accepted here")]
    UnknownKey,
    /// The signature does not verify.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is still to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iat` is in the future.
    #[error("the token was issued in the future")]
    IssuedInFuture,
    /// `iss` is not the configured one.
    #[error("the token's issuer is not accepted here")]
    WrongIssuer,
    /// `aud` does not name the configured audience.
    #[error("the token is meant for another audience")]
    WrongAudience,
    /// A claim is missing, of the wrong type or over a limit.
    #[error("the token's claim `{0}` is missing or not usable")]
    InvalidClaim(&'static str),
    /// The key set's URL did not answer and no key at hand fits; the same token may pass later.
    #[error("the signing keys cannot be fetched at the moment")]
    KeysUnavailable,
}

impl AuthError {
    /// The code for an `error` frame or an HTTP body.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Expired => ErrorCode::TokenExpired,
            Self::KeysUnavailable => ErrorCode::Unavailable,
            Self::NoKeys | Self::InvalidConfig { .. } | Self::CryptoBackend => ErrorCode::Internal,
            _ => ErrorCode::Unauthenticated,
        }
    }

    /// Whether the configuration is at fault: a service ends with exit code 64.
    pub const fn is_config(&self) -> bool {
        matches!(self, Self::NoKeys | Self::InvalidConfig { .. })
    }

    /// Whether the same token may be accepted later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::KeysUnavailable | Self::NotYetValid | Self::IssuedInFuture)
    }
}
