//! Joining and leaving channels, for connections and at the backplane.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tickwire_backplane::{BackplaneError, PresenceChange};
use tickwire_protocol::{
    ChannelName, DeliveryClass, ErrorCode, Event, Position, Publication, UserId, event::ErrorEvent, namespace::Policy,
};

use super::{
    Hub, Shard,
    channel::{Channel, Freshness, Join},
    stream::Status,
};
use crate::{
    connection::{
        ConnectionId,
        state::{self, Subscription, Wanted},
    },
    metrics::reason,
    outbox::ChannelId,
};

/// Channels in one subscribe call.
const SUBSCRIBE_BATCH_MAX: usize = 512;
/// Presence changes in one call.
const PRESENCE_BATCH_MAX: usize = 1_024;
/// Presence changes that wait while the store is away.
const PRESENCE_MAX: usize = 65_536;
/// Until a failed presence call is repeated.
const PRESENCE_RETRY: Duration = Duration::from_millis(500);

/// What a connection left.
pub(crate) enum Left {
    /// A subscription whose reply was sent.
    Answered,
    /// One that still waited for it: the id of its request.
    Unanswered(Option<i64>),
}

impl Shard {
    /// Begins a subscription: it is answered once the stream is live and what was missed is read.
    pub(crate) fn join(self: &Rc<Self>, id: ConnectionId, wanted: Wanted) {
        let mut hub = self.hub.borrow_mut();
        let Some(connection) = hub.connection(id) else { return };
        if connection.closing.is_some() {
            return;
        }
        let channel = self.channel_for(&mut hub, &wanted.channel, &wanted.policy);
        let serial = hub.next_serial();
        let Some(connection) = hub.connection(id) else { return };
        // An owner's lookup may have let a second request for the same channel through.
        if connection.state.subscriptions.iter().any(|subscription| subscription.channel == channel) {
            let text = "already subscribed to this channel";
            let event = state::error(wanted.id, ErrorCode::AlreadySubscribed, text, Some(wanted.channel.as_str()));
            self.reply_in(&mut hub, id, None, &event, None);
            return;
        }
        let Wanted { id: request, since, options, device, .. } = wanted;
        connection.state.subscriptions.push(Subscription { channel, serial, place: None });
        if device.is_some() {
            connection.state.device = device;
        }
        let device = connection.state.device.clone();
        hub.unanswered.extend(request.map(|request| (serial, request)));
        let entry = &mut hub.channels[channel.0 as usize];
        let freshness = Freshness::Unknown;
        entry.joins.push_back(Join {
            connection: id,
            serial,
            id: request,
            since,
            options,
            device,
            freshness,
            is_encoded: false,
            begun: Instant::now(),
        });
        entry.idle_since_ms = None;
        let is_live = entry.stream.status == Status::Live;
        drop(hub);
        if is_live {
            self.serve_joins(channel);
        }
    }

    /// The channel's entry, made and queued for the backplane if nobody had it.
    fn channel_for(&self, hub: &mut Hub, name: &ChannelName, policy: &Policy) -> ChannelId {
        if let Some(&id) = hub.by_name.get(name) {
            return id;
        }
        let serial = hub.next_serial();
        let key = hub.channels.insert(Channel::new(serial, name.clone(), policy.clone()));
        let id = ChannelId(u32::try_from(key).unwrap_or(u32::MAX));
        hub.by_name.insert(name.clone(), id);
        hub.to_subscribe.push(id);
        self.node.metrics.channels.inc();
        self.work.notify_one();
        id
    }

