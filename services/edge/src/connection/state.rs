//! What a connection's frames and commands mean: authentication, dialect, subscriptions, rates. No I/O, no clock of its own.

use std::{rc::Rc, sync::Arc, time::Instant};

use serde::Deserialize;
use smallvec::SmallVec;
use tickwire_auth::{Decision, Identity, may_publish, may_read};
use tickwire_backplane::{HistoryQuery, Publish};
use tickwire_protocol::{
    ChannelName, Command, DeliveryClass, DeviceId, ErrorCode, Event, Position, RawJson, Request, SubscriptionRequest,
    book::{self, Depth},
    codec::{DecodeLimits, Malformed},
    command::BadChannel,
    dialect::Dialect,
    event::ErrorEvent,
    filter::Filter,
    namespace::{Namespaces, Policy},
    preferences::Preferences,
};

use crate::{
    config::{EdgeConfig, LimitsConfig},
    hub::{audience::Place, rate::Rate},
    limits::{Refusal, Spending},
    outbox::ChannelId,
};

/// What a state needs to know of its surroundings.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) limits: &'a LimitsConfig,
    pub(crate) edge: &'a EdgeConfig,
    pub(crate) namespaces: &'a Namespaces,
    /// The wall clock, milliseconds.
    pub(crate) now_ms: u64,
}

/// One channel of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) channel: ChannelId,
    /// Of the request: an answer to an earlier one, left meanwhile, is not its answer.
    pub(crate) serial: u32,
    /// Among the channel's subscribers; `None` until the reply is sent.
    pub(crate) place: Option<Place>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) identity: Option<Rc<Identity>>,
    /// One needs no allocation.
    pub(crate) subscriptions: SmallVec<[Subscription; 1]>,
    /// Which of its user's devices it is, where it said so: whose read cursor it moves.
    pub(crate) device: Option<DeviceId>,
    /// Of all its `latest` channels together.
    pub(crate) rate: Option<Box<Rate>>,
    /// It offered a `tickwire.v1` subprotocol.
    pub(crate) offered: bool,
    dialect: Option<Dialect>,
    area: Option<Arc<str>>,
    spending: Spending,
    malformed: Option<Box<Malfunction>>,
}

/// Malformed frames in the current minute.
#[derive(Debug)]
struct Malfunction {
    since: Instant,
    count: u32,
}

/// How a subscription differs from a plain one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Options {
    pub(crate) filter: Option<Filter>,
    pub(crate) keys: Option<Vec<String>>,
    /// Messages a second.
    pub(crate) max_rate: Option<f64>,
    /// Messages go with their times.
    pub(crate) trace: bool,
    /// The connection's own rate counts too.
    pub(crate) is_paced: bool,
    /// Changed fields instead of whole values, where the client has the last one.
    pub(crate) delta: bool,
    /// A view of a book's best levels instead of its messages.
    pub(crate) depth: Option<Depth>,
}

/// A subscription that the rules allow.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) id: Option<i64>,
    pub(crate) channel: ChannelName,
    pub(crate) policy: Policy,
    pub(crate) since: Option<Position>,
    pub(crate) options: Option<Box<Options>>,
    /// From its `params`.
    pub(crate) device: Option<DeviceId>,
}

/// What follows from a command.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Say this.
    Reply(Event),
    /// Remember which device it is.
    Device(DeviceId),
    /// Keep to this many messages a second in `latest` channels subscribed from now on.
    Pace(f64),
    /// Check the token, then authenticate.
    Verify { id: Option<i64>, token: String, refresh: bool },
    /// Join; if `owner_only`, only the channel's recorded owner may.
    Subscribe { wanted: Box<Wanted>, owner_only: bool },
    /// Leave.
    Unsubscribe { id: Option<i64>, channel: ChannelName },
    /// Ask the backplane; of `owner_only`, only the recorded owner may.
    Ask { id: Option<i64>, ask: Box<Ask>, owner_only: Option<ChannelName> },
}

/// A question for the backplane, on behalf of a client.
#[derive(Debug)]
pub(crate) enum Ask {
    Publish(Box<Publish>),
    History { channel: ChannelName, policy: Policy, query: HistoryQuery },
    Presence { channel: ChannelName },
    Ack { channel: ChannelName, device: Option<DeviceId>, positions: Vec<Position> },
    Preferences { set: Option<RawJson> },
}

