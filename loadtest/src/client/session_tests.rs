//! A client's account against scripted frames.

use std::{sync::Arc, time::Duration};

use tickwire_protocol::{ChannelName, DeliveryClass};

use super::{Directory, Session};
use crate::{
    meter::Meter,
    plan::{ChannelPlan, Plan},
    record::{FaultKind, Measure},
    settings::Scenario,
};

struct Script {
    session: Session,
    directory: Directory,
    plan: Arc<Plan>,
    meter: Meter,
}

impl Script {
    fn new() -> Self {
        let channel = |name: &str, class| ChannelPlan {
            name: ChannelName::new(name).unwrap(),
            class,
            rate_hz: 1.0,
            critical_every: 0,
        };
        let plan = Arc::new(Plan {
            scenario: Scenario::Mixed,
            channels: vec![
                channel("room:1", DeliveryClass::Reliable),
                channel("user:7", DeliveryClass::Inbox),
                channel("room:other", DeliveryClass::Reliable),
            ],
            clients: Vec::new(),
            duration: Duration::ZERO,
            storm_at: None,
            spike: None,
            churn_hz: 0.0,
            slow_bytes_per_s: 1,
            sources: 1,
            settings: Vec::new(),
        });
        let mut session = Session::new(3, Measure::Delivery, &[0, 1], &plan.channels);
        session.begin();
        Self { session, directory: Directory::new(Arc::clone(&plan)), plan, meter: Meter::default() }
    }

    fn read(&mut self, text: &str) -> super::session::Effects {
        self.session.on_message(text.as_bytes(), 1_000, &self.directory, &mut self.meter).unwrap()
    }

    fn subscribe(&mut self) -> String {
        self.session.subscribe_command(&self.plan.channels)
    }

    fn commands(&mut self) -> Vec<String> {
        let mut sent = Vec::new();
        self.session.ack_commands(1_000, &self.plan.channels, |command| sent.push(command.to_owned()));
        sent
    }
}

const BOTH: &str = r#"[{"type":"subscribed","channel":"room:1","position":"9-0","recovered":false,"messages":[]},{"type":"subscribed","channel":"user:7","position":"9-0","recovered":false,"messages":[]}]"#;

#[test]
fn a_client_is_ready_once_every_channel_has_answered() {
    let mut script = Script::new();
    assert_eq!(script.subscribe(), r#"{"id":1,"type":"subscribe","channels":["room:1","user:7"]}"#);
    let first = r#"{"id":1,"type":"subscribed","channel":"user:7","position":"9-0","recovered":false,"messages":[]}"#;
    assert!(!script.read(first).ready);
    assert!(!script.read(first).ready, "the same answer again is not the other's");
    let second = r#"{"id":1,"type":"subscribed","channel":"room:1","position":"9-0","recovered":false,"messages":[]}"#;
    assert!(script.read(second).ready);
}

#[test]
fn a_new_connection_asks_from_where_the_last_one_stood() {
    let mut script = Script::new();
    script.read(BOTH);
    script.read(r#"[{"type":"message","channel":"room:1","position":"9-1","data":{"n":1,"t":400}}]"#);
    assert_eq!(script.meter.distributions.get(Measure::Delivery).unwrap().max(), 600);
    script.session.begin();
    assert_eq!(script.session.event_id(&script.plan.channels), "room:1@9-1,user:7@9-0");
    let command = script.subscribe();
    assert!(command.contains(r#"{"channel":"room:1","since":"9-1"},{"channel":"user:7","since":"9-0"}"#), "{command}");
    script.read(
        r#"{"type":"subscribed","channel":"room:1","position":"9-3","recovered":true,"messages":[{"position":"9-2","data":{"n":2,"t":1}},{"position":"9-3","data":{"n":3,"t":1}}]}"#,
    );
    assert!(script.meter.totals.is_clean());
    assert_eq!((script.meter.totals.recoveries, script.meter.totals.expected), (1, 3));
    assert_eq!(script.meter.distributions.get(Measure::Delivery).unwrap().len(), 1, "what was missed has no latency");
}

#[test]
fn a_failed_recovery_is_a_fault_with_its_channel() {
    let mut script = Script::new();
    script.read(BOTH);
    script.session.begin();
    script.read(r#"{"type":"subscribed","channel":"room:1","position":"10-5","recovered":false,"messages":[]}"#);
    assert_eq!(script.meter.totals.recoveries_failed, 1);
    assert_eq!(
        (script.meter.faults[0].kind, script.meter.faults[0].channel.as_str()),
        (FaultKind::RecoveryFailed, "room:1")
    );
}

#[test]
fn critical_messages_are_acknowledged_together_and_confirmed() {
    let mut script = Script::new();
    script.read(BOTH);
    script.read(
        r#"[{"type":"message","channel":"user:7","position":"9-1","priority":"critical","data":{"n":1,"t":1,"c":1}},{"type":"message","channel":"user:7","position":"9-2","data":{"n":2,"t":1}},{"type":"message","channel":"user:7","position":"9-3","priority":"critical","data":{"n":3,"t":1,"c":1}}]"#,
    );
    assert_eq!(script.commands(), [r#"{"id":1,"type":"ack","channel":"user:7","positions":["9-1","9-3"]}"#]);
    assert!(script.commands().is_empty());
    script.read(r#"{"id":1,"type":"acked","channel":"user:7","position":"9-3"}"#);
    assert_eq!(script.meter.totals.acknowledged, 2);
    script.session.begin();
    script.read(
        r#"{"type":"subscribed","channel":"user:7","position":"9-3","recovered":true,"messages":[{"position":"9-3","priority":"critical","data":{"n":3,"t":1,"c":1}}]}"#,
    );
    assert_eq!(script.meter.totals.acknowledged_again, 1, "it had been confirmed");
}

#[test]
fn a_message_of_a_channel_that_is_not_subscribed_is_a_stray() {
    let mut script = Script::new();
    script.read(BOTH);
    script.read(r#"{"type":"message","channel":"room:other","position":"9-1","data":{"n":1,"t":1}}"#);
    script.read(r#"{"type":"message","channel":"room:unknown","position":"9-1","data":{"n":1,"t":1}}"#);
    assert_eq!(script.meter.totals.strays, 2);
}

#[test]
fn a_refused_subscription_and_a_drain_are_told() {
    let mut script = Script::new();
    let effects = script.read(r#"{"id":1,"type":"error","code":"forbidden","message":"no","channel":"room:1"}"#);
    assert!(effects.refused);
    assert_eq!(script.meter.totals.errors["forbidden"], 1);
    let effects = script.read(r#"{"type":"reconnect","reason":"draining","afterMs":1830}"#);
    assert_eq!(effects.reconnect_after_ms, Some(1_830));
}

#[test]
fn frames_that_cannot_be_understood_are_malformed() {
    let mut script = Script::new();
    for text in
        ["", "hello", r#"{"type":"message","channel":"room:1"}"#, r#"{"type":"message","channel":"room:1","data":7}"#]
    {
        let read = script.session.on_message(text.as_bytes(), 0, &script.directory, &mut script.meter);
        assert!(read.is_err(), "{text}");
    }
}
