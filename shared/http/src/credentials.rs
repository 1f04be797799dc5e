//! Who calls: a token or an API key.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{header, request::Parts};
use tickwire_auth::{ApiKeys, AuthConfig, AuthError, Identity, Revocations, Secret, Verifier};
use tickwire_backplane::{Backplane, BackplaneError, Control, ControlsMark};
use tickwire_protocol::{ErrorCode, time::now_ms};

use crate::Refusal;

/// Longest bearer that is looked at, bytes.
const BEARER_BYTES_MAX: usize = 16 * 1024;

/// How often revocations are read; a revoked token works no longer than this.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// What a service accepts from its callers.
pub struct Credentials {
    /// `None` where only API keys are configured.
    verifier: Option<Verifier>,
    keys: ApiKeys,
    revocations: Mutex<Revocations>,
    /// Up to which sticky controls are in `revocations`.
    mark: Mutex<ControlsMark>,
}

/// What a caller showed.
#[derive(Debug)]
pub enum Bearer {
    /// One of the API keys: this one.
    Key(Secret),
    /// A valid token, not revoked.
    Token(Identity),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Tokens by `auth`, and `keys`. One of the two must be there.
    pub fn new(auth: &AuthConfig, keys: &[Secret]) -> Result<Self, AuthError> {
        let keys = ApiKeys::new(keys)?;
        let verifier = match Verifier::new(auth) {
            Ok(verifier) => Some(verifier),
            // API keys are a way to authenticate, too.
            Err(AuthError::NoKeys) if !keys.is_empty() => None,
            Err(error) => return Err(error),
        };
        Ok(Self { verifier, keys, revocations: Mutex::default(), mark: Mutex::default() })
    }

    /// Checks the header `Authorization`.
    pub async fn identify(&self, parts: &Parts) -> Result<Bearer, Refusal> {
        let unauthenticated = |message| Refusal::new(ErrorCode::Unauthenticated, message);
        let bearer = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, bearer)| bearer.trim())
            .filter(|bearer| !bearer.is_empty() && bearer.len() <= BEARER_BYTES_MAX)
            .ok_or_else(|| unauthenticated("send `Authorization: Bearer` with a token or an API key"))?;
        if self.keys.contains(bearer) {
            return Ok(Bearer::Key(bearer.into()));
        }
        let Some(verifier) = &self.verifier else { return Err(unauthenticated("the API key is not known here")) };
        let identity = verifier.verify(bearer).await?;
        let revocations = self.revocations.lock().unwrap_or_else(PoisonError::into_inner);
        if revocations.is_revoked(&identity, now_ms()) {
            return Err(unauthenticated("the token has been revoked"));
        }
        Ok(Bearer::Token(identity))
    }

    /// Reads revocations again and again, until it is dropped; `evicted` hears how many had to be forgotten so far.
    pub async fn keep_fresh(&self, backplane: &dyn Backplane, evicted: impl Fn(u64)) {
        let mut rounds = tokio::time::interval(REFRESH_INTERVAL);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            match self.refresh(backplane).await {
                Ok(count) => evicted(count),
                Err(error) => {
                    tracing::warn!(%error, "revocations could not be read; the known ones stay in force");
                }
            }
        }
    }

    /// Takes over the revocations that are in force. Answers how many had to be forgotten so far.
    pub async fn refresh(&self, backplane: &dyn Backplane) -> Result<u64, BackplaneError> {
        let mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (controls, next) = backplane.controls_since(&mark).await?;
        let mut revocations = self.revocations.lock().unwrap_or_else(PoisonError::into_inner);
        for control in controls {
            match control {
                Control::RevokeToken { jti, expires_at_ms } => {
                    revocations.revoke_token(&jti, expires_at_ms);
                }
                Control::RevokeUser { user, issued_until_s, expires_at_ms } => {
                    revocations.revoke_user(user, issued_until_s, expires_at_ms);
                }
                Control::Disconnect { .. } | Control::Ban { .. } => {}
            }
        }
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner) = next;
        revocations.prune(now_ms());
        Ok(revocations.evicted())
    }
}
