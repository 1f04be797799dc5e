//! Credentials that let a developer begin at once.

use std::{fmt, net::SocketAddr, time::Duration};

use tickwire_auth::{
    AuthConfig, AuthError, Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_protocol::UserId;

use crate::Config;

/// How long the printed token is valid.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The user it names.
const USER: &str = "dev";
/// The channel that the printed commands use.
const CHANNEL: &str = "room:lobby";

/// No keys were configured, and random ones would be open to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no key to verify tokens with: set TICKWIRE_AUTH__HS256_SECRET (random keys are made on loopback addresses only, and \
     {0} is none)"
)]
pub struct NotLoopback(pub SocketAddr);

/// Fills in what is not configured: a random secret, and a random API key. Only where nobody else can connect.
pub fn complete(config: &mut Config) -> Result<(), NotLoopback> {
    let addresses = [config.edge.edge.listen, config.emitter.emitter.listen];
    let outside = addresses.into_iter().find(|address| !address.ip().is_loopback());
    if !has_keys(&config.edge.auth) {
        if let Some(address) = outside {
            return Err(NotLoopback(address));
        }
        config.edge.auth.hs256_secret = Some(Secret::random());
    }
    config.emitter.auth = config.edge.auth.clone();
    if config.emitter.emitter.api_keys.is_empty() && outside.is_none() {
        config.emitter.emitter.api_keys.push(Secret::random());
    }
    Ok(())
}

fn has_keys(auth: &AuthConfig) -> bool {
    let secrets = [&auth.hs256_secret, &auth.hs384_secret, &auth.hs512_secret];
    secrets.into_iter().any(Option::is_some) || !auth.public_keys.is_empty() || auth.jwks_url.is_some()
}

/// What a developer pastes into a terminal and a browser. Made from a completed [`Config`]; `None` where the secret is not
/// HS256 and no token can be signed here, or where the addresses are not loopback and secrets belong into no log.
#[derive(Debug)]
pub struct Welcome {
    edge: SocketAddr,
    emitter: SocketAddr,
    token: String,
    api_key: String,
}

impl Welcome {
    /// Signs a token for `dev` and collects the rest. The addresses are those bound.
    pub fn new(config: &Config, edge: SocketAddr, emitter: SocketAddr) -> Result<Option<Self>, AuthError> {
        let (Some(secret), Some(api_key)) = (&config.edge.auth.hs256_secret, config.emitter.emitter.api_keys.first())
        else {
            return Ok(None);
        };
        let Ok(user) = UserId::new(USER) else { return Ok(None) };
        if !edge.ip().is_loopback() || !emitter.ip().is_loopback() {
            return Ok(None);
        }
        let claims =
            TokenClaims::new(user).valid_for(TOKEN_LIFETIME).role("desk").grant("session:*").grant("strategy:*");
        let claims =
            TokenClaims { iss: config.edge.auth.issuer.clone(), aud: config.edge.auth.audience.clone(), ..claims };
        let token = Signer::new(secret)?.sign(&claims)?;
        Ok(Some(Self { edge, emitter, token, api_key: api_key.expose().to_owned() }))
    }

    /// The token, for user `dev` with role `desk`.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A key that the emitter accepts, unless it was configured as a digest.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }
}

impl fmt::Display for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { edge, emitter, token, api_key } = self;
        write!(
            f,
            r#"
Tickwire runs, in this process only: history ends with it.

  edge      ws://{edge}/ws
  emitter   http://{emitter}/   (its API: http://{emitter}/docs)
  watch     http://{edge}/#token={token}&channels={CHANNEL}

Token of user "dev", valid for 24 hours:

{token}

Subscribe:

  echo '{{"type":"subscribe","channels":["{CHANNEL}"]}}' | websocat -n -H "Authorization: Bearer {token}" ws://{edge}/ws

Publish:

  curl -sS http://{emitter}/v1/publish -H "Authorization: Bearer {api_key}" -H "Content-Type: application/json" -d '{{"channel":"{CHANNEL}","data":{{"hello":"world"}}}}'
"#
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_keys_are_made_on_loopback() {
        let mut config = Config::default();
        complete(&mut config).unwrap();
        assert!(config.edge.auth.hs256_secret.is_some());
        assert_eq!(config.emitter.emitter.api_keys.len(), 1);
        let local = SocketAddr::from(([127, 0, 0, 1], 1));
        let welcome = Welcome::new(&config, local, local).unwrap().unwrap();
        let text = welcome.to_string();
        assert!(text.contains(welcome.token()) && text.contains(welcome.api_key()));
    }

    #[test]
    fn random_keys_are_refused_where_others_can_connect() {
        let open = SocketAddr::from(([0, 0, 0, 0], 8000));
        let mut config = Config::default();
        config.edge.edge.listen = open;
        assert_eq!(complete(&mut config), Err(NotLoopback(open)));
        config.edge.auth.hs256_secret = Some(Secret::random());
        complete(&mut config).unwrap();
        assert!(config.emitter.emitter.api_keys.is_empty(), "no key that nobody chose");
        assert!(Welcome::new(&config, open, open).unwrap().is_none());
    }
}
