//! Carrying out commands: one after another for each connection, so that their order holds.

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use tickwire_auth::{AuthError, Decision, Identity, may_read};
use tickwire_backplane::{BackplaneError, History, HistoryQuery, Offender};
use tickwire_protocol::{ChannelName, CloseCode, ErrorCode, Event, Position, Request, namespace::Policy};

use super::{
    ConnectionId,
    state::{self, Ask, Effect, Effects, Wanted},
};
use crate::{
    hub::{Hub, REPLACED, Shard, membership::Left, rate::Rate},
    metrics::reason,
    offences::Offence,
};

/// Commands that may wait for one in progress; reading stops at the first, so one frame's packed commands are all.
const COMMANDS_WAITING_MAX: usize = 1_024;

impl Shard {
    /// Queues a command; [`Shard::pump`] carries it out.
    pub(crate) fn enqueue_in(&self, hub: &mut Hub, id: ConnectionId, request: Request) {
        let Some(connection) = hub.connection(id) else { return };
        if connection.closing.is_some() {
            return;
        }
        let commands = connection.commands.get_or_insert_default();
        if commands.len() >= COMMANDS_WAITING_MAX {
            self.close_in(hub, id, CloseCode::RateLimited, "too many commands at once", None);
            return;
        }
        commands.push_back(request);
    }

    /// Carries out what waits, until a command has to wait for an answer, or others have to get their turn.
    pub(crate) fn pump(self: &Rc<Self>, id: ConnectionId) {
        let begun = Instant::now();
        while let Some(effects) = self.next_effects(id) {
            let mut effects = effects.into_iter();
            for effect in effects.by_ref() {
                self.carry_out(id, effect);
                if self.is_over_time(begun) {
                    break;
                }
            }
            if self.is_over_time(begun) {
                self.give_way(begun);
                return self.spawn_for(id, Rc::clone(self).carry_on(id, effects));
            }
        }
        self.note_pause(begun);
    }

    /// Carries out the rest of a command's effects, with pauses for others. The next command waits for it.
    async fn carry_on(self: Rc<Self>, id: ConnectionId, effects: impl Iterator<Item = Effect>) {
        tokio::task::yield_now().await;
        let mut begun = Instant::now();
        for effect in effects {
            self.carry_out(id, effect);
            if self.is_over_time(begun) {
                self.give_way(begun);
                self.flush_urgent();
                tokio::task::yield_now().await;
                begun = Instant::now();
            }
        }
    }

    fn next_effects(&self, id: ConnectionId) -> Option<Effects> {
        let mut hub = self.hub.borrow_mut();
        let connection = hub.connection(id)?;
        if connection.busy > 0 || connection.closing.is_some() {
            return None;
        }
        let request = connection.commands.as_mut().and_then(|commands| commands.pop_front());
        let Some(request) = request else {
            connection.commands = None;
            return None;
        };
        let connection = &hub.connections[id.key as usize];
        let is_subscribed = |name: &ChannelName| {
            hub.by_name
                .get(name)
                .is_some_and(|&channel| connection.state.subscriptions.iter().any(|held| held.channel == channel))
        };
        Some(connection.state.on_request(request, self.context(), is_subscribed))
    }

    fn carry_out(self: &Rc<Self>, id: ConnectionId, effect: Effect) {
        match effect {
            Effect::Reply(event) => {
                if let Event::Error(error) = &event
                    && error.code == ErrorCode::Forbidden
                {
                    self.count_forbidden(id, error.channel.as_deref().unwrap_or_default());
                }
                self.reply(id, &event);
            }
            Effect::Device(device) => {
                if let Some(connection) = self.hub.borrow_mut().connection(id) {
                    connection.state.device = Some(device);
                }
            }
            Effect::Pace(rate) => {
                if let Some(connection) = self.hub.borrow_mut().connection(id) {
                    connection.state.rate = Some(Box::new(Rate::per_second(rate)));
                }
            }
            Effect::Subscribe { wanted, owner_only: false } => self.join(id, *wanted),
            Effect::Subscribe { wanted, owner_only: true } => {
                self.spawn_for(id, Rc::clone(self).join_if_owner(id, *wanted));
            }
            Effect::Unsubscribe { id: request, channel } => self.unsubscribe(id, request, channel),
            Effect::Verify { id: request, token, refresh } => {
                self.spawn_for(id, Rc::clone(self).verify(id, request, token, refresh));
            }
            Effect::Ask { id: request, ask, owner_only: None } => {
                self.spawn_for(id, Rc::clone(self).ask(id, request, *ask));
            }
            Effect::Ask { id: request, ask, owner_only: Some(channel) } => {
                self.spawn_for(id, Rc::clone(self).ask_if_owner(id, request, *ask, channel));
            }
        }
    }

