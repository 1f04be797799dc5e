//! Leases and fences.

use std::{sync::Arc, time::Duration};

use tickwire_protocol::{ChannelName, Position, namespace::Policy};

use super::{Nodes, after, channel, eventually, number, publish_one, reliable, unique};
use crate::{Backplane, BackplaneError, Fence, Publish, Taken};

/// Longer than any claim of the suite takes.
const LONG: Duration = Duration::from_secs(3_600);
/// Over soon.
const SHORT: Duration = Duration::from_millis(300);

async fn take(node: &Arc<dyn Backplane>, lease: &ChannelName, holder: &str, ttl: Duration) -> Taken {
    let mut taken = node.take_leases(std::slice::from_ref(lease), holder, ttl).await;
    assert_eq!(taken.len(), 1);
    taken.remove(0).expect("an answer")
}

async fn taken(node: &Arc<dyn Backplane>, lease: &ChannelName, holder: &str, ttl: Duration) -> Fence {
    take(node, lease, holder, ttl).await.fence().expect("a lease that was free")
}

async fn renew(node: &Arc<dyn Backplane>, lease: &ChannelName, fence: Fence, ttl: Duration) -> bool {
    let mut renewed = node.renew_leases(&[(lease.clone(), fence)], ttl).await;
    assert_eq!(renewed.len(), 1);
    renewed.remove(0).expect("an answer")
}

/// Takes it as soon as it is free.
async fn take_over(node: &Arc<dyn Backplane>, lease: &ChannelName, holder: &str) -> Fence {
    eventually("the lease is over", || async { take(node, lease, holder, LONG).await.fence().is_some() }).await;
    taken(node, lease, holder, LONG).await
}

fn fenced(channel: &ChannelName, policy: Policy, fence: Fence) -> Publish {
    Publish { fence: Some(fence), ..Publish::new(channel.clone(), policy, number(1)) }
}

/// Many leases in one call; two nodes that grab at once: each lease comes to one of them, and both know who has it.
pub async fn a_lease_has_one_holder_at_a_time(nodes: &Nodes) {
    let leases: Vec<ChannelName> = (0..40).map(|_| channel("feed")).collect();
    let (one, two) =
        tokio::join!(nodes.one.take_leases(&leases, "one", LONG), nodes.two.take_leases(&leases, "two", LONG));
    for (one, two) in one.into_iter().zip(two) {
        match (one.expect("an answer"), two.expect("an answer")) {
            (Taken::Held(_), Taken::Elsewhere { holder, rest }) => {
                assert!(holder == "one" && rest > Duration::ZERO && rest <= LONG);
            }
            (Taken::Elsewhere { holder, .. }, Taken::Held(_)) => assert_eq!(holder, "two"),
            both => panic!("{both:?}"),
        }
    }
}

/// A holder that dies is followed by another, whose fence is greater.
pub async fn a_lease_that_is_not_renewed_is_taken_over_under_a_greater_fence(nodes: &Nodes) {
    let lease = channel("feed");
    let first = taken(&nodes.one, &lease, "one", SHORT).await;
    let second = take_over(&nodes.two, &lease, "two").await;
    assert!(second > first);
    assert!(matches!(take(&nodes.one, &lease, "one", LONG).await, Taken::Elsewhere { holder, .. } if holder == "two"));
}

/// While it is held a renewal counts; once it is over it does not, whether somebody took it or not.
pub async fn a_late_renewal_by_the_old_holder_fails(nodes: &Nodes) {
    let lease = channel("feed");
    let first = taken(&nodes.one, &lease, "one", LONG).await;
    assert!(renew(&nodes.one, &lease, first, SHORT).await);
    tokio::time::sleep(SHORT * 2).await;
    assert!(!renew(&nodes.one, &lease, first, LONG).await);
    let second = taken(&nodes.two, &lease, "two", LONG).await;
    assert!(second > first);
    assert!(!renew(&nodes.one, &lease, first, LONG).await);
    assert!(renew(&nodes.two, &lease, second, LONG).await);
}

