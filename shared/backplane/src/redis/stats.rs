//! Counters, for the services' metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Count;

/// What happened since start. Plain numbers, each only growing.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) publishes: AtomicU64,
    pub(super) publish_errors: AtomicU64,
    pub(super) messages: AtomicU64,
    pub(super) damaged: AtomicU64,
    pub(super) canaries_lost: AtomicU64,
    pub(super) canaries: AtomicU64,
    pub(super) canary_us: AtomicU64,
    pub(super) subscriber_rebuilds: AtomicU64,
    pub(super) link_rebuilds: AtomicU64,
    pub(super) function_loads: AtomicU64,
    pub(super) tops: AtomicU64,
    pub(super) timeouts: AtomicU64,
    pub(super) repeats: AtomicU64,
    pub(super) not_durable: AtomicU64,
    pub(super) restated: AtomicU64,
}

/// A reading of the backplane's counters, all since start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages published.
    pub publishes: u64,
    /// Publishes that failed, whatever the reason.
    pub publish_errors: u64,
    /// Messages that pub/sub brought for a subscribed channel.
    pub messages: u64,
    /// Of those, the ones that could not be read.
    pub damaged: u64,
    /// Canaries that did not come back in time.
    pub canaries_lost: u64,
    /// Canaries that came back.
    pub canaries: u64,
    /// What these took together, microseconds.
    pub canary_us: u64,
    /// Subscriber connections that were given up and dialled again.
    pub subscriber_rebuilds: u64,
    /// Times that the connections for calls were dialled again.
    pub link_rebuilds: u64,
    /// Times that the functions were loaded into the store.
    pub function_loads: u64,
    /// Newest positions asked for on behalf of subscribed channels.
    pub tops: u64,
    /// Calls that found no answer within their deadline.
    pub timeouts: u64,
    /// Calls made again because their connection was lost under them.
    pub repeats: u64,
    /// Publishes that fewer replicas confirmed than was asked for.
    pub not_durable: u64,
    /// Critical messages that a replaced server had acknowledged and its successor lacked, published again.
    pub restated: u64,
}

impl Stats {
    /// All of them, for metrics.
    pub fn counts(&self) -> [Count; 15] {
        let count = |name, help, value| Count { name, help, class: None, value };
        [
            count("publishes", "Messages published", self.publishes),
            count("publish_errors", "Publishes that failed", self.publish_errors),
            count("messages", "Messages that pub/sub brought for subscribed channels", self.messages),
            count("messages_damaged", "Messages of pub/sub that could not be read", self.damaged),
            count("canaries_lost", "Canaries that did not come back in time", self.canaries_lost),
            count("canaries", "Canaries that came back through pub/sub", self.canaries),
            count("canary_round_trip_us", "What these canaries took together, microseconds", self.canary_us),
            count("subscriber_rebuilds", "Subscriber connections given up and dialled again", self.subscriber_rebuilds),
            count("link_rebuilds", "Times the connections for calls were dialled", self.link_rebuilds),
            count("function_loads", "Times the functions were loaded into the store", self.function_loads),
            count("tops", "Newest positions asked for on behalf of subscribed channels", self.tops),
            count("timeouts", "Calls without an answer within their deadline", self.timeouts),
            count("repeats", "Calls made again after their connection was lost", self.repeats),
            count("not_durable", "Publishes confirmed by too few replicas", self.not_durable),
            count(
                "restated",
                "Critical messages that Redis lost with a replaced server, published again",
                self.restated,
            ),
        ]
    }
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            publishes: read(&self.publishes),
            publish_errors: read(&self.publish_errors),
            messages: read(&self.messages),
            damaged: read(&self.damaged),
            canaries_lost: read(&self.canaries_lost),
            canaries: read(&self.canaries),
            canary_us: read(&self.canary_us),
            subscriber_rebuilds: read(&self.subscriber_rebuilds),
            link_rebuilds: read(&self.link_rebuilds),
            function_loads: read(&self.function_loads),
            tops: read(&self.tops),
            timeouts: read(&self.timeouts),
            repeats: read(&self.repeats),
            not_durable: read(&self.not_durable),
            restated: read(&self.restated),
        }
    }
}
