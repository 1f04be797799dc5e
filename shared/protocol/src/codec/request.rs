//! Commands: from frames on the edge, into frames on a client.

use bytes::Bytes;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::{
    DecodeLimits, Decoded, Fields, Malformed, Object,
    fields::{not_json, owned},
    json::{is_depth_within, push_string},
    msgpack,
};
use crate::{
    ChannelName, Command, DeviceId, Position, Request, SubscriptionRequest,
    command::{BadChannel, BadChannelReason},
};

/// Characters of a client's text that are repeated in an answer or a log.
const ECHO_CHARS_MAX: usize = 64;

type ChannelResult = Result<ChannelName, BadChannel>;

/// Native JSON: an object, or an array of them.
pub(crate) fn decode_json(frame: &[u8], limits: &DecodeLimits) -> Decoded {
    let Ok(text) = std::str::from_utf8(frame) else { return refused("the frame is not UTF-8") };
    if !text.trim_ascii_start().starts_with('[') {
        return vec![read_request(text, limits)];
    }
    match serde_json::from_str::<Vec<&RawValue>>(text) {
        Err(error) => vec![Err(not_json(&error))],
        Ok(commands) if commands.is_empty() => refused("an array of frames holds at least one"),
        Ok(commands) if commands.len() > limits.packed_max => too_many_packed(limits),
        Ok(commands) => commands.into_iter().map(|command| read_request(command.get(), limits)).collect(),
    }
}

/// Native MessagePack: one value, or several back to back.
pub(crate) fn decode_msgpack(frame: &[u8], limits: &DecodeLimits) -> Decoded {
    let mut json = Vec::with_capacity(frame.len() + frame.len() / 2);
    let mut ends: SmallVec<[usize; 4]> = SmallVec::new();
    let mut rest = frame;
    loop {
        if ends.len() == limits.packed_max {
            return too_many_packed(limits);
        }
        let begin = json.len();
        match msgpack::to_json(rest, limits.depth_max, &mut json) {
            Ok(after) => rest = after,
            Err(error) => {
                let id = Fields::read(text(&json[begin..])).0.id().ok().flatten();
                return vec![Err(Malformed::new(error.to_string()).with_id(id))];
            }
        }
        ends.push(json.len());
        if rest.is_empty() {
            break;
        }
    }
    let begins = std::iter::once(0).chain(ends.iter().copied());
    begins.zip(&ends).map(|(begin, &end)| read_request(text(&json[begin..end]), limits)).collect()
}

/// What [`msgpack::to_json`] wrote: whole strings and ASCII, so always text.
fn text(json: &[u8]) -> &str {
    std::str::from_utf8(json).unwrap_or_default()
}

fn refused(message: &str) -> Decoded {
    vec![Err(Malformed::new(message))]
}

fn too_many_packed(limits: &DecodeLimits) -> Decoded {
    refused(&format!("at most {} commands may be packed into one frame", limits.packed_max))
}

/// One command in its native form.
pub(crate) fn read_request(text: &str, limits: &DecodeLimits) -> Result<Request, Malformed> {
    read_with(text, limits, |fields| {
        let kind: String = fields.required("type", "a string")?;
        read_command(&kind, fields, limits)
    })
}

/// The frame around a command: its fields and `id`, which every error of `read` then carries.
pub(crate) fn read_with<'a>(
    text: &'a str,
    limits: &DecodeLimits,
    read: impl FnOnce(&Fields<'a>) -> Result<Command, Malformed>,
) -> Result<Request, Malformed> {
    let (fields, outcome) = Fields::read(text);
    let id = fields.id();
    let shown = id.as_ref().ok().copied().flatten();
    outcome.map_err(|malformed| malformed.with_id(shown))?;
    let id = id?;
    if !is_depth_within(text, limits.depth_max) {
        let message = format!("maps and lists may be nested {} deep", limits.depth_max);
        return Err(Malformed { id, message });
    }
    let command = read(&fields).map_err(|malformed| malformed.with_id(id))?;
    Ok(Request { id, command })
}

