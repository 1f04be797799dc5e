//! Algorithms, confusion of algorithms, rotation, and configurations that are refused.

use jsonwebtoken::{Algorithm, EncodingKey};
use tickwire_auth::{AuthConfig, AuthError, PublicKeyConfig, Secret, Verifier};

use crate::{SECRET, claims, config, hs256, sign, verify};

pub(crate) const RSA: (&str, &str) = (include_str!("../keys/rsa.private.pem"), include_str!("../keys/rsa.public.pem"));
pub(crate) const OTHER_RSA: (&str, &str) =
    (include_str!("../keys/other-rsa.private.pem"), include_str!("../keys/other-rsa.public.pem"));
pub(crate) const P256: (&str, &str) =
    (include_str!("../keys/p256.private.pem"), include_str!("../keys/p256.public.pem"));
pub(crate) const P384: (&str, &str) =
    (include_str!("../keys/p384.private.pem"), include_str!("../keys/p384.public.pem"));
pub(crate) const ED25519: (&str, &str) =
    (include_str!("../keys/ed25519.private.pem"), include_str!("../keys/ed25519.public.pem"));

pub(crate) fn private(algorithm: Algorithm, pem: &str) -> EncodingKey {
    match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem.as_bytes()),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
        _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
    }
    .unwrap()
}

fn public(kid: Option<&str>, algorithm: Algorithm, pem: &str) -> PublicKeyConfig {
    PublicKeyConfig { kid: kid.map(str::to_owned), algorithm, pem: pem.to_owned() }
}

fn with_keys(keys: Vec<PublicKeyConfig>) -> AuthConfig {
    AuthConfig { public_keys: keys, ..AuthConfig::default() }
}

/// The public-key algorithms, each with a key of its kind.
const ASYMMETRIC: [(Algorithm, (&str, &str)); 9] = [
    (Algorithm::RS256, RSA),
    (Algorithm::RS384, RSA),
    (Algorithm::RS512, RSA),
    (Algorithm::PS256, RSA),
    (Algorithm::PS384, RSA),
    (Algorithm::PS512, RSA),
    (Algorithm::ES256, P256),
    (Algorithm::ES384, P384),
    (Algorithm::EdDSA, ED25519),
];

