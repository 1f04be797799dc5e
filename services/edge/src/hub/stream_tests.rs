use proptest::prelude::*;
use tickwire_protocol::{ChannelName, Priority, RawJson, publication::FrameCache};

use super::*;

const EPOCH: u64 = 5;

fn at(offset: u64) -> Position {
    Position::new(EPOCH, offset)
}

fn message_at(position: Position, key: Option<&str>) -> Arc<Publication> {
    Arc::new(Publication {
        channel: ChannelName::new("system").unwrap(),
        class: DeliveryClass::Reliable,
        position: Some(position),
        time_ms: 0,
        stored_ms: None,
        priority: Priority::Medium,
        key: key.map(Into::into),
        tags: std::collections::BTreeMap::new(),
        data: RawJson::null(),
        publisher: None,
        signature: None,
        expires_at_ms: None,
        traceparent: None,
        frames: FrameCache::default(),
    })
}

fn message(offset: u64) -> Arc<Publication> {
    message_at(at(offset), None)
}

fn live(class: DeliveryClass, offset: u64) -> Stream {
    let mut stream = Stream::new(class);
    if stream.on_subscribed(at(offset)).again {
        let stored = Stored::Snapshot(Snapshot { top: at(offset), publications: Vec::new() });
        assert!(!stream.on_stored(stored).again);
    }
    assert_eq!(stream.status, Status::Live);
    stream
}

fn history(offsets: std::ops::RangeInclusive<u64>, complete: bool) -> History {
    History { top: at(*offsets.end()), publications: offsets.map(message).collect(), complete }
}

fn offsets(messages: &[Arc<Publication>]) -> Vec<u64> {
    messages.iter().filter_map(|message| message.position).map(|position| position.offset).collect()
}

#[test]
fn what_came_before_the_subscription_was_confirmed_is_not_lost() {
    let mut stream = Stream::new(DeliveryClass::Reliable);
    for offset in 3..=5 {
        assert_eq!(stream.on_publication(&message(offset)), Next::Nothing);
    }
    assert_eq!(offsets(&stream.on_subscribed(at(3)).deliver), [4, 5]);
}

#[test]
fn a_hole_is_filled_before_what_came_after_it() {
    let mut stream = live(DeliveryClass::Reliable, 1);
    assert_eq!(stream.on_publication(&message(2)), Next::Deliver);
    assert_eq!(stream.on_publication(&message(5)), Next::Repair);
    assert_eq!(stream.on_publication(&message(6)), Next::Nothing, "held until the repair is done");
    let repaired = stream.on_stored(Stored::History(history(3..=5, true)));
    assert_eq!((offsets(&repaired.deliver), repaired.again), (vec![3, 4, 5, 6], false));
    assert_eq!(stream.on_publication(&message(7)), Next::Deliver);
}

#[test]
fn a_trimmed_history_is_told_as_a_reset() {
    let mut stream = live(DeliveryClass::Reliable, 1);
    stream.on_publication(&message(20));
    let repaired = stream.on_stored(Stored::History(history(11..=20, false)));
    assert_eq!(repaired.reset, Some((at(10), ResetReason::HistoryTrimmed)));
    assert_eq!(offsets(&repaired.deliver), (11..=20).collect::<Vec<_>>());
}

#[test]
fn a_new_epoch_is_a_reset_and_is_read_from_its_start() {
    let mut stream = live(DeliveryClass::Reliable, 7);
    let newer = |offset| Position::new(EPOCH + 1, offset);
    assert_eq!(stream.on_publication(&message_at(newer(2), None)), Next::Repair);
    let first = History { top: newer(2), publications: Vec::new(), complete: false };
    let repaired = stream.on_stored(Stored::History(first));
    assert_eq!((repaired.reset, repaired.again), (Some((newer(0), ResetReason::HistoryLost)), true));
    assert_eq!(stream.query_since(), newer(0));
    let publications = vec![message_at(newer(1), None), message_at(newer(2), None)];
    let second = History { top: newer(2), publications, complete: true };
    let repaired = stream.on_stored(Stored::History(second));
    assert_eq!((offsets(&repaired.deliver), repaired.again), (vec![1, 2], false));
}

