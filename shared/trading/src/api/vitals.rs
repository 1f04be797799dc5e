//! How a service does: probes, metrics, and what happens around every request.

use std::{any::Any, sync::Arc, time::Duration, time::Instant};

use axum::{
    Json, Router,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, header};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use serde::Serialize;
use tickwire_backplane::Backplane;
use tickwire_http::Refusal;
use tickwire_protocol::ErrorCode;
use tickwire_telemetry::{
    health::Readiness,
    metrics::{self, build_info},
};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

/// Requests in progress at once; one more is refused with 503.
const REQUESTS_MAX: usize = 1_024;

/// What every service shows of itself.
pub struct Vitals {
    name: &'static str,
    backplane: Arc<dyn Backplane>,
    /// Reasons for which it is not ready.
    pub readiness: Readiness,
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram>,
    slots: Semaphore,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

/// A probe's answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusBody {
    /// `ok` or `ready`.
    status: &'static str,
}

impl std::fmt::Debug for Vitals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vitals").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Vitals {
    /// Of the service `name` (`session`), with the metrics that `register` adds; they begin with `tickwire_{name}_`.
    pub fn new(name: &'static str, backplane: Arc<dyn Backplane>, register: impl FnOnce(&mut Registry)) -> Arc<Self> {
        let mut registry = Registry::default();
        build_info(&mut registry, name, env!("CARGO_PKG_VERSION"));
        tickwire_backplane::metrics::register(&mut registry, Arc::clone(&backplane));
        let requests = Family::<RequestLabels, Counter>::default();
        // 0.1 ms to 3 s.
        let seconds: Family<RouteLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_1, 2.0, 16)));
        let own = registry.sub_registry_with_prefix(format!("tickwire_{name}"));
        own.register("requests", "Requests answered, by route and status", requests.clone());
        let help = "From a request to its answer, by route";
        own.register_with_unit("request_duration", help, Unit::Seconds, seconds.clone());
        register(own);
        let (readiness, slots) = (Readiness::new(), Semaphore::new(REQUESTS_MAX));
        Arc::new(Self { name, backplane, readiness, registry, requests, seconds, slots })
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }
}

pub(super) fn routes(vitals: Arc<Vitals>) -> Router {
    Router::new()
        .route("/healthz", get(async || Json(StatusBody { status: "ok" })))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(vitals)
}

async fn ready(State(vitals): State<Arc<Vitals>>) -> Result<Json<StatusBody>, Refusal> {
    vitals.readiness.set("backplane", !vitals.backplane.is_healthy());
    let reasons = vitals.readiness.reasons();
    if reasons.is_empty() {
        return Ok(Json(StatusBody { status: "ready" }));
    }
    let refusal = Refusal::new(ErrorCode::Unavailable, format!("not ready: {}", reasons.join(", ")));
    Err(refusal.retry_after(Duration::from_secs(1)))
}

async fn scrape(State(vitals): State<Arc<Vitals>>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&vitals.registry)).into_response()
}

/// Bounds the requests in progress. Probes are answered whatever happens.
pub(super) async fn admit(State(vitals): State<Arc<Vitals>>, request: Request, next: Next) -> Response {
    let Ok(_slot) = vitals.slots.try_acquire() else {
        let busy = Refusal::new(ErrorCode::Unavailable, "too many requests in progress");
        return busy.retry_after(Duration::from_secs(1)).into_response();
    };
    next.run(request).await
}

/// The outermost layer: counts, and gives what axum refused by itself the common form.
pub(super) async fn observe(State(vitals): State<Arc<Vitals>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    // What matches no route is one label, so that nobody can invent labels.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status();
    let is_own = response.extensions().get::<ErrorCode>().is_some() || response.extensions().get::<Foreign>().is_some();
    let mut response = if (status.is_client_error() || status.is_server_error()) && !is_own {
        Refusal::bad_request(status.to_string()).status(status).into_response()
    } else {
        response
    };
    let status = response.status().as_u16();
    vitals.seconds.get_or_create(&RouteLabels { route: route.clone() }).observe(started.elapsed().as_secs_f64());
    vitals.requests.get_or_create(&RequestLabels { route, status: status.into() }).inc();
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Marks an answer that another instance made, which has its form already.
#[derive(Debug, Clone, Copy)]
pub struct Foreign;

/// The answer in place of a panic, which is a bug and logged as one.
#[allow(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let what = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = what.unwrap_or("unknown"), "a request panicked");
    Refusal::new(ErrorCode::Internal, "internal error").into_response()
}
