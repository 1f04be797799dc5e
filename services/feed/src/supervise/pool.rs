//! Which connection carries which topic. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use crate::{model::Topic, venue::Limits};

/// The topics of an endpoint, spread over connections that each carry at most so many.
///
/// A topic stays on its connection: moving it would cost a resubscription and a new book. A connection without topics is
/// given up.
#[derive(Debug)]
pub(crate) struct Pool {
    topics_max: usize,
    chars_max: usize,
    lanes: BTreeMap<u64, BTreeSet<Topic>>,
    next: u64,
}

impl Pool {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            topics_max: limits.topics_max.max(1),
            chars_max: limits.topic_chars_max.unwrap_or(usize::MAX),
            lanes: BTreeMap::new(),
            next: 0,
        }
    }

    /// Exactly `wanted` from now on. The answer names the connections whose topics changed; one without topics is to end.
    pub(crate) fn assign(&mut self, wanted: &BTreeSet<Topic>) -> BTreeMap<u64, Vec<Topic>> {
        let mut changed = BTreeSet::new();
        for (&lane, topics) in &mut self.lanes {
            let before = topics.len();
            topics.retain(|topic| wanted.contains(topic));
            if topics.len() != before {
                changed.insert(lane);
            }
        }
        let held: BTreeSet<&Topic> = self.lanes.values().flatten().collect();
        let new: Vec<Topic> = wanted.iter().filter(|topic| !held.contains(topic)).cloned().collect();
        for topic in new {
            let lane = self.place(&topic);
            self.lanes.entry(lane).or_default().insert(topic);
            changed.insert(lane);
        }
        let answer = changed.into_iter().map(|lane| (lane, self.topics(lane))).collect();
        self.lanes.retain(|_, topics| !topics.is_empty());
        answer
    }

    /// The connection is no more: its topics are placed anew by the next [`Self::assign`].
    pub(crate) fn forget(&mut self, lane: u64) {
        self.lanes.remove(&lane);
    }

    /// Beside other topics of its symbol, so that one connection knows all of it; else the fullest connection with room.
    fn place(&mut self, topic: &Topic) -> u64 {
        let has_room = |topics: &BTreeSet<Topic>| {
            let chars: usize = topics.iter().chain([topic]).map(chars).sum();
            topics.len() < self.topics_max && chars <= self.chars_max && !topics.is_empty()
        };
        let beside = self
            .lanes
            .iter()
            .find(|(_, topics)| has_room(topics) && topics.iter().any(|held| held.symbol == topic.symbol));
        let fullest =
            || self.lanes.iter().rev().filter(|(_, topics)| has_room(topics)).max_by_key(|(_, topics)| topics.len());
        if let Some((&lane, _)) = beside.or_else(fullest) {
            return lane;
        }
        self.next += 1;
        self.next
    }

    fn topics(&self, lane: u64) -> Vec<Topic> {
        self.lanes.get(&lane).map(|topics| topics.iter().cloned().collect()).unwrap_or_default()
    }
}

/// What a topic's name may need at its venue: the symbol, and the longest name of a channel (`orderbook.1000.`).
fn chars(topic: &Topic) -> usize {
    topic.symbol.as_str().len() + 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Channel, Exchange, Symbol},
        venue::facts,
    };

    fn limits(topics_max: usize, topic_chars_max: Option<usize>) -> Limits {
        Limits { topics_max, topic_chars_max, ..facts(Exchange::Bybit).limits }
    }

    fn wanted(symbols: &[&str]) -> BTreeSet<Topic> {
        let topics = symbols.iter().flat_map(|symbol| {
            [Channel::Ticker, Channel::Trades].map(|channel| Topic { symbol: Symbol::new(symbol), channel })
        });
        topics.collect()
    }

    #[test]
    fn topics_spread_over_connections_and_stay_where_they_are() {
        let mut pool = Pool::new(&limits(4, None));
        let first = pool.assign(&wanted(&["A/B", "C/D", "E/F"]));
        assert_eq!(first.values().map(Vec::len).collect::<Vec<_>>(), [4, 2]);
        let second = pool.assign(&wanted(&["A/B", "E/F", "G/H"]));
        assert_eq!(second.len(), 1, "only what changed is told: {second:?}");
        assert_eq!(pool.assign(&wanted(&["A/B", "E/F", "G/H"])), BTreeMap::new());
    }

    #[test]
    fn long_names_fill_a_connection_sooner() {
        let mut pool = Pool::new(&limits(500, Some(190)));
        let long = format!("{}/USDT", "X".repeat(60));
        let placed = pool.assign(&wanted(&["A/B", &long]));
        assert!(placed.len() > 1, "{placed:?}");
        assert!(placed.values().all(|topics| topics.iter().map(chars).sum::<usize>() <= 190));
    }

    #[test]
    fn a_connection_without_topics_is_given_up() {
        let mut pool = Pool::new(&limits(4, None));
        pool.assign(&wanted(&["A/B"]));
        let ended = pool.assign(&BTreeSet::new());
        assert_eq!(ended.into_values().collect::<Vec<_>>(), [Vec::<Topic>::new()]);
        assert!(pool.lanes.is_empty());
    }
}