    /// Every subscribe gets a reply: one that is left before its own gets an error, ahead of `unsubscribed`.
    fn unsubscribe(&self, id: ConnectionId, request: Option<i64>, channel: ChannelName) {
        let error = |request, text| state::error(request, ErrorCode::NotSubscribed, text, Some(channel.as_str()));
        match self.leave(id, &channel) {
            None => return self.reply(id, &error(request, "not subscribed to this channel")),
            Some(Left::Unanswered(subscribe)) => {
                self.reply(id, &error(subscribe, "unsubscribed before the subscription was there"));
            }
            Some(Left::Answered) => {}
        }
        self.reply(id, &Event::Unsubscribed { id: request, channel });
    }

    /// Runs a call for a connection; its next command waits for it. What needs no waiting is done at once.
    fn spawn_for(self: &Rc<Self>, id: ConnectionId, call: impl Future<Output = ()> + 'static) {
        let mut call: Pin<Box<dyn Future<Output = ()>>> = Box::pin(call);
        if call.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(()) {
            return;
        }
        if let Some(connection) = self.hub.borrow_mut().connection(id) {
            connection.busy += 1;
        }
        let shard = Rc::clone(self);
        tokio::task::spawn_local(async move {
            call.await;
            if let Some(connection) = shard.hub.borrow_mut().connection(id) {
                connection.busy -= 1;
                // Its task may have stopped reading.
                if let Some(waker) = &connection.waker {
                    waker.wake_by_ref();
                }
            }
            shard.pump(id);
            shard.flush_urgent();
        });
    }

    /// Counts a channel that the connection's user asked for and may not have.
    fn count_forbidden(&self, id: ConnectionId, channel: &str) {
        let user = self.hub.borrow_mut().connection(id).and_then(|connection| connection.identity().cloned());
        if let Some(identity) = user {
            self.node.count_offence(Offence::ForbiddenChannel, &Offender::User(identity.user.clone()), channel);
        }
    }

    async fn verify(self: Rc<Self>, id: ConnectionId, request: Option<i64>, token: String, refresh: bool) {
        match self.node.verifier.verify(&token).await {
            Ok(identity) => self.authenticated(id, request, identity, refresh, true),
            Err(error) => self.not_authenticated(id, request, &error, refresh),
        }
    }

