use std::time::Duration;

use tickwire_protocol::{
    Command, DeliveryClass, ErrorCode, Position, SubscriptionRequest,
    codec::{Message, ServerEvent},
};

use crate::{
    SubscriptionEvent,
    session::{
        DialFailure, Effect, Input, Line, LinkEnd, SubscriptionId,
        tests::{
            Bench, SUBSCRIPTION, alert, asked, asked_on, channel, connected, live, message, offsets, over, owes,
            refused, subscribed,
        },
    },
};

/// `input` as it comes over the successor.
fn next(input: Input) -> Input {
    match input {
        Input::Event(_, event) => Input::Event(Line::Next, event),
        other => other,
    }
}

fn reconnect(after_ms: u64) -> Input {
    Input::Event(Line::Current, ServerEvent::Reconnect { reason: "draining".into(), after_ms })
}

fn is_promoted(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Promote))
}

fn drops(effects: &[Effect], line: Line) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Drop { line: dropped, .. } if *dropped == line))
}

/// Live at offset 4, told to leave, and the successor asked to serve the channel; gives the request's id.
fn joining() -> (Bench, i64) {
    let mut bench = Bench::subscribed_at(4);
    bench.give(reconnect(1_830));
    let from = bench.now;
    let effects = bench.wait();
    assert_eq!(bench.now - from, Duration::from_millis(1_830));
    assert!(matches!(&effects[..], [Effect::Dial { line: Line::Next, url, .. }] if &**url == "ws://1"), "{effects:?}");
    assert!(bench.give(Input::Opened(Line::Next)).is_empty());
    let (id, since) = asked_on(Line::Next, &bench.give(next(connected(None))));
    assert_eq!(since, Some(Position::new(1, 4)));
    (bench, id)
}

#[test]
fn the_old_link_serves_until_its_successor_has_recovered() {
    let (mut bench, id) = joining();
    assert_eq!(offsets(&bench.give(live(5))), [5]);
    let effects = bench.give(next(subscribed(id, 6, true, vec![message(5), message(6)])));
    assert_eq!(offsets(&effects), [6]);
    assert!(drops(&effects, Line::Current) && is_promoted(&effects), "{effects:?}");
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::Deliver { event: SubscriptionEvent::Recovered { .. }, .. })),
        "for its consumer nothing was broken: {effects:?}"
    );
    assert_eq!(offsets(&bench.give(live(7))), [7], "what was next is current");
}

/// A message of the log that began anew.
fn anew(offset: u64) -> Message {
    Message { position: Some(Position::new(2, offset)), ..message(1) }
}

fn reset() -> ServerEvent {
    ServerEvent::Reset { channel: channel(), position: Position::new(2, 0), reason: "history_lost".into() }
}

fn live_anew(offset: u64) -> ServerEvent {
    ServerEvent::Message(Box::new(anew(offset)))
}

fn tells_of_a_gap(effects: &[Effect]) -> bool {
    let is_gap = |event: &SubscriptionEvent| {
        matches!(event, SubscriptionEvent::Recovered { complete: false, .. } | SubscriptionEvent::Reset { .. })
    };
    effects.iter().any(|effect| matches!(effect, Effect::Deliver { event, .. } if is_gap(event)))
}

#[test]
fn a_loss_that_the_old_link_told_of_is_not_told_again_by_the_successor() {
    for old_link_ends_first in [false, true] {
        let (mut bench, id) = joining();
        assert!(tells_of_a_gap(&bench.give(Input::Event(Line::Current, reset()))));
        assert_eq!(offsets(&bench.give(Input::Event(Line::Current, live_anew(1)))), [1]);
        if old_link_ends_first {
            bench.give(Input::Ended(Line::Current, LinkEnd { code: Some(1001), reason: String::new() }));
        }
        let Input::Event(_, ServerEvent::Subscribed(mut answer)) = subscribed(id, 0, false, vec![anew(1), anew(2)])
        else {
            unreachable!()
        };
        answer.position = Some(Position::new(2, 2));
        let line = if old_link_ends_first { Line::Current } else { Line::Next };
        let effects = bench.give(Input::Event(line, ServerEvent::Subscribed(answer)));
        assert!(!tells_of_a_gap(&effects), "{effects:?}");
        assert_eq!(offsets(&effects), [2]);
        assert_eq!(offsets(&bench.give(Input::Event(Line::Current, live_anew(3)))), [3]);
    }
}

#[test]
fn a_successor_that_hears_of_the_loss_later_repeats_nothing() {
    let (mut bench, id) = joining();
    bench.give(Input::Event(Line::Current, reset()));
    assert_eq!(offsets(&bench.give(Input::Event(Line::Current, live_anew(1)))), [1]);
    bench.give(next(subscribed(id, 4, true, vec![])));
    assert!(!tells_of_a_gap(&bench.give(Input::Event(Line::Current, reset()))));
    assert_eq!(offsets(&bench.give(Input::Event(Line::Current, live_anew(1)))), [] as [u64; 0]);
    assert_eq!(offsets(&bench.give(Input::Event(Line::Current, live_anew(2)))), [2]);
}

