//! G4: what a user is owed.

use std::collections::BTreeMap;

use super::Verdict;
use crate::chaos::{
    ledger::{Alert, InboxJoin, InboxLog, Ledger},
    publisher::ESCALATE_AFTER,
};

/// From an alert's deadline to the receiver, at most: Redis or emitters may be away for as long as a fault lasts and a failover
/// takes, and one that was in the hands of an emitter that died is free again after its lease.
const ESCALATION_GRACE_MS: u64 = 60_000;
/// From the connection that confirmed an acknowledgement to the store, while nothing is broken.
const ACKNOWLEDGED_BEFORE_MS: u64 = 1_000;

/// A user's devices.
#[derive(Default)]
struct Devices<'a>(Vec<&'a InboxLog>);

impl Devices<'_> {
    fn ack_sent_ms(&self, number: u64) -> Option<u64> {
        self.0.iter().filter_map(|device| device.acks_sent.get(&number).copied()).min()
    }

    fn ack_confirmed_ms(&self, number: u64) -> Option<u64> {
        self.0.iter().filter_map(|device| device.acks_confirmed.get(&number).copied()).min()
    }
}

/// What became of an alert that the emitter acknowledged, on a device of its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// It was there whenever it was owed.
    InTime,
    /// A subscribe that it was owed to had to do without it; it came, or was acknowledged elsewhere, later.
    Late { missed_at_ms: u64 },
    /// It did not come, or not again after it had been missing.
    Lost,
}

/// How many alerts went which way, each counted by the worst of its devices.
#[derive(Debug, Default)]
struct Tally {
    in_time: u64,
    late: u64,
    lost: u64,
    unacknowledged: u64,
    /// Of these, those that came all the same.
    came_unacknowledged: u64,
}

/// Kept until acknowledged, comes again on every connect and device, and escalates. Nothing that the emitter acknowledged is
/// excused, whatever happened to Redis; where no replica confirms, it may come late.
pub(super) fn alerts(ledger: &Ledger) -> Verdict {
    let claim =
        "a critical alert is kept until acknowledged, comes again on every connect, and escalates at its deadline";
    let mut verdict = Verdict::new("G4", claim);
    let mut users: BTreeMap<usize, Devices<'_>> = BTreeMap::new();
    for inbox in &ledger.inboxes {
        users.entry(inbox.user).or_default().0.push(inbox);
    }
    let mut tally = Tally::default();
    for alert in &ledger.alerts {
        let Some(devices) = users.get(&alert.user) else { continue };
        let number = alert.number;
        let Some(accepted_ms) = alert.accepted_ms else {
            tally.unacknowledged += 1;
            tally.came_unacknowledged += u64::from(devices.0.iter().any(|device| device.came.contains_key(&number)));
            continue;
        };
        let fates = devices.0.iter().map(|device| (fate(number, accepted_ms, devices, device), device.device));
        let Some((fate, device)) = fates.max() else { continue };
        let whose = || format!("user {}, device {device}: alert {number}, acknowledged at {accepted_ms},", alert.user);
        match fate {
            Fate::InTime => tally.in_time += 1,
            Fate::Late { missed_at_ms } => {
                tally.late += 1;
                verdict.breach_if(ledger.alerts_are_replicated || ledger.redis_faults == 0, || {
                    format!("{} did not come again at {missed_at_ms}, but later", whose())
                });
            }
            Fate::Lost => {
                tally.lost += 1;
                verdict.breach(|| format!("{} was lost", whose()));
            }
        }
    }
    tell(ledger, &tally, &users, &mut verdict);
    escalations(ledger, &users, &mut verdict);
    let joins = ledger.inboxes.iter().map(|inbox| inbox.joins.len() as u64).sum();
    verdict.conclude(if ledger.alerts.is_empty() { 0 } else { joins }, "no alert was published, or no inbox subscribed")
}