#[test]
fn a_store_that_is_behind_is_asked_again() {
    let mut stream = live(DeliveryClass::Reliable, 1);
    stream.on_publication(&message(4));
    let repaired = stream.on_stored(Stored::History(history(2..=2, true)));
    assert_eq!((offsets(&repaired.deliver), repaired.again), (vec![2], true));
    assert_eq!(stream.status, Status::Repairing);
}

#[test]
fn more_than_can_be_held_is_read_from_the_store() {
    let mut stream = live(DeliveryClass::Reliable, 1);
    let last = 3 + HELD_MAX as u64 + 10;
    for offset in 3..=last {
        stream.on_publication(&message(offset));
    }
    let repaired = stream.on_stored(Stored::History(history(2..=100, true)));
    assert!(repaired.again, "the newest position heard of is beyond what was read");
    let repaired = stream.on_stored(Stored::History(history(101..=last, true)));
    assert_eq!((repaired.deliver.len() as u64, repaired.again), (last - 100, false));
}

#[test]
fn a_volatile_stream_does_not_wait_for_what_is_lost() {
    let mut stream = live(DeliveryClass::Volatile, 1);
    assert_eq!(stream.on_publication(&message(9)), Next::Deliver);
    assert_eq!(stream.on_publication(&message(8)), Next::Nothing);
    assert_eq!(stream.on_top(at(30)), Next::Nothing);
}

#[test]
fn values_are_the_newest_of_each_key() {
    let mut stream = live(DeliveryClass::Latest, 0);
    for (offset, key) in [(1, "A"), (2, "B"), (3, "A")] {
        assert_eq!(stream.on_publication(&message_at(at(offset), Some(key))), Next::Deliver);
    }
    assert_eq!(offsets(&stream.values(0)), [2, 3]);
}

#[test]
fn a_read_is_spliced_with_what_came_live_meanwhile() {
    let mut stream = live(DeliveryClass::Reliable, 10);
    stream.remember(RECENT_MAX);
    for offset in 11..=15 {
        stream.on_publication(&message(offset));
    }
    let spliced = |since, read: History| {
        stream.splice(Some(since), &read, 0).map(|(messages, recovered)| (offsets(&messages), recovered))
    };
    assert_eq!(spliced(at(8), history(9..=12, true)), Some(((9..=15).collect(), true)), "older than the tail");
    assert_eq!(spliced(at(8), history(9..=20, true)), Some(((9..=15).collect(), true)), "newer: the rest comes live");
    assert_eq!(spliced(at(2), history(9..=15, false)), Some(((9..=15).collect(), false)), "trimmed");
    assert_eq!(spliced(at(8), history(5..=9, true)), None, "10 is in neither");
    assert_eq!(spliced(at(17), history(18..=20, true)), None, "16 and 17 would come again, live");
    let nothing = History { top: at(15), publications: Vec::new(), complete: true };
    assert_eq!(spliced(at(99), nothing), Some((Vec::new(), false)), "a position that was never given out");
}

proptest! {
    /// Whatever is lost, doubled or swapped on the way, subscribers see each message once and in order.
    #[test]
    fn a_lossy_way_gives_a_dense_stream(arrivals in prop::collection::vec(1..60_u64, 0..120)) {
        let mut stream = live(DeliveryClass::Reliable, 0);
        let mut delivered = Vec::new();
        let mut top = 0;
        for offset in arrivals {
            top = top.max(offset);
            match stream.on_publication(&message(offset)) {
                Next::Deliver => delivered.push(offset),
                Next::Nothing => {}
                Next::Repair => loop {
                    let since = stream.query_since().offset;
                    let repaired = stream.on_stored(Stored::History(history(since + 1..=top, true)));
                    delivered.extend(offsets(&repaired.deliver));
                    if !repaired.again {
                        break;
                    }
                },
            }
        }
        prop_assert_eq!(delivered, (1..=top).collect::<Vec<_>>());
    }
}