/// The command called `kind`, from its fields.
pub(crate) fn read_command(kind: &str, fields: &Fields<'_>, limits: &DecodeLimits) -> Result<Command, Malformed> {
    const TEXT: &str = "a string";
    Ok(match kind {
        "connect" => {
            let device = fields.optional("device", "1 to 64 printable ASCII characters without spaces")?;
            Command::Connect {
                token: fields.optional("token", TEXT)?,
                resume: fields.optional("resume", TEXT)?,
                device,
                max_rate: max_rate(fields)?,
            }
        }
        "subscribe" => Command::Subscribe { channels: subscriptions(fields, limits)? },
        "unsubscribe" => {
            let entries = entries(fields, limits)?;
            Command::Unsubscribe { channels: entries.into_iter().map(|entry| entry_channel(entry).0).collect() }
        }
        "publish" => Command::Publish {
            channel: one_channel(fields)?,
            key: fields.optional("key", TEXT)?,
            data: fields.raw("data").map(owned).ok_or_else(|| Malformed::new("`data` is missing"))?,
            idempotency_key: fields.optional("idempotencyKey", TEXT)?,
        },
        "history" => Command::History {
            channel: one_channel(fields)?,
            since: since(fields)?,
            limit: fields.optional("limit", "a whole number of 32 bits")?,
            reverse: fields.optional("reverse", "true or false")?.unwrap_or(false),
        },
        "presence" => Command::Presence { channel: one_channel(fields)? },
        "ack" => Command::Ack { channel: one_channel(fields)?, positions: positions(fields, limits)? },
        "preferences" => Command::Preferences { set: fields.object("set")? },
        "refresh" => Command::Refresh { token: fields.required("token", TEXT)? },
        "ping" => Command::Ping,
        "heartbeat" => Command::Heartbeat,
        unknown => return Err(Malformed::new(format!("there is no command `{}`", cleaned(unknown)))),
    })
}

/// The list under `channels` or one of its other names; a single entry counts as a list of one.
fn entries<'a>(fields: &Fields<'a>, limits: &DecodeLimits) -> Result<Vec<&'a RawValue>, Malformed> {
    let value = fields.given("channels").ok_or_else(|| Malformed::new("`channels` is missing"))?;
    let entries =
        if value.get().starts_with('[') { fields.required("channels", "a list of channels")? } else { vec![value] };
    bounded("channels", entries, limits)
}

fn bounded<T>(name: &str, entries: Vec<T>, limits: &DecodeLimits) -> Result<Vec<T>, Malformed> {
    match entries.len() {
        0 => Err(Malformed::new(format!("`{name}` is empty"))),
        length if length > limits.channels_max => {
            let most = limits.channels_max;
            Err(Malformed::new(format!("`{name}` has {length} entries; at most {most} are allowed in one command")))
        }
        _ => Ok(entries),
    }
}

/// Options stand beside the name: in the entry's own map, or, for a single name, in the command itself.
fn subscriptions(
    fields: &Fields<'_>,
    limits: &DecodeLimits,
) -> Result<Vec<Result<SubscriptionRequest, BadChannel>>, Malformed> {
    let is_single = fields.given("channels").is_some_and(|value| value.get().starts_with('"'));
    let subscription = |entry| {
        let (channel, own_options) = entry_channel(entry);
        let channel = channel?;
        let options = if is_single { Some(fields) } else { own_options.as_ref() };
        let Some(options) = options else { return Ok(SubscriptionRequest::new(channel)) };
        with_options(channel.clone(), options, limits).map_err(|malformed| BadChannel {
            name: cleaned(channel.as_str()),
            reason: BadChannelReason::Option(malformed.message),
        })
    };
    Ok(entries(fields, limits)?.into_iter().map(subscription).collect())
}

