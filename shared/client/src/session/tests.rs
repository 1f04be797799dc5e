use tickwire_protocol::{
    DeliveryClass, DeviceId, Position, Priority, RawJson, UserId,
    codec::{Message, ServerSubscribed},
    event::ErrorEvent,
};

use super::*;

/// A session with a recorder: what it sent, and a clock that tests move.
pub(super) struct Bench {
    pub(super) session: Session,
    pub(super) now: Instant,
}

pub(super) const SUBSCRIPTION: SubscriptionId = SubscriptionId(1);

pub(super) fn channel() -> ChannelName {
    ChannelName::new("session:42").unwrap()
}

fn options() -> SessionOptions {
    SessionOptions {
        urls: vec!["ws://0".into(), "ws://1".into()],
        token_placement: TokenPlacement::Header,
        device: None,
        token_renews: true,
        backoff: Backoff::default(),
        connect_timeout: Duration::from_secs(10),
        call_timeout: Duration::from_secs(10),
        calls_max: 4,
        max_rate: None,
    }
}

pub(super) fn connected(expires_at_ms: Option<u64>) -> Input {
    Input::Event(
        Line::Current,
        ServerEvent::Connected(Box::new(Connected {
            id: None,
            connection_id: "c".into(),
            user: UserId::new("7").unwrap(),
            node: "edge-a".into(),
            nodes: vec![],
            time_ms: 1_000_000,
            heartbeat_interval_ms: 25_000,
            resume: None,
            expires_at_ms,
        })),
    )
}

pub(super) fn message(offset: u64) -> Message {
    Message {
        channel: channel(),
        position: Some(Position::new(1, offset)),
        key: None,
        time_ms: 0,
        priority: Priority::Medium,
        data: RawJson::null(),
        trace: None,
    }
}

pub(super) fn subscribed(id: i64, top: u64, recovered: bool, messages: Vec<Message>) -> Input {
    Input::Event(
        Line::Current,
        ServerEvent::Subscribed(Box::new(ServerSubscribed {
            id: Some(id),
            channel: channel(),
            class: DeliveryClass::Reliable,
            position: Some(Position::new(1, top)),
            recovered,
            messages,
            expires_at_ms: None,
        })),
    )
}

pub(super) fn live(offset: u64) -> Input {
    Input::Event(Line::Current, ServerEvent::Message(Box::new(message(offset))))
}

fn closed(code: u16) -> Input {
    Input::Ended(Line::Current, LinkEnd { code: Some(code), reason: String::new() })
}

pub(super) fn refused(id: Option<i64>, code: ErrorCode, retry_after_ms: Option<u64>) -> Input {
    let message = "no".to_owned();
    let channel = id.map(|_| channel().to_string());
    Input::Event(Line::Current, ServerEvent::Error(Box::new(ErrorEvent { id, code, message, channel, retry_after_ms })))
}

/// The `(id, since)` of the one subscribe among `effects`.
pub(super) fn asked(effects: &[Effect]) -> (i64, Option<Position>) {
    asked_on(Line::Current, effects)
}

pub(super) fn asked_on(line: Line, effects: &[Effect]) -> (i64, Option<Position>) {
    let mut found = effects.iter().filter_map(|effect| match effect {
        Effect::Send(on, requests) if *on == line => requests.iter().find_map(|request| match &request.command {
            Command::Subscribe { channels } => Some((request.id.unwrap(), channels[0].as_ref().unwrap().since)),
            _ => None,
        }),
        _ => None,
    });
    let first = found.next().expect("a subscribe");
    assert!(found.next().is_none(), "one subscribe");
    first
}

pub(super) fn offsets(effects: &[Effect]) -> Vec<u64> {
    let delivered = effects.iter().filter_map(|effect| match effect {
        Effect::Deliver { event: SubscriptionEvent::Message(delivery), .. } => delivery.message.position,
        _ => None,
    });
    delivered.map(|position| position.offset).collect()
}

fn is_stopped(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::State(ConnectionState::Disconnected(_))))
}

