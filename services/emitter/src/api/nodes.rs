//! Which edges there are, by their own reports.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use tickwire_backplane::NodeFigures;
use tickwire_protocol::time::now_ms;
use utoipa::ToSchema;

use super::{App, Refusal, caller::Operator};

/// The cluster's edges.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NodesBody {
    /// By name.
    nodes: Vec<NodeEntry>,
    /// Whether this emitter's own way to the backplane works.
    healthy: bool,
}

/// An edge whose last report is a few seconds old at most.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NodeEntry {
    /// Its name and a suffix that a restart changes.
    node: String,
    connections: u64,
    subscriptions: u64,
    channels: usize,
    /// Milliseconds since it reported.
    age_ms: u64,
    /// When it reported, by its own clock: what two answers differ by happened between their times.
    time: u64,
    /// What it counted since it began: `publicationsIn`, `messagesOut`, `bytesOut`, `commands`, `outboxBytes`, `dropped`,
    /// `conflated`, `gaps`, `resets`, `rateLimited`, `closes` by code, `refusals` by reason, and `delivery`: publications by how
    /// long the stages `backplane`, `edge`, `socket` and `total` took, in buckets up to `boundsUs` and one above.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    figures: Option<NodeFigures>,
}

pub(crate) async fn list(State(app): State<Arc<App>>, _: Operator) -> Result<Json<NodesBody>, Refusal> {
    let now = now_ms();
    let mut nodes: Vec<NodeEntry> = app
        .backplane
        .nodes()
        .await?
        .into_iter()
        .map(|report| NodeEntry {
            connections: report.connections,
            subscriptions: report.subscriptions.iter().map(|(_, count)| count).sum(),
            channels: report.subscriptions.len(),
            age_ms: now.saturating_sub(report.time_ms),
            time: report.time_ms,
            figures: report.figures,
            node: report.node,
        })
        .collect();
    nodes.sort_by(|a, b| a.node.cmp(&b.node));
    Ok(Json(NodesBody { nodes, healthy: app.backplane.is_healthy() }))
}
