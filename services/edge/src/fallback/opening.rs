//! What SSE and polling begin with: read the request, subscribe, and see what each channel answers.

use std::{future::poll_fn, time::Duration};

use http::request::Parts;
use serde::Deserialize;
use serde_json::value::RawValue;
use tickwire_protocol::{ChannelName, DeliveryClass, ErrorCode, Position, SubscriptionRequest};

use super::cursors::{Cursors, InvalidCursors};
use crate::{
    accept::{Visitor, parameter},
    connection::pull::{Pull, PullItem},
    limits::Refusal,
    metrics::Transport,
};

/// How long subscribing may take before the client is told to come again.
const OPENING: Duration = Duration::from_secs(10);

/// The parts of a native frame that matter here.
#[derive(Debug, Deserialize)]
pub(super) struct FrameParts<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: std::borrow::Cow<'a, str>,
    #[serde(default)]
    pub(super) channel: Option<String>,
    #[serde(default)]
    pub(super) class: Option<DeliveryClass>,
    #[serde(default)]
    pub(super) position: Option<Position>,
    #[serde(default)]
    pub(super) recovered: bool,
    #[serde(default, borrow)]
    pub(super) messages: Vec<&'a RawValue>,
    #[serde(default)]
    code: Option<ErrorCode>,
    #[serde(default)]
    message: Option<String>,
}

impl<'a> FrameParts<'a> {
    /// Of a frame that this node wrote itself; `None` would be a mistake of its own, and is said in the log.
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body)
            .inspect_err(|error| tracing::error!(%error, "a frame of this node's own is not readable"))
            .ok()
    }
}

/// A subscribed connection and what came first.
pub(super) struct Opened {
    pub(super) pull: Pull,
    /// Up to the last channel's reply, in order.
    pub(super) first: Vec<PullItem>,
    /// Where the client stood, for the channels it asks for.
    pub(super) cursors: Cursors,
}

/// Admits the client and subscribes. When every channel is refused, the answer is the first one's error.
pub(super) async fn open(visitor: &Visitor<'_>, head: &Parts, transport: Transport) -> Result<Opened, Refusal> {
    let (channels, cursors) = wanted(visitor, head)?;
    let admission = visitor.admit(head).await?;
    let handshake = admission.pull_handshake(transport)?;
    visitor.release();
    visitor.deadline.extend(OPENING * 2);
    let requests = channels
        .into_iter()
        .map(|channel| SubscriptionRequest { since: cursors.get(&channel), ..SubscriptionRequest::new(channel) })
        .collect::<Vec<_>>();
    let replies_wanted = requests.len();
    let mut pull = visitor.shard.open_pull(handshake, requests);
    match tokio::time::timeout(OPENING, first_replies(&mut pull, replies_wanted)).await {
        Ok(Ok(first)) => Ok(Opened { pull, first, cursors }),
        Ok(Err(refused)) => Err(refused),
        Err(_) => Err(unavailable("subscribing took too long: try again later")),
    }
}

/// The channels asked for, once each, and where the client stands in them.
fn wanted(visitor: &Visitor<'_>, head: &Parts) -> Result<(Vec<ChannelName>, Cursors), Refusal> {
    let query = head.uri.query().unwrap_or_default();
    let bad = |message: &dyn ToString| Refusal {
        code: ErrorCode::BadRequest,
        message: message.to_string(),
        retry_after: None,
    };
    let mut channels: Vec<ChannelName> = Vec::new();
    let most = visitor.shard.node.config.limits.channels_per_connection;
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if !matches!(&*key, "channels" | "topics") {
            continue;
        }
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let channel = ChannelName::new(name).map_err(|error| bad(&error))?;
            if !channels.contains(&channel) {
                channels.push(channel);
            }
            if most > 0 && channels.len() > most {
                return Err(Refusal::channels(most));
            }
        }
    }
    if channels.is_empty() {
        return Err(bad(&"name at least one channel: ?channels=a,b"));
    }
    let last_event = head.headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(Into::into);
    let since = last_event.or_else(|| parameter(Some(query), "since")).unwrap_or_default();
    let mut cursors: Cursors = since.parse().map_err(|error: InvalidCursors| bad(&error))?;
    cursors.retain(|channel| channels.contains(channel));
    Ok((channels, cursors))
}

/// Items up to the last of `wanted` replies to the subscription.
async fn first_replies(pull: &mut Pull, wanted: usize) -> Result<Vec<PullItem>, Refusal> {
    let mut first = Vec::new();
    let (mut subscribed, mut refused, mut refusal) = (0, 0, None);
    while subscribed + refused < wanted {
        let Some(item) = poll_fn(|cx| pull.poll_item(cx)).await else {
            return Err(unavailable("the connection ended: try again"));
        };
        if let Some(frame) = FrameParts::read(&item.body) {
            match &*frame.kind {
                "subscribed" => subscribed += 1,
                "error" => {
                    refused += 1;
                    refusal = refusal.or(frame.code.zip(frame.message));
                }
                _ => {}
            }
        }
        first.push(item);
    }
    match refusal {
        Some((code, message)) if subscribed == 0 => Err(Refusal { code, message, retry_after: None }),
        _ => Ok(first),
    }
}

fn unavailable(message: &str) -> Refusal {
    Refusal { code: ErrorCode::Unavailable, message: message.into(), retry_after: Some(Duration::from_secs(1)) }
}