fn dials(effects: &[Effect]) -> Vec<(usize, &str)> {
    let dials = effects.iter().filter_map(|effect| match effect {
        Effect::Dial { url, token, .. } => Some((url[5..].parse().unwrap(), token.as_str())),
        _ => None,
    });
    dials.collect()
}

fn delay(effects: &[Effect]) -> Duration {
    let mut delays = effects.iter().filter_map(|effect| match effect {
        Effect::State(ConnectionState::Reconnecting { delay, .. }) => Some(*delay),
        _ => None,
    });
    delays.next().expect("a reconnect is planned")
}

impl Bench {
    fn new(options: SessionOptions) -> Self {
        Self::with_seed(options, 7)
    }

    fn with_seed(options: SessionOptions, seed: u64) -> Self {
        Self { session: Session::new(options, seed), now: Instant::now() }
    }

    pub(super) fn give(&mut self, input: Input) -> Vec<Effect> {
        self.session.handle(self.now, input)
    }

    /// Moves the clock to the next deadline.
    pub(super) fn wait(&mut self) -> Vec<Effect> {
        self.now = self.session.deadline().expect("something is planned").max(self.now);
        self.give(Input::Timer)
    }

    fn connect(&mut self) -> Vec<Effect> {
        self.give(Input::Opened(Line::Current));
        self.give(connected(None))
    }

    /// Connected, without a subscription.
    pub(super) fn connected() -> Self {
        let mut bench = Self::new(options());
        bench.give(Input::Start);
        bench.give(Input::Token(Some("t1".into())));
        bench.connect();
        bench
    }

    /// Connected, one subscription live at offset `top`.
    pub(super) fn subscribed_at(top: u64) -> Self {
        let mut bench = Self::connected();
        let request = SubscriptionRequest::new(channel());
        let (id, since) = asked(&bench.give(Input::Subscribe { id: SUBSCRIPTION, request }));
        assert_eq!(since, None);
        bench.give(subscribed(id, top, false, vec![]));
        bench
    }
}

#[test]
fn a_reconnect_subscribes_again_from_the_last_position_and_drops_what_was_seen() {
    let mut bench = Bench::subscribed_at(4);
    assert_eq!(offsets(&bench.give(live(5))), [5]);
    assert!(delay(&bench.give(closed(4430))) <= Duration::from_secs(2));
    assert_eq!(dials(&bench.wait()), [(1, "t1")]);
    let (id, since) = asked(&bench.connect());
    assert_eq!(since, Some(Position::new(1, 5)));
    let effects = bench.give(subscribed(id, 7, true, vec![message(5), message(6), message(7)]));
    let complete = effects.iter().any(|effect| {
        matches!(effect, Effect::Deliver { event: SubscriptionEvent::Recovered { complete: true, .. }, .. })
    });
    assert!(complete, "{effects:?}");
    assert_eq!(offsets(&effects), [6, 7]);
    assert_eq!(offsets(&bench.give(live(7))), [] as [u64; 0]);
    assert_eq!(offsets(&bench.give(live(8))), [8]);
}

#[test]
fn a_gap_is_repaired_from_the_last_position() {
    let mut bench = Bench::subscribed_at(4);
    let effects = bench.give(live(7));
    assert_eq!(offsets(&effects), [] as [u64; 0]);
    let (id, since) = asked(&effects);
    assert_eq!(since, Some(Position::new(1, 4)));
    assert_eq!(offsets(&bench.give(live(8))), [] as [u64; 0], "not before the subscription stands again");
    let all = (5..=8).map(message).collect();
    assert_eq!(offsets(&bench.give(subscribed(id, 8, true, all))), [5, 6, 7, 8]);
}

#[test]
fn lost_history_reaches_the_consumer() {
    let mut bench = Bench::subscribed_at(4);
    let position = Position::new(2, 0);
    let reset = ServerEvent::Reset { channel: channel(), position, reason: "history_lost".into() };
    let effects = bench.give(Input::Event(Line::Current, reset));
    assert!(matches!(effects[..], [Effect::Deliver { event: SubscriptionEvent::Reset { .. }, .. }]), "{effects:?}");
    let first = Message { position: Some(Position::new(2, 1)), ..message(1) };
    assert_eq!(offsets(&bench.give(Input::Event(Line::Current, ServerEvent::Message(Box::new(first))))), [1]);
}

