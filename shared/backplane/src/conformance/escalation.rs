//! Overdue alerts, and who has them in hand.

use std::{sync::Arc, time::Duration};

use tickwire_protocol::{ChannelName, Position, Priority, UserId, time::now_ms};

use super::{
    Nodes, PATIENCE,
    inbox::{critical, inbox, ordinary},
    publish_one,
};
use crate::{Alert, AlertId, AlertSpec, AlertStatus, Backplane, DueAlert, Escalation, Publish};

/// Longer than any claim of the suite takes.
const LONG: Duration = Duration::from_secs(3_600);
/// Overdue before the next call.
const AT_ONCE: Duration = Duration::ZERO;

async fn alert(node: &Arc<dyn Backplane>, user: &UserId, publish: Publish, after: Duration) -> (AlertId, Position) {
    let id = AlertId::generate(user);
    let spec = AlertSpec { id: id.clone(), escalate_after: Some(after) };
    // The server's clock decides what is overdue; a publish of a while ago is overdue on every clock.
    let time_ms = now_ms().saturating_sub(60_000);
    (id, publish_one(node, Publish { alert: Some(spec), time_ms, ..publish }).await)
}

/// Claims of `user`'s alerts. Claims run side by side on one store: others' alerts are given back.
async fn claim(node: &Arc<dyn Backplane>, user: &UserId, lease: Duration) -> Vec<DueAlert> {
    let due = node.claim_due(1_000, lease).await.expect("due alerts");
    assert_eq!(due.unreachable, 0);
    let (mine, others): (Vec<_>, Vec<_>) = due.claimed.into_iter().partition(|alert| alert.id.user() == user);
    for other in others {
        node.escalated(&other, Escalation::Again(Duration::ZERO)).await.expect("given back");
    }
    mine
}

/// Claims until one comes.
async fn claim_one(node: &Arc<dyn Backplane>, user: &UserId, lease: Duration) -> DueAlert {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let mut claimed = claim(node, user, lease).await;
        if let Some(alert) = claimed.pop() {
            assert!(claimed.is_empty());
            return alert;
        }
        assert!(tokio::time::Instant::now() < deadline, "no alert of {user} is due");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn state(nodes: &Nodes, id: &AlertId) -> Alert {
    nodes.two.alert(id).await.expect("an answer").expect("a known alert")
}

/// Everything of `user` that others may have taken for a moment has come back when a witness published later is found.
async fn assert_nothing_due(nodes: &Nodes, user: &UserId, channel: &ChannelName) {
    let (witness, _) = alert(&nodes.one, user, critical(channel), AT_ONCE).await;
    for _ in 0..3 {
        let found = claim_one(&nodes.two, user, LONG).await;
        assert_eq!(found.id, witness);
        nodes.two.escalated(&found, Escalation::Again(Duration::ZERO)).await.expect("given back");
    }
    let found = claim_one(&nodes.two, user, LONG).await;
    nodes.two.escalated(&found, Escalation::Done).await.expect("noted");
}

/// Twenty alerts, two nodes that grab at once: each alert comes to one of them, with all that an escalation says.
pub async fn an_overdue_alert_is_held_by_one_caller_at_a_time(nodes: &Nodes) {
    let (user, channel) = inbox();
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(alert(&nodes.one, &user, critical(&channel), AT_ONCE).await.0);
        ids.push(alert(&nodes.one, &user, ordinary(&channel), AT_ONCE).await.0);
    }
    let mut held: Vec<DueAlert> = Vec::new();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while held.len() < ids.len() {
        assert!(tokio::time::Instant::now() < deadline, "not all are due");
        let (one, two) = tokio::join!(claim(&nodes.one, &user, LONG), claim(&nodes.two, &user, LONG));
        held.extend(one);
        held.extend(two);
    }
    for _ in 0..3 {
        assert!(claim(&nodes.two, &user, LONG).await.is_empty(), "a held alert was given to a second caller");
    }
    let mut found: Vec<_> = held.iter().map(|alert| alert.id.clone()).collect();
    found.sort();
    ids.sort();
    assert_eq!(found, ids);
    for alert in held {
        assert_eq!((alert.data.as_str(), alert.deadline_ms), ("1", alert.created_at_ms));
        assert!(alert.attempt >= 1 && matches!(alert.priority, Priority::Critical | Priority::Medium));
    }
}

