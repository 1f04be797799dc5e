//! Credentials that let a developer begin at once.

use std::{fmt, net::SocketAddr, time::Duration};

use bytes::Bytes;
use tickwire_auth::{
    AuthConfig, AuthError, Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_protocol::UserId;

use crate::{Config, demo};

/// How long the printed token is valid.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The user it names.
pub(crate) const USER: &str = "dev";
/// The channel that the printed commands use.
const CHANNEL: &str = "room:lobby";
/// Said where it runs.
const DEMO: &str = "  demo      bots of two users trade on the replayed markets; one session reaches its loss limit within two minutes\n";
/// A second one, who may look into the cluster's machinery.
pub(crate) const OPERATOR: &str = "ops";

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
        config.is_development = true;
    }
    config.emitter.auth = config.edge.auth.clone();
    if config.emitter.emitter.api_keys.is_empty() && outside.is_none() {
        config.emitter.emitter.api_keys.push(Secret::random());
    }
    Ok(())
}

/// What the dashboard's sign-in buttons use: `{"people":[{"user","roles","token"}]}`. Only with a secret of this run, and only
/// on a loopback address.
pub(crate) fn sign_in(config: &Config, edge: SocketAddr) -> Result<Option<Bytes>, AuthError> {
    let Some(secret) = config.edge.auth.hs256_secret.as_ref().filter(|_| config.is_development) else {
        return Ok(None);
    };
    if !edge.ip().is_loopback() {
        return Ok(None);
    }
    let people: [(&str, &[&str]); 2] = [(USER, &["desk"]), (OPERATOR, &["desk", "operator"])];
    let mut listed = Vec::new();
    for (user, roles) in people {
        let token = token(config, secret, user, roles)?;
        listed.push(serde_json::json!({ "user": user, "roles": roles, "token": token }));
    }
    Ok(Some(serde_json::json!({ "people": listed }).to_string().into()))
}

pub(crate) fn token(config: &Config, secret: &Secret, user: &str, roles: &[&str]) -> Result<Option<String>, AuthError> {
    let Ok(user) = UserId::new(user) else { return Ok(None) };
    let claims = TokenClaims::new(user).valid_for(TOKEN_LIFETIME).grant("session:*").grant("strategy:*");
    let claims = roles.iter().fold(claims, |claims, &role| claims.role(role));
    let auth = &config.edge.auth;
    let claims = TokenClaims { iss: auth.issuer.clone(), aud: auth.audience.clone(), ..claims };
    Signer::new(secret)?.sign(&claims).map(Some)
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
    has_demo: bool,
}

impl Welcome {
    /// Signs a token for `dev` and collects the rest. The addresses are those bound.
    pub fn new(config: &Config, edge: SocketAddr, emitter: SocketAddr) -> Result<Option<Self>, AuthError> {
        let (Some(secret), Some(api_key)) = (&config.edge.auth.hs256_secret, config.emitter.emitter.api_keys.first())
        else {
            return Ok(None);
        };
        if !edge.ip().is_loopback() || !emitter.ip().is_loopback() {
            return Ok(None);
        }
        let Some(token) = token(config, secret, USER, &["desk"])? else { return Ok(None) };
        Ok(Some(Self { edge, emitter, token, api_key: api_key.expose().to_owned(), has_demo: demo::is_on(config) }))
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
        let Self { edge, emitter, token, api_key, has_demo } = self;
        let demo = if *has_demo { DEMO } else { "" };
        write!(
            f,
            r#"
Tickwire runs, in this process only: history ends with it.

  edge      ws://{edge}/ws
  emitter   http://{emitter}/   (its API: http://{emitter}/docs)
  dashboard http://{edge}/   (sign in with one click)
{demo}  watch     http://{edge}/tap?channel={CHANNEL}#token={token}

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
        let people = sign_in(&config, local).unwrap().unwrap();
        let people: serde_json::Value = serde_json::from_slice(&people).unwrap();
        assert_eq!(people["people"][1]["roles"], serde_json::json!(["desk", "operator"]));
        assert_eq!(sign_in(&config, SocketAddr::from(([0, 0, 0, 0], 1))).unwrap(), None);
        config.is_development = false;
        assert_eq!(sign_in(&config, local).unwrap(), None, "tokens of a secret that others chose are not given away");
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
