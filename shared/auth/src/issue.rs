//! Tokens made here: for development, for tests, and for services that call one another.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde::Serialize;
use tickwire_protocol::{UserId, time::now_ms};

use crate::{AuthError, Secret, key};

/// What a token shall say. Starts with the user, issued now, valid for one hour.
#[derive(Debug, Clone, Serialize)]
pub struct TokenClaims {
    /// The user.
    pub sub: UserId,
    /// Expiry, seconds since the Unix epoch.
    pub exp: u64,
    /// Issue, seconds since the Unix epoch.
    pub iat: u64,
    /// Grants.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// Roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Audience.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// Id, by which the token can be revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
}

impl TokenClaims {
    /// A token for `user`, issued now and valid for one hour.
    pub fn new(user: UserId) -> Self {
        let iat = now_ms() / 1_000;
        Self {
            sub: user,
            exp: iat + 3_600,
            iat,
            channels: Vec::new(),
            roles: Vec::new(),
            iss: None,
            aud: None,
            jti: None,
        }
    }

    /// Valid for `lifetime` from its issue, whole seconds.
    #[must_use]
    pub fn valid_for(mut self, lifetime: Duration) -> Self {
        self.exp = self.iat.saturating_add(lifetime.as_secs());
        self
    }

    /// Adds a grant.
    #[must_use]
    pub fn grant(mut self, pattern: impl Into<String>) -> Self {
        self.channels.push(pattern.into());
        self
    }

    /// Adds a role.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.roles.push(role.into());
        self
    }

    /// Sets the id.
    #[must_use]
    pub fn token_id(mut self, id: impl Into<String>) -> Self {
        self.jti = Some(id.into());
        self
    }
}

/// Signs tokens with a shared secret, HS256.
pub struct Signer {
    key: EncodingKey,
}

impl Signer {
    /// A signer with the secret that verifiers know as `auth.hs256_secret`.
    pub fn new(secret: &Secret) -> Result<Self, AuthError> {
        key::self_test()?;
        Ok(Self { key: EncodingKey::from_secret(secret.expose().as_bytes()) })
    }

    /// Signs `claims`: [`TokenClaims`], or any map.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, AuthError> {
        let json = serde_json::to_vec(claims).map_err(|_| AuthError::Malformed)?;
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(json));
        let signature =
            crypto::sign(message.as_bytes(), &self.key, Algorithm::HS256).map_err(|_| AuthError::CryptoBackend)?;
        Ok(format!("{message}.{signature}"))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}