#[test]
fn close_codes_that_say_stop_stop_and_the_others_reconnect() {
    for code in [1000, 1009, 4400, 4403, 4409] {
        let mut bench = Bench::subscribed_at(1);
        let effects = bench.give(closed(code));
        assert!(is_stopped(&effects), "{code}");
        let ended =
            effects.iter().any(|effect| matches!(effect, Effect::Deliver { event: SubscriptionEvent::Ended(_), .. }));
        assert!(ended, "{code}");
        assert_eq!(bench.session.deadline(), None);
    }
    for code in [1001, 1006, 1011, 4408, 4429, 4430, 4500] {
        let mut bench = Bench::subscribed_at(1);
        assert!(!is_stopped(&bench.give(closed(code))), "{code}");
        assert_eq!(dials(&bench.wait()).len(), 1, "{code}");
    }
}

#[test]
fn a_refused_token_is_replaced_a_bounded_number_of_times() {
    let mut bench = Bench::subscribed_at(1);
    bench.give(closed(4401));
    assert!(matches!(bench.wait()[..], [Effect::FetchToken]));
    assert_eq!(dials(&bench.give(Input::Token(Some("t2".into())))), [(1, "t2")]);
    bench.give(Input::DialFailed(Line::Current, DialFailure { status: Some(401), retry_after: None }));
    bench.wait();
    bench.give(Input::Token(Some("t3".into())));
    let effects = bench.give(Input::DialFailed(Line::Current, DialFailure { status: Some(401), retry_after: None }));
    assert!(is_stopped(&effects));
}

#[test]
fn a_fixed_token_that_is_refused_stops() {
    let mut bench = Bench::new(SessionOptions { token_renews: false, ..options() });
    bench.give(Input::Start);
    bench.give(Input::Token(Some("t".into())));
    let refused = Input::DialFailed(Line::Current, DialFailure { status: Some(401), retry_after: None });
    assert!(is_stopped(&bench.give(refused)));
}

#[test]
fn a_token_is_replaced_before_it_ends() {
    let mut bench = Bench::new(options());
    bench.give(Input::Start);
    bench.give(Input::Token(Some("t1".into())));
    bench.give(Input::Opened(Line::Current));
    bench.give(connected(Some(1_000_000 + 20_000)));
    let start = bench.now;
    assert!(matches!(bench.wait()[..], [Effect::FetchToken]));
    assert_eq!(bench.now - start, Duration::from_secs(15));
    let effects = bench.give(Input::Token(Some("t2".into())));
    let [Effect::Send(_, requests)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(requests[0].command, Command::Refresh { token: "t2".into() });
}

#[test]
fn two_silent_heartbeats_end_the_link() {
    let mut bench = Bench::subscribed_at(1);
    bench.now += Duration::from_secs(49);
    bench.give(Input::SignOfLife(Line::Current));
    let from = bench.now;
    let effects = bench.wait();
    assert_eq!(bench.now - from, Duration::from_secs(50));
    assert!(matches!(effects[0], Effect::Drop { code: CloseCode::Timeout, .. }));
    assert!(!is_stopped(&effects));
}

#[test]
fn the_servers_advice_replaces_the_own_delay() {
    let mut bench = Bench::new(options());
    bench.give(Input::Start);
    bench.give(Input::Token(Some("t".into())));
    let failure = DialFailure { status: Some(429), retry_after: Some(Duration::from_secs(33)) };
    assert_eq!(delay(&bench.give(Input::DialFailed(Line::Current, failure))), Duration::from_secs(33));

    bench.wait();
    bench.give(Input::Opened(Line::Current));
    bench.give(refused(None, ErrorCode::LimitExceeded, Some(4_000)));
    assert_eq!(delay(&bench.give(closed(4429))), Duration::from_secs(4));
}

#[test]
fn backoff_grows_until_a_link_was_steady() {
    let mut bench = Bench::subscribed_at(1);
    let attempt = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::State(ConnectionState::Reconnecting { attempt, .. }) => Some(*attempt),
            _ => None,
        })
    };
    assert_eq!(attempt(&bench.give(closed(4500))), Some(1));
    bench.wait();
    bench.connect();
    assert_eq!(attempt(&bench.give(closed(4500))), Some(2), "opened and closed at once");
    bench.wait();
    bench.connect();
    bench.now += STEADY_AFTER;
    assert_eq!(attempt(&bench.give(closed(4500))), Some(1));
}

