//! Public keys fetched from a URL.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::{
    AuthConfig, AuthError, KeyFetches,
    key::{self, Key, Match, Signed},
};

/// Longest answer read.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Keys kept at most; further ones are left out with a warning.
const KEYS_MAX: usize = 64;
/// A fetch ends after this.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// After a failed fetch the next one may come this soon.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A key set behind a URL, fetched when tokens need it and never by more than one task at a time.
///
/// Keys younger than the refresh interval are used as they are. Older ones are used while a fetch runs behind, unless
/// nobody has asked for two intervals: then the fetch is waited for, so that a key withdrawn long ago opens nothing.
pub(crate) struct Jwks {
    url: reqwest::Url,
    client: reqwest::Client,
    refresh_after: Duration,
    unknown_kid_after: Duration,
    stale_max: Duration,
    keys: ArcSwapOption<KeySet>,
    flight: Arc<Mutex<Flight>>,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

struct KeySet {
    keys: Vec<Key>,
    fetched: Instant,
}

/// The last attempt to fetch. Whoever holds its lock is the one fetching.
#[derive(Default)]
struct Flight {
    attempt: Option<Attempt>,
}

#[derive(Clone, Copy)]
struct Attempt {
    at: Instant,
    succeeded: bool,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the key set's URL did not answer")]
    Request(#[from] reqwest::Error),
    #[error("the key set is over 256 KiB")]
    TooLarge,
    #[error("the answer is no key set")]
    NotAKeySet(#[from] serde_json::Error),
    #[error("the key set holds no usable public key")]
    Empty,
}

impl Jwks {
    /// The key set of `config`, if it names one.
    pub(crate) fn from_config(config: &AuthConfig) -> Result<Option<Arc<Self>>, AuthError> {
        let Some(url) = &config.jwks_url else { return Ok(None) };
        let invalid = |reason: &str| AuthError::InvalidConfig { key: "jwks_url", reason: reason.to_owned() };
        let url = reqwest::Url::parse(url).map_err(|_| invalid("not a URL"))?;
        let is_loopback = match url.host_str() {
            Some("localhost" | "127.0.0.1" | "[::1]") => true,
            Some(_) => false,
            None => return Err(invalid("a URL with a host")),
        };
        match url.scheme() {
            "https" => {}
            "http" if is_loopback || config.jwks_allow_http => {}
            _ => return Err(invalid("https (plain http needs loopback or auth.jwks_allow_http)")),
        }
        let client = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            // An idle connection would belong to the runtime of whichever shard fetched last.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| invalid(&format!("no HTTP client: {error}")))?;
        Ok(Some(Arc::new(Self {
            url,
            client,
            refresh_after: Duration::from_secs(config.jwks_refresh_s),
            unknown_kid_after: Duration::from_secs(config.jwks_unknown_kid_s),
            stale_max: Duration::from_secs(config.jwks_stale_s_max),
            keys: ArcSwapOption::empty(),
            flight: Arc::default(),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })))
    }

    pub(crate) fn fetches(&self) -> KeyFetches {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        KeyFetches { succeeded: read(&self.succeeded), failed: read(&self.failed) }
    }

    /// Looks for a key that verifies `signed`, fetching the set where that may help.
    pub(crate) async fn find(self: &Arc<Self>, signed: Signed<'_>) -> Result<Match, AuthError> {
        let mut set = self.keys.load_full();
        let age = set.as_ref().map(|set| set.fetched.elapsed());
        if age.is_none_or(|age| age >= self.refresh_after * 2) {
            set = self.refresh(self.refresh_after).await;
        } else if age.is_some_and(|age| age >= self.refresh_after) {
            self.refresh_behind();
        }
        let found = self.look_up(set.as_deref(), signed);
        let is_known = signed.kid.is_some() && found != Match::NoKey;
        if found == Match::Verified || is_known {
            return Ok(found);
        }
        // The key may be newer than the set.
        set = self.refresh(self.unknown_kid_after).await;
        let found = self.look_up(set.as_deref(), signed);
        let failed = self.flight.lock().await.attempt.is_some_and(|attempt| !attempt.succeeded);
        if failed && found == Match::NoKey { Err(AuthError::KeysUnavailable) } else { Ok(found) }
    }

    fn look_up(&self, set: Option<&KeySet>, signed: Signed<'_>) -> Match {
        match set {
            Some(set) if set.fetched.elapsed() < self.stale_max.max(self.refresh_after) => {
                key::find(set.keys.iter(), signed)
            }
            _ => Match::NoKey,
        }
    }

    /// Fetches unless the last attempt is younger than `interval`, and returns the newest set. Waits for a fetch that
    /// another task has begun.
    async fn refresh(self: &Arc<Self>, interval: Duration) -> Option<Arc<KeySet>> {
        let flight = self.flight.clone().lock_owned().await;
        let interval = match flight.attempt {
            Some(Attempt { succeeded: false, .. }) => interval.min(RETRY_AFTER),
            _ => interval,
        };
        if flight.attempt.is_none_or(|attempt| attempt.at.elapsed() >= interval) {
            let fetch = tokio::spawn(self.clone().fetch(flight));
            // The fetch is a task of its own, so a client that leaves meanwhile cannot cancel it for the others.
            if let Err(error) = fetch.await
                && error.is_panic()
            {
                tracing::error!("fetching the key set panicked");
            }
        }
        self.keys.load_full()
    }

    /// Begins a fetch that nobody waits for, unless one is under way.
    fn refresh_behind(self: &Arc<Self>) {
        let Ok(flight) = self.flight.clone().try_lock_owned() else { return };
        if flight.attempt.is_none_or(|attempt| attempt.at.elapsed() >= self.refresh_after.min(RETRY_AFTER)) {
            tokio::spawn(self.clone().fetch(flight));
        }
    }

    async fn fetch(self: Arc<Self>, mut flight: tokio::sync::OwnedMutexGuard<Flight>) {
        let outcome = self.download().await;
        flight.attempt = Some(Attempt { at: Instant::now(), succeeded: outcome.is_ok() });
        let count = if outcome.is_ok() { &self.succeeded } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), "key set fetched");
                self.keys.store(Some(Arc::new(KeySet { keys, fetched: Instant::now() })));
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "key set not fetched"),
        }
    }

    async fn download(&self) -> Result<Vec<Key>, FetchError> {
        let mut answer = self.client.get(self.url.clone()).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let keys = parse(&body)?;
        if keys.is_empty() { Err(FetchError::Empty) } else { Ok(keys) }
    }
}