pub(crate) type Effects = SmallVec<[Effect; 2]>;

/// What a frame holds.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) requests: Vec<Result<Request, Malformed>>,
    /// Over the rate: nothing of the frame is carried out.
    pub(crate) refused: Option<Refusal>,
}

impl State {
    pub(crate) fn new(
        identity: Option<Identity>,
        dialect: Option<Dialect>,
        offered: bool,
        area: Option<Arc<str>>,
    ) -> Self {
        Self {
            identity: identity.map(Rc::new),
            subscriptions: SmallVec::new(),
            device: None,
            rate: None,
            offered,
            dialect,
            area,
            spending: Spending::default(),
            malformed: None,
        }
    }

    /// What it speaks; the native JSON until its first frame says otherwise.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect.unwrap_or(Dialect::Json)
    }

    /// What it speaks, once that is known.
    pub(crate) fn decided(&self) -> Option<Dialect> {
        self.dialect
    }

    /// Takes a frame apart.
    pub(crate) fn on_frame(&mut self, now: Instant, frame: &[u8], text: bool, limits: &LimitsConfig) -> Decoded {
        let dialect = *self.dialect.get_or_insert_with(|| Dialect::detect(frame));
        let requests = if text && dialect.is_binary() {
            // One mistake, not one for each character.
            vec![Err(Malformed::new("this dialect comes in binary frames"))]
        } else {
            dialect.decode(frame, &DecodeLimits::default())
        };
        let commands = u32::try_from(requests.len()).unwrap_or(u32::MAX);
        let refused = self.spending.spend(now, frame.len(), commands, limits).err().map(Refusal::rate);
        Decoded { requests, refused }
    }

    /// Counts a malformed frame; whether there have been too many.
    pub(crate) fn on_malformed(&mut self, now: Instant, limits: &LimitsConfig) -> bool {
        let counted = self.malformed.get_or_insert_with(|| Box::new(Malfunction { since: now, count: 0 }));
        if now.duration_since(counted.since).as_secs() >= 60 {
            **counted = Malfunction { since: now, count: 0 };
        }
        counted.count += 1;
        limits.malformed_per_minute > 0 && counted.count > limits.malformed_per_minute
    }

    /// What a command leads to. `is_subscribed` tells whether the connection has (or is joining) a channel.
    pub(crate) fn on_request(
        &self,
        request: Request,
        context: Context<'_>,
        is_subscribed: impl Fn(&ChannelName) -> bool,
    ) -> Effects {
        let Request { id, command } = request;
        let mut effects = Effects::new();
        match command {
            Command::Ping => effects.push(Effect::Reply(Event::Pong { id, time_ms: context.now_ms })),
            Command::Heartbeat => effects.push(Effect::Reply(Event::Heartbeat { time_ms: context.now_ms })),
            // `resume` needs no answer: positions say where a client stands.
            Command::Connect { token, device, max_rate, .. } => {
                effects.extend(device.map(Effect::Device));
                effects.extend(max_rate.filter(|_| token.is_some()).map(Effect::Pace));
                effects.push(self.on_connect(id, token));
            }
            command => match &self.identity {
                Some(identity) => self.on_command(id, command, identity, context, is_subscribed, &mut effects),
                None => effects.push(refuse(id, ErrorCode::Unauthenticated, "send `connect` with a token first", None)),
            },
        }
        effects
    }

    fn on_connect(&self, id: Option<i64>, token: Option<String>) -> Effect {
        match token {
            Some(token) => Effect::Verify { id, token, refresh: self.identity.is_some() },
            None if self.identity.is_some() => refuse(id, ErrorCode::BadRequest, "the connection is connected", None),
            None => refuse(id, ErrorCode::Unauthenticated, "`connect` needs a token", None),
        }
    }

    fn on_command(
        &self,
        id: Option<i64>,
        command: Command,
        identity: &Identity,
        context: Context<'_>,
        is_subscribed: impl Fn(&ChannelName) -> bool,
        effects: &mut Effects,
    ) {
        match command {
            Command::Connect { .. } | Command::Ping | Command::Heartbeat => {}
            Command::Subscribe { channels } => {
                let mut count = self.subscriptions.len();
                let mut asked: Vec<ChannelName> = Vec::new();
                for entry in channels {
                    let taken = |channel: &ChannelName| is_subscribed(channel) || asked.contains(channel);
                    let effect = self.on_subscribe(id, entry, identity, context, count, taken);
                    if let Effect::Subscribe { wanted, .. } = &effect {
                        count += 1;
                        asked.push(wanted.channel.clone());
                    }
                    effects.push(effect);
                }
            }
            Command::Unsubscribe { channels } => {
                for entry in channels {
                    effects.push(match entry {
                        Ok(channel) if is_subscribed(&channel) => Effect::Unsubscribe { id, channel },
                        Ok(channel) => refuse(
                            id,
                            ErrorCode::NotSubscribed,
                            "not subscribed to this channel",
                            Some(channel.as_str()),
                        ),
                        Err(bad) => refuse_entry(id, &bad),
                    });
                }
            }
            Command::Refresh { token } => effects.push(Effect::Verify { id, token, refresh: true }),
            Command::Preferences { set } => {
                effects.push(match set.as_ref().map(Preferences::check_changes) {
                    Some(Err(error)) => refuse(id, ErrorCode::BadRequest, &error.to_string(), None),
                    Some(Ok(())) | None => ask(id, Ask::Preferences { set }, None),
                });
            }
            Command::Publish { channel, key, data, idempotency_key } => {
                let publish = |channel, policy| {
                    let mut publish = Publish::new(channel, policy, data);
                    publish.time_ms = context.now_ms;
                    publish.key = key;
                    // No user's key silences another's message. No user id holds the separator.
                    publish.idempotency_key = idempotency_key.map(|key| format!("{}:{key}", identity.user.as_str()));
                    publish.publisher = Some(identity.user.clone());
                    publish
                };
                effects.push(match self.known(id, channel, context) {
                    Ok((channel, policy)) if may_publish(identity, &channel, policy) => {
                        ask(id, Ask::Publish(Box::new(publish(channel, policy.clone()))), None)
                    }
                    Ok((channel, _)) => {
                        refuse(id, ErrorCode::Forbidden, "clients may not publish here", Some(channel.as_str()))
                    }
                    Err(effect) => effect,
                });
            }
            Command::History { channel, since, limit, reverse } => {
                effects.push(self.on_history(id, channel, identity, context, (since, limit, reverse)));
            }
            Command::Presence { channel } => effects.push(self.on_presence(id, channel, identity, context)),
            Command::Ack { channel, positions } => effects.push(self.on_ack(id, channel, positions, identity, context)),
        }
    }

    /// The channel's policy, if it exists for this connection.
    fn known<'a>(
        &self,
        id: Option<i64>,
        channel: Result<ChannelName, BadChannel>,
        context: Context<'a>,
    ) -> Result<(ChannelName, &'a Policy), Effect> {
        let channel = channel.map_err(|bad| refuse_entry(id, &bad))?;
        let in_area = self.area.as_ref().is_none_or(|area| {
            let namespaces = context.edge.areas.get(&**area);
            namespaces.is_some_and(|names| names.iter().any(|name| name == channel.namespace()))
        });
        match context.namespaces.policy(&channel) {
            Some(policy) if in_area => Ok((channel, policy)),
            _ => {
                let text =
                    if in_area { "no namespace has this name" } else { "this address does not serve the channel" };
                Err(refuse(id, ErrorCode::UnknownChannel, text, Some(channel.as_str())))
            }
        }
    }

    /// The channel's policy, and the channel itself where only its owner may read it, if this connection's user may at all.
    fn readable<'a>(
        &self,
        id: Option<i64>,
        channel: Result<ChannelName, BadChannel>,
        identity: &Identity,
        context: Context<'a>,
    ) -> Result<(ChannelName, &'a Policy, Option<ChannelName>), Effect> {
        let (channel, policy) = self.known(id, channel, context)?;
        match may_read(identity, &channel, policy) {
            Decision::Allow => Ok((channel, policy, None)),
            Decision::IfOwner => Ok((channel.clone(), policy, Some(channel))),
            Decision::Deny => Err(not_allowed(id, &channel)),
        }
    }

    fn on_subscribe(
        &self,
        id: Option<i64>,
        entry: Result<SubscriptionRequest, BadChannel>,
        identity: &Identity,
        context: Context<'_>,
        count: usize,
        is_taken: impl Fn(&ChannelName) -> bool,
    ) -> Effect {
        let request = match entry {
            Ok(request) => request,
            Err(bad) => return refuse_entry(id, &bad),
        };
        let (channel, policy) = match self.known(id, Ok(request.channel.clone()), context) {
            Ok(known) => known,
            Err(effect) => return effect,
        };
        let name = Some(channel.as_str());
        if is_taken(&channel) {
            return refuse(id, ErrorCode::AlreadySubscribed, "already subscribed to this channel", name);
        }
        let most = context.limits.channels_per_connection;
        if most > 0 && count >= most {
            let refusal = Refusal::channels(most);
            return refuse(id, refusal.code, &refusal.message, name);
        }
        let params_max = context.limits.params_bytes;
        if request.params.as_ref().is_some_and(|params| params.bytes().len() > params_max) {
            return refuse(id, ErrorCode::TooLarge, &format!("params may have {params_max} bytes at most"), name);
        }
        let options = match options(&request, policy, self) {
            Ok(options) => options,
            Err(text) => return refuse(id, ErrorCode::BadRequest, &text, name),
        };
        let owner_only = match may_read(identity, &channel, policy) {
            Decision::Allow => false,
            Decision::IfOwner => true,
            Decision::Deny => return not_allowed(id, &channel),
        };
        let device = match request.params.as_ref().map(device).transpose() {
            Ok(device) => device.flatten(),
            Err(text) => return refuse(id, ErrorCode::BadRequest, &text, name),
        };
        // A view begins with all that it shows.
        let since = request.since.filter(|_| options.as_ref().is_none_or(|options| options.depth.is_none()));
        let wanted = Wanted { id, policy: policy.clone(), since, options, device, channel };
        Effect::Subscribe { wanted: Box::new(wanted), owner_only }
    }

    fn on_history(
        &self,
        id: Option<i64>,
        channel: Result<ChannelName, BadChannel>,
        identity: &Identity,
        context: Context<'_>,
        (since, limit, reverse): (Option<Position>, Option<u32>, bool),
    ) -> Effect {
        let (channel, policy, owner_only) = match self.readable(id, channel, identity, context) {
            Ok(known) => known,
            Err(effect) => return effect,
        };
        if policy.history_count == 0 {
            return refuse(id, ErrorCode::BadRequest, "this channel keeps no history", Some(channel.as_str()));
        }
        let limit = limit.map_or(100, |limit| limit as usize).min(1_000);
        let query = HistoryQuery { since, limit, reverse };
        ask(id, Ask::History { channel, policy: policy.clone(), query }, owner_only)
    }

    fn on_presence(
        &self,
        id: Option<i64>,
        channel: Result<ChannelName, BadChannel>,
        identity: &Identity,
        context: Context<'_>,
    ) -> Effect {
        let (channel, policy, owner_only) = match self.readable(id, channel, identity, context) {
            Ok(known) => known,
            Err(effect) => return effect,
        };
        if !policy.presence {
            return refuse(id, ErrorCode::BadRequest, "this channel does not track presence", Some(channel.as_str()));
        }
        ask(id, Ask::Presence { channel }, owner_only)
    }

    fn on_ack(
        &self,
        id: Option<i64>,
        channel: Result<ChannelName, BadChannel>,
        positions: Vec<Position>,
        identity: &Identity,
        context: Context<'_>,
    ) -> Effect {
        let (channel, policy, owner_only) = match self.readable(id, channel, identity, context) {
            Ok(known) => known,
            Err(effect) => return effect,
        };
        if policy.class != DeliveryClass::Inbox {
            return refuse(id, ErrorCode::BadRequest, "only an inbox is acknowledged", Some(channel.as_str()));
        }
        let device = self.device.clone();
        ask(id, Ask::Ack { channel, device, positions }, owner_only)
    }
}

