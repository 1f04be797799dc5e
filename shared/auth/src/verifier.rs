//! From a token to an identity.

use std::{str::FromStr, sync::Arc};

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use tickwire_protocol::time::now_ms;

use crate::{
    AuthConfig, AuthError, Identity,
    claims::{self, Claims, Parts, Rules},
    jwks::Jwks,
    key::{self, Key, Match, Signed},
};

/// How often a key set was fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyFetches {
    /// With keys as the outcome.
    pub succeeded: u64,
    /// Without: no answer, or no usable key in it. Growing, it means that a rotation will not be noticed.
    pub failed: u64,
}

/// Verifies tokens. One serves a whole process, from any thread.
pub struct Verifier {
    keys: Vec<Key>,
    jwks: Option<Arc<Jwks>>,
    rules: Rules,
    token_bytes_max: usize,
}

impl Verifier {
    /// Checks the configuration, its keys and the cryptographic library. Fetches nothing: a key set's URL is asked
    /// when the first token needs it.
    pub fn new(config: &AuthConfig) -> Result<Self, AuthError> {
        config.check()?;
        key::self_test()?;
        Ok(Self {
            keys: key::configured(config)?,
            jwks: Jwks::from_config(config)?,
            rules: Rules {
                issuer: config.issuer.clone(),
                audience: config.audience.clone(),
                leeway_s: config.leeway_s,
            },
            token_bytes_max: config.token_bytes_max,
        })
    }

    /// Verifies `token`. Waits only where a key set must be fetched first: for the first token, for an unknown `kid`
    /// (at most once in `jwks_unknown_kid_s`), and after a long silence.
    pub async fn verify(&self, token: &str) -> Result<Identity, AuthError> {
        if token.len() > self.token_bytes_max {
            return Err(AuthError::TooLong);
        }
        let parts = Parts::parse(token)?;
        // `none` is no algorithm of this type, so it ends here with every other foreign name.
        let algorithm = Algorithm::from_str(&parts.header.alg).map_err(|_| AuthError::UnknownKey)?;
        let kid = parts.header.kid.as_deref();
        self.check_signature(Signed { algorithm, kid, message: parts.message, signature: parts.signature }).await?;
        let claims: Claims = claims::decode(parts.payload)?;
        claims.into_identity(&self.rules, now_ms())
    }

    /// Fetches of the key set since the start, for a metric.
    pub fn key_fetches(&self) -> KeyFetches {
        self.jwks.as_ref().map(|jwks| jwks.fetches()).unwrap_or_default()
    }

    async fn check_signature(&self, signed: Signed<'_>) -> Result<(), AuthError> {
        let own = key::find(self.keys.iter(), signed);
        if own == Match::Verified {
            return Ok(());
        }
        let remote = match &self.jwks {
            // A shared secret is never a matter for the network, so such tokens cause no fetch.
            Some(jwks) if signed.algorithm.family() != AlgorithmFamily::Hmac => jwks.find(signed).await?,
            _ => Match::NoKey,
        };
        match (own, remote) {
            (_, Match::Verified) => Ok(()),
            (Match::NoKey, Match::NoKey) => Err(AuthError::UnknownKey),
            _ => Err(AuthError::BadSignature),
        }
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("keys", &self.keys.len()).field("rules", &self.rules).finish_non_exhaustive()
    }
}
