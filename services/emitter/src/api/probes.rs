//! `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use serde::Serialize;
use tickwire_protocol::ErrorCode;
use tickwire_telemetry::metrics;
use utoipa::ToSchema;

use super::{App, Refusal};

/// A probe's answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusBody {
    /// `ok` or `ready`.
    status: &'static str,
}

pub(crate) async fn alive() -> Json<StatusBody> {
    Json(StatusBody { status: "ok" })
}

pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<Json<StatusBody>, Refusal> {
    app.readiness.set("backplane", !app.backplane.is_healthy());
    let reasons = app.readiness.reasons();
    if reasons.is_empty() {
        return Ok(Json(StatusBody { status: "ready" }));
    }
    let refusal = Refusal::new(ErrorCode::Unavailable, format!("not ready: {}", reasons.join(", ")));
    Err(refusal.retry_after(std::time::Duration::from_secs(1)))
}

pub(crate) async fn scrape(State(app): State<Arc<App>>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&app.registry)).into_response()
}
