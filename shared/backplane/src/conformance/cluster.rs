//! Orders, reports, presence and preferences.

use std::time::Duration;

use tickwire_protocol::{ChannelName, UserId, namespace::Policy, time::now_ms};

use super::{Nodes, channel, eventually, json, next, reliable, unique, user};
use crate::{
    BackplaneError, Control, ControlsMark, DeliveryFigures, NodeFigures, NodeReport, PREFERENCES_BYTES_MAX,
    PRESENCE_EVENTS_MAX, PRESENCE_USERS_MAX, Presence, PresenceChange, Signal, Subscriber,
};

/// Every subscriber of every node, subscribed to anything or not.
pub async fn an_order_reaches_every_subscriber(nodes: &Nodes) {
    let mut subscribers = [&nodes.one, &nodes.one, &nodes.two].map(|node| node.subscriber(64));
    let order = Control::Disconnect { user: user(), reason: "asked to".into() };
    nodes.one.control(order.clone()).await.expect("sent");
    for subscriber in &mut subscribers {
        next(subscriber, |signal| match signal {
            Signal::Control(control) if control == order => Some(()),
            _ => None,
        })
        .await;
    }
}

/// A disconnect is over once it is done.
pub async fn a_momentary_order_is_not_kept(nodes: &Nodes) {
    let order = Control::Disconnect { user: user(), reason: String::new() };
    nodes.one.control(order.clone()).await.expect("sent");
    assert!(!nodes.two.controls().await.expect("orders").contains(&order));
}

/// A node that starts later learns of it, until it is void.
pub async fn a_sticky_order_is_kept_until_it_expires(nodes: &Nodes) {
    let until_ms = now_ms() + 3_600_000;
    let lasting = [
        Control::RevokeToken { jti: unique("token"), expires_at_ms: until_ms },
        Control::RevokeUser { user: user(), issued_until_s: 1_763_000_000, expires_at_ms: until_ms },
    ];
    let brief = Control::RevokeToken { jti: unique("token"), expires_at_ms: now_ms() + 1_000 };
    for order in lasting.iter().chain([&brief]) {
        nodes.one.control(order.clone()).await.expect("sent");
    }
    eventually("the brief order ends", || async { !nodes.two.controls().await.expect("orders").contains(&brief) })
        .await;
    let kept = nodes.two.controls().await.expect("orders");
    assert!(lasting.iter().all(|order| kept.contains(order)));
}

/// A reader is given what is new to it, and everything at first.
pub async fn sticky_orders_are_read_from_a_mark_on(nodes: &Nodes) {
    let until_ms = now_ms() + 3_600_000;
    let orders = [1, 2, 3].map(|_| Control::RevokeToken { jti: unique("token"), expires_at_ms: until_ms });
    nodes.one.control(orders[0].clone()).await.expect("sent");
    let (first, mark) = nodes.two.controls_since(&ControlsMark::default()).await.expect("orders");
    assert!(first.contains(&orders[0]));
    for order in &orders[1..] {
        nodes.one.control(order.clone()).await.expect("sent");
    }
    let (second, mark) = nodes.one.controls_since(&mark).await.expect("orders");
    assert!(!second.contains(&orders[0]) && orders[1..].iter().all(|order| second.contains(order)));
    let (third, _) = nodes.two.controls_since(&mark).await.expect("orders");
    assert!(orders.iter().all(|order| !third.contains(order)));
}

fn report(node: &str, connections: u64) -> NodeReport {
    NodeReport {
        node: node.to_owned(),
        connections,
        subscriptions: vec![(ChannelName::new("room:1").expect("a channel's name"), connections)],
        time_ms: now_ms(),
        figures: Some(NodeFigures {
            messages_out: connections * 10,
            closes: [(4430, 1)].into(),
            delivery: DeliveryFigures { bounds_us: vec![250], total: vec![7, connections], ..Default::default() },
            ..Default::default()
        }),
    }
}

async fn reported(nodes: &Nodes, node: &str) -> Option<NodeReport> {
    nodes.two.nodes().await.expect("reports").into_iter().find(|report| report.node == node)
}

/// The newest report of a node stands until the node has been silent for its lease.
pub async fn reports_are_replaced_and_end_with_their_lease(nodes: &Nodes) {
    let node = unique("edge");
    nodes.one.report(report(&node, 1)).await.expect("kept");
    let newest = report(&node, 2);
    nodes.one.report(newest.clone()).await.expect("kept");
    assert_eq!(reported(nodes, &node).await, Some(newest));
    eventually("the lease ends", || async { reported(nodes, &node).await.is_none() }).await;
}

fn change(channel: &ChannelName, user: &UserId, joined: bool) -> PresenceChange {
    PresenceChange { channel: channel.clone(), user: user.clone(), joined }
}

async fn next_presence(subscriber: &mut Subscriber) -> (UserId, bool) {
    next(subscriber, |signal| match signal {
        Signal::Presence { user, joined, .. } => Some((user, joined)),
        _ => None,
    })
    .await
}

