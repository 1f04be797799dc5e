//! Requests and events to test with.

use std::sync::Arc;

use proptest::{option, prelude::*};
use tickwire_protocol::{
    ChannelName, Command, DeliveryClass, ErrorCode, Event, Position, Priority, Publication, RawJson, Request,
    SubscriptionRequest, UserId,
    codec::{Message, ServerEvent, ServerHistory, ServerSubscribed},
    event::{Connected, ErrorEvent, ResetReason, Subscribed, Trace},
    publication::{FrameCache, Tags},
};

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).expect(name)
}

/// The publication that a client sees as `message`. A frame without position is taken for one of a `latest` channel.
pub(crate) fn publication(message: Message, class: Option<DeliveryClass>, signature: Option<&str>) -> Arc<Publication> {
    let seen = if message.position.is_some() { DeliveryClass::Reliable } else { DeliveryClass::Latest };
    Arc::new(Publication {
        channel: message.channel,
        // A lossy channel is numbered too; its frames must not show it.
        position: message.position.or(Some(Position::new(5, 5))),
        class: class.unwrap_or(seen),
        time_ms: message.time_ms,
        stored_ms: message.trace.and_then(|trace| trace.backplane_ms),
        priority: message.priority,
        key: message.key,
        tags: Tags::new(),
        data: message.data,
        publisher: None,
        signature: signature.map(Into::into),
        expires_at_ms: None,
        traceparent: None,
        frames: FrameCache::default(),
    })
}

/// A value of a `latest` channel.
pub(crate) fn value(name: &str, key: &str, time_ms: u64, data: &str) -> Arc<Publication> {
    let message = Message {
        channel: channel(name),
        position: None,
        key: Some(key.into()),
        time_ms,
        priority: Priority::Medium,
        data: RawJson::parse(data.to_owned()).expect(data),
        trace: None,
    };
    publication(message, None, None)
}

/// The event that a client reads as `seen`.
pub(crate) fn event(seen: ServerEvent, class: Option<DeliveryClass>, signature: Option<&str>) -> Event {
    let publications = |messages: Vec<Message>| {
        messages.into_iter().map(|message| publication(message, None, signature)).collect::<Vec<_>>()
    };
    match seen {
        ServerEvent::Connected(connected) => Event::Connected(connected),
        ServerEvent::Subscribed(subscribed) => Event::Subscribed(Box::new(Subscribed {
            id: subscribed.id,
            channel: subscribed.channel,
            class: subscribed.class,
            position: subscribed.position,
            recovered: subscribed.recovered,
            traced_ms: subscribed.messages.first().and_then(|message| message.trace).map(|trace| trace.edge_ms),
            messages: publications(subscribed.messages),
            expires_at_ms: subscribed.expires_at_ms,
        })),
        ServerEvent::Unsubscribed { id, channel } => Event::Unsubscribed { id, channel },
        ServerEvent::Message(message) => match message.trace {
            Some(trace) => {
                Event::Traced { publication: publication(*message, class, signature), edge_ms: trace.edge_ms }
            }
            None => Event::Message(publication(*message, class, signature)),
        },
        ServerEvent::Dropped { channel, count } => Event::Dropped { channel, count },
        ServerEvent::Delta(delta) => Event::Delta(delta),
        ServerEvent::Acked { id, channel, position } => Event::Acked { id, channel, position },
        ServerEvent::Presence { channel, joined, user } => Event::Presence { channel, joined, user },
        ServerEvent::PresenceList { id, channel, users, count } => Event::PresenceList { id, channel, users, count },
        ServerEvent::History(history) => Event::History {
            id: history.id,
            channel: history.channel,
            position: history.position,
            messages: publications(history.messages),
            complete: history.complete,
        },
        ServerEvent::Published { id, channel, position, duplicate } => {
            Event::Published { id, channel, position, duplicate }
        }
        ServerEvent::Preferences { id, preferences } => Event::Preferences { id, preferences },
        ServerEvent::Refreshed { id, expires_at_ms } => Event::Refreshed { id, expires_at_ms },
        ServerEvent::Error(error) => Event::Error(error),
        ServerEvent::Reset { channel, position, reason } => {
            let all = [ResetReason::HistoryLost, ResetReason::HistoryTrimmed];
            let reason = all.into_iter().find(|known| known.as_str() == reason).expect("a known reason");
            Event::Reset { channel, position, reason }
        }
        ServerEvent::Reconnect { after_ms, .. } => Event::Reconnect { reason: "draining", after_ms },
        ServerEvent::Pong { id, time_ms } => Event::Pong { id, time_ms },
        ServerEvent::Heartbeat { time_ms } => Event::Heartbeat { time_ms },
        ServerEvent::Unknown { kind } => panic!("no server of this version sends {kind}"),
    }
}