/// RFC 7517 §5.
#[derive(Deserialize)]
struct WireSet {
    keys: Vec<serde_json::Value>,
}

/// RFC 7517 §4, the fields of public keys. Anything else in an entry is ignored.
#[derive(Deserialize)]
struct WireKey {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The usable keys of a set. A key of another kind or for another use is skipped, as RFC 7517 §5 wants.
fn parse(body: &[u8]) -> Result<Vec<Key>, serde_json::Error> {
    let set: WireSet = serde_json::from_slice(body)?;
    let usable = set.keys.into_iter().filter_map(|entry| usable(&serde_json::from_value(entry).ok()?));
    let mut keys: Vec<Key> = usable.take(KEYS_MAX + 1).collect();
    if keys.len() > KEYS_MAX {
        tracing::warn!(keys_max = KEYS_MAX, "the key set holds more keys than are kept");
        keys.truncate(KEYS_MAX);
    }
    Ok(keys)
}

fn usable(key: &WireKey) -> Option<Key> {
    if key.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return None;
    }
    let named = key.alg.as_deref();
    let (algorithm, decoding) = match (key.kty.as_str(), key.crv.as_deref()) {
        ("RSA", _) => {
            // Some issuers leave `alg` out and mean RS256.
            let algorithm = match named.unwrap_or("RS256") {
                "RS256" => Algorithm::RS256,
                "RS384" => Algorithm::RS384,
                "RS512" => Algorithm::RS512,
                "PS256" => Algorithm::PS256,
                "PS384" => Algorithm::PS384,
                "PS512" => Algorithm::PS512,
                _ => return None,
            };
            (algorithm, DecodingKey::from_rsa_components(key.n.as_deref()?, key.e.as_deref()?))
        }
        ("EC", Some("P-256")) if named.is_none_or(|alg| alg == "ES256") => {
            (Algorithm::ES256, DecodingKey::from_ec_components(key.x.as_deref()?, key.y.as_deref()?))
        }
        ("EC", Some("P-384")) if named.is_none_or(|alg| alg == "ES384") => {
            (Algorithm::ES384, DecodingKey::from_ec_components(key.x.as_deref()?, key.y.as_deref()?))
        }
        ("OKP", Some("Ed25519")) if named.is_none_or(|alg| alg == "EdDSA" || alg == "Ed25519") => {
            (Algorithm::EdDSA, DecodingKey::from_ed_components(key.x.as_deref()?))
        }
        // `oct` above all: a shared secret that anyone can download is no secret.
        _ => return None,
    };
    Some(Key { kid: key.kid.as_deref().map(Into::into), algorithm, decoding: decoding.ok()? })
}
