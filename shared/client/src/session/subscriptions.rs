//! Subscriptions over the links that carry them.

use std::collections::{BTreeSet, HashMap};

use rand::RngExt;
use tickwire_protocol::{
    ChannelName, Command, Delta, ErrorCode, Position, Request, SubscriptionRequest,
    codec::{Message, ServerSubscribed},
};
use tokio::time::Instant;

use super::{Effect, Line, Session};
use crate::{
    ClientError, Delivery, SubscriptionEvent,
    track::{Track, Verdict},
};

/// Channels in one `subscribe`, so that no frame grows beyond what an edge accepts.
const CHANNELS_PER_REQUEST: usize = 100;

/// Names a subscription towards the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SubscriptionId(pub(crate) u64);

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    by_channel: HashMap<ChannelName, Subscribed>,
    by_id: HashMap<SubscriptionId, ChannelName>,
    /// When to ask (again) for a channel: refused for now, or asked for and not answered.
    retries: BTreeSet<(Instant, ChannelName)>,
}

#[derive(Debug)]
pub(super) struct Subscribed {
    id: SubscriptionId,
    request: SubscriptionRequest,
    /// On the link that serves.
    stage: Stage,
    /// On its successor, during a handover.
    next: Stage,
    pub(super) track: Track,
    /// Where the latest request asked to go on. During a handover the old link may bring the track further.
    asked: Option<Position>,
    /// The consumer has been told of the first `subscribed`.
    announced: bool,
    /// Refusals in a row.
    refusals: u32,
    /// Its entry among the retries.
    retry_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No link, or waiting to ask again.
    Waiting,
    /// Asked, under this request.
    Joining(i64),
    Live,
}

/// What became of changed fields.
#[derive(Debug)]
pub(super) enum Patched {
    /// A whole value.
    Whole(Message),
    /// The value that they change is not here.
    NoBase,
    /// The subscription does not stand.
    NotSubscribed,
}

impl Subscriptions {
    /// Channels that no request was made for.
    pub(super) fn waiting(&self) -> Vec<ChannelName> {
        let waiting = self.by_channel.iter().filter(|(_, subscribed)| subscribed.stage == Stage::Waiting);
        waiting.map(|(channel, _)| channel.clone()).collect()
    }

    /// The subscription if it stands, on whichever line.
    pub(super) fn live(&mut self, channel: &ChannelName) -> Option<&mut Subscribed> {
        let stands = |subscribed: &&mut Subscribed| Stage::Live == subscribed.stage || Stage::Live == subscribed.next;
        self.by_channel.get_mut(channel).filter(stands)
    }

    /// The successor serves the channel already.
    pub(super) fn has_moved(&self, channel: &ChannelName) -> bool {
        self.by_channel.get(channel).is_some_and(|subscribed| subscribed.next == Stage::Live)
    }

    /// The link that serves is not heard for the channel any more.
    pub(super) fn is_left(&self, channel: &ChannelName) -> bool {
        self.by_channel.get(channel).is_some_and(Subscribed::is_left)
    }

    /// The successor still owes an answer.
    pub(super) fn are_moving(&self) -> bool {
        self.by_channel.values().any(|subscribed| matches!(subscribed.next, Stage::Joining(_)))
    }

    /// What stands on the successor is what stands.
    pub(super) fn take_over(&mut self) {
        self.retries.clear();
        for subscribed in self.by_channel.values_mut() {
            subscribed.stage = std::mem::replace(&mut subscribed.next, Stage::Waiting);
            subscribed.retry_at = None;
        }
    }

    /// The successor is gone: the channels for which the link that serves was not heard any more.
    pub(super) fn stay(&mut self) -> Vec<ChannelName> {
        let mut moved = Vec::new();
        for (channel, subscribed) in &mut self.by_channel {
            let is_left = subscribed.is_left();
            subscribed.next = Stage::Waiting;
            if is_left {
                subscribed.stage = Stage::Waiting;
                moved.push(channel.clone());
            }
        }
        moved
    }

    pub(super) fn get(&mut self, channel: &ChannelName) -> Option<&mut Subscribed> {
        self.by_channel.get_mut(channel)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retries.first().map(|(at, _)| *at)
    }