    /// A token was good. Replies `connected` (or `refreshed`) if `says`.
    pub(crate) fn authenticated(
        self: &Rc<Self>,
        id: ConnectionId,
        request: Option<i64>,
        identity: Identity,
        refresh: bool,
        says: bool,
    ) {
        if self.node.is_revoked(&identity) {
            self.node.metrics.auth_failures.get_or_create(&reason("revoked")).inc();
            let event = state::error(request, ErrorCode::Unauthenticated, "the token was revoked: get a new one", None);
            return self.close(id, CloseCode::Unauthenticated, "the token was revoked", Some(&event));
        }
        let mut hub = self.hub.borrow_mut();
        let Some(connection) = hub.connection(id) else { return };
        let current = connection.state.identity.clone();
        if current.as_ref().is_some_and(|current| !identity.may_replace(current)) {
            let event = state::error(request, ErrorCode::Forbidden, "the token is another user's", None);
            return self.reply_in(&mut hub, id, None, &event, None);
        }
        match connection.slot.claim_user(&identity.user) {
            // Between the handshake and here.
            Ok(None) if connection.slot.is_replaced() => {
                return self.close_in(&mut hub, id, CloseCode::Replaced, REPLACED, None);
            }
            Ok(None) => {}
            Ok(Some(replaced)) => self.node.replace(identity.user.clone(), replaced),
            Err(refusal) => {
                let event = state::refused(request, &refusal);
                return self.close_in(&mut hub, id, refusal.close_code(), "too many connections", Some(&event));
            }
        }
        let (user, expires_at_ms) = (identity.user.clone(), identity.expires_at_ms);
        connection.state.identity = Some(Rc::new(identity));
        if says {
            let event = if refresh && current.is_some() {
                Event::Refreshed { id: request, expires_at_ms }
            } else {
                self.connected(request, &user, expires_at_ms)
            };
            self.reply_in(&mut hub, id, None, &event, None);
        }
        drop(hub);
        if refresh {
            self.review_grants(id);
        }
    }

    fn not_authenticated(&self, id: ConnectionId, request: Option<i64>, error: &AuthError, refresh: bool) {
        let code = error.code();
        let event = state::error(request, code, &error.to_string(), None);
        let Some(peer) = self.hub.borrow_mut().connection(id).map(|connection| connection.peer) else { return };
        self.node.count_refused_token(peer, code);
        // A live connection keeps the token it has; it ends with it.
        if refresh || code.is_retryable() {
            self.reply(id, &event);
        } else {
            self.close(id, CloseCode::Unauthenticated, "not authenticated", Some(&event));
        }
    }

    /// After a refresh: leaves the channels that the new token does not allow.
    fn review_grants(self: &Rc<Self>, id: ConnectionId) {
        let mut denied = Vec::new();
        let mut doubtful = Vec::new();
        {
            let mut hub = self.hub.borrow_mut();
            let Some(connection) = hub.connection(id) else { return };
            let Some(identity) = connection.state.identity.clone() else { return };
            let held = connection.state.subscriptions.clone();
            for subscription in held {
                let channel = &hub.channels[subscription.channel.0 as usize];
                match may_read(&identity, &channel.name, &channel.policy) {
                    Decision::Allow => {}
                    Decision::Deny => denied.push(channel.name.clone()),
                    Decision::IfOwner => doubtful.push(channel.name.clone()),
                }
            }
        }
        for channel in denied {
            self.evict(id, channel);
        }
        for channel in doubtful {
            let shard = Rc::clone(self);
            self.spawn_for(id, async move {
                // While the store is away the subscription stays: the owner was checked when it began.
                if shard.owns(id, &channel).await.is_ok_and(|owns| !owns) {
                    shard.evict(id, channel);
                }
            });
        }
    }

    fn evict(&self, id: ConnectionId, channel: ChannelName) {
        match self.leave(id, &channel) {
            Some(Left::Answered) => self.reply(id, &Event::Unsubscribed { id: None, channel }),
            Some(Left::Unanswered(subscribe)) => self.reply(id, &state::forbidden(subscribe, &channel)),
            None => {}
        }
    }

    /// Whether the connection's user is the channel's recorded owner.
    async fn owns(&self, id: ConnectionId, channel: &ChannelName) -> Result<bool, BackplaneError> {
        let user = self.hub.borrow_mut().connection(id).and_then(|connection| connection.identity().cloned());
        let owner = self.node.backplane.owner(channel).await?;
        Ok(user.is_some_and(|identity| owner.as_ref() == Some(&identity.user)))
    }

    async fn join_if_owner(self: Rc<Self>, id: ConnectionId, wanted: Wanted) {
        match self.owns(id, &wanted.channel).await {
            Ok(true) => self.join(id, wanted),
            Ok(false) => {
                self.count_forbidden(id, wanted.channel.as_str());
                self.reply(id, &state::forbidden(wanted.id, &wanted.channel));
            }
            Err(error) => self.reply(id, &self.failed(wanted.id, &error, Some(&wanted.channel))),
        }
    }

