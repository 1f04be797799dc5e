//! What an inbox owes, acknowledgements, and alerts.

use std::time::Duration;

use tickwire_protocol::{ChannelName, DeviceId, Position, Priority, UserId, namespace::Policy, time::now_ms};

use super::{Nodes, eventually, next, number, offsets, publish_numbers, publish_one, user};
use crate::{AlertId, AlertSpec, AlertStatus, BackplaneError, DEVICES_MAX, INBOX_CRITICAL_MAX, Publish, Signal};

pub(super) fn inbox() -> (UserId, ChannelName) {
    let user = user();
    let channel = ChannelName::new(&format!("user:{user}")).expect("a channel's name");
    (user, channel)
}

pub(super) fn ordinary(channel: &ChannelName) -> Publish {
    Publish::new(channel.clone(), Policy::inbox(), number(1))
}

pub(super) fn critical(channel: &ChannelName) -> Publish {
    Publish { priority: Priority::Critical, ..ordinary(channel) }
}

async fn owed(nodes: &Nodes, channel: &ChannelName) -> Vec<u64> {
    offsets(&nodes.two.inbox(channel, &Policy::inbox(), None).await.expect("inbox").owed)
}

/// 150 ordinary and 5 critical ones, for a user who was away: the newest 100 and the 5, in order. The critical ones stand
/// where no count of later messages pushes them out.
pub async fn the_newest_hundred_ordinary_and_every_critical_message_are_owed(nodes: &Nodes) {
    let (_, channel) = inbox();
    let policy = Policy { history_count: 20, ..Policy::inbox() };
    for _ in 0..5 {
        publish_one(&nodes.one, Publish { policy: policy.clone(), ..critical(&channel) }).await;
    }
    publish_numbers(&nodes.one, &channel, &policy, 150).await;
    let state = nodes.two.inbox(&channel, &policy, None).await.expect("inbox");
    assert_eq!(offsets(&state.owed), (1..=5).chain(56..=155).collect::<Vec<_>>());
    assert_eq!(state.top.offset, 155);
    assert_eq!(state.cursor, None);
}

/// The cursor moves up to the greatest position named, and a smaller one later changes nothing.
pub async fn the_cursor_never_moves_back(nodes: &Nodes) {
    let (_, channel) = inbox();
    let positions = publish_numbers(&nodes.one, &channel, &Policy::inbox(), 6).await;
    nodes.one.acknowledge(&channel, None, &[positions[1], positions[3], positions[2]]).await.expect("acknowledged");
    assert_eq!(owed(nodes, &channel).await, [5, 6]);
    nodes.two.acknowledge(&channel, None, &[positions[0]]).await.expect("acknowledged");
    assert_eq!(owed(nodes, &channel).await, [5, 6]);
    let state = nodes.two.inbox(&channel, &Policy::inbox(), None).await.expect("inbox");
    assert_eq!(state.cursor, Some(positions[3]));
}

/// Neither a later acknowledgement nor the cursor settles it; its own position does, alone or in a list.
pub async fn a_critical_message_waits_until_it_is_acknowledged(nodes: &Nodes) {
    let (_, channel) = inbox();
    let mut positions = Vec::new();
    for publish in [critical(&channel), ordinary(&channel), critical(&channel), critical(&channel), ordinary(&channel)]
    {
        positions.push(publish_one(&nodes.one, publish).await);
    }
    nodes.one.acknowledge(&channel, None, &[positions[4]]).await.expect("acknowledged");
    assert_eq!(owed(nodes, &channel).await, [1, 3, 4]);
    nodes.one.acknowledge(&channel, None, &[positions[3]]).await.expect("acknowledged");
    assert_eq!(owed(nodes, &channel).await, [1, 3]);
    assert_eq!(owed(nodes, &channel).await, [1, 3], "asking does not settle");
    nodes.one.acknowledge(&channel, None, &[positions[0], positions[2]]).await.expect("acknowledged");
    assert!(owed(nodes, &channel).await.is_empty());
}

/// A client that repeats itself does not lose the ordinary messages before.
pub async fn acknowledging_a_critical_message_twice_leaves_the_cursor(nodes: &Nodes) {
    let (_, channel) = inbox();
    publish_one(&nodes.one, ordinary(&channel)).await;
    let position = publish_one(&nodes.one, critical(&channel)).await;
    for _ in 0..2 {
        nodes.one.acknowledge(&channel, None, &[position]).await.expect("acknowledged");
        assert_eq!(owed(nodes, &channel).await, [1]);
    }
}