    /// Takes out the channels to ask for now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<ChannelName> {
        let mut due = Vec::new();
        while self.retries.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, channel)) = self.retries.pop_first() else { break };
            if let Some(subscribed) = self.by_channel.get_mut(&channel) {
                subscribed.retry_at = None;
                due.push(channel);
            }
        }
        due
    }

    pub(super) fn link_lost(&mut self) {
        self.retries.clear();
        for subscribed in self.by_channel.values_mut() {
            subscribed.stage = Stage::Waiting;
            subscribed.next = Stage::Waiting;
            subscribed.retry_at = None;
        }
    }

    pub(super) fn drain(&mut self) -> Vec<SubscriptionId> {
        self.by_channel.clear();
        self.retries.clear();
        self.by_id.drain().map(|(id, _)| id).collect()
    }

    fn remove(&mut self, channel: &ChannelName) -> Option<Subscribed> {
        self.retry(channel, None);
        let removed = self.by_channel.remove(channel)?;
        self.by_id.remove(&removed.id);
        Some(removed)
    }

    /// Sets when to ask for a channel again, or that it need not be.
    fn retry(&mut self, channel: &ChannelName, at: Option<Instant>) {
        let Some(subscribed) = self.by_channel.get_mut(channel) else { return };
        if let Some(old) = std::mem::replace(&mut subscribed.retry_at, at) {
            self.retries.remove(&(old, channel.clone()));
        }
        if let Some(at) = at {
            self.retries.insert((at, channel.clone()));
        }
    }
}

impl Subscribed {
    /// With the successor's answer, or as soon as it is asked: values of a `latest` channel have no positions, so nothing
    /// would show that one in the answer, or after it, is older than what the old link brought meanwhile. What comes from the
    /// successor is as new as anything seen before it was asked.
    fn is_left(&self) -> bool {
        match self.next {
            Stage::Live => true,
            Stage::Joining(_) => self.track.is_latest(),
            Stage::Waiting => false,
        }
    }

    /// What to ask for, so that it goes on where it stands.
    fn resumed(&mut self) -> SubscriptionRequest {
        if !(matches!(self.stage, Stage::Joining(_)) && matches!(self.next, Stage::Joining(_))) {
            self.track.asks();
        }
        self.asked = self.track.since();
        SubscriptionRequest { since: self.asked, ..self.request.clone() }
    }
}

impl Session {
    pub(super) fn subscribe(&mut self, now: Instant, id: SubscriptionId, request: SubscriptionRequest) {
        let channel = request.channel.clone();
        if self.subscriptions.by_channel.contains_key(&channel) {
            return self.end_subscription(id, ClientError::AlreadySubscribed(channel));
        }
        let mut track = Track::new(request.since, request.filter.is_some());
        if request.delta {
            track = track.with_deltas();
        }
        let subscribed = Subscribed {
            id,
            request,
            stage: Stage::Waiting,
            next: Stage::Waiting,
            track,
            asked: None,
            announced: false,
            refusals: 0,
            retry_at: None,
        };
        self.subscriptions.by_id.insert(id, channel.clone());
        self.subscriptions.by_channel.insert(channel.clone(), subscribed);
        if self.phase.is_ready() {
            self.join(now, &[channel]);
        }
    }

    pub(super) fn unsubscribe(&mut self, id: SubscriptionId) {
        let Some(channel) = self.subscriptions.by_id.get(&id).cloned() else { return };
        let Some(left) = self.subscriptions.remove(&channel) else { return };
        for (line, stage) in [(Line::Current, left.stage), (Line::Next, left.next)] {
            if stage != Stage::Waiting {
                self.leave(line, vec![channel.clone()]);
            }
        }
    }

    pub(super) fn leave(&mut self, line: Line, channels: Vec<ChannelName>) {
        let command = Command::Unsubscribe { channels: channels.into_iter().map(Ok).collect() };
        let id = Some(self.take_id());
        self.effects.push(Effect::Send(line, vec![Request { id, command }]));
    }