pub(crate) fn channels() -> impl Strategy<Value = ChannelName> {
    "[!-~]{1,40}".prop_map(|name| channel(&name))
}

pub(crate) fn positions() -> impl Strategy<Value = Position> {
    (0..u64::MAX, 0..u64::MAX).prop_map(|(epoch, offset)| Position::new(epoch, offset))
}

fn users() -> impl Strategy<Value = UserId> {
    "[0-9a-zA-Z.-]{1,20}".prop_map(|id| UserId::new(&id).expect("a user id"))
}

/// JSON as serde renders it, so that equal values are equal text. Floats that are whole numbers render with `.0`.
pub(crate) fn json() -> impl Strategy<Value = RawJson> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..20)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
    .prop_map(|value| RawJson::of(&value).expect("renders"))
}

fn json_object() -> impl Strategy<Value = RawJson> {
    prop::collection::btree_map(any::<String>(), any::<i64>(), 0..4).prop_map(|map| RawJson::of(&map).expect("renders"))
}

fn subscriptions() -> impl Strategy<Value = SubscriptionRequest> {
    (
        channels(),
        option::of(positions()),
        option::of(any::<String>()),
        option::of(1e-3..1e6),
        option::of(prop::collection::vec(any::<String>(), 1..4)),
        any::<[bool; 2]>(),
        option::of(json_object()),
    )
        .prop_map(|(channel, since, filter, max_rate, keys, [delta, trace], params)| SubscriptionRequest {
            channel,
            since,
            filter,
            max_rate,
            keys,
            delta,
            trace,
            params,
        })
}

pub(crate) fn requests() -> impl Strategy<Value = Request> {
    let text = any::<String>;
    let command = prop_oneof![
        (option::of(text()), option::of(text()), option::of("[!-~]{1,64}"), option::of(1e-3..1e6)).prop_map(
            |(token, resume, device, max_rate)| {
                let device = device.map(|device| tickwire_protocol::DeviceId::new(&device).expect("a device"));
                Command::Connect { token, resume, device, max_rate }
            }
        ),
        prop::collection::vec(subscriptions().prop_map(Ok), 1..4).prop_map(|channels| Command::Subscribe { channels }),
        prop::collection::vec(channels().prop_map(Ok), 1..4).prop_map(|channels| Command::Unsubscribe { channels }),
        (channels(), option::of(text()), json(), option::of(text())).prop_map(
            |(channel, key, data, idempotency_key)| Command::Publish {
                channel: Ok(channel),
                key,
                data,
                idempotency_key
            }
        ),
        (channels(), option::of(positions()), option::of(any::<u32>()), any::<bool>()).prop_map(
            |(channel, since, limit, reverse)| Command::History { channel: Ok(channel), since, limit, reverse }
        ),
        channels().prop_map(|channel| Command::Presence { channel: Ok(channel) }),
        (channels(), prop::collection::vec(positions(), 1..4))
            .prop_map(|(channel, positions)| Command::Ack { channel: Ok(channel), positions }),
        option::of(json_object()).prop_map(|set| Command::Preferences { set }),
        text().prop_map(|token| Command::Refresh { token }),
        Just(Command::Ping),
        Just(Command::Heartbeat),
    ];
    (option::of(any::<i64>()), command).prop_map(|(id, command)| Request { id, command })
}

pub(crate) fn messages() -> impl Strategy<Value = Message> {
    let priority = prop::sample::select(Priority::ALL.to_vec());
    (channels(), option::of(positions()), option::of(any::<String>()), any::<u64>(), priority, json()).prop_map(
        |(channel, position, key, time_ms, priority, data)| Message {
            channel,
            position,
            key: key.map(Into::into),
            time_ms,
            priority,
            data,
            trace: None,
        },
    )
}