/// A position that no message has does not swallow the messages to come.
pub async fn acknowledging_the_future_does_nothing(nodes: &Nodes) {
    let (_, channel) = inbox();
    let position = publish_one(&nodes.one, ordinary(&channel)).await;
    let future = [Position::new(position.epoch, 50), Position::new(position.epoch + 1_000_000_000, 1)];
    nodes.one.acknowledge(&channel, None, &future).await.expect("answered");
    publish_one(&nodes.one, ordinary(&channel)).await;
    assert_eq!(owed(nodes, &channel).await, [1, 2]);
}

/// Its time ends it as an acknowledgement does.
pub async fn an_expired_critical_message_is_not_owed(nodes: &Nodes) {
    let (_, channel) = inbox();
    publish_one(&nodes.one, Publish { expires_at_ms: Some(now_ms() + 50), ..critical(&channel) }).await;
    publish_one(&nodes.one, Publish { expires_at_ms: Some(now_ms() + 3_600_000), ..critical(&channel) }).await;
    eventually("the message expires", || async { owed(nodes, &channel).await == [2] }).await;
}

/// Refusing is loud; dropping a critical message would be silent. Ordinary ones still come, and settling makes room.
pub async fn too_many_critical_messages_are_refused(nodes: &Nodes) {
    let (_, channel) = inbox();
    let mut first = None;
    for _ in 0..INBOX_CRITICAL_MAX / 500 {
        for result in nodes.one.publish_batch(vec![critical(&channel); 500]).await {
            first = first.or(result.expect("published").position);
        }
    }
    let refused = nodes.one.publish(critical(&channel)).await;
    assert!(matches!(refused, Err(BackplaneError::InboxFull)), "{refused:?}");
    publish_one(&nodes.one, ordinary(&channel)).await;
    nodes.one.acknowledge(&channel, None, &[first.expect("a position")]).await.expect("acknowledged");
    publish_one(&nodes.one, critical(&channel)).await;
}

/// Each step shows on every node.
pub async fn an_alert_is_queued_delivered_acknowledged(nodes: &Nodes) {
    let (user, channel) = inbox();
    let id = AlertId::generate(&user);
    let spec = AlertSpec { id: id.clone(), escalate_after: Some(Duration::from_secs(3_600)) };
    let position = publish_one(&nodes.one, Publish { alert: Some(spec), ..critical(&channel) }).await;
    let state = || async { nodes.two.alert(&id).await.expect("an answer").expect("a known alert") };
    let queued = state().await;
    assert_eq!((queued.status, queued.delivered_to, queued.position), (AlertStatus::Queued, 0, position));
    nodes.one.delivered(&channel, &[position]).await.expect("counted");
    nodes.two.delivered(&channel, &[position]).await.expect("counted");
    let delivered = state().await;
    assert_eq!((delivered.status, delivered.delivered_to), (AlertStatus::Delivered, 2));
    assert_eq!(delivered.acknowledged_at_ms, None);
    nodes.one.acknowledge(&channel, None, &[position]).await.expect("acknowledged");
    let settled = state().await;
    assert_eq!((settled.status, settled.delivered_to), (AlertStatus::Acknowledged, 2));
    assert!(settled.acknowledged_at_ms.is_some_and(|at| at.abs_diff(now_ms()) < 3_600_000));
    nodes.one.acknowledge(&channel, None, &[position]).await.expect("acknowledged");
    assert_eq!(state().await.acknowledged_at_ms, settled.acknowledged_at_ms, "the first time counts");
}

/// Unacknowledged at its deadline, whether it was delivered or not; an acknowledgement still settles it.
pub async fn an_alert_escalates_at_its_deadline(nodes: &Nodes) {
    let (user, channel) = inbox();
    let id = AlertId::generate(&user);
    let spec = AlertSpec { id: id.clone(), escalate_after: Some(Duration::from_millis(50)) };
    let position = publish_one(&nodes.one, Publish { alert: Some(spec), ..critical(&channel) }).await;
    nodes.one.delivered(&channel, &[position]).await.expect("counted");
    let status = || async { nodes.two.alert(&id).await.expect("an answer").expect("a known alert").status };
    eventually("the alert escalates", || async { status().await == AlertStatus::Escalated }).await;
    nodes.one.acknowledge(&channel, None, &[position]).await.expect("acknowledged");
    assert_eq!(status().await, AlertStatus::Acknowledged);
}