#[tokio::test]
async fn every_algorithm_verifies_with_its_key() {
    for (algorithm, (private_pem, public_pem)) in ASYMMETRIC {
        let config = with_keys(vec![public(Some("k"), algorithm, public_pem)]);
        let key = private(algorithm, private_pem);
        for kid in [Some("k"), None] {
            let outcome = verify(&config, &sign(algorithm, kid, &key, &claims())).await;
            assert!(outcome.is_ok(), "{algorithm:?} {kid:?}: {outcome:?}");
        }
        let outcome = verify(&config, &sign(algorithm, Some("other"), &key, &claims())).await;
        assert_eq!(outcome, Err(AuthError::UnknownKey), "{algorithm:?}");
    }
    let secret = || Some(Secret::from(SECRET));
    let config = AuthConfig { hs384_secret: secret(), hs512_secret: secret(), ..config() };
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let token = sign(algorithm, None, &EncodingKey::from_secret(SECRET.as_bytes()), &claims());
        assert!(verify(&config, &token).await.is_ok(), "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_key_serves_its_own_algorithm_only() {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let outcome = verify(&config(), &sign(algorithm, None, &key, &claims())).await;
        assert_eq!(outcome, Err(AuthError::UnknownKey), "{algorithm:?}");
    }
    let config = with_keys(vec![public(None, Algorithm::RS256, RSA.1)]);
    for algorithm in [Algorithm::RS512, Algorithm::PS256] {
        let token = sign(algorithm, None, &private(algorithm, RSA.0), &claims());
        assert_eq!(verify(&config, &token).await, Err(AuthError::UnknownKey), "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_public_key_used_as_a_shared_secret_is_refused() {
    let rsa = with_keys(vec![public(Some("k"), Algorithm::RS256, RSA.1)]);
    let both = AuthConfig { hs256_secret: Some(SECRET.into()), ..rsa.clone() };
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        for secret in [RSA.1.as_bytes(), RSA.1.trim().as_bytes()] {
            let token = sign(algorithm, Some("k"), &EncodingKey::from_secret(secret), &claims());
            assert_eq!(verify(&rsa, &token).await, Err(AuthError::UnknownKey));
            assert!(verify(&both, &token).await.is_err());
        }
    }
}

#[tokio::test]
async fn a_signature_of_another_private_key_is_refused() {
    let config = with_keys(vec![public(Some("k"), Algorithm::RS256, RSA.1)]);
    let token = sign(Algorithm::RS256, Some("k"), &private(Algorithm::RS256, OTHER_RSA.0), &claims());
    assert_eq!(verify(&config, &token).await, Err(AuthError::BadSignature));
}

#[tokio::test]
async fn the_previous_secret_stays_valid() {
    let new = "the new secret, thirty-two bytes long";
    let rotated = AuthConfig { hs256_secret: Some(new.into()), previous_hs256_secret: Some(SECRET.into()), ..config() };
    let old_token = hs256(&claims());
    assert!(verify(&rotated, &old_token).await.is_ok());
    let new_token = sign(Algorithm::HS256, None, &EncodingKey::from_secret(new.as_bytes()), &claims());
    assert!(verify(&rotated, &new_token).await.is_ok());
    let finished = AuthConfig { hs256_secret: Some(new.into()), ..AuthConfig::default() };
    assert_eq!(verify(&finished, &old_token).await, Err(AuthError::BadSignature));
}

#[tokio::test]
async fn two_public_keys_serve_side_by_side() {
    let keys = vec![public(Some("a"), Algorithm::RS256, RSA.1), public(Some("b"), Algorithm::RS256, OTHER_RSA.1)];
    let config = with_keys(keys);
    for (kid, pem, accepted) in [
        (Some("a"), RSA.0, true),
        (Some("b"), OTHER_RSA.0, true),
        (None, OTHER_RSA.0, true),
        (Some("a"), OTHER_RSA.0, false),
    ] {
        let token = sign(Algorithm::RS256, kid, &private(Algorithm::RS256, pem), &claims());
        assert_eq!(verify(&config, &token).await.is_ok(), accepted, "{kid:?}");
    }
}

#[test]
fn unusable_configurations_are_refused_with_their_key_and_without_its_value() {
    let jwks = |url: &str| AuthConfig { jwks_url: Some(url.to_owned()), ..AuthConfig::default() };
    let cases = [
        ("hs256_secret", AuthConfig { hs256_secret: Some("short-secret".into()), ..AuthConfig::default() }),
        ("previous_hs256_secret", AuthConfig { previous_hs256_secret: Some("".into()), ..config() }),
        ("leeway_s", AuthConfig { leeway_s: 301, ..config() }),
        ("token_bytes_max", AuthConfig { token_bytes_max: 0, ..config() }),
        ("public_keys", with_keys(vec![public(None, Algorithm::HS256, RSA.1)])),
        ("public_keys", with_keys(vec![public(None, Algorithm::RS256, RSA.0)])),
        ("public_keys", with_keys(vec![public(None, Algorithm::RS256, P256.1)])),
        ("public_keys", with_keys(vec![public(None, Algorithm::ES256, P384.1)])),
        ("public_keys", with_keys(vec![public(None, Algorithm::EdDSA, "no key")])),
        ("public_keys", with_keys(vec![public(None, Algorithm::EdDSA, ED25519.1); 65])),
        ("jwks_url", jwks("not a url")),
        ("jwks_url", jwks("http://example.com/keys")),
        ("jwks_url", jwks("http://127.0.0.1.example.com/keys")),
        ("jwks_url", jwks("file:///etc/passwd")),
        ("jwks_refresh_s", AuthConfig { jwks_refresh_s: 0, ..jwks("https://example.com/keys") }),
    ];
    for (key, config) in cases {
        let error = Verifier::new(&config).unwrap_err();
        assert!(matches!(error, AuthError::InvalidConfig { key: named, .. } if named == key), "{key}: {error}");
        assert!(!error.to_string().contains("short-secret"));
        assert!(error.is_config());
    }
    assert_eq!(config().validate(), Ok(()));
    let error = AuthConfig::default().validate().unwrap_err();
    assert_eq!(error, AuthError::NoKeys);
    assert!(error.to_string().contains("TICKWIRE_AUTH__HS256_SECRET"));
}
