//! The HTTP API that the three services share: callers, probes, metrics, description, and the form of every answer.

mod caller;
mod vitals;

use std::sync::Arc;

use axum::{Router, middleware, response::IntoResponse, routing::MethodRouter};
use http::{HeaderName, Method, StatusCode, header};
use tickwire_http::{
    Credentials, Refusal, docs,
    openapi::{Described, Document, describe},
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};
use utoipa::openapi::HttpMethod;

pub use caller::{Caller, IdempotencyKey};
pub use vitals::{Foreign, StatusBody, Vitals};

/// Routes with their descriptions beside them.
pub struct Api<S> {
    router: Router<S>,
    document: Document,
}

impl<S: Clone + Send + Sync + 'static> Default for Api<S> {
    fn default() -> Self {
        Self { router: Router::new(), document: Document::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> Api<S>
where
    Arc<Credentials>: axum::extract::FromRef<S>,
{
    /// Adds an operation.
    #[must_use]
    pub fn route(mut self, method: HttpMethod, path: &str, route: MethodRouter<S>, described: Described) -> Self {
        self.document.add(method, path, described);
        Self { router: self.router.route(path, route), ..self }
    }

    /// The whole: probes, metrics, description, errors in one form, and a bound of the requests in progress.
    pub fn finish(mut self, description: &str, vitals: Arc<Vitals>, state: S) -> Router {
        let name = vitals.name();
        for (path, what) in [("/healthz", "Alive"), ("/readyz", "Ready: with a healthy backplane, and not draining")] {
            self.document.add(HttpMethod::Get, path, describe("service", what).answers::<StatusBody>());
        }
        let metrics =
            describe("service", "Metrics for Prometheus").answers_text("application/openmetrics-text", "OpenMetrics");
        self.document.add(HttpMethod::Get, "/metrics", metrics);
        let title = format!("Tickwire {name}");
        let document = self.document.finish(&title, description).to_json().unwrap_or_else(|_| "{}".to_owned());
        let serve = move || async move { ([(header::CONTENT_TYPE, "application/json")], document).into_response() };
        let nothing =
            || async { Refusal::not_found("there is nothing at this path; /openapi.json lists what there is") };
        let method = || async {
            Refusal::bad_request("this path has another method; /openapi.json lists it")
                .status(StatusCode::METHOD_NOT_ALLOWED)
        };
        self.router
            .layer(middleware::from_fn_with_state(Arc::clone(&vitals), vitals::admit))
            .route("/openapi.json", axum::routing::get(serve))
            .route("/docs", axum::routing::get(move || async move { docs::page(name) }))
            .with_state(state)
            .merge(vitals::routes(Arc::clone(&vitals)))
            .fallback(nothing)
            .method_not_allowed_fallback(method)
            .layer(CatchPanicLayer::custom(vitals::panicked))
            .layer(middleware::from_fn_with_state(vitals, vitals::observe))
            .layer(cors())
    }
}

/// Lets every page call, such as the dashboard wherever it is served: nothing is answered without a token in a header, and a browser
/// adds none by itself, as it does a cookie. What needs no token, such as metrics, is for no page.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(|_, request| request.uri.path().starts_with("/v1/")))
        .allow_methods([Method::GET, Method::POST, Method::PUT])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, HeaderName::from_static("idempotency-key")])
        .expose_headers([header::RETRY_AFTER])
        .max_age(std::time::Duration::from_secs(600))
}