/// Synchronised reconnects without jitter: all clients of a node that died knock at the next one in the same instant, and
/// again after each failure.
#[test]
fn clients_dropped_together_come_back_spread_out() {
    const CLIENTS: usize = 2_000;
    let mut peaks = [[0_usize; 101]; 4];
    for seed in 0..CLIENTS as u64 {
        let mut bench = Bench::with_seed(options(), seed);
        bench.give(Input::Start);
        bench.give(Input::Token(Some("t".into())));
        bench.connect();
        let mut effects = bench.give(Input::Ended(Line::Current, LinkEnd { code: None, reason: "died".into() }));
        for tries in &mut peaks {
            tries[usize::try_from(delay(&effects).as_millis() / 100).unwrap()] += 1;
            bench.wait();
            effects = bench.give(Input::DialFailed(Line::Current, DialFailure { status: None, retry_after: None }));
        }
    }
    for (attempt, tries) in peaks.iter().enumerate() {
        let peak = tries.iter().max().unwrap();
        assert!(peak * 10 < CLIENTS, "attempt {attempt}: {peak} of {CLIENTS} within 100 ms");
    }
}

/// An expired token that reconnects for ever: whichever way it is refused, and though the program's source hands out the
/// same one again, the client stops.
#[test]
fn an_expired_token_does_not_reconnect_for_ever() {
    type Refusal = fn(&mut Bench) -> Vec<Effect>;
    let refusals: [Refusal; 2] = [
        |bench| bench.give(Input::DialFailed(Line::Current, DialFailure { status: Some(401), retry_after: None })),
        |bench| {
            bench.give(Input::Opened(Line::Current));
            bench.give(refused(None, ErrorCode::TokenExpired, None));
            bench.give(closed(4401))
        },
    ];
    for (token_renews, refuse) in [false, true].into_iter().flat_map(|renews| refusals.map(|refuse| (renews, refuse))) {
        let mut bench = Bench::new(SessionOptions { token_renews, ..options() });
        bench.give(Input::Start);
        let mut tries = 0;
        loop {
            bench.give(Input::Token(Some("expired".into())));
            tries += 1;
            if is_stopped(&refuse(&mut bench)) {
                break;
            }
            assert!(tries < 10, "it goes on and on");
            bench.wait();
        }
        assert_eq!(tries, if token_renews { REFUSED_TOKENS_MAX } else { 1 });
        assert_eq!(bench.session.deadline(), None);
    }
}

#[test]
fn addresses_that_the_cluster_names_are_dialled_after_a_failure() {
    let mut bench = Bench::new(options());
    bench.give(Input::Start);
    bench.give(Input::Token(Some("t".into())));
    bench.give(Input::Opened(Line::Current));
    let Input::Event(line, ServerEvent::Connected(greeting)) = connected(None) else { panic!("a greeting") };
    let nodes = vec!["ws://7".into(), "ws://8".into()];
    bench.give(Input::Event(line, ServerEvent::Connected(Box::new(Connected { nodes, ..*greeting }))));
    let mut dialled = Vec::new();
    bench.give(closed(4500));
    for _ in 0..4 {
        dialled.extend(dials(&bench.wait()).iter().map(|(url, _)| *url));
        bench.give(Input::DialFailed(Line::Current, DialFailure { status: None, retry_after: None }));
    }
    dialled.sort_unstable();
    assert_eq!(dialled, [0, 1, 7, 8]);
}