/// The device that a subscription's `params` name.
fn device(params: &RawJson) -> Result<Option<DeviceId>, String> {
    #[derive(Deserialize)]
    struct Params {
        device: Option<DeviceId>,
    }
    params.to::<Params>().map(|params| params.device).map_err(|error| format!("params: {error}"))
}

/// The view of a book that its `params` ask for; elsewhere `depth` means nothing to the edge.
fn depth(request: &SubscriptionRequest, policy: &Policy) -> Result<Option<Depth>, String> {
    #[derive(Deserialize)]
    struct Params {
        depth: Option<Depth>,
    }
    let Some(params) = request.params.as_ref().filter(|_| request.channel.namespace() == book::NAMESPACE) else {
        return Ok(None);
    };
    let depth = params.to::<Params>().map_err(|error| format!("params: {error}"))?.depth;
    // Anything else skips messages, and a book with a hole in it is wrong.
    if depth.is_some() && policy.class != DeliveryClass::Reliable {
        return Err("depth is for channels of class reliable".into());
    }
    Ok(depth)
}

/// Compiles what stands beside the channel's name.
fn options(request: &SubscriptionRequest, policy: &Policy, state: &State) -> Result<Option<Box<Options>>, String> {
    let mut options = Options::default();
    let is_native = matches!(state.dialect(), Dialect::Json | Dialect::MsgPack);
    if let Some(text) = &request.filter {
        options.filter = Some(Filter::parse(text).map_err(|error| error.to_string())?);
    }
    if let Some(keys) = &request.keys {
        if policy.class != DeliveryClass::Latest {
            return Err("keys are for channels of class latest".into());
        }
        options.keys = Some(keys.clone());
    }
    if let Some(rate) = request.max_rate {
        if policy.class.is_lossless() {
            return Err("maxRate would lose messages of this channel; it is for latest and volatile ones".into());
        }
        options.max_rate = Some(rate);
    }
    if request.delta {
        if policy.class != DeliveryClass::Latest {
            return Err("delta is for channels of class latest".into());
        }
        if !is_native {
            return Err("this dialect has no deltas: use a tickwire.v1 subprotocol".into());
        }
        options.delta = true;
    }
    if request.trace {
        if !is_native {
            return Err("this dialect shows no trace: use a tickwire.v1 subprotocol".into());
        }
        if request.delta {
            return Err("trace and delta do not go together".into());
        }
        options.trace = true;
    }
    options.depth = depth(request, policy)?;
    if options.depth.is_some() && options != (Options { depth: options.depth, ..Options::default() }) {
        return Err("a depth goes with no filter, keys, maxRate, delta or trace".into());
    }
    options.is_paced = state.rate.is_some() && policy.class == DeliveryClass::Latest;
    Ok((options != Options::default()).then(|| Box::new(options)))
}