/// A user on two nodes is one user: one join, one leave. The marker that follows proves that nothing came between.
pub async fn presence_spans_nodes_and_signals_first_join_and_last_leave(nodes: &Nodes) {
    let (channel, seven, marker) = (channel("room"), user(), user());
    let (a, b) = (unique("edge"), unique("edge"));
    let mut subscriber = nodes.two.subscriber(64);
    nodes.two.subscribe(subscriber.id, &[(channel.clone(), reliable())]).await.expect("subscribed");
    nodes.one.report(report(&a, 1)).await.expect("kept");
    nodes.two.report(report(&b, 1)).await.expect("kept");
    nodes.one.presence_change(&a, &[change(&channel, &seven, true)]).await.expect("applied");
    nodes.two.presence_change(&b, &[change(&channel, &seven, true)]).await.expect("applied");
    let present = Presence { users: vec![seven.clone()], count: 1 };
    assert_eq!(nodes.one.presence(&channel).await.expect("presence"), present);
    nodes.one.presence_change(&a, &[change(&channel, &seven, false)]).await.expect("applied");
    assert_eq!(nodes.one.presence(&channel).await.expect("presence"), present);
    nodes.two.presence_change(&b, &[change(&channel, &marker, true)]).await.expect("applied");
    nodes.two.presence_change(&b, &[change(&channel, &seven, false)]).await.expect("applied");
    assert_eq!(next_presence(&mut subscriber).await, (seven.clone(), true));
    assert_eq!(next_presence(&mut subscriber).await, (marker.clone(), true));
    assert_eq!(next_presence(&mut subscriber).await, (seven, false));
    assert_eq!(nodes.one.presence(&channel).await.expect("presence"), Presence { users: vec![marker], count: 1 });
}

/// Two tabs are one user until both are closed.
pub async fn connections_of_a_user_on_one_node_count_once(nodes: &Nodes) {
    let (channel, user, node) = (channel("room"), user(), unique("edge"));
    nodes.one.report(report(&node, 2)).await.expect("kept");
    let join = change(&channel, &user, true);
    let leave = change(&channel, &user, false);
    nodes.one.presence_change(&node, &[join.clone(), join.clone(), leave.clone()]).await.expect("applied");
    assert_eq!(nodes.two.presence(&channel).await.expect("presence").count, 1);
    nodes.one.presence_change(&node, std::slice::from_ref(&leave)).await.expect("applied");
    assert_eq!(nodes.two.presence(&channel).await.expect("presence"), Presence { users: Vec::new(), count: 0 });
}

/// A leave that no join precedes takes nobody's place away, and is told to nobody.
pub async fn a_leave_without_a_join_changes_nothing(nodes: &Nodes) {
    let (channel, present, stranger, node) = (channel("room"), user(), user(), unique("edge"));
    let mut subscriber = nodes.two.subscriber(64);
    nodes.two.subscribe(subscriber.id, &[(channel.clone(), reliable())]).await.expect("subscribed");
    nodes.one.report(report(&node, 1)).await.expect("kept");
    let changes = [change(&channel, &stranger, false), change(&channel, &present, true)];
    nodes.one.presence_change(&node, &changes).await.expect("applied");
    assert_eq!(next_presence(&mut subscriber).await, (present.clone(), true));
    assert_eq!(nodes.two.presence(&channel).await.expect("presence"), Presence { users: vec![present], count: 1 });
}

/// In one order for every caller.
pub async fn presence_lists_users_sorted(nodes: &Nodes) {
    let (channel, node) = (channel("room"), unique("edge"));
    nodes.one.report(report(&node, 20)).await.expect("kept");
    let mut users: Vec<UserId> = (0..20).map(|_| user()).collect();
    let joins: Vec<PresenceChange> = users.iter().map(|user| change(&channel, user, true)).collect();
    nodes.one.presence_change(&node, &joins).await.expect("applied");
    users.sort();
    assert_eq!(nodes.two.presence(&channel).await.expect("presence"), Presence { users, count: 20 });
}