#[test]
fn calls_are_repeated_on_a_new_link_and_answered_once() {
    let mut bench = Bench::subscribed_at(1);
    let publish = Command::Publish {
        channel: Ok(channel()),
        key: None,
        data: RawJson::null(),
        idempotency_key: Some("k".into()),
    };
    bench.give(Input::Call { id: CallId(9), command: publish.clone() });
    bench.give(closed(4500));
    bench.wait();
    let effects = bench.connect();
    let again = effects.iter().find_map(|effect| match effect {
        Effect::Send(_, requests) if requests[0].command == publish => requests[0].id,
        _ => None,
    });
    let reply = || ServerEvent::Published { id: again, channel: channel(), position: None, duplicate: true };
    assert!(matches!(
        bench.give(Input::Event(Line::Current, reply()))[..],
        [Effect::Answer { to: CallId(9), result: Ok(Reply::Published(_)) }]
    ));
    assert!(bench.give(Input::Event(Line::Current, reply())).is_empty());
}

#[test]
fn calls_are_bounded_and_time_out() {
    let mut bench = Bench::new(options());
    for id in 0..4 {
        assert!(bench.give(Input::Call { id: CallId(id), command: Command::Ping }).is_empty());
    }
    let effects = bench.give(Input::Call { id: CallId(4), command: Command::Ping });
    assert!(matches!(effects[..], [Effect::Answer { result: Err(ClientError::TooManyCalls), .. }]));
    let expired = bench.wait();
    assert_eq!(expired.len(), 4);
    assert!(expired.iter().all(|effect| matches!(effect, Effect::Answer { result: Err(ClientError::Timeout), .. })));
}

#[test]
fn a_refused_subscription_ends_and_one_refused_for_now_asks_again() {
    let mut bench = Bench::new(options());
    bench.give(Input::Start);
    bench.give(Input::Token(Some("t".into())));
    bench.connect();
    let subscribe = || Input::Subscribe { id: SUBSCRIPTION, request: SubscriptionRequest::new(channel()) };
    let (id, _) = asked(&bench.give(subscribe()));
    assert!(bench.give(refused(Some(id), ErrorCode::Unavailable, Some(700))).is_empty());
    let from = bench.now;
    let (id, _) = asked(&bench.wait());
    assert_eq!(bench.now - from, Duration::from_millis(700));
    let effects = bench.give(refused(Some(id), ErrorCode::Forbidden, None));
    assert!(matches!(effects[..], [Effect::Deliver { event: SubscriptionEvent::Ended(_), .. }]));
    assert_eq!(asked(&bench.give(subscribe())).1, None, "the channel is free again");
}

#[test]
fn a_subscribe_without_an_answer_is_asked_again() {
    let mut bench = Bench::new(options());
    bench.give(Input::Start);
    bench.give(Input::Token(Some("t".into())));
    bench.connect();
    let request = SubscriptionRequest::new(channel());
    let (first, _) = asked(&bench.give(Input::Subscribe { id: SUBSCRIPTION, request }));
    let (second, _) = asked(&bench.wait());
    assert!(bench.give(subscribed(first, 3, false, vec![])).is_empty(), "the answer to a given-up request");
    assert!(!bench.give(subscribed(second, 3, false, vec![])).is_empty());
}

#[test]
fn a_late_refusal_of_a_given_up_request_changes_nothing() {
    let mut bench = Bench::new(options());
    bench.give(Input::Start);
    bench.give(Input::Token(Some("t".into())));
    bench.connect();
    let request = SubscriptionRequest::new(channel());
    let (first, _) = asked(&bench.give(Input::Subscribe { id: SUBSCRIPTION, request }));
    let (second, _) = asked(&bench.wait());
    assert!(bench.give(refused(Some(first), ErrorCode::Forbidden, None)).is_empty());
    bench.give(subscribed(second, 3, false, vec![]));
    assert_eq!(offsets(&bench.give(live(4))), [4]);
}

