//! The client's protocol without I/O: `(now, input) → effects`.
//!
//! Invariants:
//! - One link serves, and a second one is made beside it only to leave a draining node (`handover`). Whatever ends a link,
//!   [`Session`] decides alone whether, when and with which token the next is made.
//! - A subscription outlives links: after every `connected` it is made again from its last position.
//! - A call is answered exactly once: by the server, or by its deadline, or when the client stops. Calls are idempotent
//!   (a publish always has a key), so they are sent again on every new link.
//! - Events of a link that was given up are never seen: the shell drops it before it does anything else.

mod addresses;
mod calls;
mod handover;
mod link;
mod subscriptions;

use std::{sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tickwire_protocol::{
    ChannelName, CloseCode, Command, DeviceId, ErrorCode, Request, SubscriptionRequest, codec::ServerEvent,
    event::Connected,
};
use tokio::time::Instant;

use crate::{Backoff, ClientError, ConnectionState, DisconnectReason, SubscriptionEvent, TokenPlacement};
use addresses::Addresses;
use calls::Calls;
pub(crate) use calls::{CallId, Reply};
use handover::Successor;
pub(crate) use link::{DialFailure, LinkEnd};
use link::{Phase, Verdict};
pub(crate) use subscriptions::SubscriptionId;
use subscriptions::Subscriptions;

/// A link that served this long proves that connecting works: the next failure starts the backoff anew. A server that takes
/// links and drops them at once is still left alone longer each time; one that goes away every few seconds is not: with 5 s
/// here, clients cut off for 2 s every 5 s came to wait up to 10 s between two tries, and 40 s for a message.
const STEADY_AFTER: Duration = Duration::from_secs(1);
/// Refused tokens in a row before the client stops.
const REFUSED_TOKENS_MAX: u32 = 3;
/// A token is replaced this long before its end, or in the last quarter of a shorter life.
const REFRESH_BEFORE: Duration = Duration::from_secs(30);

/// What the core needs of [`crate::ClientOptions`].
#[derive(Debug, Clone)]
pub(crate) struct SessionOptions {
    pub(crate) urls: Vec<String>,
    pub(crate) token_placement: TokenPlacement,
    pub(crate) device: Option<DeviceId>,
    /// Whether another token can be had when one is refused.
    pub(crate) token_renews: bool,
    pub(crate) backoff: Backoff,
    pub(crate) connect_timeout: Duration,
    pub(crate) call_timeout: Duration,
    pub(crate) calls_max: usize,
    pub(crate) max_rate: Option<f64>,
}

/// A place for a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// The one that serves.
    Current,
    /// Its successor, while a draining node is left.
    Next,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// Begin.
    Start,
    /// The answer to [`Effect::FetchToken`]; `None`: none could be had.
    Token(Option<String>),
    /// The WebSocket is open.
    Opened(Line),
    /// It could not be opened.
    DialFailed(Line, DialFailure),
    /// The server said something.
    Event(Line, ServerEvent),
    /// Anything at all came, a ping for example.
    SignOfLife(Line),
    /// The link is gone.
    Ended(Line, LinkEnd),
    /// The program subscribes.
    Subscribe { id: SubscriptionId, request: SubscriptionRequest },
    /// The program dropped a subscription.
    Unsubscribe { id: SubscriptionId },
    /// The program asks for something.
    Call { id: CallId, command: Command },
    /// [`Session::deadline`] passed.
    Timer,
    /// The program is done.
    Stop,
}

/// What to do, in order.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Get a token; answer with [`Input::Token`].
    FetchToken,
    /// Open a link to `url`.
    Dial { line: Line, url: Arc<str>, token: String },
    /// Send these.
    Send(Line, Vec<Request>),
    /// Close and forget the link, or the attempt to make one.
    Drop { line: Line, code: CloseCode },
    /// What is on the next line, a link or an attempt, is on the current one from now on; that one is empty.
    Promote,
    /// Hand to the subscription's consumer.
    Deliver { to: SubscriptionId, event: SubscriptionEvent },
    /// Answer a call.
    Answer { to: CallId, result: Result<Reply, ClientError> },
    /// Tell whoever watches the connection.
    State(ConnectionState),
}

