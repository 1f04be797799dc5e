//! From a checked request to the backplane. Whatever is published passes here.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use tickwire_backplane::{Publish, Published};
use tickwire_protocol::{
    ChannelName, DeliveryClass, ErrorCode, Position, Priority, RawJson, publication::Tags, signature, time::now_ms,
};
use utoipa::ToSchema;

use crate::{
    api::{AUDIT_CHANNEL, App, DEAD_LETTERS, Refusal, metrics_code},
    metrics::ClassLabels,
};

/// A message older than this, or further in the future, is refused, milliseconds.
const AGE_MAX_MS: u64 = 60_000;
/// Longest idempotency key and longest `key`, bytes.
const KEY_BYTES_MAX: usize = 255;
/// Tags of one message.
const TAGS_MAX: usize = 32;
/// Longest name or value of a tag, bytes.
const TAG_BYTES_MAX: usize = 128;

/// A message as a caller writes it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MessageBody {
    /// Where to.
    #[schema(value_type = String, example = "room:lobby")]
    pub(crate) channel: ChannelName,
    /// Any JSON; its text is passed on as it stands.
    #[schema(value_type = serde_json::Value)]
    pub(crate) data: RawJson,
    /// Of a `latest` channel: whose newest value this is.
    pub(crate) key: Option<String>,
    /// `critical`, `high`, `medium` or `low`.
    #[schema(value_type = Option<String>)]
    pub(crate) priority: Option<Priority>,
    /// For subscription filters.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    pub(crate) tags: Option<Tags>,
    /// The same key within 5 minutes publishes nothing and gets the first answer.
    pub(crate) idempotency_key: Option<String>,
    /// When it was made, milliseconds since the Unix epoch; at most 60 s from now.
    pub(crate) timestamp: Option<u64>,
    /// HMAC-SHA256 as hex, see the description of this API.
    pub(crate) signature: Option<String>,
    /// Of a `latest` channel: when the value ceases to be one, milliseconds since the Unix epoch. Its key then makes room.
    pub(crate) expires_at: Option<u64>,
}

/// Where a message went.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Receipt {
    #[schema(value_type = String)]
    pub(crate) channel: ChannelName,
    /// `epoch-offset`; absent in a volatile namespace without history.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) position: Option<Position>,
    /// The idempotency key was known: nothing was published.
    pub(crate) duplicate: bool,
}

/// What of a request concerns all its messages.
#[derive(Debug, Default)]
pub(crate) struct RequestContext {
    /// `Idempotency-Key`, checked, or what was made of it.
    pub(crate) idempotency_key: Option<String>,
    /// W3C trace context, if sampled.
    pub(crate) traceparent: Option<String>,
}

impl App {
    /// A message to `channel` with the policy of its namespace.
    pub(crate) fn draft(
        &self,
        context: &RequestContext,
        channel: ChannelName,
        data: RawJson,
    ) -> Result<Publish, Refusal> {
        let bytes_max = self.config.emitter.data_bytes_max;
        if data.bytes().len() > bytes_max {
            return Err(Refusal::new(ErrorCode::TooLarge, format!("`data` is longer than {bytes_max} bytes")));
        }
        let Some(policy) = self.namespaces.policy(&channel) else {
            let message = format!("no namespace is configured for the channel `{channel}`");
            return Err(Refusal::new(ErrorCode::UnknownChannel, message));
        };
        let reserved = match channel.namespace() {
            AUDIT_CHANNEL => Some("the audit log is written by administrative calls alone"),
            DEAD_LETTERS => Some("dead letters are written by the emitter alone"),
            _ => None,
        };
        if let Some(message) = reserved {
            return Err(Refusal::new(ErrorCode::Forbidden, message));
        }
        let policy = policy.clone();
        Ok(Publish { traceparent: context.traceparent.clone(), ..Publish::new(channel, policy, data) })
    }

    /// Checks `message` and makes it ready to publish. Its own idempotency key goes before the header's.
    pub(crate) fn prepare(&self, context: &RequestContext, message: MessageBody) -> Result<Publish, Refusal> {
        let MessageBody { channel, data, key, priority, tags, idempotency_key, timestamp, signature, expires_at } =
            message;
        check_age(timestamp)?;
        self.check_signature(&channel, timestamp, &data, signature.as_deref())?;
        let tags = tags.unwrap_or_default();
        check_tags(&tags)?;
        if let Some(key) = &key {
            check_key("key", key)?;
        }
        if let Some(key) = &idempotency_key {
            check_key("idempotencyKey", key)?;
        }
        let idempotency_key = idempotency_key.or_else(|| context.idempotency_key.clone());
        let draft = self.draft(context, channel, data)?;
        if let Some(expires_at) = expires_at {
            if draft.policy.class != DeliveryClass::Latest {
                return Err(Refusal::bad_request("`expiresAt` is for channels of class `latest`"));
            }
            if expires_at <= now_ms() {
                return Err(Refusal::bad_request("`expiresAt` is not in the future"));
            }
        }
        // The signature is over the sender's time: who verifies it needs that one.
        let time_ms = timestamp.filter(|_| signature.is_some()).unwrap_or(draft.time_ms);
        let (priority, expires_at_ms) = (priority.unwrap_or_default(), expires_at);
        Ok(Publish { key, priority, tags, idempotency_key, signature, expires_at_ms, time_ms, ..draft })
    }