    /// Makes a join's connection a subscriber; `None` if it left meanwhile or is refused. `messages` come with its reply.
    pub(crate) fn admit(
        &self,
        hub: &mut Hub,
        channel: ChannelId,
        join: &mut Join,
        messages: &[Arc<Publication>],
    ) -> Option<()> {
        let connection = hub.connection(join.connection)?;
        let subscription = connection.state.subscriptions.iter().position(|held| held.serial == join.serial)?;
        if connection.state.subscriptions[subscription].place.is_some() {
            return None;
        }
        let user = connection.identity().map(|identity| identity.user.clone());
        let entry = &mut hub.channels[channel.0 as usize];
        let options = join.options.take().map(|options| *options);
        let Some((place, run)) = entry.subscribers.admit(join.connection, options) else {
            let name = entry.name.clone();
            self.refuse_join(hub, &name, join, &BackplaneError::Unavailable(None));
            return None;
        };
        if let Some(sent) = entry.subscribers.sent_to(place) {
            for message in messages {
                sent.note(message);
            }
        }
        hub.gather.seal(run);
        entry.set_memory();
        let presence = entry.policy.presence.then(|| entry.name.clone());
        let is_latest = entry.policy.class == DeliveryClass::Latest;
        let connection = hub.connection(join.connection)?;
        if is_latest && connection.socket().is_some() {
            connection.pulse.watch();
        }
        connection.state.subscriptions[subscription].place = Some(place);
        hub.unanswered.remove(&join.serial);
        if let (Some(channel), Some(user)) = (presence, user) {
            self.tell_presence(hub, PresenceChange { channel, user, joined: true });
        }
        self.node.metrics.subscriptions.inc();
        self.node.changed.notify_one();
        Some(())
    }

    /// Ends a subscription; `None` if there was none.
    pub(crate) fn leave(&self, id: ConnectionId, name: &ChannelName) -> Option<Left> {
        let mut hub = self.hub.borrow_mut();
        let &channel = hub.by_name.get(name)?;
        let connection = hub.settled(id)?;
        let at = connection.state.subscriptions.iter().position(|held| held.channel == channel)?;
        let subscription = connection.state.subscriptions.swap_remove(at);
        if let Some(outbox) = &mut connection.outbox {
            outbox.purge(channel);
        }
        let user = connection.identity().map(|identity| identity.user.clone());
        let left = match subscription.place {
            Some(_) => Left::Answered,
            None => Left::Unanswered(hub.unanswered.get(&subscription.serial).copied()),
        };
        self.forget(&mut hub, user.as_ref(), subscription);
        Some(left)
    }

    /// Takes a subscription that its connection no longer has out of the channel.
    pub(crate) fn forget(&self, hub: &mut Hub, user: Option<&UserId>, subscription: Subscription) {
        hub.unanswered.remove(&subscription.serial);
        let clock_ms = self.node.clock_ms();
        let Some(entry) = hub.channels.get_mut(subscription.channel.0 as usize) else { return };
        let Some(place) = subscription.place else {
            entry.joins.retain(|join| join.serial != subscription.serial);
            entry.idle_since_ms = entry.is_unused().then_some(clock_ms);
            return;
        };
        let Some(run) = entry.subscribers.remove(place) else { return };
        hub.gather.seal(run);
        entry.idle_since_ms = entry.is_unused().then_some(clock_ms);
        entry.set_memory();
        self.drop_unseen_views(hub, subscription.channel);
        let entry = &hub.channels[subscription.channel.0 as usize];
        self.node.metrics.subscriptions.dec();
        self.node.changed.notify_one();
        let presence = entry.policy.presence.then(|| entry.name.clone());
        if let (Some(channel), Some(user)) = (presence, user) {
            let change = PresenceChange { channel, user: user.clone(), joined: false };
            self.tell_presence(hub, change);
        }
    }

    fn tell_presence(&self, hub: &mut Hub, change: PresenceChange) {
        if hub.presence.len() >= PRESENCE_MAX {
            hub.presence.pop_front();
            self.node.metrics.presence_dropped.inc();
        }
        self.node.metrics.presence_changed(change.joined);
        hub.presence.push_back(change);
        self.work.notify_one();
    }

    /// Carries out what has gathered for the backplane, in as few calls as possible.
    pub(crate) fn do_work(self: &Rc<Self>) {
        let mut hub = self.hub.borrow_mut();
        let to_subscribe = std::mem::take(&mut hub.to_subscribe);
        for batch in to_subscribe.chunks(SUBSCRIBE_BATCH_MAX) {
            let channels: Vec<_> = batch
                .iter()
                .map(|&id| {
                    let entry = &hub.channels[id.0 as usize];
                    (id, entry.serial, (entry.name.clone(), entry.policy.clone()))
                })
                .collect();
            tokio::task::spawn_local(Rc::clone(self).subscribe_batch(channels));
        }
        if !hub.presence.is_empty() && !hub.telling_presence {
            hub.telling_presence = true;
            tokio::task::spawn_local(Rc::clone(self).send_presence());
        }
        if !hub.receipts.is_empty() {
            let receipts = std::mem::take(&mut hub.receipts);
            tokio::task::spawn_local(Rc::clone(self).send_receipts(receipts));
        }
    }

