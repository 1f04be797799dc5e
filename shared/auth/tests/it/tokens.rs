//! Claims, and tokens that are none.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use proptest::prelude::*;
use serde_json::json;
use tickwire_auth::{
    AuthConfig, AuthError, Verifier,
    issue::{Signer, TokenClaims},
};
use tickwire_protocol::{ErrorCode, UserId};

use crate::{SECRET, claims, config, hs256, now_s, sign, verify, with};

fn raw(header: &str, payload: &str, signature: &str) -> String {
    format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

#[tokio::test]
async fn a_good_token_gives_its_identity() {
    let exp = now_s() + 60;
    let token = hs256(&json!({
        "sub": "7", "exp": exp, "iat": now_s(), "nbf": now_s(), "jti": "t-1",
        "channels": ["session:42", "prices:*"], "roles": ["desk"], "unknown": { "a": [1] },
    }));
    let identity = verify(&config(), &token).await.unwrap();
    assert_eq!(identity.user.as_str(), "7");
    assert_eq!(identity.expires_at_ms, exp * 1_000);
    assert_eq!(identity.token_id.as_deref(), Some("t-1"));
    assert!(identity.has_role("desk") && !identity.has_role("service"));
    assert!(identity.is_granted(&"session:42".parse().unwrap()));
    assert!(!identity.is_granted(&"session:43".parse().unwrap()));
}

#[tokio::test]
async fn a_numeric_subject_is_its_decimal_text() {
    let identity = verify(&config(), &hs256(&with("sub", json!(42)))).await.unwrap();
    assert_eq!(identity.user.as_str(), "42");
}

#[tokio::test]
async fn what_the_signer_issues_the_verifier_accepts() {
    let signer = Signer::new(&SECRET.into()).unwrap();
    let claims = TokenClaims::new(UserId::new("alice").unwrap()).grant("session:*").role("service").token_id("x");
    let identity = verify(&config(), &signer.sign(&claims).unwrap()).await.unwrap();
    assert_eq!(identity.user.as_str(), "alice");
    assert!(identity.has_role("service"));
    assert_eq!(identity.issued_at_s, Some(claims.iat));
}

#[tokio::test]
async fn only_the_same_user_may_replace_an_identity() {
    let seven = verify(&config(), &hs256(&claims())).await.unwrap();
    let refreshed = verify(&config(), &hs256(&with("roles", json!(["desk"])))).await.unwrap();
    let eight = verify(&config(), &hs256(&with("sub", json!("8")))).await.unwrap();
    assert!(refreshed.may_replace(&seven));
    assert!(!eight.may_replace(&seven));
}

#[tokio::test]
async fn starts_have_five_seconds_leeway_and_the_end_has_none() {
    let now = now_s();
    for (claim, value, expected) in [
        ("exp", json!(now - 60), Err(AuthError::Expired)),
        ("exp", json!(now - 2), Err(AuthError::Expired)),
        ("exp", json!(now + 30), Ok(())),
        ("exp", json!(0), Err(AuthError::Expired)),
        ("nbf", json!(now + 60), Err(AuthError::NotYetValid)),
        ("nbf", json!(now + 2), Ok(())),
        ("iat", json!(now + 60), Err(AuthError::IssuedInFuture)),
        ("iat", json!(now + 2), Ok(())),
        ("iat", json!(1.5), Ok(())),
    ] {
        let outcome = verify(&config(), &hs256(&with(claim, value.clone()))).await.map(|_| ());
        assert_eq!(outcome, expected, "{claim} {value}");
    }
    assert_eq!(AuthError::Expired.code(), ErrorCode::TokenExpired);
    assert_eq!(AuthError::NotYetValid.code(), ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn unusable_claims_are_named() {
    let many: Vec<String> = (0..1_001).map(|n| n.to_string()).collect();
    for (claim, value) in [
        ("sub", json!(null)),
        ("sub", json!("")),
        ("sub", json!("a:b")),
        ("sub", json!("a b")),
        ("sub", json!(-1)),
        ("sub", json!(1.5)),
        ("sub", json!(["7"])),
        ("sub", json!("x".repeat(201))),
        ("exp", json!(null)),
        ("exp", json!("tomorrow")),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("nbf", json!("now")),
        ("iat", json!({})),
        ("jti", json!(1)),
        ("jti", json!("j".repeat(256))),
        ("channels", json!("session:42")),
        ("channels", json!([1])),
        ("channels", json!(["a*b"])),
        ("channels", json!(["x".repeat(256)])),
        ("channels", json!(many)),
        ("roles", json!("desk")),
        ("roles", json!([null])),
        ("roles", json!(many[..65])),
        ("roles", json!(["r".repeat(65)])),
    ] {
        let expected = Err(AuthError::InvalidClaim(claim));
        let outcome = verify(&config(), &hs256(&with(claim, value.clone()))).await.map(|_| ());
        assert_eq!(outcome, expected, "{claim} {value}");
    }
}

#[tokio::test]
async fn issuer_and_audience_are_demanded_where_configured() {
    let config =
        AuthConfig { issuer: Some("https://id".to_owned()), audience: Some("tickwire".to_owned()), ..config() };
    let token = |iss: serde_json::Value, aud: serde_json::Value| {
        hs256(&json!({ "sub": "7", "exp": now_s() + 60, "iss": iss, "aud": aud }))
    };
    for (iss, aud, expected) in [
        (json!("https://id"), json!("tickwire"), Ok(())),
        (json!("https://id"), json!(["other", "tickwire"]), Ok(())),
        (json!("https://evil"), json!("tickwire"), Err(AuthError::WrongIssuer)),
        (json!(null), json!("tickwire"), Err(AuthError::WrongIssuer)),
        (json!(["https://id"]), json!("tickwire"), Err(AuthError::WrongIssuer)),
        (json!("https://id"), json!("other"), Err(AuthError::WrongAudience)),
        (json!("https://id"), json!(null), Err(AuthError::WrongAudience)),
        (json!("https://id"), json!([]), Err(AuthError::WrongAudience)),
    ] {
        assert_eq!(verify(&config, &token(iss.clone(), aud.clone())).await.map(|_| ()), expected, "{iss} {aud}");
    }
}

#[tokio::test]
async fn a_token_without_signature_is_refused() {
    let payload = claims().to_string();
    for alg in ["none", "None", "NONE", "", "HS1", "HS256 "] {
        let header = json!({ "alg": alg, "typ": "JWT" }).to_string();
        let outcome = verify(&config(), &raw(&header, &payload, "")).await;
        assert_eq!(outcome, Err(AuthError::UnknownKey), "{alg}");
    }
    let outcome = verify(&config(), &raw(r#"{"alg":"HS256"}"#, &payload, "")).await;
    assert_eq!(outcome, Err(AuthError::BadSignature));
}

#[tokio::test]
async fn a_token_of_another_key_or_changed_is_refused() {
    let foreign = sign(Algorithm::HS256, None, &EncodingKey::from_secret(b"another secret of some length"), &claims());
    assert_eq!(verify(&config(), &foreign).await, Err(AuthError::BadSignature));
    let good = hs256(&claims());
    let signature = good.rsplit('.').next().unwrap();
    let promoted = raw(r#"{"alg":"HS256","typ":"JWT"}"#, &with("roles", json!(["desk"])).to_string(), signature);
    assert_eq!(verify(&config(), &promoted).await, Err(AuthError::BadSignature));
}

#[tokio::test]
async fn a_header_that_must_be_understood_and_is_not_is_refused() {
    let token = raw(r#"{"alg":"HS256","crit":["exp"]}"#, &claims().to_string(), "AAAA");
    assert_eq!(verify(&config(), &token).await, Err(AuthError::UnknownKey));
}

#[tokio::test]
async fn tokens_over_the_limit_are_refused_unread() {
    let config = AuthConfig { token_bytes_max: 1_024, ..config() };
    assert_eq!(verify(&config, &"a".repeat(1_025)).await, Err(AuthError::TooLong));
    assert_eq!(verify(&config, &"a".repeat(1_024)).await, Err(AuthError::Malformed));
}

#[tokio::test]
async fn texts_that_are_no_tokens_are_malformed() {
    let good = hs256(&claims());
    let padded = format!("{good}=");
    let spaced = format!(" {good}");
    let four = format!("{good}.x");
    for text in ["", ".", "..", "...", "a.b.c", "e30.e30.", "é.é.é", &spaced, &four, "bnVsbA.e30.AA"] {
        let outcome = verify(&config(), text).await;
        assert!(matches!(outcome, Err(AuthError::Malformed)), "{text}: {outcome:?}");
    }
    assert_eq!(verify(&config(), &padded).await, Err(AuthError::BadSignature));
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #[test]
    fn any_text_is_refused_without_panic(text in "\\PC{0,200}", parts in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
        let verifier = Verifier::new(&config()).unwrap();
        prop_assert!(block_on(verifier.verify(&text)).is_err());
        prop_assert!(block_on(verifier.verify(&parts)).is_err());
    }

    #[test]
    fn any_signed_payload_is_an_identity_or_an_error(payload in any::<Vec<u8>>(), sub in any::<String>(), exp in any::<f64>()) {
        let verifier = Verifier::new(&config()).unwrap();
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(payload));
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        let token = [message, signature].join(".");
        prop_assert!(block_on(verifier.verify(&token)).is_err());
        let _either = block_on(verifier.verify(&hs256(&json!({ "sub": sub, "exp": exp }))));
    }

    #[test]
    fn one_changed_byte_anywhere_is_refused(at in any::<prop::sample::Index>(), by in 1u8..63) {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut token = hs256(&claims()).into_bytes();
        let at = at.index(token.len());
        prop_assume!(token[at] != b'.');
        let old = ALPHABET.iter().position(|&letter| letter == token[at]).unwrap();
        token[at] = ALPHABET[(old + usize::from(by)) % ALPHABET.len()];
        let token = String::from_utf8(token).unwrap();
        prop_assert!(block_on(Verifier::new(&config()).unwrap().verify(&token)).is_err());
    }
}