#[test]
fn a_channel_that_has_moved_is_heard_on_the_successor_alone() {
    let mut bench = Bench::subscribed_at(4);
    let other = tickwire_protocol::ChannelName::new("session:43").unwrap();
    let request = SubscriptionRequest::new(other.clone());
    let (second, _) = asked(&bench.give(Input::Subscribe { id: SubscriptionId(2), request }));
    let answer = |id: i64| match subscribed(id, 9, true, vec![]) {
        Input::Event(line, ServerEvent::Subscribed(mut subscribed)) => {
            subscribed.channel = other.clone();
            Input::Event(line, ServerEvent::Subscribed(subscribed))
        }
        input => input,
    };
    bench.give(answer(second));
    bench.give(reconnect(0));
    bench.wait();
    bench.give(Input::Opened(Line::Next));
    let (id, _) = asked_on(Line::Next, &bench.give(next(connected(None))));
    assert!(!is_promoted(&bench.give(next(subscribed(id, 4, true, vec![])))), "one channel is still to move");
    assert_eq!(offsets(&bench.give(next(live(5)))), [5]);
    assert_eq!(offsets(&bench.give(live(6))), [] as [u64; 0], "the old link speaks for it no more");
    assert_eq!(offsets(&bench.give(next(live(6)))), [6]);
    assert!(is_promoted(&bench.give(next(answer(id)))));
}

/// Values have no positions: what the successor answers may be older than what the old link brought since it was asked.
#[test]
fn a_latest_channel_goes_back_in_time_neither_with_the_successor_nor_without_it() {
    let value = |n: u64| Message { position: None, time_ms: n, key: Some("BTC".into()), ..message(1) };
    let answer = |line: Line, id: i64, n: u64| {
        let Input::Event(_, ServerEvent::Subscribed(mut answer)) = subscribed(id, 0, false, vec![value(n)]) else {
            unreachable!()
        };
        answer.class = DeliveryClass::Latest;
        Input::Event(line, ServerEvent::Subscribed(answer))
    };
    let tick = |line: Line, n: u64| Input::Event(line, ServerEvent::Message(Box::new(value(n))));
    let times = |effects: &[Effect]| -> Vec<u64> {
        let delivered = effects.iter().filter_map(|effect| match effect {
            Effect::Deliver { event: SubscriptionEvent::Message(delivery), .. } => Some(delivery.message.time_ms),
            _ => None,
        });
        delivered.collect()
    };
    for is_abandoned in [false, true] {
        let mut bench = Bench::connected();
        let request = SubscriptionRequest::new(channel());
        let (id, _) = asked(&bench.give(Input::Subscribe { id: SubscriptionId(1), request }));
        assert_eq!(times(&bench.give(answer(Line::Current, id, 1))), [1]);
        bench.give(reconnect(0));
        bench.wait();
        bench.give(Input::Opened(Line::Next));
        assert_eq!(times(&bench.give(tick(Line::Current, 2))), [2], "the old link serves");
        let (id, _) = asked_on(Line::Next, &bench.give(next(connected(None))));
        assert_eq!(times(&bench.give(tick(Line::Current, 4))), [] as [u64; 0], "the answer may be older");
        if is_abandoned {
            let effects = bench.give(Input::Ended(Line::Next, LinkEnd { code: None, reason: "died".into() }));
            let id = effects.iter().find_map(|effect| match effect {
                Effect::Send(Line::Current, requests) => requests.iter().find_map(|request| {
                    matches!(request.command, Command::Subscribe { .. }).then_some(request.id).flatten()
                }),
                _ => None,
            });
            assert_eq!(times(&bench.give(answer(Line::Current, id.expect("it is asked for again"), 4))), [4]);
        } else {
            assert_eq!(times(&bench.give(answer(Line::Next, id, 3))), [3]);
            assert_eq!(times(&bench.give(tick(Line::Current, 4))), [4], "what was next is current");
        }
    }
}

#[test]
fn a_successor_that_fails_leaves_everything_on_the_old_link_and_is_tried_again() {
    for failure in [
        Input::DialFailed(Line::Next, DialFailure { status: Some(503), retry_after: None }),
        Input::Ended(Line::Next, LinkEnd { code: Some(1001), reason: String::new() }),
        next(refused(None, ErrorCode::Unavailable, None)),
    ] {
        let mut bench = Bench::subscribed_at(4);
        bench.give(reconnect(0));
        bench.wait();
        bench.give(Input::Opened(Line::Next));
        assert!(drops(&bench.give(failure), Line::Next));
        assert_eq!(offsets(&bench.give(live(5))), [5]);
        let effects = bench.wait();
        assert!(
            matches!(&effects[..], [Effect::Dial { line: Line::Next, url, .. }] if &**url == "ws://0"),
            "{effects:?}"
        );
    }
}