/// An `error` about a channel.
pub(crate) fn error(id: Option<i64>, code: ErrorCode, message: &str, channel: Option<&str>) -> Event {
    let retry_after_ms = None;
    let channel = channel.map(str::to_owned);
    Event::Error(Box::new(ErrorEvent { id, code, message: message.to_owned(), channel, retry_after_ms }))
}

/// An `error` for a refusal.
pub(crate) fn refused(id: Option<i64>, refusal: &Refusal) -> Event {
    let retry_after_ms = refusal.retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    let message = refusal.message.clone();
    Event::Error(Box::new(ErrorEvent { id, code: refusal.code, message, channel: None, retry_after_ms }))
}

/// Who may not read a channel is told no more of it.
pub(crate) fn forbidden(id: Option<i64>, channel: &ChannelName) -> Event {
    error(id, ErrorCode::Forbidden, "the token does not allow this channel", Some(channel.as_str()))
}

fn not_allowed(id: Option<i64>, channel: &ChannelName) -> Effect {
    Effect::Reply(forbidden(id, channel))
}

fn ask(id: Option<i64>, ask: Ask, owner_only: Option<ChannelName>) -> Effect {
    Effect::Ask { id, ask: Box::new(ask), owner_only }
}

fn refuse(id: Option<i64>, code: ErrorCode, message: &str, channel: Option<&str>) -> Effect {
    Effect::Reply(error(id, code, message, channel))
}

fn refuse_entry(id: Option<i64>, bad: &BadChannel) -> Effect {
    Effect::Reply(error(id, ErrorCode::BadRequest, &bad.to_string(), Some(&bad.name)))
}
