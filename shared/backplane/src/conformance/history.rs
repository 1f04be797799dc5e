//! Reading stored messages.

use std::time::Duration;

use tickwire_protocol::{Position, namespace::Policy, time::now_ms};

use super::{Nodes, after, all, channel, eventually, number, offsets, publish_numbers, publish_one, reliable};
use crate::{HistoryQuery, Publish};

/// Every node reads the same.
pub async fn what_comes_after_a_position_is_read_on_any_node(nodes: &Nodes) {
    let channel = channel("room");
    let positions = publish_numbers(&nodes.one, &channel, &reliable(), 5).await;
    for node in [&nodes.one, &nodes.two] {
        let history = node.history(&channel, &reliable(), after(positions[1])).await.expect("history");
        assert_eq!(offsets(&history.publications), [3, 4, 5]);
        assert_eq!(history.top, positions[4]);
        assert!(history.complete);
        let whole = node.history(&channel, &reliable(), all()).await.expect("history");
        assert_eq!(offsets(&whole.publications), [1, 2, 3, 4, 5]);
        assert!(whole.complete);
    }
}

/// A subscriber that missed nothing is told so.
pub async fn after_the_top_there_is_nothing_and_it_is_complete(nodes: &Nodes) {
    let channel = channel("room");
    let positions = publish_numbers(&nodes.one, &channel, &reliable(), 2).await;
    let history = nodes.one.history(&channel, &reliable(), after(positions[1])).await.expect("history");
    assert!(history.publications.is_empty());
    assert!(history.complete);
}

/// Only the newest `history_count` are promised; a position before them is not complete, the one just before is.
pub async fn the_oldest_messages_are_trimmed_and_it_says_so(nodes: &Nodes) {
    let (channel, policy) = (channel("room"), Policy { history_count: 5, ..reliable() });
    let positions = publish_numbers(&nodes.one, &channel, &policy, 400).await;
    let kept = nodes.one.history(&channel, &policy, after(positions[394])).await.expect("history");
    assert_eq!(offsets(&kept.publications), [396, 397, 398, 399, 400]);
    assert!(kept.complete);
    for query in [after(positions[0]), after(Position::new(positions[0].epoch, 0)), all()] {
        let trimmed = nodes.one.history(&channel, &policy, query).await.expect("history");
        assert!(!trimmed.complete);
        assert!(offsets(&trimmed.publications).ends_with(&[396, 397, 398, 399, 400]));
        assert!(trimmed.publications.len() < 400);
    }
}

/// What a limit cuts off makes the answer incomplete; a limit that cuts nothing does not.
pub async fn a_limit_cuts_and_says_so(nodes: &Nodes) {
    let channel = channel("room");
    publish_numbers(&nodes.one, &channel, &reliable(), 5).await;
    let cut = nodes.one.history(&channel, &reliable(), HistoryQuery { limit: 3, ..all() }).await.expect("history");
    assert_eq!(offsets(&cut.publications), [1, 2, 3]);
    assert!(!cut.complete);
    let exact = nodes.one.history(&channel, &reliable(), HistoryQuery { limit: 5, ..all() }).await.expect("history");
    assert_eq!(exact.publications.len(), 5);
    assert!(exact.complete);
}

/// The cheap way to learn where a channel stands.
pub async fn limit_zero_asks_for_the_top(nodes: &Nodes) {
    let channel = channel("room");
    let positions = publish_numbers(&nodes.one, &channel, &reliable(), 3).await;
    let query = HistoryQuery::default();
    let history = nodes.two.history(&channel, &reliable(), query).await.expect("history");
    assert_eq!(history.top, positions[2]);
    assert_eq!(history.publications.len(), 0);
    assert!(!history.complete);
}

