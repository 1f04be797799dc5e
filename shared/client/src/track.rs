//! One channel's place in its log, as this client has seen it: what is new, what is a repetition, what is missing.

use std::collections::{BTreeSet, HashMap};

use tickwire_protocol::{
    DeliveryClass, Delta, Position, Priority, RawJson,
    codec::{Message, ServerSubscribed},
};

/// Unacknowledged critical messages remembered per inbox; beyond it the oldest is forgotten and would be shown again.
const ALERTS_SEEN_MAX: usize = 10_000;

/// Values kept per subscription with deltas: an edge holds no more keys of a channel.
const VALUES_MAX: usize = 10_000;

/// What to do with a live message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// New.
    Deliver,
    /// Seen before.
    Duplicate,
    /// Messages before it never came: the subscription must be made again from the last position.
    Gap,
}

#[derive(Debug)]
pub(crate) struct Track {
    /// As the last `subscribed` said.
    class: Option<DeliveryClass>,
    /// The newest position seen: where the next recovery starts.
    last: Option<Position>,
    /// With a filter the server leaves messages out, so offsets are not dense.
    filtered: bool,
    /// Critical inbox messages delivered and not yet acknowledged. They come again on every subscribe, at their old
    /// positions and even from an earlier epoch; the consumer gets each once.
    alerts_seen: BTreeSet<Position>,
    /// Acknowledged since the latest question: an answer that was under way then may owe them still.
    alerts_over: BTreeSet<Position>,
    /// The last value of each key, for the changes that follow; `None`: the subscription gets whole values.
    values: Option<HashMap<Option<Box<str>>, Value>>,
}

#[derive(Debug)]
struct Value {
    time_ms: u64,
    data: RawJson,
}

impl Track {
    pub(crate) fn new(since: Option<Position>, filtered: bool) -> Self {
        Self {
            class: None,
            last: since,
            filtered,
            alerts_seen: BTreeSet::new(),
            alerts_over: BTreeSet::new(),
            values: None,
        }
    }

    /// The same for a subscription that asks for deltas.
    pub(crate) fn with_deltas(self) -> Self {
        Self { values: Some(HashMap::new()), ..self }
    }

    /// Whether all the values that it may keep are kept: what changes in others could not be put together.
    pub(crate) fn is_full(&self) -> bool {
        self.values.as_ref().is_some_and(|values| values.len() >= VALUES_MAX)
    }

    /// The message that a change makes of its key's last value; `None` if that is not the value it is for.
    pub(crate) fn whole(&self, delta: Delta) -> Option<Message> {
        let base = self.values.as_ref()?.get(&delta.key).filter(|base| base.time_ms == delta.base_ms)?;
        let data = delta.apply(&base.data)?;
        let Delta { channel, key, time_ms, priority, .. } = delta;
        Some(Message { channel, position: None, key, time_ms, priority, data, trace: None })
    }

    /// A question begins, and no other is under way: its answer knows what is acknowledged by now. What it owes all the same
    /// is owed again, because the store lost the acknowledgement.
    pub(crate) fn asks(&mut self) {
        self.alerts_over.clear();
    }

    /// Where to recover from.
    pub(crate) fn since(&self) -> Option<Position> {
        match self.class {
            // Their current values come with every subscribe.
            Some(DeliveryClass::Latest | DeliveryClass::Volatile) => None,
            Some(DeliveryClass::Reliable | DeliveryClass::Inbox) | None => self.last,
        }
    }

    /// Takes a `subscribed`: the messages of it that the consumer has not seen yet, in order.
    pub(crate) fn joined(&mut self, subscribed: ServerSubscribed) -> Vec<Message> {
        self.class = Some(subscribed.class);
        if let Some(values) = &mut self.values {
            values.clear();
        }
        let known = self.since();
        let fresh = subscribed.messages.into_iter().filter(|message| self.admit(message)).collect();
        match (known, subscribed.position) {
            // The log may have begun anew: what the server says now is where live messages follow on.
            (_, Some(top)) if !subscribed.recovered => self.last = Some(top),
            (Some(known), Some(top)) => self.last = Some(top.max(known)),
            (None, top) => self.last = top,
            (Some(_), None) => {}
        }
        fresh
    }

