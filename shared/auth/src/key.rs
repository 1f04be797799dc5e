//! Keys that verify tokens, and which of them fits a token.

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, crypto};

use crate::{AuthConfig, AuthError, PublicKeyConfig};

/// Signatures tried for one token at most: a token without `kid` may fit several keys.
const TRIED_MAX: usize = 8;

/// A key bound to the one algorithm it serves.
pub(crate) struct Key {
    pub(crate) kid: Option<Box<str>>,
    pub(crate) algorithm: Algorithm,
    pub(crate) decoding: DecodingKey,
}

/// How a token's signature stands to a set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// A key verifies it.
    Verified,
    /// Keys fit its algorithm and `kid`, none verifies it.
    Refuted,
    /// No key fits.
    NoKey,
}

/// The parts of a token that its signature is checked by.
#[derive(Clone, Copy)]
pub(crate) struct Signed<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<&'a str>,
    /// `header.payload`, as sent.
    pub(crate) message: &'a str,
    /// The signature in base64url.
    pub(crate) signature: &'a str,
}

impl Key {
    fn verifies(&self, signed: Signed<'_>) -> bool {
        // The key's algorithm, though it equals the header's by now: the header decides nothing.
        crypto::verify(signed.signature, signed.message.as_bytes(), &self.decoding, self.algorithm).unwrap_or(false)
    }

    fn fits(&self, signed: Signed<'_>) -> bool {
        let fits_kid = match (self.kid.as_deref(), signed.kid) {
            (Some(own), Some(named)) => own == named,
            _ => true,
        };
        self.algorithm == signed.algorithm && fits_kid
    }
}

/// Tries the keys that fit `signed`: those with its very `kid` first.
pub(crate) fn find<'a>(keys: impl Iterator<Item = &'a Key> + Clone, signed: Signed<'_>) -> Match {
    let fitting = keys.filter(|key| key.fits(signed));
    let is_exact = |key: &&Key| signed.kid.is_some() && key.kid.as_deref() == signed.kid;
    let ordered = fitting.clone().filter(is_exact).chain(fitting.filter(|key| !is_exact(key)));
    let mut found = Match::NoKey;
    for key in ordered.take(TRIED_MAX) {
        if key.verifies(signed) {
            return Match::Verified;
        }
        found = Match::Refuted;
    }
    found
}

/// The keys that the configuration itself holds.
pub(crate) fn configured(config: &AuthConfig) -> Result<Vec<Key>, AuthError> {
    let mut keys: Vec<Key> = config
        .secrets()
        .map(|(_, algorithm, secret)| Key {
            kid: None,
            algorithm,
            decoding: DecodingKey::from_secret(secret.expose().as_bytes()),
        })
        .collect();
    for key in &config.public_keys {
        keys.push(public_key(key)?);
    }
    Ok(keys)
}

fn public_key(config: &PublicKeyConfig) -> Result<Key, AuthError> {
    let invalid = |reason: String| AuthError::InvalidConfig { key: "public_keys", reason };
    let algorithm = config.algorithm;
    if config.pem.contains("PRIVATE KEY") {
        return Err(invalid("a private key has no place here; give the public key in PEM".to_owned()));
    }
    let pem = config.pem.as_bytes();
    let decoding = match algorithm.family() {
        AlgorithmFamily::Hmac => {
            return Err(invalid(format!("{algorithm:?} has no public key; set its secret instead")));
        }
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
        AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem),
    }
    .map_err(|_| invalid(format!("not a public key for {algorithm:?} in PEM")))?;
    // A P-384 key under ES256 would parse, and then refuse every token.
    let point_bytes = match algorithm {
        Algorithm::ES256 => Some(65),
        Algorithm::ES384 => Some(97),
        _ => None,
    };
    if let Some(wanted) = point_bytes
        && decoding.try_get_as_bytes().map(<[u8]>::len) != Ok(wanted)
    {
        return Err(invalid(format!("the key's curve is not the one of {algorithm:?}")));
    }
    Ok(Key { kid: config.kid.as_deref().map(Into::into), algorithm, decoding })
}

/// Checks the cryptographic library against RFC 7515 A.1: with an unlucky set of features it compiles and then
/// panics, or refuses, at the first token.
pub(crate) fn self_test() -> Result<(), AuthError> {
    // An error says that one is installed already, which is as good.
    let _already = crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let key = jsonwebtoken::jwk::Jwk {
        common: jsonwebtoken::jwk::CommonParameters::default(),
        algorithm: jsonwebtoken::jwk::AlgorithmParameters::OctetKey(jsonwebtoken::jwk::OctetKeyParameters {
            key_type: jsonwebtoken::jwk::OctetKeyType::Octet,
            value: "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow".to_owned(),
        }),
    };
    let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
        eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let right = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let wrong = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXg";
    let key = DecodingKey::from_jwk(&key).map_err(|_| AuthError::CryptoBackend)?;
    let verify = |signature| crypto::verify(signature, message.as_bytes(), &key, Algorithm::HS256);
    match (verify(right), verify(wrong)) {
        // The second differs in its last, unused bits or in its value; either way it must not pass as another text.
        (Ok(true), Ok(false) | Err(_)) => Ok(()),
        _ => Err(AuthError::CryptoBackend),
    }
}
