//! The suite that every implementation passes: one function a claim, one test a function.
//!
//! ```text
//! tickwire_backplane::conformance_tests!(cluster); // where `async fn cluster() -> Nodes`
//! tickwire_backplane::conformance_tests!(together cluster); // one test of all claims at once: a store that starts slowly
//! tickwire_backplane::conformance_tests!(by run); // where `fn run(claim: impl AsyncFnOnce(Nodes))` brings its own runtime
//! ```
//!
//! Claims use channel, user and node names of their own, so they may share a store and run side by side. Nothing outside
//! tests calls them, and they need no dependency that the crate does not have anyway; so no feature hides them.

use std::{any::Any, future::Future, sync::Arc, time::Duration};

use tickwire_protocol::{ChannelName, Position, Publication, RawJson, UserId, namespace::Access, namespace::Policy};
use tokio::time::{Instant, timeout_at};

use crate::{Backplane, HistoryQuery, Publish, Signal, Subscriber};

pub mod bus;
pub mod cluster;
pub mod demand;
pub mod escalation;
pub mod history;
pub mod inbox;
pub mod journal;
pub mod latest;
pub mod lease;
pub mod publish;

/// How long a claim waits for what must come. Far above what it takes, for busy machines.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two nodes' handles on one store.
pub struct Nodes {
    /// A node.
    pub one: Arc<dyn Backplane>,
    /// Another node; in one process it may be the same handle.
    pub two: Arc<dyn Backplane>,
    _store: Option<Box<dyn Any + Send + Sync>>,
}

impl Nodes {
    /// Two nodes.
    pub fn new(one: Arc<dyn Backplane>, two: Arc<dyn Backplane>) -> Self {
        Self { one, two, _store: None }
    }

    /// Keeps `store` (a server's process, say) as long as the nodes.
    #[must_use]
    pub fn on(self, store: impl Any + Send + Sync) -> Self {
        Self { _store: Some(Box::new(store)), ..self }
    }
}

