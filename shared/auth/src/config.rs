//! The section `[auth]`.

use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};

use crate::{AuthError, Secret};

/// Most entries in `public_keys`.
pub(crate) const PUBLIC_KEYS_MAX: usize = 64;
/// Longest leeway.
pub(crate) const LEEWAY_S_MAX: u64 = 300;
/// A secret shorter than this is refused.
const SECRET_BYTES_MIN: usize = 16;
/// A secret shorter than this is warned about: RFC 7518 §3.2 wants as many bits as the hash has.
const SECRET_BYTES_ADVISED: usize = 32;

/// The section `[auth]`: environment `TICKWIRE_AUTH__<KEY>`, file `[auth] key = …`.
///
/// At least one key must be there: a secret, a public key or a key set's URL.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Shared secret of HS256 tokens, at least 16 bytes (32 advised).
    pub hs256_secret: Option<Secret>,
    /// Shared secret of HS384 tokens.
    pub hs384_secret: Option<Secret>,
    /// Shared secret of HS512 tokens.
    pub hs512_secret: Option<Secret>,
    /// The HS256 secret before the last change: tokens signed with it stay valid until they expire.
    pub previous_hs256_secret: Option<Secret>,
    /// The HS384 secret before the last change.
    pub previous_hs384_secret: Option<Secret>,
    /// The HS512 secret before the last change.
    pub previous_hs512_secret: Option<Secret>,
    /// Public keys, at most 64: `{ algorithm = "RS256", pem = "…", kid = "…" }`.
    pub public_keys: Vec<PublicKeyConfig>,
    /// URL of a JSON Web Key Set. `https`, or `http` on loopback.
    pub jwks_url: Option<String>,
    /// Allows plain `http` for `jwks_url` beyond loopback: whoever can change that traffic can sign tokens.
    pub jwks_allow_http: bool,
    /// Seconds after which the key set is fetched again.
    pub jwks_refresh_s: u64,
    /// Least seconds between two fetches that tokens with an unknown `kid` cause.
    pub jwks_unknown_kid_s: u64,
    /// Seconds for which keys stay in use while their URL does not answer; then no key of the set is accepted.
    pub jwks_stale_s_max: u64,
    /// `iss` that a token must carry.
    pub issuer: Option<String>,
    /// `aud` that a token must name. Without it, tokens made for some other audience are accepted too.
    pub audience: Option<String>,
    /// Seconds by which `nbf` and `iat` may lie in the future, for clocks that differ; at most 300. `exp` is exact.
    pub leeway_s: u64,
    /// Longest token, bytes.
    pub token_bytes_max: usize,
}

/// A public key of `auth.public_keys`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKeyConfig {
    /// Key id. With one, the key serves tokens with this `kid` or with none.
    #[serde(default)]
    pub kid: Option<String>,
    /// `RS256/384/512`, `PS256/384/512`, `ES256/384` or `EdDSA`: the only algorithm this key serves.
    pub algorithm: Algorithm,
    /// The public key in PEM.
    pub pem: String,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            hs256_secret: None,
            hs384_secret: None,
            hs512_secret: None,
            previous_hs256_secret: None,
            previous_hs384_secret: None,
            previous_hs512_secret: None,
            public_keys: Vec::new(),
            jwks_url: None,
            jwks_allow_http: false,
            jwks_refresh_s: 300,
            jwks_unknown_kid_s: 30,
            jwks_stale_s_max: 86_400,
            issuer: None,
            audience: None,
            leeway_s: 5,
            token_bytes_max: 8 * 1024,
        }
    }
}

impl AuthConfig {
    /// Whether a [`crate::Verifier`] can be made of it: what a service asks before it binds a port.
    pub fn validate(&self) -> Result<(), AuthError> {
        crate::Verifier::new(self).map(drop)
    }

    /// Every shared secret with its key in the configuration and its algorithm.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = (&'static str, Algorithm, &Secret)> {
        [
            ("hs256_secret", Algorithm::HS256, &self.hs256_secret),
            ("hs384_secret", Algorithm::HS384, &self.hs384_secret),
            ("hs512_secret", Algorithm::HS512, &self.hs512_secret),
            ("previous_hs256_secret", Algorithm::HS256, &self.previous_hs256_secret),
            ("previous_hs384_secret", Algorithm::HS384, &self.previous_hs384_secret),
            ("previous_hs512_secret", Algorithm::HS512, &self.previous_hs512_secret),
        ]
        .into_iter()
        .filter_map(|(name, algorithm, secret)| Some((name, algorithm, secret.as_ref()?)))
    }

    /// Checks everything that needs no network and no key parsing.
    pub(crate) fn check(&self) -> Result<(), AuthError> {
        let invalid = |key, reason: &str| Err(AuthError::InvalidConfig { key, reason: reason.to_owned() });
        if self.secrets().next().is_none() && self.public_keys.is_empty() && self.jwks_url.is_none() {
            return Err(AuthError::NoKeys);
        }
        for (key, _, secret) in self.secrets() {
            if secret.len() < SECRET_BYTES_MIN {
                return invalid(key, "a secret has at least 16 bytes; `openssl rand -hex 32` makes a good one");
            }
            if secret.len() < SECRET_BYTES_ADVISED {
                tracing::warn!(key, "a secret under 32 bytes can be guessed; `openssl rand -hex 32` makes a good one");
            }
        }
        if self.public_keys.len() > PUBLIC_KEYS_MAX {
            return invalid("public_keys", "at most 64 keys");
        }
        if self.leeway_s > LEEWAY_S_MAX {
            return invalid("leeway_s", "at most 300 seconds");
        }
        if !(64..=1024 * 1024).contains(&self.token_bytes_max) {
            return invalid("token_bytes_max", "between 64 and 1,048,576 bytes");
        }
        if self.jwks_url.is_some() && !(1..=86_400).contains(&self.jwks_refresh_s) {
            return invalid("jwks_refresh_s", "between 1 and 86,400 seconds");
        }
        Ok(())
    }
}
