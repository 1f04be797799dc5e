//! A key set behind a real HTTP server: rotation, outage, floods of unknown key ids.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use serde_json::{Value, json};
use tickwire_auth::{AuthConfig, AuthError, Verifier};
use tickwire_protocol::ErrorCode;

use crate::{
    SECRET, claims,
    keys::{ED25519, OTHER_RSA, P256, P384, RSA, private},
    sign,
};

/// What the server answers, and how often it was asked.
#[derive(Clone, Default)]
struct Issuer {
    answer: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
    delay: Duration,
}

impl Issuer {
    /// Starts a server and gives it with a configuration that trusts it.
    async fn start(delay: Duration) -> (Self, AuthConfig) {
        let issuer = Self { delay, ..Self::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let router = Router::new().route("/jwks.json", get(Self::serve)).with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (issuer, AuthConfig { jwks_url: Some(url), ..AuthConfig::default() })
    }

    async fn serve(State(issuer): State<Self>) -> Result<String, StatusCode> {
        issuer.asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(issuer.delay).await;
        issuer.answer.lock().unwrap().clone().ok_or(StatusCode::BAD_GATEWAY)
    }

    fn publish(&self, keys: &[Value]) {
        *self.answer.lock().unwrap() = Some(json!({ "keys": keys }).to_string());
    }

    fn fail(&self) {
        *self.answer.lock().unwrap() = None;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn jwk(kid: &str, algorithm: Algorithm, private_pem: &str) -> Value {
    let mut jwk = Jwk::from_encoding_key(&private(algorithm, private_pem), algorithm).unwrap();
    jwk.common.key_id = Some(kid.to_owned());
    serde_json::to_value(jwk).unwrap()
}

fn token(kid: &str, algorithm: Algorithm, private_pem: &str) -> String {
    sign(algorithm, Some(kid), &private(algorithm, private_pem), &claims())
}

#[tokio::test]
async fn keys_of_every_kind_are_fetched_once() {
    let (issuer, config) = Issuer::start(Duration::ZERO).await;
    let kinds = [
        ("r", Algorithm::RS256, RSA.0),
        ("p", Algorithm::PS512, RSA.0),
        ("e", Algorithm::ES256, P256.0),
        ("f", Algorithm::ES384, P384.0),
        ("d", Algorithm::EdDSA, ED25519.0),
    ];
    issuer.publish(&kinds.map(|(kid, algorithm, pem)| jwk(kid, algorithm, pem)));
    let verifier = Verifier::new(&config).unwrap();
    assert_eq!(issuer.asked(), 0, "nothing is fetched before a token needs it");
    for (kid, algorithm, pem) in kinds {
        let outcome = verifier.verify(&token(kid, algorithm, pem)).await;
        assert!(outcome.is_ok(), "{algorithm:?}: {outcome:?}");
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn a_key_without_alg_serves_its_kinds_usual_algorithm_only() {
    let (issuer, config) = Issuer::start(Duration::ZERO).await;
    let mut key = jwk("r", Algorithm::RS256, RSA.0);
    key.as_object_mut().unwrap().remove("alg");
    issuer.publish(&[key]);
    let verifier = Verifier::new(&config).unwrap();
    assert!(verifier.verify(&token("r", Algorithm::RS256, RSA.0)).await.is_ok());
    assert_eq!(verifier.verify(&token("r", Algorithm::RS512, RSA.0)).await, Err(AuthError::UnknownKey));
}

#[tokio::test]
async fn shared_secrets_and_encryption_keys_in_a_set_are_never_used() {
    let (issuer, config) = Issuer::start(Duration::ZERO).await;
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let mut oct = serde_json::to_value(Jwk::from_encoding_key(&secret, Algorithm::HS256).unwrap()).unwrap();
    oct["kid"] = json!("s");
    let mut encryption = jwk("enc", Algorithm::RS256, OTHER_RSA.0);
    encryption["use"] = json!("enc");
    issuer.publish(&[oct, encryption, json!({ "kty": "unknown" }), json!(7), jwk("r", Algorithm::RS256, RSA.0)]);
    let verifier = Verifier::new(&config).unwrap();
    let forged = sign(Algorithm::HS256, Some("s"), &secret, &claims());
    assert_eq!(verifier.verify(&forged).await, Err(AuthError::UnknownKey));
    assert_eq!(issuer.asked(), 0, "a shared-secret token causes no fetch");
    assert_eq!(verifier.verify(&token("enc", Algorithm::RS256, OTHER_RSA.0)).await, Err(AuthError::UnknownKey));
    assert!(verifier.verify(&token("r", Algorithm::RS256, RSA.0)).await.is_ok());
}

#[tokio::test]
async fn a_rotated_key_is_found_at_its_first_token() {
    let (issuer, config) = Issuer::start(Duration::ZERO).await;
    let config = AuthConfig { jwks_unknown_kid_s: 0, ..config };
    issuer.publish(&[jwk("old", Algorithm::RS256, RSA.0)]);
    let verifier = Verifier::new(&config).unwrap();
    assert!(verifier.verify(&token("old", Algorithm::RS256, RSA.0)).await.is_ok());
    issuer.publish(&[jwk("new", Algorithm::RS256, OTHER_RSA.0)]);
    assert!(verifier.verify(&token("new", Algorithm::RS256, OTHER_RSA.0)).await.is_ok());
    assert_eq!(verifier.verify(&token("old", Algorithm::RS256, RSA.0)).await, Err(AuthError::UnknownKey));
}

#[tokio::test]
async fn a_withdrawn_key_ends_with_the_refresh_interval() {
    let (issuer, config) = Issuer::start(Duration::ZERO).await;
    let config = AuthConfig { jwks_refresh_s: 1, ..config };
    issuer.publish(&[jwk("a", Algorithm::RS256, RSA.0), jwk("b", Algorithm::RS256, OTHER_RSA.0)]);
    let verifier = Verifier::new(&config).unwrap();
    let withdrawn = token("b", Algorithm::RS256, OTHER_RSA.0);
    assert!(verifier.verify(&withdrawn).await.is_ok());
    issuer.publish(&[jwk("a", Algorithm::RS256, RSA.0)]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while verifier.verify(&withdrawn).await.is_ok() {
        assert!(Instant::now() < deadline, "the withdrawn key is still in use");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(verifier.verify(&token("a", Algorithm::RS256, RSA.0)).await.is_ok());
}

#[tokio::test]
async fn a_flood_of_unknown_kids_causes_one_fetch() {
    let (issuer, config) = Issuer::start(Duration::ZERO).await;
    issuer.publish(&[jwk("a", Algorithm::RS256, RSA.0)]);
    let verifier = Verifier::new(&config).unwrap();
    for n in 0..20 {
        let outcome = verifier.verify(&token(&format!("x{n}"), Algorithm::RS256, OTHER_RSA.0)).await;
        assert_eq!(outcome, Err(AuthError::UnknownKey));
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn tokens_at_once_share_one_fetch_even_if_the_first_leaves() {
    let (issuer, config) = Issuer::start(Duration::from_millis(300)).await;
    issuer.publish(&[jwk("a", Algorithm::RS256, RSA.0)]);
    let verifier = Arc::new(Verifier::new(&config).unwrap());
    let good = Arc::new(token("a", Algorithm::RS256, RSA.0));
    let verify = || {
        let (verifier, good) = (verifier.clone(), good.clone());
        tokio::spawn(async move { verifier.verify(&good).await })
    };
    let first = verify();
    let deadline = Instant::now() + Duration::from_secs(30);
    while issuer.asked() == 0 {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    first.abort();
    let others: Vec<_> = (0..10).map(|_| verify()).collect();
    for other in others {
        assert!(other.await.unwrap().is_ok());
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn an_outage_keeps_known_keys_and_says_unavailable_for_others() {
    let (issuer, config) = Issuer::start(Duration::ZERO).await;
    let config = AuthConfig { jwks_unknown_kid_s: 0, ..config };
    let verifier = Verifier::new(&config).unwrap();
    let good = token("a", Algorithm::RS256, RSA.0);
    let outcome = verifier.verify(&good).await;
    assert_eq!(outcome, Err(AuthError::KeysUnavailable), "no key yet");
    assert_eq!(AuthError::KeysUnavailable.code(), ErrorCode::Unavailable);

    issuer.publish(&[jwk("a", Algorithm::RS256, RSA.0)]);
    assert!(verifier.verify(&good).await.is_ok());

    issuer.fail();
    let unknown = verifier.verify(&token("b", Algorithm::RS256, OTHER_RSA.0)).await;
    assert_eq!(unknown, Err(AuthError::KeysUnavailable));
    assert!(verifier.verify(&good).await.is_ok(), "known keys outlive the outage");
    let fetches = verifier.key_fetches();
    assert_eq!(fetches.succeeded, 1);
    assert!(fetches.failed >= 2, "{fetches:?}");
}

#[tokio::test]
async fn an_answer_over_the_limit_or_of_nonsense_is_no_key_set() {
    for answer in [format!("{{\"keys\":[],\"pad\":\"{}\"}}", "x".repeat(300_000)), "<html>".to_owned(), "{}".to_owned()]
    {
        let (issuer, config) = Issuer::start(Duration::ZERO).await;
        *issuer.answer.lock().unwrap() = Some(answer);
        let outcome = Verifier::new(&config).unwrap().verify(&token("a", Algorithm::RS256, RSA.0)).await;
        assert_eq!(outcome, Err(AuthError::KeysUnavailable));
    }
}
