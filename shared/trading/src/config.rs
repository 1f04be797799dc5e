//! The section `[trading]`: where the trading services find the cluster and one another, and what they show there.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use tickwire_auth::{
    AuthConfig, AuthError, Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_client::{Client, ClientError, ClientOptions, Emitter, EmitterOptions, TokenError, TokenSource};
use tickwire_protocol::{UserId, user::InvalidUser};

use crate::peer::Peer;

/// How long a token that a service makes for itself is valid.
const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// Section `trading`, the same for session, algorithm and risk.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TradingConfig {
    /// WebSocket addresses of edges.
    pub edges: Vec<String>,
    /// The emitter's address.
    pub emitter: String,
    /// The session service's address.
    pub session: String,
    /// The algorithm service's address.
    pub algorithm: String,
    /// The risk service's address.
    pub risk: String,
    /// The API key that a service shows to the emitter and to the others. It must be in `emitter.api_keys` and in their `api_keys`.
    pub service_key: Option<Secret>,
    /// API keys of services that may call: in clear, or `sha256:` and the key's digest.
    pub api_keys: Vec<Secret>,
    /// A token with the role `service` for the edges. Without it services sign their own with `auth.hs256_secret`.
    pub cluster_token: Option<Secret>,
}

impl Default for TradingConfig {
    fn default() -> Self {
        Self {
            edges: vec!["ws://127.0.0.1:8000/ws".into()],
            emitter: "http://127.0.0.1:8001".into(),
            session: "http://127.0.0.1:8010".into(),
            algorithm: "http://127.0.0.1:8011".into(),
            risk: "http://127.0.0.1:8012".into(),
            service_key: None,
            api_keys: Vec::new(),
            cluster_token: None,
        }
    }
}

/// Why the cluster cannot be reached as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A key is missing.
    #[error("trading.{0} is not set")]
    Missing(&'static str),
    /// The secret cannot sign.
    #[error("no token for the edges can be signed")]
    Sign(#[from] AuthError),
    /// A service's name is no user id.
    #[error("the service's name")]
    Name(#[from] InvalidUser),
    /// An address or option is wrong.
    #[error("the client cannot be made")]
    Client(#[from] ClientError),
    /// The HTTP client for the other services cannot be made.
    #[error("the HTTP client cannot be made")]
    Http(#[from] reqwest::Error),
}

impl TradingConfig {
    /// The emitter's client.
    pub fn emitter(&self) -> Result<Emitter, ClusterError> {
        let key = self.service_key.as_ref().ok_or(ClusterError::Missing("service_key"))?;
        Ok(Emitter::new(EmitterOptions::new(&self.emitter, key.expose()))?)
    }

    /// A client of the cluster, as the service called `name` with the role `service`.
    pub fn cluster(&self, auth: &AuthConfig, name: &str) -> Result<Client, ClusterError> {
        let first = self.edges.first().ok_or(ClusterError::Missing("edges"))?;
        let options = ClientOptions::new(first, self.token(auth, name)?);
        Ok(Client::connect(ClientOptions { urls: self.edges.clone(), ..options })?)
    }

    /// Another service, at `url`.
    pub fn peer(&self, url: &str) -> Result<Peer, ClusterError> {
        let key = self.service_key.as_ref().ok_or(ClusterError::Missing("service_key"))?;
        Ok(Peer::new(url, key.expose())?)
    }

    fn token(&self, auth: &AuthConfig, name: &str) -> Result<TokenSource, ClusterError> {
        if let Some(token) = &self.cluster_token {
            return Ok(TokenSource::Fixed(token.expose().to_owned()));
        }
        let secret = auth.hs256_secret.as_ref().ok_or(ClusterError::Missing("cluster_token"))?;
        let signer = Arc::new(Signer::new(secret)?);
        let user = UserId::new(name)?;
        let (iss, aud) = (auth.issuer.clone(), auth.audience.clone());
        Ok(TokenSource::provider(move || {
            let claims = TokenClaims::new(user.clone()).valid_for(TOKEN_LIFETIME).role("service");
            let claims = TokenClaims { iss: iss.clone(), aud: aud.clone(), ..claims };
            let token = signer.sign(&claims).map_err(|error| TokenError(Box::new(error)));
            async move { token }
        }))
    }
}
