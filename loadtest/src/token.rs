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

/// A token for trying a deployment: of `user`, valid for `lifetime`, signed with `secret`.
pub fn sign(
    secret: &str,
    user: &str,
    roles: &[String],
    grants: &[String],
    lifetime: Duration,
) -> Result<String, LoadError> {
    let id = UserId::new(user).map_err(|error| LoadError::Settings(format!("`{user}`: {error}")))?;
    let claims = roles.iter().fold(TokenClaims::new(id).valid_for(lifetime), TokenClaims::role);
    let claims = grants.iter().fold(claims, TokenClaims::grant);
    Ok(Signer::new(&Secret::new(secret.to_owned()))?.sign(&claims)?)
}

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

#[cfg(test)]
mod tests {
    use tickwire_auth::{AuthConfig, Verifier};

    use super::*;

    #[tokio::test]
    async fn a_token_is_its_users_with_what_it_was_given() {
        let secret = "a secret of thirty-two bytes or more";
        let (roles, grants) = (["operator".to_owned()], ["session:42".to_owned()]);
        let token = sign(secret, "ann", &roles, &grants, Duration::from_secs(60)).unwrap();
        let config = AuthConfig { hs256_secret: Some(Secret::new(secret.to_owned())), ..AuthConfig::default() };
        let identity = Verifier::new(&config).unwrap().verify(&token).await.unwrap();
        assert_eq!(identity.user.as_str(), "ann");
        assert!(sign(secret, "two words", &[], &[], Duration::from_secs(60)).is_err());
    }
}
