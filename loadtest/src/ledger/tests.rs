use proptest::prelude::*;
use tickwire_protocol::{DeliveryClass, Position};

use super::*;
use crate::record::Totals;

const EPOCH: u64 = 1_000;

fn live(number: u64) -> Arrival {
    Arrival { number, key: 0, position: Some(Position::new(EPOCH, number)), critical: false, origin: Origin::Live }
}

fn critical(number: u64) -> Arrival {
    Arrival { critical: true, ..live(number) }
}

fn replay(number: u64) -> Arrival {
    Arrival { origin: Origin::Replay, ..live(number) }
}

/// A log of `count` messages, all acknowledged.
fn log(count: u64) -> Log {
    let mut log = Log::default();
    for _ in 0..count {
        let number = log.next(0);
        log.accepted(0, number, Some(Position::new(EPOCH, number)));
    }
    log
}

/// Feeds `numbers` to a client that is owed all and audits it against `published` messages.
fn account(class: DeliveryClass, numbers: &[u64], published: u64) -> Totals {
    let (mut follower, mut totals) = (Follower::from_the_first(class), Totals::default());
    for &number in numbers {
        follower.observe(live(number), &mut totals);
    }
    follower.audit(&log(published), &mut totals);
    totals
}

#[test]
fn all_in_order_is_clean() {
    let totals = account(DeliveryClass::Reliable, &[1, 2, 3], 3);
    assert!(totals.is_clean());
    assert_eq!((totals.expected, totals.delivered), (3, 3));
}

#[test]
fn a_skipped_message_is_lost() {
    let totals = account(DeliveryClass::Reliable, &[1, 2, 5], 5);
    assert_eq!((totals.expected, totals.delivered, totals.lost), (5, 3, 2));
}

#[test]
fn a_missing_end_is_lost() {
    let totals = account(DeliveryClass::Reliable, &[1, 2], 4);
    assert_eq!((totals.expected, totals.lost), (4, 2));
}

#[test]
fn a_client_that_saw_nothing_lost_all() {
    assert_eq!(account(DeliveryClass::Reliable, &[], 7).lost, 7);
    assert_eq!(account(DeliveryClass::Latest, &[], 7).lost, 1, "of `latest` the last value is owed");
}

#[test]
fn a_double_is_duplicated() {
    let totals = account(DeliveryClass::Reliable, &[1, 2, 2, 3, 1], 3);
    assert_eq!((totals.duplicated, totals.lost, totals.disordered), (2, 0, 0));
}

#[test]
fn a_late_message_is_disordered_and_not_lost() {
    let totals = account(DeliveryClass::Reliable, &[1, 3, 2, 4], 4);
    assert_eq!((totals.disordered, totals.lost, totals.duplicated), (1, 0, 0));
}

#[test]
fn an_older_value_after_a_newer_one_is_stale() {
    let totals = account(DeliveryClass::Latest, &[1, 5, 4, 6], 6);
    assert_eq!((totals.stale, totals.conflated, totals.lost), (1, 3, 0));
}

#[test]
fn a_last_value_that_never_came_is_lost() {
    assert_eq!(account(DeliveryClass::Latest, &[1, 2], 3).lost, 1);
}

#[test]
fn latest_is_judged_by_key() {
    let (mut follower, mut totals) = (Follower::new(DeliveryClass::Latest), Totals::default());
    let mut log = Log::default();
    for key in [1, 2, 1] {
        let number = log.next(key);
        log.accepted(key, number, None);
        follower.observe(Arrival { key, ..live(number) }, &mut totals);
    }
    follower.audit(&log, &mut totals);
    assert!(totals.is_clean(), "{totals:?}");
    assert_eq!(follower.observe(Arrival { key: 2, ..live(1) }, &mut totals), Verdict::Duplicate);
    assert_eq!(follower.observe(Arrival { key: 1, ..live(1) }, &mut totals), Verdict::Stale);
}

#[test]
fn volatile_messages_may_be_dropped_but_neither_doubled_nor_disordered() {
    let totals = account(DeliveryClass::Volatile, &[1, 4, 4, 2], 9);
    assert_eq!((totals.dropped, totals.duplicated, totals.disordered, totals.lost), (2, 1, 1, 0));
}