    fn check_signature(
        &self,
        channel: &ChannelName,
        timestamp: Option<u64>,
        data: &RawJson,
        given: Option<&str>,
    ) -> Result<(), Refusal> {
        let Some(given) = given else { return Ok(()) };
        let bad = |message| Err(Refusal::new(ErrorCode::BadSignature, message));
        let Some(secret) = &self.config.emitter.signing_secret else {
            return bad("signatures cannot be verified here: emitter.signing_secret is not set");
        };
        let Some(timestamp_ms) = timestamp else { return bad("a signed message has a `timestamp`") };
        if signature::verify(secret.expose().as_bytes(), channel, timestamp_ms, data, given) {
            Ok(())
        } else {
            bad("`signature` does not verify")
        }
    }

    /// Publishes one message. `Ok` means that the backplane has it.
    pub(crate) async fn publish(&self, publish: Publish) -> Result<Receipt, Refusal> {
        let results = self.publish_all(vec![publish]).await;
        let lost = || Refusal::new(ErrorCode::Internal, "internal error");
        results.into_iter().next().unwrap_or_else(|| Err(lost()))
    }

    /// Publishes each; results in order.
    pub(crate) async fn publish_all(&self, batch: Vec<Publish>) -> Vec<Result<Receipt, Refusal>> {
        let targets: Vec<(ChannelName, DeliveryClass, bool)> = batch
            .iter()
            .map(|publish| (publish.channel.clone(), publish.policy.class, publish.alert.is_some()))
            .collect();
        let started = Instant::now();
        let results = match <[Publish; 1]>::try_from(batch) {
            Ok([single]) => vec![self.backplane.publish(single).await],
            Err(batch) => self.backplane.publish_batch(batch).await,
        };
        self.metrics.publish_seconds.observe(started.elapsed().as_secs_f64());
        targets
            .into_iter()
            .zip(results)
            .map(|((channel, class, is_alert), result)| match result {
                Ok(published) => Ok(self.receipt(channel, class, is_alert, published)),
                Err(error) => Err(Refusal::from(&error)),
            })
            .collect()
    }

    fn receipt(&self, channel: ChannelName, class: DeliveryClass, is_alert: bool, published: Published) -> Receipt {
        let Published { position, duplicate } = published;
        if duplicate {
            self.metrics.duplicates.inc();
        } else {
            self.metrics.published.get_or_create(&ClassLabels { class: class_name(class) }).inc();
            self.metrics.alerts.inc_by(u64::from(is_alert));
        }
        Receipt { channel, position, duplicate }
    }

    /// Counts a refusal that does not become the request's own answer.
    pub(crate) fn count_refusal(&self, refusal: &Refusal) {
        self.metrics.refusals.get_or_create(&metrics_code(refusal.code)).inc();
    }
}

const fn class_name(class: DeliveryClass) -> &'static str {
    match class {
        DeliveryClass::Reliable => "reliable",
        DeliveryClass::Latest => "latest",
        DeliveryClass::Volatile => "volatile",
        DeliveryClass::Inbox => "inbox",
    }
}

/// Refuses a `timestamp` more than 60 s from now.
pub(crate) fn check_age(timestamp_ms: Option<u64>) -> Result<(), Refusal> {
    let Some(timestamp_ms) = timestamp_ms else { return Ok(()) };
    let now = now_ms();
    let stale = |message| Err(Refusal::new(ErrorCode::StaleMessage, message));
    if now.saturating_sub(timestamp_ms) > AGE_MAX_MS {
        return stale("`timestamp` is more than 60 s old");
    }
    if timestamp_ms.saturating_sub(now) > AGE_MAX_MS {
        return stale("`timestamp` is more than 60 s in the future; it counts milliseconds since the Unix epoch");
    }
    Ok(())
}

/// Refuses a key that is empty, too long or not printable.
pub(crate) fn check_key(field: &str, key: &str) -> Result<(), Refusal> {
    if (1..=KEY_BYTES_MAX).contains(&key.len()) && !key.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(Refusal::bad_request(format!("`{field}`: 1 to {KEY_BYTES_MAX} bytes without control characters")))
    }
}

fn check_tags(tags: &Tags) -> Result<(), Refusal> {
    let fits = |text: &String| text.len() <= TAG_BYTES_MAX;
    if tags.len() <= TAGS_MAX && tags.iter().all(|(name, value)| !name.is_empty() && fits(name) && fits(value)) {
        Ok(())
    } else {
        let message = format!("`tags`: at most {TAGS_MAX}, each name and value at most {TAG_BYTES_MAX} bytes");
        Err(Refusal::bad_request(message))
    }
}
