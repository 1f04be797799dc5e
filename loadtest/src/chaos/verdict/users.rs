//! G4 and G6: what a user is owed, and what a user must not get.

use super::Verdict;
use crate::chaos::{
    ledger::{Alert, InboxJoin, InboxLog, Ledger},
    publisher::ESCALATE_AFTER,
};

/// A primary that was replaced may have taken writes until this long before: with `min-replicas-to-write 1` and two replicas, one
/// replica can confirm to the old primary what the other one, promoted meanwhile, never had.
const LOST_WITH_PRIMARY_MS: u64 = 10_000;

/// From an alert's deadline to the receiver, at most: Redis or emitters may be away for as long as a fault lasts and a failover
/// takes, and one that was in the hands of an emitter that died is free again after its lease.
const ESCALATION_GRACE_MS: u64 = 60_000;
/// From the connection that confirmed an acknowledgement to the store, while nothing is broken.
const ACKNOWLEDGED_BEFORE_MS: u64 = 1_000;

/// G4: kept until acknowledged, comes again on every connect, and escalates.
pub(super) fn alerts(ledger: &Ledger) -> Verdict {
    let claim =
        "a critical alert is kept until acknowledged, comes again on every connect, and escalates at its deadline";
    let mut verdict = Verdict::new("G4", claim);
    let (mut joins, mut again, mut acknowledged, mut lost) = (0_u64, 0, 0, 0);
    for inbox in &ledger.inboxes {
        joins += inbox.joins.len() as u64;
        acknowledged += inbox.acks_confirmed.len();
        let alerts: Vec<&Alert> = ledger.alerts.iter().filter(|alert| alert.user == inbox.user).collect();
        for alert in alerts {
            let number = alert.number;
            if inbox.joins.iter().any(|join| is_lost_with_primary(alert, join)) {
                lost += 1;
                continue;
            }
            verdict
                .breach_if(!inbox.seen.contains(&number), || format!("user {}: alert {number} never came", inbox.user));
            for join in &inbox.joins {
                verdict.breach_if(is_owed(inbox, alert, join) && !join.alerts.contains(&number), || {
                    format!("user {}: alert {number} did not come again at {}", inbox.user, join.at_ms)
                });
                let confirmed = inbox.acks_confirmed.get(&number).is_some_and(|&at_ms| at_ms < join.asked_ms);
                again += u64::from(confirmed && join.alerts.contains(&number));
            }
        }
    }
    verdict.fact(format!(
        "{} alerts, {joins} times subscribed, {acknowledged} acknowledged; {again} times one came again after that; \
         {lost} were lost by Redis with a primary that was replaced",
        ledger.alerts.len()
    ));
    verdict.breach_if(again > 0 && ledger.redis_faults == 0, || {
        format!("{again} alerts came again after their acknowledgement, and Redis lost nothing")
    });
    escalations(ledger, &mut verdict);
    verdict.conclude(if ledger.alerts.is_empty() { 0 } else { joins }, "no alert was published, or no inbox subscribed")
}

/// Every alert that nobody acknowledged reaches the receiver, soon after its deadline and not before it; none does that was
/// acknowledged in time.
fn escalations(ledger: &Ledger, verdict: &mut Verdict) {
    let mut owed = 0_u64;
    for alert in &ledger.alerts {
        let Some(inbox) = ledger.inboxes.iter().find(|inbox| inbox.user == alert.user) else { continue };
        let number = alert.number;
        let deadline_ms = alert.accepted_ms + u64::try_from(ESCALATE_AFTER.as_millis()).unwrap_or(u64::MAX);
        let is_due = deadline_ms + ESCALATION_GRACE_MS < ledger.escalations_until_ms;
        let is_lost = inbox.joins.iter().any(|join| is_lost_with_primary(alert, join));
        let was_acknowledged = inbox.acks_sent.contains_key(&number);
        match ledger.escalated.get(&number) {
            None if is_due && !was_acknowledged && !is_lost => {
                verdict.breach(|| format!("alert {number} of {} was never escalated", alert.accepted_ms));
            }
            None => continue,
            Some(escalated) => {
                verdict
                    .breach_if(!escalated.is_genuine, || format!("alert {number} was escalated without its signature"));
                verdict.breach_if(escalated.at_ms < escalated.deadline_ms, || {
                    format!("alert {number} was escalated before its deadline")
                });
                let confirmed = inbox.acks_confirmed.get(&number);
                let in_time = confirmed.is_some_and(|at_ms| at_ms + ACKNOWLEDGED_BEFORE_MS < escalated.deadline_ms);
                verdict.breach_if(in_time && ledger.redis_faults == 0, || {
                    format!("alert {number} was escalated, though it was acknowledged in time")
                });
            }
        }
        owed += 1;
    }
    let again = ledger.escalated.values().filter(|escalated| escalated.times > 1).count();
    verdict
        .fact(format!("{owed} alerts escalated to the webhook; {again} of them came more than once, under their key"));
}

/// Accepted before the subscribe was sent, and not acknowledged before it was answered.
fn is_owed(inbox: &InboxLog, alert: &Alert, join: &InboxJoin) -> bool {
    alert.accepted_ms < join.asked_ms && inbox.acks_sent.get(&alert.number).is_none_or(|&sent_ms| sent_ms > join.at_ms)
}

/// Redis itself lost it: the inbox has another epoch, which began right after the alert was accepted, and does not know it.
fn is_lost_with_primary(alert: &Alert, join: &InboxJoin) -> bool {
    let (Some(then), Some(now)) = (alert.epoch, join.epoch) else { return false };
    // An epoch is named by when it began.
    now > then && alert.accepted_ms + LOST_WITH_PRIMARY_MS > now && !join.alerts.contains(&alert.number)
}

/// G6: nothing without a grant, and nothing for long after a revocation.
pub(super) fn access(ledger: &Ledger) -> Verdict {
    let claim = "nobody gets a message without a grant, nor one published 1 s after revocation";
    let mut verdict = Verdict::new("G6", claim);
    for revoked in &ledger.revoked {
        verdict.breach_if(revoked.late > 0, || {
            format!("{} got {} messages from after the revocation", revoked.user, revoked.late)
        });
        verdict.breach_if(revoked.came_back, || format!("{}'s revoked token opened a connection", revoked.user));
    }
    let intrusion = ledger.intrusion;
    verdict
        .breach_if(intrusion.admitted > 0, || format!("{} forbidden subscriptions were admitted", intrusion.admitted));
    verdict.fact(format!(
        "{} revocations of users with live connections, {} forbidden subscriptions refused",
        ledger.revoked.len(),
        intrusion.refused
    ));
    verdict.conclude(ledger.revoked.len() as u64 + intrusion.refused, "nobody was revoked or refused")
}