/// An answer that was lost is asked for again.
pub async fn taking_again_what_one_holds_answers_the_same_fence(nodes: &Nodes) {
    let lease = channel("feed");
    let holder = unique("process");
    let first = taken(&nodes.one, &lease, &holder, LONG).await;
    assert_eq!(taken(&nodes.one, &lease, &holder, LONG).await, first);
    assert!(renew(&nodes.one, &lease, first, LONG).await);
}

/// A holder that leaves makes nobody wait; what it does not hold it cannot give.
pub async fn a_lease_given_back_is_free_at_once(nodes: &Nodes) {
    let lease = channel("feed");
    let first = taken(&nodes.one, &lease, "one", LONG).await;
    nodes.two.release_leases(&[(lease.clone(), Fence(first.0 - 1))]).await.expect("an answer");
    assert!(renew(&nodes.one, &lease, first, LONG).await);
    nodes.one.release_leases(&[(lease.clone(), first)]).await.expect("released");
    assert!(!renew(&nodes.one, &lease, first, LONG).await);
    assert!(taken(&nodes.two, &lease, "two", LONG).await > first);
}

/// In every class: a newer fence passes and then refuses the older one; a message without a fence passes always.
pub async fn a_fence_refuses_what_older_holders_publish_late(nodes: &Nodes) {
    for policy in [reliable(), Policy::latest(), Policy::volatile(10), Policy::volatile(0), Policy::inbox()] {
        let channel = channel("user");
        let (old, new) = (Fence(1_763_683_200_001), Fence(1_763_683_200_002));
        let keyed = Publish { idempotency_key: Some("k".into()), ..fenced(&channel, policy.clone(), old) };
        let first = nodes.one.publish(keyed.clone()).await.expect("published");
        let second = nodes.two.publish(fenced(&channel, policy.clone(), new)).await.expect("published");
        let late = nodes.one.publish(fenced(&channel, policy.clone(), old)).await;
        assert!(matches!(late, Err(BackplaneError::Fenced { newest }) if newest == new), "{late:?}");
        let repeated = nodes.one.publish(keyed).await.expect("the first answer");
        assert!(repeated.duplicate && repeated.position == first.position);
        nodes.two.publish(fenced(&channel, policy.clone(), new)).await.expect("published");
        let third = nodes.one.publish(Publish::new(channel, policy, number(1))).await.expect("published");
        assert_eq!(third.position.map(|position| position.offset), second.position.map(|p| p.offset + 2));
    }
}

/// From the answer on the predecessor publishes no more, and its last message is in the history up to there.
pub async fn a_fenced_channel_answers_where_the_successor_goes_on(nodes: &Nodes) {
    let (old, new) = (Fence(1_763_683_200_001), Fence(1_763_683_200_002));
    let channel = channel("room");
    let last = publish_one(&nodes.one, fenced(&channel, reliable(), old)).await;
    assert_eq!(nodes.two.fence(&channel, &reliable(), new).await.expect("fenced"), last);
    let late = nodes.one.publish(fenced(&channel, reliable(), old)).await;
    assert!(matches!(late, Err(BackplaneError::Fenced { .. })), "{late:?}");
    let late = nodes.one.fence(&channel, &reliable(), old).await;
    assert!(matches!(late, Err(BackplaneError::Fenced { newest }) if newest == new), "{late:?}");
    let history = nodes.two.history(&channel, &reliable(), after(last)).await.expect("history");
    assert!(history.complete && history.publications.is_empty());
    assert_eq!(publish_one(&nodes.two, fenced(&channel, reliable(), new)).await, last.next());
    let unnumbered = super::channel("public");
    let top = nodes.one.fence(&unnumbered, &Policy::volatile(0), new).await.expect("fenced");
    assert_eq!(top, Position::new(0, 0));
}