/// A notification of ordinary urgency can be tracked as well; reading up to it acknowledges it.
pub async fn an_ordinary_alert_is_acknowledged_by_the_cursor(nodes: &Nodes) {
    let (user, channel) = inbox();
    let id = AlertId::generate(&user);
    let spec = AlertSpec { id: id.clone(), escalate_after: None };
    publish_one(&nodes.one, Publish { alert: Some(spec), ..ordinary(&channel) }).await;
    let later = publish_one(&nodes.one, ordinary(&channel)).await;
    nodes.one.acknowledge(&channel, None, &[later]).await.expect("acknowledged");
    let alert = nodes.two.alert(&id).await.expect("an answer").expect("a known alert");
    assert_eq!(alert.status, AlertStatus::Acknowledged);
}

/// An id that nobody published.
pub async fn an_unknown_alert_is_none(nodes: &Nodes) {
    let id = AlertId::generate(&user());
    assert_eq!(nodes.one.alert(&id).await.expect("an answer"), None);
}

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).expect("a device")
}

async fn owed_to(nodes: &Nodes, channel: &ChannelName, device: &DeviceId) -> Vec<u64> {
    offsets(&nodes.two.inbox(channel, &Policy::inbox(), Some(device)).await.expect("inbox").owed)
}

/// What one device has read, the others still get; what the user has read, or settled, none gets.
pub async fn a_device_reads_for_itself_and_never_behind_its_user(nodes: &Nodes) {
    let (_, channel) = inbox();
    let (phone, desk) = (device("phone"), device("desk"));
    let positions = publish_numbers(&nodes.one, &channel, &Policy::inbox(), 5).await;
    let alert = publish_one(&nodes.one, critical(&channel)).await;
    nodes.one.acknowledge(&channel, Some(&phone), &[positions[3]]).await.expect("acknowledged");
    assert_eq!(owed_to(nodes, &channel, &phone).await, [5, 6]);
    assert_eq!(owed_to(nodes, &channel, &desk).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(owed(nodes, &channel).await, [1, 2, 3, 4, 5, 6]);
    nodes.two.acknowledge(&channel, Some(&phone), &[positions[0]]).await.expect("acknowledged");
    assert_eq!(owed_to(nodes, &channel, &phone).await, [5, 6], "a cursor never moves back");
    nodes.one.acknowledge(&channel, Some(&desk), &[alert]).await.expect("acknowledged");
    assert_eq!(owed_to(nodes, &channel, &phone).await, [5], "a critical message is settled for all devices");
    nodes.one.acknowledge(&channel, None, &[positions[4]]).await.expect("acknowledged");
    for device in [&phone, &desk] {
        assert!(owed_to(nodes, &channel, device).await.is_empty(), "what the user has read is read everywhere");
    }
}

/// A bound that a program with a new name for each start cannot break.
pub async fn the_device_that_read_longest_ago_is_forgotten(nodes: &Nodes) {
    let (_, channel) = inbox();
    let positions = publish_numbers(&nodes.one, &channel, &Policy::inbox(), 2).await;
    let devices: Vec<_> = (0..=DEVICES_MAX).map(|number| device(&format!("d{number}"))).collect();
    for device in &devices {
        nodes.one.acknowledge(&channel, Some(device), &[positions[0]]).await.expect("acknowledged");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(owed_to(nodes, &channel, &devices[0]).await, [1, 2]);
    for device in &devices[1..] {
        assert_eq!(owed_to(nodes, &channel, device).await, [2]);
    }
}

/// A toast shall vanish on every device: settled critical messages and the user's cursor are told, a device's own is not.
pub async fn what_is_over_for_all_devices_is_told_to_them(nodes: &Nodes) {
    let (_, channel) = inbox();
    let mut subscriber = nodes.two.subscriber(64);
    nodes.two.subscribe(subscriber.id, &[(channel.clone(), Policy::inbox())]).await.expect("subscribed");
    let ordinary = publish_numbers(&nodes.one, &channel, &Policy::inbox(), 2).await;
    let alerts = [publish_one(&nodes.one, critical(&channel)).await, publish_one(&nodes.one, critical(&channel)).await];
    nodes.one.acknowledge(&channel, Some(&device("phone")), &[ordinary[0]]).await.expect("acknowledged");
    nodes.one.acknowledge(&channel, None, &alerts).await.expect("acknowledged");
    nodes.one.acknowledge(&channel, None, &alerts).await.expect("acknowledged");
    nodes.one.acknowledge(&channel, None, &[ordinary[1]]).await.expect("acknowledged");
    for expected in [alerts.to_vec(), vec![ordinary[1]]] {
        let told = next(&mut subscriber, |signal| match signal {
            Signal::Acknowledged { channel: of, positions } if of == channel => Some(positions),
            _ => None,
        });
        assert_eq!(told.await, expected);
    }
}
