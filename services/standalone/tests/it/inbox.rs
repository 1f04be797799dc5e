use tickwire_client::{
    Client, SubscribeOptions, Subscription, SubscriptionEvent,
    emitter::{AlertStatus, Notification},
};
use tickwire_protocol::{Position, Priority, UserId};

use crate::cluster::{Cluster, channel, json, soon, until};

/// What a new program of the user gets at once: the kinds and positions, in order.
async fn owed(cluster: &Cluster, edge: usize, count: usize) -> Vec<(String, Position)> {
    let client = cluster.client("7", edge);
    let mut inbox = client.subscribe(channel("user:7"), SubscribeOptions::default()).await.unwrap();
    let mut owed = Vec::new();
    while owed.len() < count {
        let delivery = soon("what is owed", inbox.next_message()).await.unwrap();
        assert!(delivery.recovered);
        let data: serde_json::Value = delivery.message.data.to().unwrap();
        owed.push((data["type"].as_str().unwrap().to_owned(), delivery.message.position.unwrap()));
    }
    // Nothing else was owed: the next thing is what is published now.
    notify(cluster, "marker", Priority::Medium).await;
    let marker = soon("the marker", inbox.next_message()).await.unwrap();
    assert!(marker.message.data.as_str().contains("marker"), "{marker:?}");
    client.ack(channel("user:7"), vec![marker.message.position.unwrap()]).await.unwrap();
    owed
}

async fn notify(cluster: &Cluster, kind: &str, priority: Priority) -> String {
    let notification = Notification { kind: kind.into(), priority: Some(priority), ..Notification::default() };
    cluster.emitter.notify(&UserId::new("7").unwrap(), &notification).await.unwrap().alert_id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offline_user_gets_the_newest_hundred_and_every_critical_alert_until_acknowledged() {
    let cluster = Cluster::start().await;
    let mut alerts = Vec::new();
    for number in 0..150 {
        // Early ones, so that the newest hundred alone would not hold them.
        if number < 5 {
            alerts.push(notify(&cluster, &format!("critical-{number}"), Priority::Critical).await);
        }
        notify(&cluster, &format!("ordinary-{number}"), Priority::Medium).await;
    }
    let first = owed(&cluster, 0, 105).await;
    let kinds: Vec<&str> = first.iter().map(|(kind, _)| kind.as_str()).collect();
    let expected: Vec<String> =
        (0..5).map(|n| format!("critical-{n}")).chain((50..150).map(|n| format!("ordinary-{n}"))).collect();
    let mut sorted = kinds.clone();
    sorted.sort_by_key(|kind| expected.iter().position(|other| other == kind));
    assert_eq!(sorted, expected);

    // The marker's acknowledgement moved the cursor of the ordinary ones; the critical ones come again, at the other edge too.
    let again = owed(&cluster, 1, 5).await;
    assert!(again.iter().all(|(kind, _)| kind.starts_with("critical-")), "{again:?}");

    let client = cluster.client("7", 0);
    client.ack(channel("user:7"), again[..2].iter().map(|(_, position)| *position).collect()).await.unwrap();
    let left = owed(&cluster, 1, 3).await;
    assert_eq!(left, again[2..]);
    until("the alert is known as acknowledged", async || {
        cluster.emitter.alert(&alerts[0]).await.unwrap().status == AlertStatus::Acknowledged
    })
    .await;
}

/// A live subscription to the user's inbox.
async fn inbox(client: &Client) -> Subscription {
    let mut inbox = client.subscribe(channel("user:7"), SubscribeOptions::default()).await.unwrap();
    let first = soon("the inbox", inbox.next_event()).await.unwrap();
    assert!(matches!(first, SubscriptionEvent::Subscribed { .. }), "{first:?}");
    inbox
}

async fn over(inbox: &mut Subscription) -> Vec<Position> {
    loop {
        match soon("that something is over", inbox.next_event()).await.unwrap() {
            SubscriptionEvent::Acknowledged { positions } => return positions,
            SubscriptionEvent::Ended(error) => panic!("{error}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_device_acknowledges_is_over_on_the_other_at_another_edge() {
    let cluster = Cluster::start().await;
    let (phone, desk) = (cluster.device("7", "phone", 0), cluster.device("7", "desk", 1));
    let (mut on_phone, mut on_desk) = (inbox(&phone).await, inbox(&desk).await);
    notify(&cluster, "margin_call", Priority::Critical).await;
    notify(&cluster, "news", Priority::Medium).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let position = soon("the phone's", on_phone.next_message()).await.unwrap().message.position.unwrap();
        assert_eq!(soon("the desk's", on_desk.next_message()).await.unwrap().message.position, Some(position));
        seen.push(position);
    }
    // The ordinary one is the phone's own business.
    phone.ack(channel("user:7"), seen.clone()).await.unwrap();
    assert_eq!(over(&mut on_desk).await, seen[..1]);
    assert_eq!(over(&mut on_phone).await, seen[..1]);
    drop((on_phone, on_desk, phone, desk));

    let mut later = inbox(&cluster.device("7", "desk", 0)).await;
    let unread = soon("what the desk has not read", later.next_message()).await.unwrap().message;
    assert_eq!(unread.position, Some(seen[1]));
    let read = cluster.device("7", "phone", 1);
    let mut read = inbox(&read).await;
    notify(&cluster, "marker", Priority::Medium).await;
    let marker = soon("the marker", read.next_message()).await.unwrap().message;
    assert!(marker.data.as_str().contains("marker"), "{marker:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_muted_notification_has_no_position() {
    let cluster = Cluster::start().await;
    let client = cluster.client("7", 0);
    client.preferences(Some(json(r#"{"rules":[{"types":["news"],"action":"mute"}]}"#))).await.unwrap();
    let muted = Notification { kind: "news".into(), ..Notification::default() };
    let notified = cluster.emitter.notify(&UserId::new("7").unwrap(), &muted).await.unwrap();
    assert_eq!((notified.position, notified.suppressed), (None, true));
}