    async fn ask_if_owner(self: Rc<Self>, id: ConnectionId, request: Option<i64>, ask: Ask, channel: ChannelName) {
        match self.owns(id, &channel).await {
            Ok(true) => self.ask(id, request, ask).await,
            Ok(false) => {
                self.count_forbidden(id, channel.as_str());
                self.reply(id, &state::forbidden(request, &channel));
            }
            Err(error) => self.reply(id, &self.failed(request, &error, Some(&channel))),
        }
    }

    async fn ask(self: Rc<Self>, id: ConnectionId, request: Option<i64>, ask: Ask) {
        let backplane = &self.node.backplane;
        let (channel, answer) = match ask {
            Ask::Publish(publish) => {
                let channel = publish.channel.clone();
                let answer = backplane.publish(*publish).await.map(|published| Event::Published {
                    id: request,
                    channel: channel.clone(),
                    position: published.position,
                    duplicate: published.duplicate,
                });
                (Some(channel), answer)
            }
            Ask::History { channel, policy, query } => {
                let answer = self.read(request, &channel, &policy, query).await;
                if let Ok(Event::History { messages, .. }) = &answer {
                    self.encode_ahead([id], messages).await;
                }
                (Some(channel), answer)
            }
            Ask::Presence { channel } => {
                self.node.metrics.presence_queries.inc();
                let answer = backplane.presence(&channel).await.map(|presence| Event::PresenceList {
                    id: request,
                    channel: channel.clone(),
                    users: presence.users,
                    count: presence.count,
                });
                (Some(channel), answer)
            }
            Ask::Ack { channel, device, positions } => {
                let position = positions.iter().max().copied().unwrap_or(Position::new(0, 0));
                let answer = backplane.acknowledge(&channel, device.as_ref(), &positions).await;
                if answer.is_ok() {
                    self.node.metrics.acknowledged.inc_by(positions.len() as u64);
                }
                let answer = answer.map(|()| Event::Acked { id: request, channel: channel.clone(), position });
                (Some(channel), answer)
            }
            Ask::Preferences { set } => {
                let user = self.hub.borrow_mut().connection(id).and_then(|connection| connection.identity().cloned());
                let Some(identity) = user else { return };
                let answer = backplane.preferences(&identity.user, set.as_ref()).await;
                (None, answer.map(|preferences| Event::Preferences { id: request, preferences }))
            }
        };
        match answer {
            Ok(event) => self.reply(id, &event),
            Err(error) => self.reply(id, &self.failed(request, &error, channel.as_ref())),
        }
    }

    async fn read(
        &self,
        request: Option<i64>,
        channel: &ChannelName,
        policy: &Policy,
        query: HistoryQuery,
    ) -> Result<Event, BackplaneError> {
        let history = self.node.backplane.history(channel, policy, query).await?;
        if !query.reverse && query.since.is_some_and(|since| history.lacks(since)) {
            let text = "the history does not know this position: read it without `since`";
            return Ok(state::error(request, ErrorCode::UnrecoverablePosition, text, Some(channel.as_str())));
        }
        let History { top, publications: messages, complete } = history;
        Ok(Event::History { id: request, channel: channel.clone(), position: top, messages, complete })
    }

    fn failed(&self, request: Option<i64>, error: &BackplaneError, channel: Option<&ChannelName>) -> Event {
        self.node.metrics.backplane_failures.get_or_create(&reason("command")).inc();
        if matches!(error, BackplaneError::InvalidPreferences) {
            return state::error(request, ErrorCode::BadRequest, &error.to_string(), None);
        }
        let code = if error.is_retryable() { ErrorCode::Unavailable } else { ErrorCode::Internal };
        tracing::warn!(%error, "a client's command failed");
        state::error(request, code, "this cannot be done at the moment: try again", channel.map(ChannelName::as_str))
    }
}