/// A caller that dies says nothing: after its lease the alert is another's.
pub async fn what_a_lost_caller_held_is_due_again(nodes: &Nodes) {
    let (user, channel) = inbox();
    let (id, _) = alert(&nodes.one, &user, critical(&channel), AT_ONCE).await;
    let lost = claim_one(&nodes.one, &user, Duration::from_millis(50)).await;
    let found = claim_one(&nodes.two, &user, LONG).await;
    assert_eq!((&found.id, &lost.id), (&id, &id));
    assert!(found.attempt > lost.attempt);
    // The first was not dead but slow: its word does not free what the second holds.
    nodes.one.escalated(&lost, Escalation::Again(Duration::ZERO)).await.expect("answered");
    assert!(claim(&nodes.one, &user, LONG).await.is_empty());
}

/// A failed try waits as long as it was told to.
pub async fn what_failed_is_due_again_later(nodes: &Nodes) {
    let (user, channel) = inbox();
    alert(&nodes.one, &user, critical(&channel), AT_ONCE).await;
    let first = claim_one(&nodes.one, &user, LONG).await;
    nodes.one.escalated(&first, Escalation::Again(Duration::from_millis(100))).await.expect("noted");
    let second = claim_one(&nodes.two, &user, LONG).await;
    assert!(second.attempt > first.attempt);
    nodes.two.escalated(&second, Escalation::Again(LONG)).await.expect("noted");
    assert!(claim(&nodes.one, &user, LONG).await.is_empty());
}

/// Once its receiver has it, or nobody could reach the receiver, it is over; the message is owed as before.
pub async fn an_escalated_alert_is_not_due_again_and_can_still_be_acknowledged(nodes: &Nodes) {
    for outcome in [Escalation::Done, Escalation::GivenUp] {
        let (user, channel) = inbox();
        let (id, position) = alert(&nodes.one, &user, critical(&channel), AT_ONCE).await;
        let held = claim_one(&nodes.one, &user, LONG).await;
        nodes.one.escalated(&held, outcome).await.expect("noted");
        assert_nothing_due(nodes, &user, &channel).await;
        let escalated = state(nodes, &id).await;
        assert_eq!(escalated.status, AlertStatus::Escalated);
        assert_eq!(escalated.escalated_at_ms.is_some(), outcome == Escalation::Done);
        assert_eq!(escalated.attempts, held.attempt);
        nodes.one.acknowledge(&channel, None, &[position]).await.expect("acknowledged");
        assert_eq!(state(nodes, &id).await.status, AlertStatus::Acknowledged);
    }
}

/// Neither before it was taken nor while someone failed to send it.
pub async fn an_acknowledged_alert_is_not_due(nodes: &Nodes) {
    let (user, channel) = inbox();
    let (_, position) = alert(&nodes.one, &user, critical(&channel), AT_ONCE).await;
    nodes.one.acknowledge(&channel, None, &[position]).await.expect("acknowledged");
    assert_nothing_due(nodes, &user, &channel).await;
    let (id, position) = alert(&nodes.one, &user, critical(&channel), AT_ONCE).await;
    let held = claim_one(&nodes.one, &user, LONG).await;
    assert_eq!(held.id, id);
    nodes.two.acknowledge(&channel, None, &[position]).await.expect("acknowledged");
    nodes.one.escalated(&held, Escalation::Again(Duration::ZERO)).await.expect("answered");
    assert_nothing_due(nodes, &user, &channel).await;
}

/// Nobody is woken for what is over anyway.
pub async fn an_alert_that_expires_first_is_never_due(nodes: &Nodes) {
    let (user, channel) = inbox();
    let expiring = Publish { expires_at_ms: Some(now_ms() + 200), ..critical(&channel) };
    let (id, _) = alert(&nodes.one, &user, expiring, LONG).await;
    assert_nothing_due(nodes, &user, &channel).await;
    assert_eq!(state(nodes, &id).await.status, AlertStatus::Queued);
}

/// It is at least as old as any that is waiting; settled, it no longer counts.
pub async fn the_age_of_the_oldest_unacknowledged_critical_message_is_known(nodes: &Nodes) {
    let (_, channel) = inbox();
    let found = || async { nodes.two.claim_due(0, LONG).await.expect("due alerts") };
    let age = || async { found().await.oldest_unacknowledged };
    let position = publish_one(&nodes.one, critical(&channel)).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let before = age().await.expect("an unacknowledged message");
    assert!(before >= Duration::from_millis(10) && before < LONG, "{before:?}");
    assert!(found().await.unacknowledged > 0);
    nodes.one.acknowledge(&channel, None, &[position]).await.expect("acknowledged");
    let others = age().await;
    assert!(others.is_none_or(|age| age < LONG), "{others:?}");
}