    async fn subscribe_batch(self: Rc<Self>, channels: Vec<(ChannelId, u32, (ChannelName, Policy))>) {
        let (ids, asked): (Vec<_>, Vec<_>) =
            channels.into_iter().map(|(id, serial, asked)| ((id, serial), asked)).unzip();
        match self.node.backplane.subscribe(self.subscriber, &asked).await {
            Ok(positions) => {
                for ((id, serial), position) in ids.into_iter().zip(positions) {
                    self.on_subscribed(id, serial, position);
                }
            }
            Err(error) => {
                tracing::warn!(%error, channels = ids.len(), "channels could not be subscribed");
                self.node.metrics.backplane_failures.get_or_create(&reason("subscribe")).inc();
                for (id, serial) in ids {
                    self.on_subscribe_failed(id, serial, &error);
                }
            }
        }
        self.flush_urgent();
    }

    fn on_subscribed(self: &Rc<Self>, id: ChannelId, serial: u32, position: Position) {
        let mut hub = self.hub.borrow_mut();
        let Some(channel) = hub.channel(id, serial) else { return };
        let repaired = channel.stream.on_subscribed(position);
        drop(hub);
        self.apply_repair(id, serial, repaired, false);
    }

    fn on_subscribe_failed(&self, id: ChannelId, serial: u32, error: &BackplaneError) {
        let mut hub = self.hub.borrow_mut();
        let Some(channel) = hub.channel(id, serial) else { return };
        let name = channel.name.clone();
        for join in std::mem::take(&mut channel.joins) {
            self.refuse_join(&mut hub, &name, &join, error);
        }
        hub.by_name.remove(&name);
        hub.channels.remove(id.0 as usize);
        self.node.metrics.channels.dec();
        // Part of the batch may have been subscribed before the call failed.
        self.node.backplane.unsubscribe(self.subscriber, &[name]);
    }

    /// Answers a join that the backplane could not serve; the client may ask again.
    pub(crate) fn refuse_join(&self, hub: &mut Hub, name: &ChannelName, join: &Join, error: &BackplaneError) {
        let Some(connection) = hub.connection(join.connection) else { return };
        connection.state.subscriptions.retain(|held| held.serial != join.serial);
        hub.unanswered.remove(&join.serial);
        let code = if error.is_retryable() { ErrorCode::Unavailable } else { ErrorCode::Internal };
        let event = Event::Error(Box::new(ErrorEvent {
            id: join.id,
            code,
            message: "the channel cannot be served at the moment: subscribe again".into(),
            channel: Some(name.as_str().to_owned()),
            retry_after_ms: Some(1_000),
        }));
        self.reply_in(hub, join.connection, None, &event, None);
    }

    async fn send_presence(self: Rc<Self>) {
        loop {
            let batch: Vec<_> = {
                let mut hub = self.hub.borrow_mut();
                let count = hub.presence.len().min(PRESENCE_BATCH_MAX);
                hub.telling_presence = count > 0;
                hub.presence.drain(..count).collect()
            };
            if batch.is_empty() {
                return;
            }
            while let Err(error) = self.node.backplane.presence_change(&self.node.lease(), &batch).await {
                tracing::warn!(%error, "presence could not be told and is tried again");
                self.node.metrics.backplane_failures.get_or_create(&reason("presence")).inc();
                if !error.is_retryable() {
                    break;
                }
                tokio::time::sleep(PRESENCE_RETRY).await;
            }
        }
    }

    async fn send_receipts(self: Rc<Self>, receipts: Vec<(ChannelName, Position)>) {
        let mut by_channel: Vec<(ChannelName, Vec<Position>)> = Vec::new();
        for (channel, position) in receipts {
            match by_channel.iter_mut().find(|(name, _)| *name == channel) {
                Some((_, positions)) => positions.push(position),
                None => by_channel.push((channel, vec![position])),
            }
        }
        for (channel, positions) in by_channel {
            if let Err(error) = self.node.backplane.delivered(&channel, &positions).await {
                // The alert only looks less delivered than it is; it is redelivered until acknowledged anyway.
                tracing::warn!(%error, "deliveries could not be counted");
                self.node.metrics.backplane_failures.get_or_create(&reason("delivered")).inc();
            }
        }
    }
}