    /// Asks for `channels`, each from where it stands.
    pub(super) fn join(&mut self, now: Instant, channels: &[ChannelName]) {
        for channels in channels.chunks(CHANNELS_PER_REQUEST) {
            let id = self.take_id();
            let mut entries = Vec::with_capacity(channels.len());
            let mut unanswered = Vec::new();
            for channel in channels {
                let Some(subscribed) = self.subscriptions.by_channel.get_mut(channel) else { continue };
                if matches!(subscribed.stage, Stage::Joining(_)) {
                    unanswered.push(channel.clone());
                }
                subscribed.stage = Stage::Joining(id);
                entries.push(Ok(subscribed.resumed()));
                self.subscriptions.retry(channel, Some(now + self.options.call_timeout));
            }
            if !unanswered.is_empty() {
                self.leave(Line::Current, unanswered);
            }
            let request = Request { id: Some(id), command: Command::Subscribe { channels: entries } };
            self.effects.push(Effect::Send(Line::Current, vec![request]));
        }
    }

    /// Asks the successor for what stands on the link that serves.
    pub(super) fn join_next(&mut self) {
        let standing = self.subscriptions.by_channel.iter().filter(|(_, subscribed)| subscribed.stage == Stage::Live);
        let standing: Vec<ChannelName> = standing.map(|(channel, _)| channel.clone()).collect();
        for channels in standing.chunks(CHANNELS_PER_REQUEST) {
            let id = self.take_id();
            let mut entries = Vec::with_capacity(channels.len());
            for channel in channels {
                let Some(subscribed) = self.subscriptions.by_channel.get_mut(channel) else { continue };
                subscribed.next = Stage::Joining(id);
                entries.push(Ok(subscribed.resumed()));
            }
            let request = Request { id: Some(id), command: Command::Subscribe { channels: entries } };
            self.effects.push(Effect::Send(Line::Next, vec![request]));
        }
    }

    /// The successor serves a channel from now on. Its consumer hears of it only if something is missing: for it the
    /// subscription was never broken.
    pub(super) fn moved(&mut self, mut event: ServerSubscribed) {
        let channel = event.channel.clone();
        let Some(subscribed) = self.subscriptions.get(&channel) else { return };
        if event.id.is_none_or(|id| subscribed.next != Stage::Joining(id)) {
            return;
        }
        subscribed.next = Stage::Live;
        event.recovered |= subscribed.track.goes_on(subscribed.asked, &event);
        let to = subscribed.id;
        let (position, complete) = (event.position, event.recovered || !event.class.is_lossless());
        let over = subscribed.track.settled(&event);
        let fresh = subscribed.track.joined(event);
        if !complete {
            let event = SubscriptionEvent::Recovered { complete, position };
            self.effects.push(Effect::Deliver { to, event });
        }
        self.deliver_recovered(to, over, fresh);
    }

    fn deliver_recovered(&mut self, to: SubscriptionId, over: Vec<Position>, messages: Vec<Message>) {
        if !over.is_empty() {
            let event = SubscriptionEvent::Acknowledged { positions: over };
            self.effects.push(Effect::Deliver { to, event });
        }
        for message in messages {
            let event = SubscriptionEvent::Message(Delivery { message, recovered: true });
            self.effects.push(Effect::Deliver { to, event });
        }
    }

    pub(super) fn subscribed(&mut self, mut event: ServerSubscribed) {
        let channel = event.channel.clone();
        let Some(subscribed) = self.subscriptions.get(&channel) else { return };
        if event.id.is_none_or(|id| subscribed.stage != Stage::Joining(id)) {
            return;
        }
        subscribed.stage = Stage::Live;
        subscribed.refusals = 0;
        event.recovered |= subscribed.track.goes_on(subscribed.asked, &event);
        let (class, position, recovered) = (event.class, event.position, event.recovered);
        let first = !std::mem::replace(&mut subscribed.announced, true);
        let to = subscribed.id;
        // Classes without recovery begin anew with every link and lose nothing that they promise.
        let complete = recovered || !class.is_lossless();
        let over = subscribed.track.settled(&event);
        let fresh = subscribed.track.joined(event);
        let event = if first {
            SubscriptionEvent::Subscribed { class, position, recovered }
        } else {
            SubscriptionEvent::Recovered { complete, position }
        };
        self.subscriptions.retry(&channel, None);
        self.effects.push(Effect::Deliver { to, event });
        self.deliver_recovered(to, over, fresh);
    }

