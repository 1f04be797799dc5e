//! Each verdict is seen to hold on an honest ledger and to break on a doctored one.

use std::collections::{BTreeSet, HashMap};

use tickwire_protocol::Position;

use super::*;
use crate::chaos::ledger::{
    Ack, Alert, ChannelLedger, Drained, Escalated, InboxJoin, InboxLog, Intrusion, LatestLog, Overtake, PresenceCheck,
    ReaderLog, Revoked, Sight, Stuck,
};

fn position(offset: u64) -> Position {
    Position::new(1, offset)
}

fn ack(number: u64, is_duplicate: bool) -> Ack {
    Ack { number, position: position(number), is_duplicate, at_ms: 1_000 * number }
}

/// A run in which everything was as it should be: ten messages, two readers, one of which reconnected.
fn honest() -> Ledger {
    let mut channel = ChannelLedger { name: "session:1".into(), ..ChannelLedger::default() };
    for number in 1..=10 {
        channel.acks.push(ack(number, false));
        channel.delivered(position(number), number);
    }
    channel.acks.push(ack(3, true));
    let joined = |offset, recovered| Sight::Joined { at_ms: 500, position: position(offset), recovered };
    let run = |first, last| Sight::Run { epoch: 1, first, last };
    let reader = |sights: &[Sight]| ReaderLog { sights: sights.to_vec(), stays: true, ..ReaderLog::default() };
    let mut latest = LatestLog { stays: true, ..LatestLog::default() };
    latest.joined(Some(position(0)));
    latest.value("price", 9);
    let join = |at_ms, alerts: &[u64]| InboxJoin {
        asked_ms: at_ms - 1,
        at_ms,
        alerts: alerts.iter().copied().collect::<BTreeSet<_>>(),
    };
    let inbox = InboxLog {
        joins: vec![join(200, &[1]), join(400, &[])],
        came: HashMap::from([(1, 250)]),
        acks_sent: HashMap::from([(1, 300)]),
        acks_confirmed: HashMap::from([(1, 310)]),
        ..InboxLog::default()
    };
    let second = InboxLog {
        device: 1,
        joins: vec![join(150, &[1]), join(600, &[])],
        came: HashMap::from([(1, 150)]),
        ..InboxLog::default()
    };
    Ledger {
        channels: vec![channel],
        readers: vec![
            reader(&[joined(0, false), run(1, 10)]),
            reader(&[joined(0, false), run(1, 4), Sight::Left, joined(6, true), run(5, 10)]),
        ],
        latest: vec![latest],
        latest_acked: HashMap::from([("price".into(), 9)]),
        alerts: vec![Alert { user: 0, number: 1, accepted_ms: Some(100) }],
        alerts_are_replicated: true,
        escalated: HashMap::new(),
        escalations_until_ms: 1_000,
        inboxes: vec![inbox, second],
        revoked: vec![Revoked { user: "eve".into(), ..Revoked::default() }],
        intrusion: Intrusion { refused: 5, admitted: 0 },
        stuck: vec![Stuck {
            readers: 8,
            published_bytes: 1 << 30,
            before_bytes: 10,
            peak_bytes: 20,
            allowed_bytes: 10,
            ..Stuck::default()
        }],
        drained: vec![Drained { code: Some(0), connections: 10, ..Drained::default() }],
        presence: vec![PresenceCheck { equal_after_ms: Some(800), ..PresenceCheck::default() }],
        overtakes: vec![Overtake { ordinary: 100, overtaken: 60, critical_came: true }],
        redis_faults: 0,
    }
}

fn outcomes(ledger: &Ledger) -> Vec<(&'static str, Outcome)> {
    judge(ledger).into_iter().map(|verdict| (verdict.promise, verdict.outcome)).collect()
}

/// Does one thing to an honest ledger; exactly the promises named must break.
fn breaks(promises: &[&str], doctor: impl FnOnce(&mut Ledger)) {
    let mut ledger = honest();
    doctor(&mut ledger);
    let broken: Vec<&str> = outcomes(&ledger)
        .into_iter()
        .filter(|&(_, outcome)| outcome == Outcome::Broken)
        .map(|(promise, _)| promise)
        .collect();
    assert_eq!(broken, promises, "{:#?}", judge(&ledger));
}