/// Makes a test of each claim, or with `together` one of all; the argument names an `async fn() -> Nodes`, or with `by` what
/// runs a claim on nodes and a runtime of its own.
#[macro_export]
macro_rules! conformance_tests {
    ($cluster:path) => { $crate::conformance_tests! { @list tests $cluster } };
    (together $cluster:path) => { $crate::conformance_tests! { @list together $cluster } };
    (by $run:path) => { $crate::conformance_tests! { @list by $run } };
    (@list $form:ident $cluster:path) => {
        $crate::conformance_tests! { @$form $cluster:
            bus::a_full_queue_is_announced_once,
            bus::a_signal_reaches_every_subscriber_of_the_channel,
            bus::a_subscription_during_publishing_misses_nothing,
            bus::a_subscription_answers_the_top_that_precedes_its_first_signal,
            bus::a_tail_over_any_interleaving_sees_each_message_once_in_order,
            bus::an_unknown_subscriber_is_refused,
            bus::subscribing_again_answers_the_top_and_changes_nothing,
            bus::signals_come_in_order_from_another_node,
            bus::the_top_of_a_channel_is_told,
            bus::unsubscribing_ends_one_subscribers_signals,
            bus::unnumbered_messages_are_broadcast,
            cluster::a_leave_without_a_join_changes_nothing,
            cluster::a_momentary_order_is_not_kept,
            cluster::a_sticky_order_is_kept_until_it_expires,
            cluster::a_silent_nodes_users_are_gone,
            cluster::presence_of_a_crowd_is_counted_and_ends_with_its_node,
            cluster::an_order_reaches_every_subscriber,
            cluster::connections_of_a_user_on_one_node_count_once,
            cluster::new_preferences_are_told_to_the_users_inbox,
            cluster::preferences_are_merged_for_all_nodes,
            cluster::preferences_are_bounded_objects,
            cluster::presence_spans_nodes_and_signals_first_join_and_last_leave,
            cluster::presence_lists_users_sorted,
            cluster::sticky_orders_are_read_from_a_mark_on,
            cluster::reports_are_replaced_and_end_with_their_lease,
            history::a_limit_cuts_and_says_so,
            history::a_position_beyond_the_top_is_not_complete,
            history::a_position_of_another_epoch_is_not_complete,
            history::after_the_top_there_is_nothing_and_it_is_complete,
            history::backwards_the_newest_come_first,
            history::expired_messages_are_left_out,
            history::idle_history_ends,
            history::limit_zero_asks_for_the_top,
            history::reading_an_unknown_channel_creates_its_epoch,
            history::the_oldest_messages_are_trimmed_and_it_says_so,
            history::what_comes_after_a_position_is_read_on_any_node,
            escalation::an_acknowledged_alert_is_not_due,
            escalation::an_alert_that_expires_first_is_never_due,
            escalation::an_escalated_alert_is_not_due_again_and_can_still_be_acknowledged,
            escalation::an_overdue_alert_is_held_by_one_caller_at_a_time,
            escalation::the_age_of_the_oldest_unacknowledged_critical_message_is_known,
            escalation::what_a_lost_caller_held_is_due_again,
            escalation::what_failed_is_due_again_later,
            inbox::a_device_reads_for_itself_and_never_behind_its_user,
            inbox::a_critical_message_waits_until_it_is_acknowledged,
            inbox::acknowledging_a_critical_message_twice_leaves_the_cursor,
            inbox::acknowledging_the_future_does_nothing,
            inbox::an_alert_escalates_at_its_deadline,
            inbox::an_alert_is_queued_delivered_acknowledged,
            inbox::an_expired_critical_message_is_not_owed,
            inbox::an_ordinary_alert_is_acknowledged_by_the_cursor,
            inbox::an_unknown_alert_is_none,
            inbox::the_device_that_read_longest_ago_is_forgotten,
            inbox::what_is_over_for_all_devices_is_told_to_them,
            inbox::the_cursor_never_moves_back,
            inbox::the_newest_hundred_ordinary_and_every_critical_message_are_owed,
            inbox::too_many_critical_messages_are_refused,
            journal::a_repeated_append_answers_as_before,
            journal::an_older_writer_is_refused,
            journal::another_length_than_expected_is_refused,
            journal::journals_of_a_kind_are_listed_in_order,
            journal::of_concurrent_appends_one_wins,
            journal::records_and_pages_are_bounded,
            journal::records_are_read_in_order_by_pages,
            latest::a_channel_refuses_more_keys_than_its_bound,
            latest::a_message_without_key_has_the_channels_name,
            latest::an_expired_value_is_left_out,
            latest::the_newest_value_of_each_key_in_order_of_change,
            lease::a_fence_refuses_what_older_holders_publish_late,
            lease::a_fenced_channel_answers_where_the_successor_goes_on,
            lease::a_late_renewal_by_the_old_holder_fails,
            lease::a_lease_has_one_holder_at_a_time,
            lease::a_lease_that_is_not_renewed_is_taken_over_under_a_greater_fence,
            lease::a_lease_given_back_is_free_at_once,
            lease::taking_again_what_one_holds_answers_the_same_fence,
            demand::a_channel_is_in_demand_while_any_node_subscribes,
            demand::only_the_namespaces_asked_for_are_named,
            publish::a_batch_answers_each_message_in_order,
            publish::a_batch_that_repeats_a_key_publishes_it_once,
            publish::a_repeated_key_publishes_nothing,
            publish::an_owner_is_recorded_with_the_publish,
            publish::concurrent_publishes_are_numbered_densely,
            publish::concurrent_repeats_of_a_key_publish_once,
            publish::every_field_survives_store_and_bus,
            publish::keys_are_scoped_to_their_channel,
            publish::missing_replicas_are_said_and_the_message_is_kept,
            publish::offsets_are_dense_from_one,
        }
    };
    (@tests $cluster:path: $($module:ident::$claim:ident),* $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $claim() {
            let nodes: $crate::conformance::Nodes = $cluster().await;
            $crate::conformance::$module::$claim(&nodes).await;
        }
    )* };
    (@by $run:path: $($module:ident::$claim:ident),* $(,)?) => { $(
        #[test]
        fn $claim() {
            $run(async |nodes: $crate::conformance::Nodes| $crate::conformance::$module::$claim(&nodes).await);
        }
    )* };
    (@together $cluster:path: $($module:ident::$claim:ident),* $(,)?) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn every_claim_of_the_suite_holds() {
            let nodes: std::sync::Arc<$crate::conformance::Nodes> = std::sync::Arc::new($cluster().await);
            let claims = [ $( (stringify!($module::$claim), tokio::spawn({
                let nodes = std::sync::Arc::clone(&nodes);
                async move { $crate::conformance::$module::$claim(&nodes).await }
            })) ),* ];
            let mut broken = Vec::new();
            for (claim, task) in claims {
                if task.await.is_err() {
                    broken.push(claim);
                }
            }
            assert!(broken.is_empty(), "broken: {broken:?}");
        }
    };
}