fn fate(number: u64, accepted_ms: u64, devices: &Devices<'_>, device: &InboxLog) -> Fate {
    let ack_sent_ms = devices.ack_sent_ms(number);
    // Acknowledged before the subscribe was sent, and not settled by its user before it was answered.
    let is_owed =
        |join: &&InboxJoin| accepted_ms < join.asked_ms && ack_sent_ms.is_none_or(|sent_ms| sent_ms > join.at_ms);
    let missed = device.joins.iter().filter(is_owed).rfind(|join| !join.alerts.contains(&number));
    let came_last_ms = device.came.get(&number).copied();
    match missed.map(|join| join.at_ms) {
        None if came_last_ms.is_some() || ack_sent_ms.is_some() => Fate::InTime,
        Some(missed_at_ms) if came_last_ms >= Some(missed_at_ms) || ack_sent_ms.is_some() => {
            Fate::Late { missed_at_ms }
        }
        _ => Fate::Lost,
    }
}

/// The numbers, and whether acknowledgements kept.
fn tell(ledger: &Ledger, tally: &Tally, users: &BTreeMap<usize, Devices<'_>>, verdict: &mut Verdict) {
    let joins: usize = ledger.inboxes.iter().map(|inbox| inbox.joins.len()).sum();
    let kept_by = if ledger.alerts_are_replicated { "on replicas" } else { "without replicas" };
    let Tally { in_time, late, lost, unacknowledged, came_unacknowledged } = *tally;
    verdict.fact(format!(
        "{} alerts to {} users with {} devices: {} acknowledged by the emitter ({kept_by}), {unacknowledged} not, of which \
         {came_unacknowledged} came all the same",
        ledger.alerts.len(),
        users.len(),
        ledger.inboxes.len(),
        in_time + late + lost,
    ));
    verdict.fact(format!(
        "of the acknowledged ones {in_time} came to every device and again with every of {joins} subscribes that was owed \
         them, {late} were missing there once and came later, {lost} were lost"
    ));
    let (mut settled, mut again) = (0_u64, 0_u64);
    for devices in users.values() {
        for (number, confirmed_ms) in devices.0.iter().flat_map(|device| &device.acks_confirmed) {
            settled += 1;
            let after = devices.0.iter().flat_map(|device| &device.joins).filter(|join| *confirmed_ms < join.asked_ms);
            again += after.filter(|join| join.alerts.contains(number)).count() as u64;
        }
    }
    verdict.fact(format!("{settled} were settled by their users; {again} times one came again after that"));
    verdict.breach_if(again > 0 && ledger.redis_faults == 0, || {
        format!("{again} alerts came again after they were settled, and Redis lost nothing")
    });
}

/// Every acknowledged alert that nobody settled reaches the receiver, soon after its deadline and not before it; none does
/// that was settled in time.
fn escalations(ledger: &Ledger, users: &BTreeMap<usize, Devices<'_>>, verdict: &mut Verdict) {
    for alert in &ledger.alerts {
        let Some(devices) = users.get(&alert.user) else { continue };
        let Some(escalated) = ledger.escalated.get(&alert.number) else {
            let is_missing = is_due(ledger, alert) && devices.ack_sent_ms(alert.number).is_none();
            verdict.breach_if(is_missing, || {
                format!("alert {} of {:?} was never escalated", alert.number, alert.accepted_ms)
            });
            continue;
        };
        let number = alert.number;
        verdict.breach_if(!escalated.is_genuine, || format!("alert {number} was escalated without its signature"));
        verdict.breach_if(escalated.at_ms < escalated.deadline_ms, || {
            format!("alert {number} was escalated before its deadline")
        });
        let settled_ms = devices.ack_confirmed_ms(number);
        let in_time = settled_ms.is_some_and(|at_ms| at_ms + ACKNOWLEDGED_BEFORE_MS < escalated.deadline_ms);
        verdict.breach_if(in_time && ledger.redis_faults == 0, || {
            format!("alert {number} was escalated, though it was acknowledged in time")
        });
    }
    let (owed, again) = (ledger.escalated.len(), ledger.escalated.values().filter(|one| one.times > 1).count());
    verdict
        .fact(format!("{owed} alerts escalated to the webhook; {again} of them came more than once, under their key"));
}

/// Its deadline and the grace after it were over when the receiver was looked at last.
fn is_due(ledger: &Ledger, alert: &Alert) -> bool {
    let grace_ms = u64::try_from(ESCALATE_AFTER.as_millis()).unwrap_or(u64::MAX) + ESCALATION_GRACE_MS;
    alert.accepted_ms.is_some_and(|accepted_ms| accepted_ms + grace_ms < ledger.escalations_until_ms)
}
