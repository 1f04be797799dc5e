//! What a client knows, over all its connections, and what it makes of what the server says. No I/O, no clock.

use std::{collections::VecDeque, fmt::Write};

use tickwire_protocol::{DeliveryClass, Position};

use crate::{
    body::Body,
    ledger::{Arrival, Follower, Log, Origin, Verdict},
    meter::{FaultNote, Meter},
    plan::ChannelPlan,
    record::{Fault, FaultKind, Measure},
    scan::{Malformed, ServerFrame, each_object},
};

use super::Directory;

/// Acknowledgements that wait for their confirmation; beyond it the oldest are forgotten, and count as unconfirmed.
const ACKS_MAX: usize = 256;

/// One client's account.
#[derive(Debug)]
pub(crate) struct Session {
    number: u32,
    latency: Measure,
    followings: Vec<Following>,
    /// Subscriptions of this connection that are not answered.
    waiting: usize,
    next_id: u64,
    acks: VecDeque<Ack>,
    /// Critical messages read and not yet acknowledged: index of the following, position, number.
    to_acknowledge: Vec<(usize, Position, u64)>,
}

#[derive(Debug)]
struct Following {
    channel: u32,
    follower: Follower,
    is_subscribed: bool,
    /// `since` was given.
    asked: bool,
}

#[derive(Debug)]
struct Ack {
    id: u64,
    following: usize,
    numbers: Vec<u64>,
    sent_us: u64,
}

/// What a frame means for the connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Every subscription is answered, with this frame.
    pub(crate) ready: bool,
    /// The edge asks to come back after this many milliseconds.
    pub(crate) reconnect_after_ms: Option<u64>,
    /// A subscription was refused.
    pub(crate) refused: bool,
}

impl Session {
    /// A client that will subscribe to `channels` before anything is published to them.
    pub(crate) fn new(number: u32, latency: Measure, channels: &[u32], plans: &[ChannelPlan]) -> Self {
        let following = |&channel: &u32| Following {
            channel,
            follower: Follower::from_the_first(plans[channel as usize].class),
            is_subscribed: false,
            asked: false,
        };
        Self {
            number,
            latency,
            followings: channels.iter().map(following).collect(),
            waiting: 0,
            next_id: 1,
            acks: VecDeque::new(),
            to_acknowledge: Vec::new(),
        }
    }

    /// A new connection: nothing is subscribed there.
    pub(crate) fn begin(&mut self) {
        self.waiting = self.followings.len();
        self.acks.clear();
        self.to_acknowledge.clear();
        for following in &mut self.followings {
            following.is_subscribed = false;
            following.asked = following.follower.recovers() && following.follower.position().is_some();
            following.follower.resumes();
        }
    }