fn unique(prefix: &str) -> String {
    use rand::distr::{Alphanumeric, SampleString};
    format!("{prefix}:{}", Alphanumeric.sample_string(&mut rand::rng(), 12))
}

fn channel(prefix: &str) -> ChannelName {
    ChannelName::new(&unique(prefix)).expect("a channel's name")
}

fn user() -> UserId {
    UserId::new(&unique("u").replace(':', "-")).expect("a user's id")
}

fn json(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).expect("JSON")
}

fn number(n: u64) -> RawJson {
    json(&n.to_string())
}

fn reliable() -> Policy {
    Policy::reliable(Access::Anyone)
}

/// Publishes `count` messages with the data 1, 2, 3, … and returns their positions.
async fn publish_numbers(
    node: &Arc<dyn Backplane>,
    channel: &ChannelName,
    policy: &Policy,
    count: u64,
) -> Vec<Position> {
    let batch = (1..=count).map(|n| Publish::new(channel.clone(), policy.clone(), number(n))).collect();
    let published = node.publish_batch(batch).await;
    published.into_iter().map(|result| result.expect("published").position.expect("a position")).collect()
}

async fn publish_one(node: &Arc<dyn Backplane>, publish: Publish) -> Position {
    node.publish(publish).await.expect("published").position.expect("a position")
}

fn offsets(publications: &[Arc<Publication>]) -> Vec<u64> {
    publications.iter().map(|publication| publication.position.expect("a position").offset).collect()
}

const fn all() -> HistoryQuery {
    HistoryQuery { since: None, limit: 1_000, reverse: false }
}

const fn after(since: Position) -> HistoryQuery {
    HistoryQuery { since: Some(since), limit: 1_000, reverse: false }
}

/// The next signal for which `pick` returns a value; others are dropped.
async fn next<T>(subscriber: &mut Subscriber, pick: impl Fn(Signal) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let signal = timeout_at(deadline, subscriber.signals.recv()).await.expect("a signal in time");
        if let Some(picked) = pick(signal.expect("a live subscriber")) {
            return picked;
        }
    }
}

async fn next_publication(subscriber: &mut Subscriber) -> Arc<Publication> {
    next(subscriber, |signal| match signal {
        Signal::Publication(publication) => Some(publication),
        _ => None,
    })
    .await
}

/// Asks until the answer is yes.
async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    /// A claim that the list leaves out would never run.
    #[test]
    fn every_claim_is_listed() {
        let list = include_str!("conformance.rs");
        let modules = [
            ("bus", include_str!("conformance/bus.rs")),
            ("cluster", include_str!("conformance/cluster.rs")),
            ("demand", include_str!("conformance/demand.rs")),
            ("escalation", include_str!("conformance/escalation.rs")),
            ("history", include_str!("conformance/history.rs")),
            ("inbox", include_str!("conformance/inbox.rs")),
            ("journal", include_str!("conformance/journal.rs")),
            ("latest", include_str!("conformance/latest.rs")),
            ("lease", include_str!("conformance/lease.rs")),
            ("publish", include_str!("conformance/publish.rs")),
        ];
        for (module, source) in modules {
            for line in source.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
                let claim = line.split('(').next().unwrap_or_default();
                assert!(list.contains(&format!("{module}::{claim},")), "{module}::{claim} is not listed");
            }
        }
    }
}