#[test]
fn a_newcomer_is_owed_what_comes_after_its_position() {
    let (mut follower, mut totals) = (Follower::new(DeliveryClass::Reliable), Totals::default());
    follower.joined(Some(Position::new(EPOCH, 10)), false, false, &mut totals);
    assert_eq!(follower.observe(live(13), &mut totals), Verdict::New { missed: 2 });

    let (mut follower, mut totals) = (Follower::new(DeliveryClass::Reliable), Totals::default());
    follower.joined(Some(Position::new(EPOCH, 10)), false, false, &mut totals);
    follower.audit(&log(12), &mut totals);
    assert_eq!((totals.expected, totals.lost), (2, 2), "nothing came at all");
}

#[test]
fn numbers_need_not_begin_with_offsets() {
    let (mut follower, mut totals) = (Follower::new(DeliveryClass::Reliable), Totals::default());
    follower.joined(Some(Position::new(EPOCH, 500)), false, false, &mut totals);
    let first = Arrival { position: Some(Position::new(EPOCH, 501)), ..live(1) };
    assert_eq!(follower.observe(first, &mut totals), Verdict::New { missed: 0 });
}

#[test]
fn what_a_newcomer_gets_from_before_is_backlog() {
    let (mut follower, mut totals) = (Follower::new(DeliveryClass::Inbox), Totals::default());
    follower.joined(Some(Position::new(EPOCH, 10)), false, false, &mut totals);
    assert_eq!(follower.observe(replay(4), &mut totals), Verdict::Backlog);
    assert_eq!(follower.observe(live(11), &mut totals), Verdict::New { missed: 0 });
    assert!(totals.is_clean());
}

#[test]
fn a_recovery_without_a_hole_is_clean_and_one_with_a_hole_is_not() {
    for (recovered_from, lost) in [(3, 0), (4, 1)] {
        let (mut follower, mut totals) = (Follower::from_the_first(DeliveryClass::Reliable), Totals::default());
        follower.observe(live(1), &mut totals);
        follower.observe(live(2), &mut totals);
        assert_eq!(follower.position(), Some(Position::new(EPOCH, 2)));
        assert!(!follower.joined(Some(Position::new(EPOCH, 5)), true, true, &mut totals));
        for number in recovered_from..=5 {
            follower.observe(replay(number), &mut totals);
        }
        assert_eq!((totals.recoveries, totals.lost), (1, lost));
    }
}

#[test]
fn what_an_edge_that_is_behind_sends_again_is_repeated_and_not_doubled() {
    let (mut follower, mut totals) = (Follower::from_the_first(DeliveryClass::Reliable), Totals::default());
    follower.observe(live(1), &mut totals);
    follower.observe(live(2), &mut totals);
    follower.resumes();
    follower.joined(Some(Position::new(EPOCH, 1)), true, true, &mut totals);
    follower.observe(live(2), &mut totals);
    follower.observe(live(3), &mut totals);
    assert_eq!((totals.repeated, totals.duplicated, totals.lost), (1, 0, 0));
    follower.observe(live(3), &mut totals);
    assert_eq!(totals.duplicated, 1, "what came on this connection comes once");
}

#[test]
fn a_refused_recovery_is_counted_and_excuses_one_hole() {
    let (mut follower, mut totals) = (Follower::from_the_first(DeliveryClass::Reliable), Totals::default());
    follower.observe(live(1), &mut totals);
    assert!(follower.joined(Some(Position::new(EPOCH, 9)), true, false, &mut totals));
    follower.observe(live(10), &mut totals);
    assert_eq!((totals.recoveries_failed, totals.excused, totals.lost), (1, 8, 0));
    follower.observe(live(12), &mut totals);
    assert_eq!(totals.lost, 1, "the next hole is a loss again");
}

#[test]
fn a_reset_excuses_and_counts_from_the_new_epoch() {
    let (mut follower, mut totals) = (Follower::from_the_first(DeliveryClass::Reliable), Totals::default());
    follower.observe(live(1), &mut totals);
    follower.reset(Some(Position::new(EPOCH + 1, 0)), &mut totals);
    assert_eq!(follower.position(), Some(Position::new(EPOCH + 1, 0)));
    follower.observe(Arrival { position: Some(Position::new(EPOCH + 1, 1)), ..live(4) }, &mut totals);
    assert_eq!((totals.resets, totals.excused, totals.lost), (1, 2, 0));
}

