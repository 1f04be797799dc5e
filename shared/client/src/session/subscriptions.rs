//! Subscriptions over the links that carry them.

use std::collections::{BTreeSet, HashMap};

use rand::RngExt;
use tickwire_protocol::{
    ChannelName, Command, ErrorCode, Request, SubscriptionRequest,
    codec::{Message, ServerSubscribed},
};
use tokio::time::Instant;

use super::{Effect, Session};
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
    stage: Stage,
    pub(super) track: Track,
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

impl Subscriptions {
    pub(super) fn all(&self) -> Vec<ChannelName> {
        self.by_channel.keys().cloned().collect()
    }

    pub(super) fn live(&mut self, channel: &ChannelName) -> Option<&mut Subscribed> {
        self.by_channel.get_mut(channel).filter(|subscribed| subscribed.stage == Stage::Live)
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

impl Session {
    pub(super) fn subscribe(&mut self, now: Instant, id: SubscriptionId, request: SubscriptionRequest) {
        let channel = request.channel.clone();
        if self.subscriptions.by_channel.contains_key(&channel) {
            return self.end_subscription(id, ClientError::AlreadySubscribed(channel));
        }
        let track = Track::new(request.since, request.filter.is_some());
        let subscribed =
            Subscribed { id, request, stage: Stage::Waiting, track, announced: false, refusals: 0, retry_at: None };
        self.subscriptions.by_id.insert(id, channel.clone());
        self.subscriptions.by_channel.insert(channel.clone(), subscribed);
        if self.phase.is_ready() {
            self.join(now, &[channel]);
        }
    }

    pub(super) fn unsubscribe(&mut self, id: SubscriptionId) {
        let Some(channel) = self.subscriptions.by_id.get(&id).cloned() else { return };
        let left = self.subscriptions.remove(&channel);
        if left.is_some_and(|left| left.stage != Stage::Waiting) {
            self.send(Command::Unsubscribe { channels: vec![Ok(channel)] });
        }
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
                    unanswered.push(Ok(channel.clone()));
                }
                subscribed.stage = Stage::Joining(id);
                entries.push(Ok(SubscriptionRequest { since: subscribed.track.since(), ..subscribed.request.clone() }));
                self.subscriptions.retry(channel, Some(now + self.options.call_timeout));
            }
            if !unanswered.is_empty() {
                self.send(Command::Unsubscribe { channels: unanswered });
            }
            let request = Request { id: Some(id), command: Command::Subscribe { channels: entries } };
            self.effects.push(Effect::Send(vec![request]));
        }
    }

    pub(super) fn subscribed(&mut self, event: ServerSubscribed) {
        let channel = event.channel.clone();
        let Some(subscribed) = self.subscriptions.get(&channel) else { return };
        if event.id.is_none_or(|id| subscribed.stage != Stage::Joining(id)) {
            return;
        }
        subscribed.stage = Stage::Live;
        subscribed.refusals = 0;
        let (class, position, recovered) = (event.class, event.position, event.recovered);
        let first = !std::mem::replace(&mut subscribed.announced, true);
        let to = subscribed.id;
        // Classes without recovery begin anew with every link and lose nothing that they promise.
        let complete = recovered || !class.is_lossless();
        let fresh = subscribed.track.joined(event);
        let event = if first {
            SubscriptionEvent::Subscribed { class, position, recovered }
        } else {
            SubscriptionEvent::Recovered { complete, position }
        };
        self.subscriptions.retry(&channel, None);
        self.effects.push(Effect::Deliver { to, event });
        for message in fresh {
            let event = SubscriptionEvent::Message(Delivery { message, recovered: true });
            self.effects.push(Effect::Deliver { to, event });
        }
    }

    pub(super) fn message(&mut self, now: Instant, message: Message) {
        let Some(subscribed) = self.subscriptions.live(&message.channel) else { return };
        let to = subscribed.id;
        match subscribed.track.live(&message) {
            Verdict::Deliver => {
                let event = SubscriptionEvent::Message(Delivery { message, recovered: false });
                self.effects.push(Effect::Deliver { to, event });
            }
            Verdict::Duplicate => {}
            Verdict::Gap => {
                tracing::warn!(channel = %message.channel, position = ?message.position, "a gap: subscribing again");
                subscribed.stage = Stage::Waiting;
                self.send(Command::Unsubscribe { channels: vec![Ok(message.channel.clone())] });
                self.join(now, &[message.channel]);
            }
        }
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