#[test]
fn an_honest_ledger_holds_everything() {
    for (promise, outcome) in outcomes(&honest()) {
        assert_eq!(outcome, Outcome::Held, "{promise}");
    }
}

#[test]
fn an_empty_ledger_is_not_judged() {
    for (promise, outcome) in outcomes(&Ledger::default()) {
        assert_eq!(outcome, Outcome::NotJudged, "{promise}");
    }
}

#[test]
fn g1_breaks_on_a_hole_a_double_a_silent_epoch_and_a_needless_reset() {
    breaks(&["G1", "G2"], |ledger| ledger.readers[0].sights[1] = Sight::Run { epoch: 1, first: 3, last: 10 });
    breaks(&["G1"], |ledger| ledger.readers[0].message(position(10)));
    breaks(&["G1"], |ledger| ledger.readers[0].message(Position::new(2, 1)));
    breaks(&["G1"], |ledger| ledger.readers[0].see(Sight::Reset { at_ms: 9_000, position: position(11) }));
    breaks(&["G1"], |ledger| {
        ledger.channels[0].delivered(Position::new(2, 1), 11);
        ledger.readers[0].see(Sight::Reset { at_ms: 9_000, position: Position::new(2, 0) });
    });
}

#[test]
fn g1_holds_with_a_reset_after_a_fault_of_redis() {
    breaks(&[], |ledger| {
        ledger.redis_faults = 1;
        ledger.channels[0].delivered(Position::new(2, 1), 11);
        ledger.readers[0].see(Sight::Reset { at_ms: 9_000, position: Position::new(2, 0) });
        ledger.readers[0].message(Position::new(2, 1));
    });
}

#[test]
fn g2_breaks_on_a_lost_last_message_a_deaf_reader_and_a_position_used_twice() {
    breaks(&["G2"], |ledger| ledger.channels[0].acks.push(ack(11, false)));
    breaks(&["G2"], |ledger| {
        ledger.channels[0].acks.push(Ack { at_ms: 20_000, ..ack(11, false) });
        for reader in &mut ledger.readers {
            reader.see(Sight::Reset { at_ms: 90_000, position: Position::new(2, 0) });
        }
        ledger.readers[1].stays = false;
    });
    breaks(&["G2"], |ledger| ledger.channels[0].delivered(position(4), 44));
}

#[test]
fn g3_breaks_on_an_older_value_and_on_a_last_one_that_never_came() {
    breaks(&["G3"], |ledger| {
        ledger.latest[0].value("price", 8);
        ledger.latest[0].value("price", 9);
    });
    breaks(&["G3"], |ledger| {
        ledger.latest_acked.insert("price".into(), 10);
    });
}

#[test]
fn g4_breaks_on_an_alert_that_does_not_come_again_or_comes_after_it_was_settled() {
    breaks(&["G4"], |ledger| ledger.inboxes[0].joins[0].alerts.clear());
    breaks(&["G4"], |ledger| {
        ledger.inboxes[0].joins[1].alerts.insert(1);
    });
    breaks(&["G4"], |ledger| {
        ledger.inboxes[1].joins[1].alerts.insert(1);
    });
}

/// The alert of the honest ledger, which nobody settled.
fn unsettled(ledger: &mut Ledger) {
    ledger.inboxes[0].acks_sent.clear();
    ledger.inboxes[0].acks_confirmed.clear();
    for inbox in &mut ledger.inboxes {
        inbox.joins.truncate(1);
    }
}

#[test]
fn g4_breaks_on_an_alert_that_one_device_never_got() {
    breaks(&[], unsettled);
    for device in 0..2 {
        breaks(&["G4"], |ledger| {
            unsettled(ledger);
            ledger.inboxes[device].joins.clear();
            ledger.inboxes[device].came.clear();
        });
    }
    // Nobody was told that it would be kept.
    breaks(&[], |ledger| {
        unsettled(ledger);
        ledger.alerts[0].accepted_ms = None;
        ledger.inboxes[1].joins.clear();
        ledger.inboxes[1].came.clear();
    });
}