#[test]
fn what_nobody_knows_to_be_published_may_be_missing() {
    let mut log = log(3);
    for _ in 0..2 {
        let number = log.next(0);
        log.uncertain(number);
    }
    let number = log.next(0);
    log.accepted(0, number, Some(Position::new(EPOCH, 6)));
    let (mut follower, mut totals) = (Follower::from_the_first(DeliveryClass::Reliable), Totals::default());
    for number in [1, 2, 3, 5, 6] {
        follower.observe(live(number), &mut totals);
    }
    assert!(follower.audit(&log, &mut totals).is_empty());
    assert_eq!((totals.lost, totals.expected), (0, 5));
}

#[test]
fn a_critical_message_may_come_again_until_its_acknowledgement_is_confirmed() {
    let (mut follower, mut totals) = (Follower::from_the_first(DeliveryClass::Inbox), Totals::default());
    follower.observe(critical(1), &mut totals);
    assert_eq!(follower.observe(critical(1), &mut totals), Verdict::Redelivered);
    follower.confirmed(1, &mut totals);
    assert_eq!(follower.observe(critical(1), &mut totals), Verdict::AcknowledgedAgain);
    assert_eq!((totals.redelivered, totals.acknowledged, totals.acknowledged_again), (1, 1, 1));
    assert!(!totals.is_clean());
}

#[test]
fn memory_is_bounded_whatever_is_missing() {
    let (mut follower, mut totals) = (Follower::from_the_first(DeliveryClass::Reliable), Totals::default());
    for number in (0..10_000).map(|n| n * 2 + 2) {
        follower.observe(live(number), &mut totals);
    }
    assert_eq!(totals.lost, 10_000);
    assert!(follower.audit(&log(20_000), &mut totals).len() <= 256);
    assert_eq!(totals.lost, 10_000, "what is no longer remembered stays lost");
}

proptest! {
    /// Whatever is left out, put in twice and shuffled within a short distance: the account adds up.
    #[test]
    fn the_account_of_a_disturbed_stream_adds_up(
        count in 1_u64..60,
        gone in proptest::collection::btree_set(1_u64..60, 0..10),
        twice in proptest::collection::btree_set(1_u64..60, 0..10),
        swaps in proptest::collection::vec(0_usize..100, 0..10),
    ) {
        let mut stream: Vec<u64> = (1..=count)
            .filter(|number| !gone.contains(number))
            .flat_map(|number| std::iter::repeat_n(number, if twice.contains(&number) { 2 } else { 1 }))
            .collect();
        for at in swaps {
            if at + 1 < stream.len() {
                stream.swap(at, at + 1);
            }
        }
        let totals = account(DeliveryClass::Reliable, &stream, count);
        let lost = gone.iter().filter(|&&number| number <= count).count() as u64;
        let doubled = twice.iter().filter(|&number| *number <= count && !gone.contains(number)).count() as u64;
        prop_assert_eq!(totals.lost, lost);
        prop_assert_eq!(totals.duplicated, doubled);
        prop_assert_eq!(totals.expected, count);
        prop_assert_eq!(totals.delivered, count - lost + doubled);
        let mut seen = std::collections::BTreeSet::new();
        let first_sights: Vec<u64> = stream.into_iter().filter(|&number| seen.insert(number)).collect();
        prop_assert_eq!(totals.disordered == 0, first_sights.is_sorted());
    }

    #[test]
    fn ranges_are_a_set(numbers in proptest::collection::btree_set(1_u64..200, 0..80), gone in 1_u64..200) {
        let mut ranges = Ranges::default();
        for &number in &numbers {
            ranges.append(number..=number);
        }
        prop_assert_eq!(ranges.count(), numbers.len() as u64);
        prop_assert_eq!(ranges.remove(gone), numbers.contains(&gone));
        prop_assert!(!ranges.contains(gone));
        for number in numbers.iter().filter(|&&number| number != gone) {
            prop_assert!(ranges.contains(*number));
        }
    }
}