#[derive(Debug)]
pub(crate) struct Session {
    options: SessionOptions,
    rng: StdRng,
    phase: Phase,
    successor: Option<Successor>,
    addresses: Addresses,
    /// Attempts since a link was steady.
    attempt: u32,
    refused_tokens: u32,
    token: Option<String>,
    fetching_token: bool,
    resume: Option<String>,
    /// When to replace the token of the live link.
    refresh_at: Option<Instant>,
    /// Server's clock at the time of `connected`, to place its later `expiresAt`s.
    server_clock: Option<(Instant, u64)>,
    /// The server's advice: not before this.
    advised: Option<Instant>,
    next_id: i64,
    subscriptions: Subscriptions,
    calls: Calls,
    effects: Vec<Effect>,
}

impl Session {
    /// `seed` decides the jitter.
    pub(crate) fn new(options: SessionOptions, seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            phase: Phase::Idle,
            successor: None,
            addresses: Addresses::new(options.urls.clone()),
            attempt: 0,
            refused_tokens: 0,
            token: None,
            fetching_token: false,
            resume: None,
            refresh_at: None,
            server_clock: None,
            advised: None,
            next_id: 1,
            subscriptions: Subscriptions::default(),
            calls: Calls::new(options.calls_max, options.call_timeout),
            effects: Vec::new(),
            options,
        }
    }

    /// Takes one input; effects are to be carried out in order.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        if !matches!(self.phase, Phase::Stopped(_)) {
            self.step(now, input);
        } else if let Input::Call { id, .. } = input {
            let result = Err(ClientError::Disconnected(self.stop_reason()));
            self.effects.push(Effect::Answer { to: id, result });
        } else if let Input::Subscribe { id, .. } = input {
            self.end_subscription(id, ClientError::Disconnected(self.stop_reason()));
        }
        std::mem::take(&mut self.effects)
    }

    /// When to call again with [`Input::Timer`], if nothing else happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if matches!(self.phase, Phase::Stopped(_)) {
            return None;
        }
        let retry = if self.phase.is_ready() { self.subscriptions.deadline() } else { None };
        let successor = self.successor.as_ref().map(Successor::deadline);
        [self.phase.deadline(), successor, self.refresh_at, retry, self.calls.deadline()].into_iter().flatten().min()
    }

    fn step(&mut self, now: Instant, input: Input) {
        match input {
            Input::Start => {
                self.effects.push(Effect::State(ConnectionState::Connecting));
                self.connect(now);
            }
            Input::Token(token) => self.take_token(now, token),
            Input::Opened(Line::Current) => self.greet(now),
            Input::Opened(Line::Next) => self.greet_next(now),
            Input::DialFailed(Line::Current, failure) if self.phase.has_link() => {
                self.judge(now, failure.verdict(), failure.retry_after);
            }
            Input::Event(Line::Current, event) => {
                self.phase.heard(now);
                self.take_event(now, event);
            }
            Input::Event(Line::Next, event) => self.take_next_event(now, event),
            Input::SignOfLife(Line::Current) => self.phase.heard(now),
            Input::Ended(Line::Current, end) if self.phase.has_link() => self.lost(now, &end),
            Input::DialFailed(Line::Next, _) | Input::Ended(Line::Next, _) => self.abandon_handover(now),
            Input::DialFailed(Line::Current, _) | Input::Ended(Line::Current, _) | Input::SignOfLife(Line::Next) => {}
            Input::Subscribe { id, request } => self.subscribe(now, id, request),
            Input::Unsubscribe { id } => {
                self.unsubscribe(id);
                self.finish_handover(now);
            }
            Input::Call { id, command } => self.call(now, id, command),
            Input::Timer => self.tick(now),
            Input::Stop => {
                self.effects.push(Effect::Drop { line: Line::Current, code: CloseCode::Normal });
                self.stop(DisconnectReason::ClosedHere);
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        for to in self.calls.expire(now) {
            self.effects.push(Effect::Answer { to, result: Err(ClientError::Timeout) });
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = None;
            self.fetch_token();
        }
        if self.phase.is_ready() {
            let due = self.subscriptions.due(now);
            self.join(now, &due);
        }
        if self.successor.as_ref().is_some_and(|successor| successor.deadline() <= now) {
            self.abandon_handover(now);
        }
        if self.phase.deadline().is_none_or(|at| at > now) {
            return;
        }
        match self.phase {
            Phase::Waiting { .. } => self.connect(now),
            Phase::Ready { leave_at: Some(at), .. } if at <= now => self.begin_handover(now),
            // No answer to the dial, or nothing heard for two heartbeats: an open socket is not proof of life.
            Phase::Dialing { .. } | Phase::Greeting { .. } | Phase::Ready { .. } => {
                self.effects.push(Effect::Drop { line: Line::Current, code: CloseCode::Timeout });
                if !self.take_over(now) {
                    self.judge(now, Verdict::Retry, None);
                }
            }
            Phase::Idle | Phase::FetchingToken | Phase::Stopped(_) => {}
        }
    }

    fn connect(&mut self, now: Instant) {
        if let Some(token) = &self.token {
            self.phase = Phase::Dialing { until: now + self.options.connect_timeout };
            self.effects.push(Effect::Dial {
                line: Line::Current,
                url: self.addresses.current(),
                token: token.clone(),
            });
        } else {
            self.phase = Phase::FetchingToken;
            self.fetch_token();
        }
    }

    fn fetch_token(&mut self) {
        if !self.fetching_token {
            self.fetching_token = true;
            self.effects.push(Effect::FetchToken);
        }
    }

    fn take_token(&mut self, now: Instant, token: Option<String>) {
        self.fetching_token = false;
        let got = token.is_some();
        if let Some(token) = token {
            self.token = Some(token);
        }
        match (&self.phase, &self.token) {
            (Phase::FetchingToken, Some(_)) => self.connect(now),
            (Phase::FetchingToken, None) => self.judge(now, Verdict::Retry, None),
            (Phase::Ready { .. }, Some(token)) if got => {
                let command = Command::Refresh { token: token.clone() };
                self.send(command);
            }
            (Phase::Ready { .. }, _) => {
                let roll = self.rng.random();
                self.refresh_at = Some(now + self.options.backoff.delay(2, roll));
            }
            _ => {}
        }
    }

    fn greet(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Dialing { .. }) {
            return;
        }
        self.phase = Phase::Greeting { until: now + self.options.connect_timeout };
        self.introduce(Line::Current);
    }

    /// Sends the token, where it did not come with the upgrade or a device or a rate is to be named, which takes one.
    fn introduce(&mut self, line: Line) {
        let (device, max_rate) = (self.options.device.clone(), self.options.max_rate);
        if self.options.token_placement == TokenPlacement::Frame || device.is_some() || max_rate.is_some() {
            let (token, resume) = (self.token.clone(), self.resume.clone());
            let command = Command::Connect { token, resume, device, max_rate };
            let id = Some(self.take_id());
            self.effects.push(Effect::Send(line, vec![Request { id, command }]));
        }
    }

    /// A successor speaks for the channel, or will. Without one, which is nearly always, no channel is looked up.
    fn is_left(&self, channel: &ChannelName) -> bool {
        self.successor.is_some() && self.subscriptions.is_left(channel)
    }

    fn take_event(&mut self, now: Instant, event: ServerEvent) {
        match event {
            ServerEvent::Connected(connected) => self.connected(now, *connected),
            ServerEvent::Subscribed(subscribed) => self.subscribed(*subscribed),
            ServerEvent::Unsubscribed { id: None, channel } => self.grant_ended(&channel, ClientError::GrantEnded),
            // From here on its successor speaks for these channels.
            ServerEvent::Message(message) if self.is_left(&message.channel) => {}
            ServerEvent::Delta(delta) if self.is_left(&delta.channel) => {}
            ServerEvent::Delta(delta) => self.delta(now, *delta),
            ServerEvent::Presence { channel, .. }
            | ServerEvent::Reset { channel, .. }
            | ServerEvent::Dropped { channel, .. }
            | ServerEvent::Acked { id: None, channel, .. }
                if self.is_left(&channel) => {}
            ServerEvent::Message(message) => self.message(now, *message),
            event @ (ServerEvent::Presence { .. }
            | ServerEvent::Reset { .. }
            | ServerEvent::Dropped { .. }
            | ServerEvent::Acked { id: None, .. }) => {
                self.take_channel_event(event);
            }
            ServerEvent::Reconnect { after_ms, .. } => {
                let at = now + Duration::from_millis(after_ms);
                self.advised = Some(at);
                if self.successor.is_none() {
                    self.phase.leave_at(Some(at));
                }
            }
            ServerEvent::Refreshed { expires_at_ms, .. } => self.plan_refresh(now, Some(expires_at_ms)),
            ServerEvent::Error(error) => {
                let retry_after = error.retry_after_ms.map(Duration::from_millis);
                let failed = ClientError::Server { code: error.code, message: error.message, retry_after };
                self.refused(now, error.id, error.channel.as_deref(), failed);
            }
            ServerEvent::Unsubscribed { .. } | ServerEvent::Heartbeat { .. } | ServerEvent::Unknown { .. } => {}
            reply => {
                let Some((to, command, reply)) = self.calls.answer(reply) else { return };
                if let Command::Ack { channel: Ok(channel), positions } = command
                    && let Some(live) = self.subscriptions.live(&channel)
                {
                    live.track.acknowledged(&positions);
                }
                self.effects.push(Effect::Answer { to, result: Ok(reply) });
            }
        }
    }

    fn connected(&mut self, now: Instant, connected: Connected) {
        if matches!(self.phase, Phase::Greeting { .. }) {
            self.be_ready(now, connected);
        }
    }

    /// The current line is authenticated: everything that is not on it yet is asked for.
    fn be_ready(&mut self, now: Instant, connected: Connected) {
        self.phase = Phase::Ready {
            since: now,
            heard: now,
            silence_max: Duration::from_millis(connected.heartbeat_interval_ms.max(1)).saturating_mul(2),
            leave_at: None,
        };
        self.refused_tokens = 0;
        if !connected.nodes.is_empty() {
            self.addresses.learn(&connected.nodes, &mut self.rng);
        }
        self.advised = None;
        self.resume = connected.resume;
        self.server_clock = Some((now, connected.time_ms));
        self.plan_refresh(now, connected.expires_at_ms);
        self.effects.push(Effect::State(ConnectionState::Connected {
            node: connected.node,
            connection_id: connected.connection_id,
            user: connected.user,
        }));
        let waiting = self.subscriptions.waiting();
        self.join(now, &waiting);
        for request in self.calls.unanswered() {
            self.effects.push(Effect::Send(Line::Current, vec![request]));
        }
    }

    fn plan_refresh(&mut self, now: Instant, expires_at_ms: Option<u64>) {
        self.refresh_at = None;
        let (Some(expires_at_ms), Some((at, time_ms))) = (expires_at_ms, self.server_clock) else { return };
        if !self.options.token_renews {
            return;
        }
        let server_now_ms = time_ms + u64::try_from((now - at).as_millis()).unwrap_or(u64::MAX);
        let left = Duration::from_millis(expires_at_ms.saturating_sub(server_now_ms));
        self.refresh_at = Some(now + left - REFRESH_BEFORE.min(left / 4));
    }

    fn call(&mut self, now: Instant, to: CallId, command: Command) {
        let id = self.take_id();
        let Some(request) = self.calls.add(now, id, to, command) else {
            return self.effects.push(Effect::Answer { to, result: Err(ClientError::TooManyCalls) });
        };
        if self.phase.is_ready() {
            self.effects.push(Effect::Send(Line::Current, vec![request]));
        }
    }

    /// An `error` frame, sent where its request came from.
    fn refused(&mut self, now: Instant, id: Option<i64>, channel: Option<&str>, error: ClientError) {
        if let Some((to, _)) = id.and_then(|id| self.calls.take(id)) {
            return self.effects.push(Effect::Answer { to, result: Err(error) });
        }
        if let Some(id) = id
            && self.subscription_refused(now, id, channel, &error)
        {
            return;
        }
        let ClientError::Server { code, ref message, retry_after } = error else { return };
        match (&self.phase, channel) {
            (Phase::Ready { .. }, Some(channel)) if id.is_none() && !code.is_retryable() => {
                if let Ok(channel) = ChannelName::new(channel) {
                    self.grant_ended(&channel, error);
                }
            }
            // The reason of the close that follows.
            _ => {
                tracing::debug!(?code, message, "the server refused something");
                if let Some(after) = retry_after {
                    self.advised = Some(now + after);
                }
                if matches!(code, ErrorCode::Unauthenticated | ErrorCode::TokenExpired) && self.options.token_renews {
                    self.token = None;
                }
            }
        }
    }

    fn send(&mut self, command: Command) {
        let id = Some(self.take_id());
        self.effects.push(Effect::Send(Line::Current, vec![Request { id, command }]));
    }

    fn take_id(&mut self) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// What happens in a channel besides messages.
    fn take_channel_event(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::Presence { channel, joined, user } => {
                self.deliver(&channel, SubscriptionEvent::Presence { user, joined });
            }
            ServerEvent::Dropped { channel, count } => self.deliver(&channel, SubscriptionEvent::Dropped { count }),
            ServerEvent::Reset { channel, position, reason } => {
                if let Some(live) = self.subscriptions.live(&channel)
                    && live.track.reset(position)
                {
                    self.deliver(&channel, SubscriptionEvent::Reset { position, reason });
                }
            }
            ServerEvent::Acked { channel, position, .. } => {
                if let Some(live) = self.subscriptions.live(&channel) {
                    live.track.acknowledged(&[position]);
                    self.deliver(&channel, SubscriptionEvent::Acknowledged { positions: vec![position] });
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
