//! Who calls, and under which idempotency key.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use sha2::{Digest, Sha256};
use tickwire_http::{Bearer, Credentials, Refusal};
use tickwire_protocol::UserId;

/// Longest idempotency key, bytes.
const KEY_BYTES_MAX: usize = 128;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A user, by a token of the cluster: sees and does only what is theirs.
    User(UserId),
    /// A service, by an API key or a token with the role `service`.
    Service,
}

impl Caller {
    /// Whether what belongs to `owner` exists for this caller. Others' things are answered as what there is not.
    pub fn sees(&self, owner: &UserId) -> bool {
        match self {
            Self::User(user) => user == owner,
            Self::Service => true,
        }
    }

    /// A service's; users are refused.
    pub fn service(&self) -> Result<(), Refusal> {
        match self {
            Self::Service => Ok(()),
            Self::User(_) => {
                let message = "this needs an API key, or a token with the role `service`";
                Err(Refusal::new(tickwire_protocol::ErrorCode::Forbidden, message))
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    Arc<Credentials>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let credentials = Arc::<Credentials>::from_ref(state);
        Ok(match credentials.identify(parts).await? {
            Bearer::Key(_) => Self::Service,
            Bearer::Token(identity) if identity.has_role("service") => Self::Service,
            Bearer::Token(identity) => Self::User(identity.user),
        })
    }
}

/// The header `Idempotency-Key`, if there is one: 1 to 128 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

impl IdempotencyKey {
    /// What is stored of it: a digest of caller and key, so that two callers' keys never meet. 32 hexadecimal digits.
    pub fn digest(&self, caller: &Caller) -> Option<String> {
        let caller = match caller {
            Caller::User(user) => format!("user {user}"),
            Caller::Service => "service".to_owned(),
        };
        let digest = Sha256::digest(format!("{caller}\n{}", self.0.as_ref()?));
        Some(hex::encode(&digest[..16]))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let key = value.to_str().unwrap_or_default();
        if (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            Ok(Self(Some(key.to_owned())))
        } else {
            Err(Refusal::bad_request("`Idempotency-Key`: 1 to 128 printable ASCII characters"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_two_callers_never_meet() {
        let key = IdempotencyKey(Some("k".into()));
        let [ann, bob] = ["ann", "bob"].map(|user| Caller::User(UserId::new(user).unwrap()));
        assert_eq!(key.digest(&ann), key.digest(&ann.clone()));
        assert_ne!(key.digest(&ann), key.digest(&bob));
        assert_ne!(key.digest(&ann), key.digest(&Caller::Service));
        assert_eq!(IdempotencyKey(None).digest(&ann), None);
    }
}