/// Newest first, from the top or from before a position.
pub async fn backwards_the_newest_come_first(nodes: &Nodes) {
    let channel = channel("room");
    let positions = publish_numbers(&nodes.one, &channel, &reliable(), 6).await;
    let newest = HistoryQuery { since: None, limit: 2, reverse: true };
    let history = nodes.one.history(&channel, &reliable(), newest).await.expect("history");
    assert_eq!(offsets(&history.publications), [6, 5]);
    assert!(!history.complete);
    let before = HistoryQuery { since: Some(positions[4]), limit: 10, reverse: true };
    let history = nodes.one.history(&channel, &reliable(), before).await.expect("history");
    assert_eq!(offsets(&history.publications), [4, 3, 2, 1]);
    assert!(history.complete);
}

/// Positions of an epoch that ended, or of one that the store does not know, recover nothing.
pub async fn a_position_of_another_epoch_is_not_complete(nodes: &Nodes) {
    let channel = channel("room");
    let top = publish_numbers(&nodes.one, &channel, &reliable(), 3).await[2];
    for epoch in [top.epoch - 1, top.epoch + 1] {
        for offset in [0, 2, 3, 9] {
            let query = after(Position::new(epoch, offset));
            let history = nodes.one.history(&channel, &reliable(), query).await.expect("history");
            assert!(!history.complete, "since {epoch}-{offset} with top {top}");
            assert_eq!(history.top, top);
            let epochs = history.publications.iter().filter_map(|publication| publication.position);
            assert!(epochs.into_iter().all(|position| position.epoch == top.epoch));
        }
    }
}

/// A position that this store never gave out is not taken for a complete recovery.
pub async fn a_position_beyond_the_top_is_not_complete(nodes: &Nodes) {
    let channel = channel("room");
    let top = publish_numbers(&nodes.one, &channel, &reliable(), 3).await[2];
    let query = after(Position::new(top.epoch, 7));
    let history = nodes.one.history(&channel, &reliable(), query).await.expect("history");
    assert!(!history.complete);
    assert!(history.publications.is_empty());
}

/// A message whose time is over is not handed out, and its absence is no loss.
pub async fn expired_messages_are_left_out(nodes: &Nodes) {
    let channel = channel("room");
    publish_numbers(&nodes.one, &channel, &reliable(), 1).await;
    let expiring =
        |until_ms| Publish { expires_at_ms: Some(until_ms), ..Publish::new(channel.clone(), reliable(), number(2)) };
    publish_one(&nodes.one, expiring(now_ms() + 50)).await;
    publish_one(&nodes.one, expiring(now_ms() + 3_600_000)).await;
    eventually("the message expires", || async {
        let history = nodes.two.history(&channel, &reliable(), all()).await.expect("history");
        history.complete && offsets(&history.publications) == [1, 3]
    })
    .await;
}

/// A position to recover from exists before the first message.
pub async fn reading_an_unknown_channel_creates_its_epoch(nodes: &Nodes) {
    let channel = channel("room");
    let before = nodes.one.history(&channel, &reliable(), all()).await.expect("history");
    assert_eq!(before.top.offset, 0);
    assert!(before.top.epoch > 0);
    assert!(before.complete);
    let first = publish_numbers(&nodes.two, &channel, &reliable(), 1).await[0];
    assert_eq!(first, before.top.next());
    let since = nodes.one.history(&channel, &reliable(), after(before.top)).await.expect("history");
    assert_eq!(offsets(&since.publications), [1]);
    assert!(since.complete);
}

/// An idle channel's messages end after the namespace's time, and nobody takes that for a complete recovery.
pub async fn idle_history_ends(nodes: &Nodes) {
    let (channel, policy) = (channel("room"), Policy { history_ttl_s: 1, ..reliable() });
    let first = publish_numbers(&nodes.one, &channel, &policy, 3).await[0];
    eventually("the history ends", || async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let history = nodes.one.history(&channel, &policy, after(first)).await.expect("history");
        history.publications.is_empty() && !history.complete
    })
    .await;
}