    /// Judges a live message.
    pub(crate) fn live(&mut self, message: &Message) -> Verdict {
        if let (Some(DeliveryClass::Reliable), Some(position), Some(last)) = (self.class, message.position, self.last) {
            let hole = if position.epoch == last.epoch { position.offset > last.offset + 1 } else { position > last };
            if hole && !self.filtered {
                return Verdict::Gap;
            }
        }
        if self.admit(message) { Verdict::Deliver } else { Verdict::Duplicate }
    }

    /// The history was lost: what follows counts from `position`. False if this client came past it on another link, so that
    /// nothing is lost for it.
    pub(crate) fn reset(&mut self, position: Position) -> bool {
        let is_past = self.last.is_some_and(|last| last.epoch == position.epoch && last >= position);
        if !is_past {
            self.last = Some(position);
        }
        !is_past
    }

    /// Whether an answer that denies the recovery from `asked` brings all that is missing: the log began anew after the
    /// question, the link that still served has told so, and the answer goes on where the new log stands here.
    pub(crate) fn goes_on(&self, asked: Option<Position>, answer: &ServerSubscribed) -> bool {
        let (Some(asked), Some(last), Some(top)) = (asked, self.last, answer.position) else { return false };
        let is_late = asked.epoch != last.epoch && top.epoch == last.epoch;
        let oldest = answer.messages.first().and_then(|message| message.position);
        let is_joined = top <= last || oldest.is_some_and(|oldest| oldest <= last.next());
        answer.class == DeliveryClass::Reliable && is_late && is_joined
    }

    /// Takes out the critical messages that were delivered and that a `subscribed` no longer owes: they were acknowledged
    /// elsewhere or expired while nothing told so. Where something may be lost nothing can be said: they stay.
    pub(crate) fn settled(&mut self, subscribed: &ServerSubscribed) -> Vec<Position> {
        let Some(top) = subscribed.position.filter(|_| subscribed.recovered) else { return Vec::new() };
        let owed: BTreeSet<Position> = subscribed.messages.iter().filter_map(|message| message.position).collect();
        let is_over = |position: &Position| position.epoch == top.epoch && *position <= top && !owed.contains(position);
        let over: Vec<Position> = self.alerts_seen.iter().copied().filter(is_over).collect();
        self.acknowledged(&over);
        over
    }

    /// Of a `latest` channel, as far as its class is known.
    pub(crate) fn is_latest(&self) -> bool {
        self.class == Some(DeliveryClass::Latest)
    }

    /// These were acknowledged and will not come again.
    pub(crate) fn acknowledged(&mut self, positions: &[Position]) {
        for position in positions {
            self.alerts_seen.remove(position);
            self.alerts_over.insert(*position);
        }
        while self.alerts_over.len() > ALERTS_SEEN_MAX {
            self.alerts_over.pop_first();
        }
    }

    fn admit(&mut self, message: &Message) -> bool {
        self.keep(message);
        let (Some(class), Some(position)) = (self.class, message.position) else { return true };
        if !class.is_lossless() {
            return true;
        }
        let newer = self.last.is_none_or(|last| position > last);
        if newer {
            self.last = Some(position);
        }
        if class == DeliveryClass::Inbox && message.priority == Priority::Critical {
            if self.alerts_over.contains(&position) {
                return false;
            }
            let unseen = self.alerts_seen.insert(position);
            if self.alerts_seen.len() > ALERTS_SEEN_MAX {
                self.alerts_seen.pop_first();
            }
            return unseen;
        }
        newer
    }
}