fn traced_messages() -> impl Strategy<Value = Message> {
    (messages(), option::of(any::<u64>()), any::<u64>()).prop_map(|(message, backplane_ms, edge_ms)| Message {
        trace: Some(Trace { emit_ms: message.time_ms, backplane_ms, edge_ms }),
        ..message
    })
}

pub(crate) fn events() -> impl Strategy<Value = ServerEvent> {
    prop_oneof![
        3 => messages().prop_map(|message| ServerEvent::Message(Box::new(message))),
        1 => traced_messages().prop_map(|message| ServerEvent::Message(Box::new(message))),
        6 => replies(),
        4 => notices(),
    ]
}

fn replies() -> impl Strategy<Value = ServerEvent> {
    let id = || option::of(any::<i64>());
    let several = || prop::collection::vec(messages(), 0..3);
    prop_oneof![
        (id(), any::<String>(), users(), prop::collection::vec(any::<String>(), 0..3), any::<[u64; 2]>(), id())
            .prop_map(|(id, text, user, nodes, [time_ms, heartbeat_interval_ms], expires)| {
                ServerEvent::Connected(Box::new(Connected {
                    id,
                    connection_id: text.clone(),
                    user,
                    node: text.clone(),
                    nodes,
                    time_ms,
                    heartbeat_interval_ms,
                    resume: expires.map(|_| text),
                    expires_at_ms: expires.map(i64::unsigned_abs),
                }))
            }),
        (id(), channels(), option::of(positions()), any::<bool>(), several(), id()).prop_map(
            |(id, channel, position, recovered, messages, expires)| {
                ServerEvent::Subscribed(Box::new(ServerSubscribed {
                    id,
                    channel,
                    class: if recovered { DeliveryClass::Inbox } else { DeliveryClass::Volatile },
                    position,
                    recovered,
                    messages,
                    expires_at_ms: expires.map(i64::unsigned_abs),
                }))
            }
        ),
        (id(), channels(), positions(), several(), any::<bool>()).prop_map(
            |(id, channel, position, messages, complete)| {
                ServerEvent::History(Box::new(ServerHistory { id, channel, position, messages, complete }))
            }
        ),
        (id(), channels()).prop_map(|(id, channel)| ServerEvent::Unsubscribed { id, channel }),
        (id(), channels(), positions()).prop_map(|(id, channel, position)| ServerEvent::Acked {
            id,
            channel,
            position
        }),
        (id(), channels(), option::of(positions()), any::<bool>())
            .prop_map(|(id, channel, position, duplicate)| ServerEvent::Published { id, channel, position, duplicate }),
        (id(), json_object()).prop_map(|(id, preferences)| ServerEvent::Preferences { id, preferences }),
        (id(), any::<u64>()).prop_map(|(id, expires_at_ms)| ServerEvent::Refreshed { id, expires_at_ms }),
        (id(), channels(), prop::collection::vec(users(), 0..4), any::<u64>())
            .prop_map(|(id, channel, users, count)| ServerEvent::PresenceList { id, channel, users, count }),
        (id(), any::<u64>()).prop_map(|(id, time_ms)| ServerEvent::Pong { id, time_ms }),
    ]
}

fn notices() -> impl Strategy<Value = ServerEvent> {
    let code = prop::sample::select(ErrorCode::ALL.to_vec());
    prop_oneof![
        (channels(), any::<bool>(), users()).prop_map(|(channel, joined, user)| ServerEvent::Presence {
            channel,
            joined,
            user
        }),
        (option::of(any::<i64>()), code, any::<String>(), option::of(any::<String>()), option::of(any::<u64>()))
            .prop_map(|(id, code, message, channel, retry_after_ms)| ServerEvent::Error(Box::new(ErrorEvent {
                id,
                code,
                message,
                channel,
                retry_after_ms
            }))),
        (channels(), positions()).prop_map(|(channel, position)| ServerEvent::Reset {
            channel,
            position,
            reason: ResetReason::HistoryLost.as_str().to_owned()
        }),
        (channels(), any::<u64>()).prop_map(|(channel, count)| ServerEvent::Dropped { channel, count }),
        any::<u64>().prop_map(|after_ms| ServerEvent::Reconnect { reason: "draining".to_owned(), after_ms }),
        any::<u64>().prop_map(|time_ms| ServerEvent::Heartbeat { time_ms }),
    ]
}