fn with_options(
    channel: ChannelName,
    options: &Fields<'_>,
    limits: &DecodeLimits,
) -> Result<SubscriptionRequest, Malformed> {
    let keys: Option<Vec<String>> = options.optional("keys", "a list of strings")?;
    Ok(SubscriptionRequest {
        channel,
        since: since(options)?,
        filter: options.optional("filter", "a string")?,
        max_rate: max_rate(options)?,
        keys: keys.map(|keys| bounded("keys", keys, limits)).transpose()?,
        delta: options.optional("delta", "true or false")?.unwrap_or(false),
        trace: options.optional("trace", "true or false")?.unwrap_or(false),
        params: options.object("params")?,
    })
}

fn max_rate(fields: &Fields<'_>) -> Result<Option<f64>, Malformed> {
    // The standard library reads to the nearest double; serde_json, as built here, may be off by one bit.
    let rate = |value: &RawValue| value.get().parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0);
    match fields.given("maxRate").map(rate) {
        Some(None) => Err(Malformed::new("`maxRate` must be a number greater than 0")),
        given => Ok(given.flatten()),
    }
}

/// The channel that an entry names, and its fields where it is a map.
fn entry_channel(entry: &RawValue) -> (ChannelResult, Option<Fields<'_>>) {
    if !entry.get().starts_with('{') {
        return (channel_name(entry), None);
    }
    let (fields, outcome) = Fields::read(entry.get());
    let channel = match (outcome, fields.given("channels")) {
        (Ok(()), Some(name)) => channel_name(name),
        (Ok(()), None) => Err(bad_option(entry, "an entry that is a map names its `channel`".into())),
        (Err(malformed), _) => Err(bad_option(entry, malformed.message)),
    };
    (channel, Some(fields))
}

fn channel_name(value: &RawValue) -> ChannelResult {
    let Ok(name) = serde_json::from_str::<String>(value.get()) else {
        return Err(bad_option(value, "a channel is a string, or a map with `channel`".into()));
    };
    ChannelName::new(&name).map_err(|reason| BadChannel { name: cleaned(&name), reason: reason.into() })
}

fn bad_option(written: &RawValue, reason: String) -> BadChannel {
    BadChannel { name: cleaned(written.get()), reason: BadChannelReason::Option(reason) }
}

fn one_channel(fields: &Fields<'_>) -> Result<ChannelResult, Malformed> {
    fields.given("channels").map(channel_name).ok_or_else(|| Malformed::new("`channel` is missing"))
}

fn since(fields: &Fields<'_>) -> Result<Option<Position>, Malformed> {
    fields.optional("since", "a position, such as \"1763683200000-17\"")
}

fn positions(fields: &Fields<'_>, limits: &DecodeLimits) -> Result<Vec<Position>, Malformed> {
    let mut positions: Vec<Position> = fields.optional("positions", "a list of positions")?.unwrap_or_default();
    positions.extend(fields.optional::<Position>("position", "a position")?);
    if positions.is_empty() {
        return Err(Malformed::new("`position` or `positions` is missing"));
    }
    bounded("positions", positions, limits)
}

/// What a client wrote, fit to be repeated.
pub(crate) fn cleaned(written: &str) -> String {
    let safe = |character: char| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
    written.chars().take(ECHO_CHARS_MAX).map(safe).collect()
}

/// Commands as one native frame: JSON (an array if there are several), or MessagePack values back to back. An entry that
/// was refused when it was read is written by its name.
pub fn encode_requests(binary: bool, requests: &[Request]) -> Bytes {
    let mut out = Vec::new();
    if binary {
        let mut json = Vec::new();
        for request in requests {
            json.clear();
            write_request(request, &mut json);
            msgpack::from_json(std::str::from_utf8(&json).unwrap_or_default(), &mut out);
        }
        return out.into();
    }
    if let [request] = requests {
        write_request(request, &mut out);
        return out.into();
    }
    out.push(b'[');
    for (at, request) in requests.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_request(request, &mut out);
    }
    out.push(b']');
    out.into()
}