    /// The command that subscribes to everything, from where the client stands.
    pub(crate) fn subscribe_command(&mut self, plans: &[ChannelPlan]) -> String {
        let mut command = format!(r#"{{"id":{},"type":"subscribe","channels":["#, self.id());
        for (following, at) in self.followings.iter().zip(0..) {
            let comma = if at == 0 { "" } else { "," };
            let name = &plans[following.channel as usize].name;
            // Writing to a string does not fail.
            let _ = match following.follower.position().filter(|_| following.asked) {
                Some(since) => write!(command, r#"{comma}{{"channel":"{name}","since":"{since}"}}"#),
                None => write!(command, r#"{comma}"{name}""#),
            };
        }
        command.push_str("]}");
        command
    }

    /// The channels' names, joined by commas.
    pub(crate) fn names(&self, plans: &[ChannelPlan]) -> String {
        let names = self.followings.iter().map(|following| plans[following.channel as usize].name.to_string());
        names.collect::<Vec<_>>().join(",")
    }

    /// Where the client stands, as an event id: `a@1-2,b@1-3`.
    pub(crate) fn event_id(&self, plans: &[ChannelPlan]) -> String {
        let asked = self.followings.iter().filter(|following| following.asked);
        let marks = asked.filter_map(|following| {
            let name = &plans[following.channel as usize].name;
            following.follower.position().map(|position| format!("{name}@{position}"))
        });
        marks.collect::<Vec<_>>().join(",")
    }

    /// Reads one WebSocket message or one event: a frame, or several packed into one.
    pub(crate) fn on_message(
        &mut self,
        text: &[u8],
        now_us: u64,
        directory: &Directory,
        meter: &mut Meter,
    ) -> Result<Effects, Malformed> {
        let mut effects = Effects::default();
        each_object(text, |object| self.on_frame(object, now_us, directory, meter, &mut effects))?;
        Ok(effects)
    }

    fn on_frame(
        &mut self,
        object: &[u8],
        now_us: u64,
        directory: &Directory,
        meter: &mut Meter,
        effects: &mut Effects,
    ) -> Result<(), Malformed> {
        let frame = ServerFrame::read(object)?;
        match frame.kind {
            b"message" => self.on_publication(&frame, Origin::Live, now_us, directory, meter),
            b"subscribed" => {
                self.on_subscribed(&frame, now_us, directory, meter)?;
                effects.ready |= self.waiting == 0;
                Ok(())
            }
            b"acked" => {
                self.on_acked(frame.id, now_us, meter);
                Ok(())
            }
            b"reset" => {
                if let Some(following) = self.following(frame.channel, directory) {
                    self.followings[following].follower.reset(frame.position, &mut meter.totals);
                }
                Ok(())
            }
            b"reconnect" => {
                effects.reconnect_after_ms = Some(frame.after_ms.unwrap_or(0));
                Ok(())
            }
            b"error" => {
                let code = String::from_utf8_lossy(frame.code).into_owned();
                *meter.totals.errors.entry(code).or_default() += 1;
                effects.refused |= self.waiting > 0;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn on_publication(
        &mut self,
        frame: &ServerFrame<'_>,
        origin: Origin,
        now_us: u64,
        directory: &Directory,
        meter: &mut Meter,
    ) -> Result<(), Malformed> {
        let body = Body::read(frame.data.ok_or(Malformed)?)?;
        let Some(at) = self.following(frame.channel, directory) else {
            meter.totals.strays += 1;
            let channel = String::from_utf8_lossy(frame.channel).into_owned();
            let (kind, number) = (FaultKind::Stray, body.number);
            meter.fault(Fault { at_ms: now_us / 1_000, kind, client: self.number, channel, number, count: 1 });
            return Ok(());
        };
        let arrival =
            Arrival { number: body.number, key: body.key, position: frame.position, critical: body.critical, origin };
        let following = &mut self.followings[at];
        let verdict = following.follower.observe(arrival, &mut meter.totals);
        if let Some(note) = fault_of(verdict, body.number) {
            let channel = following.channel;
            self.note(note, channel, now_us, directory, meter);
        }
        if origin == Origin::Live {
            let latency_us = now_us.saturating_sub(body.due_us);
            meter.distributions.record_us(self.latency, latency_us);
            if body.critical && self.latency == Measure::Delivery {
                meter.distributions.record_us(Measure::DeliveryCritical, latency_us);
            }
        }
        let is_owed = body.critical && verdict != Verdict::AcknowledgedAgain && verdict != Verdict::Duplicate;
        if let (true, Some(position), DeliveryClass::Inbox) =
            (is_owed, frame.position, self.followings[at].follower.class())
        {
            self.to_acknowledge.push((at, position, body.number));
        }
        Ok(())
    }

    fn on_subscribed(
        &mut self,
        frame: &ServerFrame<'_>,
        now_us: u64,
        directory: &Directory,
        meter: &mut Meter,
    ) -> Result<(), Malformed> {
        let Some(at) = self.following(frame.channel, directory) else { return Err(Malformed) };
        let following = &mut self.followings[at];
        if !following.is_subscribed {
            following.is_subscribed = true;
            self.waiting -= 1;
        }
        let (asked, channel) = (following.asked, following.channel);
        let failed = following.follower.joined(frame.position, asked, frame.recovered, &mut meter.totals);
        if failed {
            let note = FaultNote { kind: FaultKind::RecoveryFailed, number: 0, count: 1 };
            self.note(note, channel, now_us, directory, meter);
        }
        if let Some(messages) = frame.messages {
            each_object(messages, |object| {
                let mut message = ServerFrame::read(object)?;
                message.channel = frame.channel;
                self.on_publication(&message, Origin::Replay, now_us, directory, meter)
            })?;
        }
        self.followings[at].follower.caught_up(frame.position);
        Ok(())
    }

    /// One message of a poll's answer. What is a state of a `latest` channel may be known already.
    pub(crate) fn on_polled(
        &mut self,
        object: &[u8],
        now_us: u64,
        directory: &Directory,
        meter: &mut Meter,
    ) -> Result<(), Malformed> {
        let frame = ServerFrame::read(object)?;
        let at = self.following(frame.channel, directory);
        let is_state = at.is_some_and(|at| self.followings[at].follower.class() == DeliveryClass::Latest);
        let origin = if is_state { Origin::Replay } else { Origin::Live };
        self.on_publication(&frame, origin, now_us, directory, meter)?;
        if is_state && let Some(body) = frame.data.and_then(|data| Body::read(data).ok()) {
            meter.distributions.record_us(self.latency, now_us.saturating_sub(body.due_us));
        }
        Ok(())
    }

    /// A poll was told that it missed something in `channel`.
    pub(crate) fn on_poll_reset(&mut self, channel: &[u8], directory: &Directory, meter: &mut Meter) {
        if let Some(at) = self.following(channel, directory) {
            self.followings[at].follower.reset(None, &mut meter.totals);
        }
    }

    /// A poll begins, from where the last one ended.
    pub(crate) fn asks(&mut self) {
        self.followings.iter_mut().for_each(|following| following.follower.resumes());
    }

    /// The first poll is answered: the client is subscribed to everything.
    pub(crate) fn polling(&mut self) {
        self.waiting = 0;
        for following in &mut self.followings {
            following.is_subscribed = true;
        }
    }

    /// Commands that acknowledge what has been read, one per inbox.
    pub(crate) fn ack_commands(&mut self, now_us: u64, plans: &[ChannelPlan], mut send: impl FnMut(&str)) {
        while let Some(&(at, ..)) = self.to_acknowledge.first() {
            let owed = self.to_acknowledge.iter().filter(|(of, ..)| *of == at);
            let (positions, numbers): (Vec<String>, Vec<u64>) =
                owed.map(|(_, position, number)| (format!(r#""{position}""#), *number)).unzip();
            self.to_acknowledge.retain(|(of, ..)| *of != at);
            let (id, name) = (self.id(), &plans[self.followings[at].channel as usize].name);
            send(&format!(r#"{{"id":{id},"type":"ack","channel":"{name}","positions":[{}]}}"#, positions.join(",")));
            if self.acks.len() == ACKS_MAX {
                self.acks.pop_front();
            }
            self.acks.push_back(Ack { id, following: at, numbers, sent_us: now_us });
        }
    }

    fn on_acked(&mut self, id: Option<u64>, now_us: u64, meter: &mut Meter) {
        let Some(at) = self.acks.iter().position(|ack| Some(ack.id) == id) else { return };
        let Some(ack) = self.acks.remove(at) else { return };
        for number in ack.numbers {
            self.followings[ack.following].follower.confirmed(number, &mut meter.totals);
        }
        meter.distributions.record_us(Measure::Ack, now_us.saturating_sub(ack.sent_us));
    }

    /// How many of its channels still wait for something that `logs` say was published.
    pub(crate) fn behind(&self, logs: &[Log]) -> u64 {
        let is_behind = |following: &&Following| following.follower.is_behind(&logs[following.channel as usize]);
        self.followings.iter().filter(is_behind).count() as u64
    }

    /// Compares with what was published; call it once.
    pub(crate) fn audit(&mut self, logs: &[Log], now_us: u64, directory: &Directory, meter: &mut Meter) {
        for at in 0..self.followings.len() {
            let following = &mut self.followings[at];
            let channel = following.channel;
            for range in following.follower.audit(&logs[channel as usize], &mut meter.totals) {
                let (number, count) = (*range.start(), range.end() - range.start() + 1);
                self.note(FaultNote { kind: FaultKind::Lost, number, count }, channel, now_us, directory, meter);
            }
        }
    }

    fn note(&self, note: FaultNote, channel: u32, now_us: u64, directory: &Directory, meter: &mut Meter) {
        let FaultNote { kind, number, count } = note;
        let channel = directory.name(channel).to_owned();
        meter.fault(Fault { at_ms: now_us / 1_000, kind, client: self.number, channel, number, count });
    }

    fn following(&self, channel: &[u8], directory: &Directory) -> Option<usize> {
        let channel = directory.index(channel)?;
        self.followings.iter().position(|following| following.channel == channel)
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }
}

/// The fault that a verdict stands for. Holes are noted by the audit, when it is sure that they stay.
fn fault_of(verdict: Verdict, number: u64) -> Option<FaultNote> {
    let kind = match verdict {
        Verdict::Duplicate => FaultKind::Duplicated,
        Verdict::Late => FaultKind::Disordered,
        Verdict::Stale => FaultKind::Stale,
        Verdict::AcknowledgedAgain => FaultKind::AcknowledgedAgain,
        Verdict::New { .. } | Verdict::Backlog | Verdict::Redelivered => return None,
    };
    Some(FaultNote { kind, number, count: 1 })
}