impl Track {
    fn keep(&mut self, message: &Message) {
        let full = self.is_full();
        let Some(values) = &mut self.values else { return };
        if !full || values.contains_key(&message.key) {
            values.insert(message.key.clone(), Value { time_ms: message.time_ms, data: message.data.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tickwire_protocol::{ChannelName, RawJson};

    use super::*;

    fn message(epoch: u64, offset: u64, priority: Priority) -> Message {
        Message {
            channel: ChannelName::new("session:1").unwrap(),
            position: Some(Position::new(epoch, offset)),
            key: None,
            time_ms: 0,
            priority,
            data: RawJson::null(),
            trace: None,
        }
    }

    fn subscribed(class: DeliveryClass, top: Position, recovered: bool, messages: Vec<Message>) -> ServerSubscribed {
        ServerSubscribed {
            id: None,
            channel: ChannelName::new("session:1").unwrap(),
            class,
            position: Some(top),
            recovered,
            messages,
            expires_at_ms: None,
        }
    }

    fn offsets(messages: &[Message]) -> Vec<u64> {
        messages.iter().map(|message| message.position.unwrap().offset).collect()
    }

    fn track_at(offset: u64) -> Track {
        let mut track = Track::new(None, false);
        track.joined(subscribed(DeliveryClass::Reliable, Position::new(1, offset), false, vec![]));
        track
    }

    #[test]
    fn a_repeated_message_is_a_duplicate() {
        let mut track = track_at(4);
        assert_eq!(track.live(&message(1, 5, Priority::Medium)), Verdict::Deliver);
        assert_eq!(track.live(&message(1, 5, Priority::Medium)), Verdict::Duplicate);
        assert_eq!(track.live(&message(1, 3, Priority::Medium)), Verdict::Duplicate);
        assert_eq!(track.since(), Some(Position::new(1, 5)));
    }

    #[test]
    fn a_hole_is_a_gap_and_moves_nothing() {
        let mut track = track_at(4);
        assert_eq!(track.live(&message(1, 6, Priority::Medium)), Verdict::Gap);
        assert_eq!(track.live(&message(2, 1, Priority::Medium)), Verdict::Gap);
        assert_eq!(track.since(), Some(Position::new(1, 4)));
    }

    #[test]
    fn a_filtered_subscription_expects_holes() {
        let mut track = Track::new(None, true);
        track.joined(subscribed(DeliveryClass::Reliable, Position::new(1, 4), false, vec![]));
        assert_eq!(track.live(&message(1, 9, Priority::Medium)), Verdict::Deliver);
    }

    #[test]
    fn recovery_delivers_only_what_is_new() {
        let mut track = track_at(4);
        let messages = (3..=6).map(|offset| message(1, offset, Priority::Medium)).collect();
        let fresh = track.joined(subscribed(DeliveryClass::Reliable, Position::new(1, 7), true, messages));
        assert_eq!(offsets(&fresh), [5, 6]);
        assert_eq!(track.since(), Some(Position::new(1, 7)));
    }

    #[test]
    fn a_lost_history_continues_from_the_servers_position() {
        let mut track = track_at(900);
        track.joined(subscribed(DeliveryClass::Reliable, Position::new(2, 3), false, vec![]));
        assert_eq!(track.live(&message(2, 4, Priority::Medium)), Verdict::Deliver);
    }

    #[test]
    fn an_unacknowledged_alert_is_shown_once_however_often_it_comes() {
        let mut track = Track::new(None, false);
        let owed = || vec![message(1, 2, Priority::Critical), message(1, 9, Priority::Medium)];
        let first = track.joined(subscribed(DeliveryClass::Inbox, Position::new(1, 9), false, owed()));
        assert_eq!(offsets(&first), [2, 9]);
        let again = track.joined(subscribed(DeliveryClass::Inbox, Position::new(1, 9), true, owed()));
        assert!(again.is_empty());
    }

    #[test]
    fn an_alert_that_is_no_longer_owed_after_a_break_is_settled() {
        let mut track = Track::new(None, false);
        let owed = || vec![message(1, 2, Priority::Critical), message(1, 3, Priority::Critical)];
        track.joined(subscribed(DeliveryClass::Inbox, Position::new(1, 3), false, owed()));
        let top = Position::new(1, 4);
        let lost = subscribed(DeliveryClass::Inbox, top, false, vec![]);
        assert!(track.settled(&lost).is_empty(), "who knows what was lost");
        let answer = subscribed(DeliveryClass::Inbox, top, true, owed().split_off(1));
        assert_eq!(track.settled(&answer), [Position::new(1, 2)]);
        assert!(track.settled(&answer).is_empty(), "once");
    }

    #[test]
    fn an_alert_that_was_acknowledged_while_an_answer_was_under_way_is_not_shown_again_by_it() {
        let mut track = Track::new(None, false);
        let owed = || vec![message(1, 2, Priority::Critical)];
        let answer = || subscribed(DeliveryClass::Inbox, Position::new(1, 2), true, owed());
        assert_eq!(offsets(&track.joined(answer())), [2]);
        track.asks();
        track.acknowledged(&[Position::new(1, 2)]);
        assert!(track.joined(answer()).is_empty());
        track.asks();
        assert_eq!(offsets(&track.joined(answer())), [2], "the store lost the acknowledgement: it is owed again");
    }

    #[test]
    fn an_alert_from_before_the_known_position_is_still_shown() {
        let mut track = Track::new(Some(Position::new(1, 50)), false);
        let owed = vec![message(1, 2, Priority::Critical), message(1, 3, Priority::Medium)];
        let fresh = track.joined(subscribed(DeliveryClass::Inbox, Position::new(1, 50), true, owed));
        assert_eq!(offsets(&fresh), [2]);
    }

    fn delta(base_ms: u64, time_ms: u64, changed: &'static str) -> Delta {
        let channel = ChannelName::new("prices:all").unwrap();
        let changed = RawJson::parse(changed).unwrap();
        let key = Some("BTC".into());
        Delta { channel, key, time_ms, priority: Priority::Medium, base_ms, changed, removed: vec!["b".into()] }
    }

    #[test]
    fn a_change_makes_a_whole_value_of_the_one_before_and_of_no_other() {
        let mut track = Track::new(None, false).with_deltas();
        let first = Message {
            position: None,
            key: Some("BTC".into()),
            time_ms: 10,
            data: RawJson::parse(r#"{"a":1.50,"b":2}"#).unwrap(),
            ..message(1, 1, Priority::Medium)
        };
        let joined = |messages| subscribed(DeliveryClass::Latest, Position::new(1, 1), false, messages);
        track.joined(joined(vec![first]));
        let second = track.whole(delta(10, 20, r#"{"c":3}"#)).unwrap();
        assert_eq!(second.data.as_str(), r#"{"a":1.50,"c":3}"#);
        assert_eq!(track.live(&second), Verdict::Deliver);
        // The same change again is for a value that is the last no more.
        assert_eq!(track.whole(delta(10, 20, r#"{"c":3}"#)), None);
        assert!(track.whole(delta(20, 30, r#"{"c":4}"#)).is_some());
        // An empty recovery leaves nothing that a change could be for.
        track.joined(joined(vec![]));
        assert_eq!(track.whole(delta(20, 30, r#"{"c":4}"#)), None);
    }

    #[test]
    fn current_values_always_pass() {
        let mut track = Track::new(None, false);
        let value = Message { position: None, key: Some("BTC".into()), ..message(1, 1, Priority::Medium) };
        for _ in 0..2 {
            let fresh =
                track.joined(subscribed(DeliveryClass::Latest, Position::new(1, 1), false, vec![value.clone()]));
            assert_eq!(fresh.len(), 1);
        }
        assert_eq!(track.since(), None);
    }

    proptest! {
        /// Whatever is repeated and wherever the connection breaks, each message is delivered once and in order.
        #[test]
        fn every_message_once_in_order(steps in prop::collection::vec((any::<bool>(), 0_u64..4, 0_u64..4), 1..60)) {
            let mut track = track_at(0);
            let mut published = 0;
            let mut seen = Vec::new();
            for (breaks, count, back) in steps {
                let from = published;
                published += count;
                if breaks {
                    let since = track.since().unwrap().offset.saturating_sub(back);
                    let messages = (since + 1..=published).map(|at| message(1, at, Priority::Medium)).collect();
                    let top = Position::new(1, published);
                    seen.extend(offsets(&track.joined(subscribed(DeliveryClass::Reliable, top, true, messages))));
                } else {
                    for at in from.saturating_sub(back) + 1..=published {
                        let message = message(1, at, Priority::Medium);
                        match track.live(&message) {
                            Verdict::Deliver => seen.push(at),
                            Verdict::Duplicate => {}
                            Verdict::Gap => prop_assert!(false, "no hole was made"),
                        }
                    }
                }
            }
            prop_assert_eq!(seen, (1..=published).collect::<Vec<_>>());
        }
    }
}
