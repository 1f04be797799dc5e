//! Who the clients say they are.

use std::time::Duration;

use tickwire_auth::{
    Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_protocol::UserId;

use crate::{error::LoadError, settings::Settings};

/// Longer than any run.
const LIFETIME: Duration = Duration::from_secs(7 * 86_400);

/// Gives each client its token.
#[derive(Debug)]
pub enum Tokens {
    /// Each user its own, signed here.
    Signed(Signer),
    /// All the same.
    Fixed(String),
}

impl Tokens {
    /// From `--secret` or `--token`.
    pub fn new(settings: &Settings) -> Result<Self, LoadError> {
        match (&settings.secret, &settings.token) {
            (Some(secret), _) => Ok(Self::Signed(Signer::new(&Secret::new(secret.clone()))?)),
            (None, Some(token)) => Ok(Self::Fixed(token.clone())),
            (None, None) => Err(LoadError::Settings("--secret or --token is missing".into())),
        }
    }

    /// A token of `user`, who may read every trading session.
    pub fn token(&self, user: &str) -> Result<String, LoadError> {
        match self {
            Self::Fixed(token) => Ok(token.clone()),
            Self::Signed(signer) => {
                let id = UserId::new(user).map_err(|error| LoadError::Settings(format!("`{user}`: {error}")))?;
                let claims = TokenClaims::new(id).valid_for(LIFETIME).grant("session:*");
                Ok(signer.sign(&claims)?)
            }
        }
    }
}