fn write_request(request: &Request, out: &mut Vec<u8>) {
    let mut frame = Object::begin(out);
    if let Some(id) = request.id {
        frame.number("id", id);
    }
    frame.text("type", kind(&request.command));
    match &request.command {
        Command::Connect { token, resume, device, max_rate } => {
            optional_text(&mut frame, "token", token.as_deref());
            optional_text(&mut frame, "resume", resume.as_deref());
            optional_text(&mut frame, "device", device.as_ref().map(DeviceId::as_str));
            optional_rate(&mut frame, *max_rate);
        }
        Command::Subscribe { channels } => frame.list("channels", channels, write_subscription),
        Command::Unsubscribe { channels } => {
            frame.list("channels", channels, |out, channel| push_string(out, written(channel)));
        }
        Command::Publish { channel, key, data, idempotency_key } => {
            frame.text("channel", written(channel));
            optional_text(&mut frame, "key", key.as_deref());
            frame.raw("data", data);
            optional_text(&mut frame, "idempotencyKey", idempotency_key.as_deref());
        }
        Command::History { channel, since, limit, reverse } => {
            frame.text("channel", written(channel));
            optional_shown(&mut frame, "since", *since);
            if let Some(limit) = limit {
                frame.number("limit", limit);
            }
            if *reverse {
                frame.flag("reverse", true);
            }
        }
        Command::Presence { channel } => frame.text("channel", written(channel)),
        Command::Ack { channel, positions } => {
            frame.text("channel", written(channel));
            match positions.as_slice() {
                [position] => frame.shown("position", position),
                positions => {
                    frame.list("positions", positions, |out, position| push_string(out, &position.to_string()));
                }
            }
        }
        Command::Preferences { set: Some(set) } => frame.raw("set", set),
        Command::Preferences { set: None } | Command::Ping | Command::Heartbeat => {}
        Command::Refresh { token } => frame.text("token", token),
    }
    frame.end();
}

const fn kind(command: &Command) -> &'static str {
    match command {
        Command::Connect { .. } => "connect",
        Command::Subscribe { .. } => "subscribe",
        Command::Unsubscribe { .. } => "unsubscribe",
        Command::Publish { .. } => "publish",
        Command::History { .. } => "history",
        Command::Presence { .. } => "presence",
        Command::Ack { .. } => "ack",
        Command::Preferences { .. } => "preferences",
        Command::Refresh { .. } => "refresh",
        Command::Ping => "ping",
        Command::Heartbeat => "heartbeat",
    }
}

fn write_subscription(out: &mut Vec<u8>, subscription: &Result<SubscriptionRequest, BadChannel>) {
    let request = match subscription {
        Ok(request) if *request != SubscriptionRequest::new(request.channel.clone()) => request,
        Ok(plain) => return push_string(out, plain.channel.as_str()),
        Err(bad) => return push_string(out, &bad.name),
    };
    let mut entry = Object::begin(out);
    entry.text("channel", request.channel.as_str());
    optional_shown(&mut entry, "since", request.since);
    optional_text(&mut entry, "filter", request.filter.as_deref());
    optional_rate(&mut entry, request.max_rate);
    if let Some(keys) = &request.keys {
        entry.list("keys", keys, |out, key| push_string(out, key));
    }
    if request.delta {
        entry.flag("delta", true);
    }
    if request.trace {
        entry.flag("trace", true);
    }
    if let Some(params) = &request.params {
        entry.raw("params", params);
    }
    entry.end();
}

fn written(channel: &ChannelResult) -> &str {
    match channel {
        Ok(channel) => channel.as_str(),
        Err(bad) => &bad.name,
    }
}

fn optional_text(object: &mut Object<'_>, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        object.text(name, text);
    }
}

fn optional_rate(object: &mut Object<'_>, rate: Option<f64>) {
    if let Some(rate) = rate.and_then(serde_json::Number::from_f64) {
        object.number("maxRate", rate);
    }
}

fn optional_shown(object: &mut Object<'_>, name: &str, position: Option<Position>) {
    if let Some(position) = position {
        object.shown(name, position);
    }
}