/// Counts stay exact and lists bounded however many are there, nobody is told of each of them, and they are gone with their
/// node like any others.
pub async fn presence_of_a_crowd_is_counted_and_ends_with_its_node(nodes: &Nodes) {
    const CROWD: usize = 5_000;
    let (channel, crashed, living, alone) = (channel("room"), unique("edge"), unique("edge"), user());
    let mut subscriber = nodes.two.subscriber(CROWD);
    nodes.two.subscribe(subscriber.id, &[(channel.clone(), reliable())]).await.expect("subscribed");
    nodes.one.report(report(&living, 1)).await.expect("kept");
    nodes.one.presence_change(&living, &[change(&channel, &alone, true)]).await.expect("applied");
    let crowd: Vec<UserId> = (0..CROWD).map(|_| user()).collect();
    let joins: Vec<PresenceChange> = crowd.iter().map(|user| change(&channel, user, true)).collect();
    for joins in joins.chunks(500) {
        nodes.one.report(report(&crashed, CROWD as u64)).await.expect("kept");
        nodes.one.presence_change(&crashed, joins).await.expect("applied");
    }
    let present = nodes.two.presence(&channel).await.expect("presence");
    assert_eq!((present.count, present.users.len()), (CROWD as u64 + 1, PRESENCE_USERS_MAX));
    eventually("the crowd is gone", || async {
        nodes.one.report(report(&living, 1)).await.expect("kept");
        tokio::time::sleep(Duration::from_millis(200)).await;
        nodes.two.presence(&channel).await.expect("presence").count == 1
    })
    .await;
    assert_eq!(nodes.two.presence(&channel).await.expect("presence").users, [alone]);
    let mut told = 0;
    while let Ok(signal) = subscriber.signals.try_recv() {
        told += usize::from(matches!(signal, Signal::Presence { .. }));
    }
    assert!(told <= 2 * PRESENCE_EVENTS_MAX, "{told} events");
}

/// No ghosts: a crashed node's connections end with its lease, and subscribers are told; its neighbour's do not.
pub async fn a_silent_nodes_users_are_gone(nodes: &Nodes) {
    let (channel, ghost, alive) = (channel("room"), user(), user());
    let (crashed, living) = (unique("edge"), unique("edge"));
    let mut subscriber = nodes.two.subscriber(64);
    nodes.two.subscribe(subscriber.id, &[(channel.clone(), reliable())]).await.expect("subscribed");
    for (node, user) in [(&crashed, &ghost), (&living, &alive)] {
        nodes.one.report(report(node, 1)).await.expect("kept");
        nodes.one.presence_change(node, &[change(&channel, user, true)]).await.expect("applied");
    }
    assert_eq!(nodes.two.presence(&channel).await.expect("presence").count, 2);
    let left = Presence { users: vec![alive.clone()], count: 1 };
    eventually("the ghost goes", || async {
        nodes.one.report(report(&living, 1)).await.expect("kept");
        tokio::time::sleep(Duration::from_millis(200)).await;
        nodes.two.presence(&channel).await.expect("presence") == left
    })
    .await;
    for expected in [(ghost.clone(), true), (alive, true), (ghost, false)] {
        assert_eq!(next_presence(&mut subscriber).await, expected);
    }
}

/// Top-level fields are replaced one by one, and `null` removes.
pub async fn preferences_are_merged_for_all_nodes(nodes: &Nodes) {
    let user = user();
    assert_eq!(nodes.one.preferences(&user, None).await.expect("preferences").as_str(), "{}");
    let first = json(r#"{"email":true,"push":{"from":8},"limit":1.10}"#);
    nodes.one.preferences(&user, Some(&first)).await.expect("merged");
    let second = json(r#"{"push":{"until":20},"email":null}"#);
    let merged = nodes.two.preferences(&user, Some(&second)).await.expect("merged");
    for preferences in [merged, nodes.one.preferences(&user, None).await.expect("preferences")] {
        let value: serde_json::Value = preferences.to().expect("JSON");
        assert_eq!(value, serde_json::json!({"push": {"until": 20}, "limit": 1.1}));
        assert!(preferences.as_str().contains("1.10"), "numbers keep their text");
    }
}

/// No other JSON, and no more than the bound; what was there stays.
pub async fn preferences_are_bounded_objects(nodes: &Nodes) {
    let user = user();
    nodes.one.preferences(&user, Some(&json(r#"{"a":1}"#))).await.expect("merged");
    let big = format!(r#"{{"b":"{}"}}"#, "x".repeat(PREFERENCES_BYTES_MAX));
    for wrong in ["[1]", "null", big.as_str()] {
        let refused = nodes.one.preferences(&user, Some(&json(wrong))).await;
        assert!(matches!(refused, Err(BackplaneError::InvalidPreferences)), "{refused:?}");
    }
    assert_eq!(nodes.two.preferences(&user, None).await.expect("preferences").as_str(), r#"{"a":1}"#);
}

/// Devices that are connected need not ask.
pub async fn new_preferences_are_told_to_the_users_inbox(nodes: &Nodes) {
    let user = user();
    let inbox = ChannelName::new(&format!("user:{user}")).expect("a channel's name");
    let mut subscriber = nodes.two.subscriber(64);
    nodes.two.subscribe(subscriber.id, &[(inbox.clone(), Policy::inbox())]).await.expect("subscribed");
    nodes.one.preferences(&user, Some(&json(r#"{"sound":false}"#))).await.expect("merged");
    let told = next(&mut subscriber, |signal| match signal {
        Signal::Preferences { channel, preferences } if channel == inbox => Some(preferences),
        _ => None,
    });
    assert_eq!(told.await.as_str(), r#"{"sound":false}"#);
}
