//! Tokens of every kind against a real verifier.

#![allow(clippy::unwrap_used, reason = "clippy knows #[test] functions, not what they call")]

mod fuzz;
mod jwks;
mod keys;
mod tokens;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tickwire_auth::{AuthConfig, AuthError, Identity, Verifier};
use tickwire_protocol::time::now_ms;

/// The secret of these tests.
const SECRET: &str = "a secret of thirty-two bytes or more";

fn now_s() -> u64 {
    now_ms() / 1_000
}

/// A configuration that knows [`SECRET`] only.
fn config() -> AuthConfig {
    AuthConfig { hs256_secret: Some(SECRET.into()), ..AuthConfig::default() }
}

/// Claims of user 7 for the next hour.
fn claims() -> Value {
    json!({ "sub": "7", "exp": now_s() + 3_600 })
}

/// `claims` with `key` set to `value`.
fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

fn sign(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey, claims: &Value) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

fn hs256(claims: &Value) -> String {
    sign(Algorithm::HS256, None, &EncodingKey::from_secret(SECRET.as_bytes()), claims)
}

async fn verify(config: &AuthConfig, token: &str) -> Result<Identity, AuthError> {
    Verifier::new(config).unwrap().verify(token).await
}
