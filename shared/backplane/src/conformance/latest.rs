//! Current values.

use tickwire_protocol::{namespace::Policy, time::now_ms};

use super::{Nodes, channel, eventually, number, publish_one};
use crate::{BackplaneError, LATEST_KEYS_MAX, Publish};

/// One value a key, oldest change first; a change moves its key to the end.
pub async fn the_newest_value_of_each_key_in_order_of_change(nodes: &Nodes) {
    let channel = channel("prices");
    let mut top = None;
    for (n, key) in ["a", "b", "c", "a", "b", "a"].into_iter().enumerate() {
        let publish =
            Publish { key: Some(key.into()), ..Publish::new(channel.clone(), Policy::latest(), number(n as u64)) };
        top = Some(publish_one(&nodes.one, publish).await);
    }
    let snapshot = nodes.two.snapshot(&channel, &Policy::latest()).await.expect("snapshot");
    let values: Vec<_> = snapshot
        .publications
        .iter()
        .map(|publication| (publication.key.as_deref().expect("a key"), publication.data.as_str()))
        .collect();
    assert_eq!(values, [("c", "2"), ("b", "4"), ("a", "5")]);
    assert_eq!(Some(snapshot.top), top);
    assert_eq!(snapshot.publications[2].position, top);
}

/// A channel that is one value needs no key.
pub async fn a_message_without_key_has_the_channels_name(nodes: &Nodes) {
    let channel = channel("prices");
    for n in 1..=2 {
        publish_one(&nodes.one, Publish::new(channel.clone(), Policy::latest(), number(n))).await;
    }
    let snapshot = nodes.two.snapshot(&channel, &Policy::latest()).await.expect("snapshot");
    assert_eq!(snapshot.publications.len(), 1);
    assert_eq!(snapshot.publications[0].key.as_deref(), Some(channel.as_str()));
    assert_eq!(snapshot.publications[0].data.as_str(), "2");
}

/// A value whose time is over is nobody's current value.
pub async fn an_expired_value_is_left_out(nodes: &Nodes) {
    let channel = channel("prices");
    let keyed =
        |key: &str| Publish { key: Some(key.into()), ..Publish::new(channel.clone(), Policy::latest(), number(1)) };
    publish_one(&nodes.one, keyed("stays")).await;
    publish_one(&nodes.one, Publish { expires_at_ms: Some(now_ms() + 50), ..keyed("goes") }).await;
    eventually("the value expires", || async {
        let snapshot = nodes.one.snapshot(&channel, &Policy::latest()).await.expect("snapshot");
        let keys: Vec<_> = snapshot.publications.iter().map(|publication| publication.key.as_deref()).collect();
        keys == [Some("stays")]
    })
    .await;
}

/// At the bound new keys are refused, known ones still change.
pub async fn a_channel_refuses_more_keys_than_its_bound(nodes: &Nodes) {
    let channel = channel("prices");
    let keyed = |n: usize| Publish {
        key: Some(n.to_string()),
        ..Publish::new(channel.clone(), Policy::latest(), number(n as u64))
    };
    for start in (0..LATEST_KEYS_MAX).step_by(500) {
        for result in nodes.one.publish_batch((start..start + 500).map(keyed).collect()).await {
            result.expect("published");
        }
    }
    let refused = nodes.one.publish(keyed(LATEST_KEYS_MAX)).await;
    assert!(matches!(refused, Err(BackplaneError::TooManyKeys)), "{refused:?}");
    let known = nodes.one.publish(keyed(0)).await.expect("published");
    assert_eq!(known.position.map(|position| position.offset), Some(LATEST_KEYS_MAX as u64 + 1));
}
