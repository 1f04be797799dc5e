//! From a token's text to its claims, and from claims to an identity.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};
use tickwire_protocol::UserId;

use crate::{AuthError, Identity, Pattern};

/// Longest `jti`, bytes.
pub(crate) const TOKEN_ID_BYTES_MAX: usize = 255;
/// Most patterns in `channels`.
const GRANTS_MAX: usize = 1_000;
/// Most entries in `roles`.
const ROLES_MAX: usize = 64;
/// Longest role, bytes.
const ROLE_BYTES_MAX: usize = 64;

/// The part of a token's header that matters. `jku`, `jwk` and `x5u` are ignored: a token names no keys of its own.
#[derive(Deserialize)]
pub(crate) struct Header {
    pub(crate) alg: String,
    #[serde(default)]
    pub(crate) kid: Option<String>,
    /// Extensions that must be understood (RFC 7515 §4.1.11); none is.
    #[serde(default)]
    pub(crate) crit: Option<serde::de::IgnoredAny>,
}

/// A token cut at its dots.
pub(crate) struct Parts<'a> {
    pub(crate) header: Header,
    pub(crate) message: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) signature: &'a str,
}

impl<'a> Parts<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, AuthError> {
        let (message, signature) = token.rsplit_once('.').ok_or(AuthError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(AuthError::Malformed)?;
        if payload.contains('.') {
            return Err(AuthError::Malformed);
        }
        let header: Header = decode(header)?;
        if header.crit.is_some() {
            return Err(AuthError::UnknownKey);
        }
        Ok(Self { header, message, payload, signature })
    }
}

/// Decodes a base64url part that holds JSON.
pub(crate) fn decode<T: DeserializeOwned>(part: &str) -> Result<T, AuthError> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| AuthError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| AuthError::Malformed)
}

/// The claims as sent. Each is taken apart by itself, so that an error can name it.
#[derive(Deserialize)]
pub(crate) struct Claims {
    #[serde(default)]
    sub: serde_json::Value,
    #[serde(default)]
    exp: serde_json::Value,
    #[serde(default)]
    nbf: serde_json::Value,
    #[serde(default)]
    iat: serde_json::Value,
    #[serde(default)]
    iss: serde_json::Value,
    #[serde(default)]
    aud: serde_json::Value,
    #[serde(default)]
    jti: serde_json::Value,
    #[serde(default)]
    channels: serde_json::Value,
    #[serde(default)]
    roles: serde_json::Value,
}

/// What a token is measured by, beside its signature.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) issuer: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) leeway_s: u64,
}

impl Claims {
    /// Checks every claim at `now_ms`.
    pub(crate) fn into_identity(self, required: &Rules, now_ms: u64) -> Result<Identity, AuthError> {
        let latest_start_ms = now_ms.saturating_add(required.leeway_s.saturating_mul(1_000));
        let expires_at_ms = date_ms("exp", &self.exp)?.ok_or(AuthError::InvalidClaim("exp"))?;
        let issued_at_ms = date_ms("iat", &self.iat)?;
        // Without leeway: a live connection ends at `exp`, so a token accepted after it would be closed at once.
        if expires_at_ms <= now_ms {
            return Err(AuthError::Expired);
        }
        if date_ms("nbf", &self.nbf)?.is_some_and(|nbf| nbf > latest_start_ms) {
            return Err(AuthError::NotYetValid);
        }
        if issued_at_ms.is_some_and(|iat| iat > latest_start_ms) {
            return Err(AuthError::IssuedInFuture);
        }
        if required.issuer.as_deref().is_some_and(|issuer| self.iss.as_str() != Some(issuer)) {
            return Err(AuthError::WrongIssuer);
        }
        if required.audience.as_deref().is_some_and(|audience| !names(&self.aud, audience)) {
            return Err(AuthError::WrongAudience);
        }
        let grants = texts("channels", &self.channels, GRANTS_MAX)?
            .map(|text| Pattern::new(text?).map_err(|_| AuthError::InvalidClaim("channels")))
            .collect::<Result<_, _>>()?;
        let roles = texts("roles", &self.roles, ROLES_MAX)?
            .map(|text| bounded("roles", text?, ROLE_BYTES_MAX))
            .collect::<Result<_, _>>()?;
        Ok(Identity {
            user: user(&self.sub)?,
            roles,
            grants,
            expires_at_ms,
            issued_at_s: issued_at_ms.map(|ms| ms / 1_000),
            token_id: token_id(&self.jti)?,
        })
    }
}

/// `sub`: a text, or a whole number as its decimal digits.
fn user(value: &serde_json::Value) -> Result<UserId, AuthError> {
    let invalid = AuthError::InvalidClaim("sub");
    match value {
        serde_json::Value::String(text) => UserId::new(text).map_err(|_| invalid),
        serde_json::Value::Number(number) if number.is_u64() => UserId::new(&number.to_string()).map_err(|_| invalid),
        _ => Err(invalid),
    }
}

fn token_id(value: &serde_json::Value) -> Result<Option<Box<str>>, AuthError> {
    match value {
        serde_json::Value::Null => Ok(None),
        serde_json::Value::String(text) => bounded("jti", text, TOKEN_ID_BYTES_MAX).map(Some),
        _ => Err(AuthError::InvalidClaim("jti")),
    }
}

fn bounded(claim: &'static str, text: &str, bytes_max: usize) -> Result<Box<str>, AuthError> {
    if (1..=bytes_max).contains(&text.len()) { Ok(text.into()) } else { Err(AuthError::InvalidClaim(claim)) }
}

/// A `NumericDate` of RFC 7519: seconds, which may have a fraction, as milliseconds.
fn date_ms(claim: &'static str, value: &serde_json::Value) -> Result<Option<u64>, AuthError> {
    let invalid = AuthError::InvalidClaim(claim);
    match value {
        serde_json::Value::Null => Ok(None),
        serde_json::Value::Number(number) => {
            if let Some(seconds) = number.as_u64() {
                return Ok(Some(seconds.saturating_mul(1_000)));
            }
            let seconds = number.as_f64().filter(|seconds| (0.0..1e12).contains(seconds)).ok_or(invalid)?;
            let since_epoch = std::time::Duration::from_secs_f64(seconds);
            Ok(Some(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)))
        }
        _ => Err(invalid),
    }
}

/// Whether `aud`, one text or a list, names `audience`.
fn names(aud: &serde_json::Value, audience: &str) -> bool {
    match aud {
        serde_json::Value::String(text) => text == audience,
        serde_json::Value::Array(list) => list.iter().any(|entry| entry.as_str() == Some(audience)),
        _ => false,
    }
}

/// The texts of a list that may be absent.
fn texts<'a>(
    claim: &'static str,
    value: &'a serde_json::Value,
    count_max: usize,
) -> Result<impl Iterator<Item = Result<&'a str, AuthError>> + use<'a>, AuthError> {
    let list: &[serde_json::Value] = match value {
        serde_json::Value::Null => &[],
        serde_json::Value::Array(list) if list.len() <= count_max => list,
        _ => return Err(AuthError::InvalidClaim(claim)),
    };
    Ok(list.iter().map(move |entry| entry.as_str().ok_or(AuthError::InvalidClaim(claim))))
}
