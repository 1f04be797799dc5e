//! What a node tells of its work, beside what it holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a node has counted since it began. All but `outbox_bytes` only grows, so the difference of two reports is what happened
/// between them, and the sum over nodes is the cluster's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeFigures {
    /// Publications that came from the store, each shard counted.
    pub publications_in: u64,
    /// Messages queued for connections.
    pub messages_out: u64,
    /// Bytes written to sockets.
    pub bytes_out: u64,
    /// Commands taken.
    pub commands: u64,
    /// Bytes that wait for connections at the moment.
    pub outbox_bytes: u64,
    /// Messages of volatile channels dropped for slow readers.
    pub dropped: u64,
    /// Waiting values replaced by newer ones.
    pub conflated: u64,
    /// Holes seen in channels' streams.
    pub gaps: u64,
    /// Channels that began a new epoch under a subscription.
    pub resets: u64,
    /// Commands over a limit.
    pub rate_limited: u64,
    /// Connections that the node closed, by close code.
    pub closes: BTreeMap<u16, u64>,
    /// Upgrades and requests refused, by reason.
    pub refusals: BTreeMap<String, u64>,
    /// Where the time of publications went.
    pub delivery: DeliveryFigures,
}

/// Publications by how long a stage took, each list by the buckets of `bounds_us`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeliveryFigures {
    /// Upper ends of the buckets, microseconds; there is one bucket more, of whatever took longer.
    pub bounds_us: Vec<u64>,
    /// From the emitter's acceptance to the store, by their clocks.
    pub backplane: Vec<u64>,
    /// From the store to a shard of the edge, by their clocks.
    pub edge: Vec<u64>,
    /// From a shard to the end of the round of writes that took it to sockets; the oldest of each round.
    pub socket: Vec<u64>,
    /// From the emitter's acceptance to a shard of the edge, by their clocks.
    pub total: Vec<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeReport;

    #[test]
    fn the_report_of_a_version_without_figures_is_read() {
        let text = r#"{"node":"a","connections":1,"subscriptions":[],"time_ms":5}"#;
        let report: NodeReport = serde_json::from_str(text).unwrap();
        assert_eq!(report.figures, None);
        assert_eq!(serde_json::to_string(&report).unwrap(), text);
    }

    #[test]
    fn figures_of_another_version_are_read_as_far_as_they_are_known() {
        let figures: NodeFigures = serde_json::from_str(r#"{"messagesOut":3,"closes":{"4430":2},"later":[]}"#).unwrap();
        assert_eq!((figures.messages_out, figures.closes[&4430], figures.gaps), (3, 2, 0));
    }
}