#[test]
fn two_subscriptions_to_one_channel_are_refused() {
    let mut bench = Bench::subscribed_at(1);
    let request = SubscriptionRequest::new(channel());
    let effects = bench.give(Input::Subscribe { id: SubscriptionId(2), request });
    assert!(matches!(
        effects[..],
        [Effect::Deliver { to: SubscriptionId(2), event: SubscriptionEvent::Ended(ClientError::AlreadySubscribed(_)) }]
    ));
    assert_eq!(offsets(&bench.give(live(2))), [2]);
}

#[test]
fn a_token_in_a_frame_is_sent_when_the_link_is_open() {
    let mut bench = Bench::new(SessionOptions { token_placement: TokenPlacement::Frame, ..options() });
    bench.give(Input::Start);
    bench.give(Input::Token(Some("t".into())));
    let effects = bench.give(Input::Opened(Line::Current));
    let [Effect::Send(_, requests)] = &effects[..] else { panic!("{effects:?}") };
    let connect = Command::Connect { token: Some("t".into()), resume: None, device: None, max_rate: None };
    assert_eq!(requests[0].command, connect);
}

#[test]
fn a_device_is_named_on_every_link_before_anything_is_asked() {
    let device = DeviceId::new("phone").ok();
    for token_placement in [TokenPlacement::Header, TokenPlacement::Frame] {
        let mut bench = Bench::new(SessionOptions { token_placement, device: device.clone(), ..options() });
        bench.give(Input::Start);
        bench.give(Input::Token(Some("t".into())));
        for _ in 0..2 {
            let effects = bench.give(Input::Opened(Line::Current));
            let [Effect::Send(_, requests)] = &effects[..] else { panic!("{effects:?}") };
            let token = Some("t".into());
            assert_eq!(
                requests[0].command,
                Command::Connect { token, resume: None, device: device.clone(), max_rate: None }
            );
            bench.give(connected(None));
            bench.give(closed(4500));
            bench.wait();
        }
    }
}

pub(super) fn alert(offset: u64) -> Message {
    Message { priority: Priority::Critical, ..message(offset) }
}

/// What the consumer hears of being over.
pub(super) fn over(effects: &[Effect]) -> Vec<Position> {
    let told = effects.iter().filter_map(|effect| match effect {
        Effect::Deliver { event: SubscriptionEvent::Acknowledged { positions }, .. } => Some(positions.clone()),
        _ => None,
    });
    told.flatten().collect()
}

/// An inbox's answer.
pub(super) fn owes(id: i64, top: u64, recovered: bool, messages: Vec<Message>) -> Input {
    let Input::Event(line, ServerEvent::Subscribed(answer)) = subscribed(id, top, recovered, messages) else {
        panic!("not an answer")
    };
    let answer = ServerSubscribed { class: DeliveryClass::Inbox, ..*answer };
    Input::Event(line, ServerEvent::Subscribed(Box::new(answer)))
}

#[test]
fn what_another_device_acknowledged_reaches_the_consumer_at_once_or_after_a_break() {
    let mut bench = Bench::new(options());
    bench.give(Input::Start);
    bench.give(Input::Token(Some("t".into())));
    bench.connect();
    let request = SubscriptionRequest::new(channel());
    let (id, _) = asked(&bench.give(Input::Subscribe { id: SUBSCRIPTION, request }));
    bench.give(owes(id, 3, false, vec![alert(1), alert(2), alert(3)]));
    let position = Position::new(1, 1);
    let live = ServerEvent::Acked { id: None, channel: channel(), position };
    assert_eq!(over(&bench.give(Input::Event(Line::Current, live))), [position]);
    let own = ServerEvent::Acked { id: Some(999), channel: channel(), position };
    assert!(bench.give(Input::Event(Line::Current, own)).is_empty(), "a reply to nothing");
    bench.give(closed(4500));
    bench.wait();
    let (id, _) = asked(&bench.connect());
    let effects = bench.give(owes(id, 4, true, vec![alert(3), alert(4)]));
    assert_eq!(over(&effects), [Position::new(1, 2)], "{effects:?}");
    assert_eq!(offsets(&effects), [4]);
}