#[test]
fn a_successor_that_dies_after_a_channel_moved_gives_it_back_from_its_position() {
    let mut bench = Bench::subscribed_at(4);
    let request = SubscriptionRequest::new(tickwire_protocol::ChannelName::new("session:43").unwrap());
    let (_, _) = asked(&bench.give(Input::Subscribe { id: SubscriptionId(2), request }));
    bench.give(reconnect(0));
    bench.wait();
    bench.give(Input::Opened(Line::Next));
    let (id, _) = asked_on(Line::Next, &bench.give(next(connected(None))));
    // The second channel never stood on the old link, so it joins the successor only after it took over.
    let effects = bench.give(next(subscribed(id, 4, true, vec![])));
    assert!(is_promoted(&effects));
    let (_, since) = asked(&effects);
    assert_eq!(since, None);

    let (mut bench, id) = two_standing();
    bench.give(next(subscribed(id, 4, true, vec![])));
    bench.give(live(5));
    let effects = bench.give(Input::Ended(Line::Next, LinkEnd { code: None, reason: String::new() }));
    let (again, since) = asked(&effects);
    assert_eq!(since, Some(Position::new(1, 4)), "the 5 was not heard on the old link");
    assert_eq!(offsets(&bench.give(subscribed(again, 5, true, vec![message(5)]))), [5]);
}

/// Two channels stand, and the successor was asked for both; gives that request's id.
fn two_standing() -> (Bench, i64) {
    let mut bench = Bench::subscribed_at(4);
    let other = tickwire_protocol::ChannelName::new("session:43").unwrap();
    let request = SubscriptionRequest::new(other.clone());
    let (second, _) = asked(&bench.give(Input::Subscribe { id: SubscriptionId(2), request }));
    if let Input::Event(line, ServerEvent::Subscribed(mut subscribed)) = subscribed(second, 9, true, vec![]) {
        subscribed.channel = other;
        bench.give(Input::Event(line, ServerEvent::Subscribed(subscribed)));
    }
    bench.give(reconnect(0));
    bench.wait();
    bench.give(Input::Opened(Line::Next));
    let (id, _) = asked_on(Line::Next, &bench.give(next(connected(None))));
    (bench, id)
}

#[test]
fn an_alert_that_is_acknowledged_while_the_successor_answers_is_not_shown_again() {
    let mut bench = Bench::connected();
    let request = SubscriptionRequest::new(channel());
    let (id, _) = asked(&bench.give(Input::Subscribe { id: SUBSCRIPTION, request }));
    assert_eq!(offsets(&bench.give(owes(id, 2, false, vec![alert(1), alert(2)]))), [1, 2]);
    bench.give(reconnect(0));
    bench.wait();
    bench.give(Input::Opened(Line::Next));
    let (id, _) = asked_on(Line::Next, &bench.give(next(connected(None))));
    let position = Position::new(1, 1);
    let acked = ServerEvent::Acked { id: None, channel: channel(), position };
    assert_eq!(over(&bench.give(Input::Event(Line::Current, acked))), [position]);
    // The inbox was read before the acknowledgement reached it.
    let effects = bench.give(next(owes(id, 2, true, vec![alert(1), alert(2)])));
    assert!(is_promoted(&effects));
    assert_eq!(offsets(&effects), [] as [u64; 0], "{effects:?}");
}

#[test]
fn the_old_link_may_end_first() {
    // Before the successor is open, while it greets, and while channels move.
    let ended = || Input::Ended(Line::Current, LinkEnd { code: Some(1001), reason: String::new() });
    let mut bench = Bench::subscribed_at(4);
    bench.give(reconnect(0));
    bench.wait();
    assert!(is_promoted(&bench.give(ended())));
    bench.give(Input::Opened(Line::Current));
    let (id, since) = asked(&bench.give(connected(None)));
    assert_eq!(since, Some(Position::new(1, 4)));
    assert_eq!(offsets(&bench.give(subscribed(id, 5, true, vec![message(5)]))), [5]);

    let (mut bench, id) = joining();
    assert!(is_promoted(&bench.give(ended())));
    assert_eq!(offsets(&bench.give(live(5))), [] as [u64; 0], "not before the channel stands");
    assert_eq!(offsets(&bench.give(subscribed(id, 5, true, vec![message(5)]))), [5]);
}

#[test]
fn a_successor_that_hangs_is_given_up_at_its_deadline() {
    let (mut bench, _) = joining();
    let from = bench.now;
    let effects = bench.wait();
    assert!(bench.now - from <= Duration::from_secs(10));
    assert!(drops(&effects, Line::Next), "{effects:?}");
    assert_eq!(offsets(&bench.give(live(5))), [5]);
}

#[test]
fn a_blocked_user_is_not_carried_over() {
    let (mut bench, _) = joining();
    let blocked = LinkEnd { code: Some(4403), reason: String::new() };
    let effects = bench.give(Input::Ended(Line::Current, blocked));
    assert!(drops(&effects, Line::Next) && !is_promoted(&effects), "{effects:?}");
    assert_eq!(bench.session.deadline(), None);
}