#[test]
fn g4_excuses_no_failover() {
    let missing = |ledger: &mut Ledger, came_last_ms: u64| {
        unsettled(ledger);
        ledger.redis_faults = 1;
        let inbox = &mut ledger.inboxes[1];
        inbox.joins[0].alerts.clear();
        inbox.came.insert(1, came_last_ms);
    };
    let (before, after) = (120, 180);
    // It came live, then the new primary did not know it, and nobody published it again.
    breaks(&["G4"], |ledger| missing(ledger, before));
    breaks(&["G4"], |ledger| missing(ledger, after));
    let unreplicated = |ledger: &mut Ledger, came_last_ms| {
        missing(ledger, came_last_ms);
        ledger.alerts_are_replicated = false;
    };
    breaks(&["G4"], |ledger| unreplicated(ledger, before));
    breaks(&[], |ledger| unreplicated(ledger, after));
    breaks(&["G4"], |ledger| {
        unreplicated(ledger, after);
        ledger.redis_faults = 0;
    });
}

#[test]
fn g4_breaks_on_an_escalation_that_is_missing_too_early_forged_or_unnecessary() {
    let escalated = Escalated { at_ms: 5_300, deadline_ms: 5_100, times: 1, is_genuine: true };
    let unacknowledged = |ledger: &mut Ledger| {
        unsettled(ledger);
        ledger.escalations_until_ms = 200_000;
        ledger.escalated.insert(1, escalated);
    };
    breaks(&[], unacknowledged);
    breaks(&["G4"], |ledger| {
        unacknowledged(ledger);
        ledger.escalated.clear();
    });
    breaks(&[], |ledger| {
        unacknowledged(ledger);
        ledger.escalated.clear();
        ledger.escalations_until_ms = 6_000;
    });
    breaks(&["G4"], |ledger| {
        unacknowledged(ledger);
        ledger.escalated.insert(1, Escalated { at_ms: 5_000, ..escalated });
    });
    breaks(&["G4"], |ledger| {
        unacknowledged(ledger);
        ledger.escalated.insert(1, Escalated { is_genuine: false, ..escalated });
    });
    breaks(&["G4"], |ledger| {
        ledger.escalated.insert(1, escalated);
        ledger.redis_faults = 0;
    });
}

#[test]
fn g5_breaks_on_one_key_with_two_messages() {
    breaks(&["G5"], |ledger| {
        let second = Ack { position: position(11), ..ack(3, true) };
        ledger.channels[0].acks.push(second);
        ledger.channels[0].delivered(position(11), 3);
        for reader in &mut ledger.readers {
            reader.message(position(11));
        }
    });
    breaks(&["G5"], |ledger| ledger.channels[0].acks.push(ack(3, false)));
}

#[test]
fn g6_breaks_on_a_message_after_revocation_a_comeback_and_an_intruder() {
    breaks(&["G6"], |ledger| ledger.revoked[0].late = 1);
    breaks(&["G6"], |ledger| ledger.revoked[0].came_back = true);
    breaks(&["G6"], |ledger| ledger.intrusion.admitted = 1);
}

#[test]
fn g7_breaks_on_memory_beyond_the_bound() {
    breaks(&["G7"], |ledger| ledger.stuck[0].peak_bytes = 21);
}

#[test]
fn g8_breaks_on_a_silent_or_endless_drain() {
    breaks(&["G8"], |ledger| ledger.drained[0].unannounced = 1);
    breaks(&["G8"], |ledger| ledger.drained[0].code = None);
    breaks(&["G8"], |ledger| ledger.drained[0].code = Some(101));
}

#[test]
fn g9_breaks_on_a_ghost() {
    breaks(&["G9"], |ledger| ledger.presence[0].equal_after_ms = None);
}

#[test]
fn g10_breaks_on_an_alert_that_waits_its_turn() {
    breaks(&["G10"], |ledger| ledger.overtakes[0].overtaken = 0);
    breaks(&["G10"], |ledger| ledger.overtakes[0].critical_came = false);
}