    pub(super) fn message(&mut self, now: Instant, message: Message) {
        let Some(message) = self.take_message(message) else { return };
        let channel = message.channel;
        tracing::warn!(%channel, position = ?message.position, "a gap: subscribing again");
        self.join_anew(now, channel);
    }

    /// Changed fields: delivered as a whole value, or asked for anew where the value that they change is not here.
    pub(super) fn delta(&mut self, now: Instant, delta: Delta) {
        let channel = delta.channel.clone();
        match self.whole(delta) {
            Patched::Whole(message) => self.message(now, message),
            Patched::NoBase => {
                tracing::warn!(%channel, "a change of a value that is not here: subscribing again");
                if let Some(subscribed) = self.subscriptions.get(&channel) {
                    subscribed.request.delta &= !subscribed.track.is_full();
                }
                self.join_anew(now, channel);
            }
            Patched::NotSubscribed => {}
        }
    }

    /// The message that a change makes.
    pub(super) fn whole(&mut self, delta: Delta) -> Patched {
        let Some(live) = self.subscriptions.live(&delta.channel) else { return Patched::NotSubscribed };
        live.track.whole(delta).map_or(Patched::NoBase, Patched::Whole)
    }

    fn join_anew(&mut self, now: Instant, channel: ChannelName) {
        if let Some(subscribed) = self.subscriptions.get(&channel) {
            subscribed.stage = Stage::Waiting;
        }
        self.leave(Line::Current, vec![channel.clone()]);
        self.join(now, &[channel]);
    }

    /// Delivers what is new; gives the message back if those before it never came.
    pub(super) fn take_message(&mut self, message: Message) -> Option<Message> {
        let subscribed = self.subscriptions.live(&message.channel)?;
        let to = subscribed.id;
        match subscribed.track.live(&message) {
            Verdict::Deliver => {
                let event = SubscriptionEvent::Message(Delivery { message, recovered: false });
                self.effects.push(Effect::Deliver { to, event });
            }
            Verdict::Duplicate => {}
            Verdict::Gap => return Some(message),
        }
        None
    }

    /// An `error` to a subscribe; false if `id` was none.
    pub(super) fn subscription_refused(
        &mut self,
        now: Instant,
        id: i64,
        channel: Option<&str>,
        error: &ClientError,
    ) -> bool {
        let refused: Vec<ChannelName> = self
            .subscriptions
            .by_channel
            .iter()
            .filter(|(name, subscribed)| {
                subscribed.stage == Stage::Joining(id) && channel.is_none_or(|channel| name.as_str() == channel)
            })
            .map(|(name, _)| name.clone())
            .collect();
        for channel in &refused {
            self.refuse_one(now, channel, error);
        }
        !refused.is_empty()
    }

    /// Waits and asks again where that can help; ends the subscription where it cannot.
    fn refuse_one(&mut self, now: Instant, channel: &ChannelName, error: &ClientError) {
        let ClientError::Server { code, message, retry_after } = error else { return };
        // A subscribe that was given up for want of an answer may have been carried out all the same.
        let passes = error.is_retryable() || *code == ErrorCode::AlreadySubscribed;
        if !passes {
            let error = ClientError::Server { code: *code, message: message.clone(), retry_after: *retry_after };
            return self.grant_ended(channel, error);
        }
        let roll = self.rng.random();
        let Some(subscribed) = self.subscriptions.get(channel) else { return };
        subscribed.stage = Stage::Waiting;
        subscribed.refusals = subscribed.refusals.saturating_add(1);
        let own = self.options.backoff.delay(subscribed.refusals, roll);
        self.subscriptions.retry(channel, Some(now + retry_after.unwrap_or(own)));
    }

    /// The server ended a subscription.
    pub(super) fn grant_ended(&mut self, channel: &ChannelName, error: ClientError) {
        if let Some(ended) = self.subscriptions.remove(channel) {
            self.end_subscription(ended.id, error);
        }
    }

    pub(super) fn end_subscription(&mut self, to: SubscriptionId, error: ClientError) {
        self.effects.push(Effect::Deliver { to, event: SubscriptionEvent::Ended(error) });
    }

    pub(super) fn deliver(&mut self, channel: &ChannelName, event: SubscriptionEvent) {
        if let Some(to) = self.subscriptions.live(channel).map(|live| live.id) {
            self.effects.push(Effect::Deliver { to, event });
        }
    }
}
