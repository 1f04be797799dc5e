//! What asks about the node, not for messages.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderMap, StatusCode};
use serde::Serialize;
use tickwire_backplane::NodeReport;
use tickwire_protocol::{
    ChannelName, ErrorCode,
    namespace::{Access, Namespaces},
    time::now_ms,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    answer::{self, Answer},
    credentials::parameter,
};
use crate::node::Node;

/// The answer of `/ws/status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    active_connections: u64,
    /// By channel; by namespace where the channel's name tells whose it is.
    topic_subscriptions: BTreeMap<String, u64>,
    timestamp: String,
}

impl Status {
    fn of(reports: Vec<NodeReport>, namespaces: &Namespaces, now_ms: u64) -> Self {
        let mut active_connections = 0;
        let mut topic_subscriptions = BTreeMap::new();
        for report in reports {
            active_connections += report.connections;
            for (channel, count) in report.subscriptions {
                *topic_subscriptions.entry(public_name(&channel, namespaces).to_owned()).or_default() += count;
            }
        }
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(now_ms) * 1_000_000).ok();
        let timestamp = time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default();
        Self { active_connections, topic_subscriptions, timestamp }
    }
}

/// What anybody may know of a channel's name: all of it, or its namespace where the rest names users, sessions, strategies.
fn public_name<'c>(channel: &'c ChannelName, namespaces: &Namespaces) -> &'c str {
    match namespaces.policy(channel).map(|policy| &policy.access) {
        Some(Access::Anyone | Access::Role(_)) => channel.as_str(),
        Some(Access::OwnUser | Access::Granted) | None => channel.namespace(),
    }
}

/// Counts over the cluster, or of this node with `?node=self`. This node's own counts are of the moment, the others' those of
/// their last report.
pub(super) async fn status(node: &Arc<Node>, query: Option<&str>) -> Answer {
    let own = node.report().await;
    let mut reports = match parameter(query, "node").as_deref() {
        Some("self") => Vec::new(),
        Some(_) => return answer::error(ErrorCode::BadRequest, "`node` is `self` or absent"),
        None => match node.backplane.nodes().await {
            Ok(reports) => reports,
            Err(error) => {
                tracing::warn!(%error, "no reports for /ws/status");
                return answer::error(ErrorCode::Unavailable, "the other nodes cannot be asked: try again later");
            }
        },
    };
    reports.retain(|report| report.node != own.node);
    reports.push(own);
    answer::json(StatusCode::OK, &Status::of(reports, &node.namespaces, now_ms()))
}

/// Red while draining and while the backplane does not work.
pub(super) fn ready(node: &Node) -> Answer {
    if node.is_ready() {
        return answer::whole(StatusCode::OK, "text/plain", "ready\n");
    }
    let why = if node.draining.is_cancelled() { "draining" } else { "the backplane does not answer" };
    answer::error(ErrorCode::Unavailable, why)
}

/// Prometheus text.
pub(super) fn metrics(node: &Node) -> Answer {
    use tickwire_telemetry::metrics::{CONTENT_TYPE, render};
    answer::whole(StatusCode::OK, CONTENT_TYPE, render(&node.registry))
}

/// What is no endpoint: the dashboard's, or nothing.
pub(super) fn other(node: &Node, path: &str, headers: &HeaderMap) -> Answer {
    let found = node.config.site.as_ref().and_then(|site| site.answer(path, headers));
    found.unwrap_or_else(|| {
        let message =
            if path == "/" { "this is a Tickwire edge: connect to /ws" } else { "there is nothing at this path" };
        answer::error_as(StatusCode::NOT_FOUND, ErrorCode::BadRequest, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn report(node: &str, connections: u64, channels: &[(&str, u64)]) -> NodeReport {
        NodeReport {
            node: node.into(),
            connections,
            subscriptions: channels.iter().map(|&(name, n)| (ChannelName::new(name).unwrap(), n)).collect(),
            time_ms: 0,
            figures: None,
        }
    }

    fn status(reports: Vec<NodeReport>) -> Value {
        serde_json::to_value(Status::of(reports, &Namespaces::default(), 1_763_683_200_000)).unwrap()
    }

    #[test]
    fn status_adds_up_the_nodes() {
        let reports = vec![report("a", 2, &[("orders", 1), ("system", 1)]), report("b", 3, &[("orders", 4)])];
        assert_eq!(
            status(reports),
            json!({
                "activeConnections": 5,
                "topicSubscriptions": {"orders": 5, "system": 1},
                "timestamp": "2025-11-21T00:00:00Z",
            })
        );
    }

    #[test]
    fn status_names_no_users_and_no_sessions() {
        let private = [("user:7", 1), ("user:8:orders", 2), ("session:s1", 4), ("strategy:st", 1), ("gone:x", 1)];
        let reports = vec![report("a", 1, &private), report("b", 1, &[("room:1", 1), ("user:9", 1)])];
        assert_eq!(
            status(reports)["topicSubscriptions"],
            json!({"user": 4, "session": 4, "strategy": 1, "gone": 1, "room:1": 1})
        );
    }
}
