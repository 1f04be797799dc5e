//! The HTTP API: routes, who may call them, and the one form of every error.

mod access;
mod alerts;
mod audit;
mod bans;
mod caller;
mod channels;
mod events;
mod inbox;
mod nodes;
mod observe;
mod platform;
mod probes;
mod publishing;
mod routes;

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::request::Parts;
use tickwire_auth::AuthError;
use tickwire_backplane::Backplane;
use tickwire_http::{Credentials, body, docs, openapi};
use tickwire_protocol::{ErrorCode, namespace::Namespaces};
use tickwire_telemetry::{
    health::Readiness,
    metrics::{Registry, build_info},
};
use tokio::sync::Semaphore;

use crate::{
    Config,
    metrics::{CodeLabels, Metrics},
    publish::{RequestContext, check_key},
    throttle::Throttle,
};

pub(crate) use audit::CHANNEL as AUDIT_CHANNEL;
pub(crate) use platform::DEAD_LETTERS;
pub(crate) use routes::router;
pub(crate) use tickwire_http::Refusal;

use caller::CallerId;

/// Failed authentications that an address may make at once.
const FAILURES_BURST: u32 = 30;

/// What every request needs.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) namespaces: Namespaces,
    pub(crate) backplane: Arc<dyn Backplane>,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    registry: Registry,
    credentials: Credentials,
    callers: Option<Throttle<CallerId>>,
    failures: Option<Throttle<IpAddr>>,
    slots: Semaphore,
    hasher: std::hash::RandomState,
}

impl App {
    pub(crate) fn new(config: Config, backplane: Arc<dyn Backplane>) -> Result<Self, AuthError> {
        let credentials = Credentials::new(&config.auth, &config.emitter.api_keys)?;
        let mut registry = Registry::default();
        build_info(&mut registry, "emitter", env!("CARGO_PKG_VERSION"));
        let metrics = Metrics::register(&mut registry);
        tickwire_backplane::metrics::register(&mut registry, Arc::clone(&backplane));
        let emitter = &config.emitter;
        Ok(Self {
            namespaces: Namespaces::with(&config.namespaces),
            callers: Throttle::new(emitter.requests_per_s, Duration::from_secs(1), emitter.requests_burst),
            failures: Throttle::new(emitter.auth_failures_per_minute, Duration::from_secs(60), FAILURES_BURST),
            slots: Semaphore::new(emitter.requests_max),
            hasher: std::hash::RandomState::new(),
            readiness: Readiness::new(),
            backplane,
            metrics,
            registry,
            credentials,
            config,
        })
    }

    /// Takes over the revocations that are in force, again and again.
    pub(crate) async fn keep_revocations(&self) {
        let evicted = |count| {
            self.metrics.revocations_evicted.set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        self.credentials.keep_fresh(self.backplane.as_ref(), evicted).await;
    }
}

/// The label of an error code.
pub(crate) fn metrics_code(code: ErrorCode) -> CodeLabels {
    CodeLabels { code: code.as_str() }
}

/// What the headers say about all messages of a request.
fn context(parts: &Parts) -> Result<RequestContext, Refusal> {
    let idempotency_key = match parts.headers.get("idempotency-key") {
        None => None,
        Some(value) => {
            let key = value.to_str().map_err(|_| Refusal::bad_request("`Idempotency-Key`: printable ASCII"))?;
            check_key("Idempotency-Key", key)?;
            Some(key.to_owned())
        }
    };
    Ok(RequestContext { idempotency_key, traceparent: observe::traceparent(&parts.headers) })
}
