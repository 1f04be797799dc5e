//! Publishing: one function call a message, pipelined by partition.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use redis::{Cmd, RedisError, Value};
use tickwire_protocol::{DeliveryClass, Priority, envelope::Envelope, namespace::Policy};

use super::{
    core::{CallError, Core, REPEATS_MAX, no_link},
    error::{self, from_redis, unavailable, unexpected},
    functions,
    keys::Kind,
    leases,
    link::{Answers, Lane},
    reply,
    stats::Counters,
    vouched,
};
use crate::{BackplaneError, INBOX_CRITICAL_MAX, INBOX_ORDINARY_MAX, LATEST_KEYS_MAX, Publish, Published};

/// Messages in one pipeline; more go one pipeline after the other.
const PIPELINE_MAX: usize = 512;
/// How long the replicas have to confirm.
pub(super) const REPLICAS_TIMEOUT: Duration = Duration::from_secs(1);
/// Below this, a double's integers are exact: tokens are Lua's numbers.
const TOKENS: u64 = 1 << 53;

/// Whether the channels of such a namespace have positions.
pub(super) fn is_numbered(policy: &Policy) -> bool {
    policy.class != DeliveryClass::Volatile || policy.history_count > 0
}

/// How long a channel's numbering is kept, seconds: clearly longer than what it numbers.
pub(super) fn meta_ttl_s(policy: &Policy) -> u64 {
    u64::from(policy.history_ttl_s) * 2 + 86_400
}

/// How a message is told from others where it has no idempotency key, and how long ago it was first sent, if it was.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    token: u64,
    since_ms: Option<u64>,
}

/// Messages that go down one connection in order.
type Group<'a> = ((usize, bool), Vec<(usize, &'a Publish)>);

impl Core {
    pub(super) async fn publish_all(&self, batch: &[Publish]) -> Vec<Result<Published, BackplaneError>> {
        let named: Vec<Cow<'_, Publish>> = batch.iter().map(named).collect();
        let mut groups: BTreeMap<(usize, bool), Vec<(usize, &Publish)>> = BTreeMap::new();
        for (at, publish) in named.iter().map(|named| &**named).enumerate() {
            let partition = self.keys.partition(publish.channel.as_str());
            groups.entry((partition, self.is_durable(publish))).or_default().push((at, publish));
        }
        let results = join_all(groups.into_iter().map(|group| self.publish_group(group))).await;
        let mut in_order: Vec<Option<Result<Published, BackplaneError>>> = batch.iter().map(|_| None).collect();
        for (at, result) in results.into_iter().flatten() {
            in_order[at] = Some(result);
        }
        let results: Vec<_> = in_order
            .into_iter()
            .zip(batch)
            .map(|(result, publish)| {
                let published = result.unwrap_or_else(|| Err(unexpected("no answer")))?;
                Ok(Published { duplicate: published.duplicate && publish.idempotency_key.is_some(), ..published })
            })
            .collect();
        Counters::add(&self.counters.publishes, batch.len());
        Counters::add(&self.counters.publish_errors, results.iter().filter(|result| result.is_err()).count());
        results
    }

    async fn publish_group(
        &self,
        ((partition, is_durable), messages): Group<'_>,
    ) -> Vec<(usize, Result<Published, BackplaneError>)> {
        let mut results = Vec::with_capacity(messages.len());
        let mut failure: Option<BackplaneError> = None;
        for chunk in messages.chunks(PIPELINE_MAX) {
            let places = chunk.iter().map(|(at, _)| *at);
            if let Some(error) = &failure {
                results.extend(places.map(|at| (at, Err(error::shared(error)))));
                continue;
            }
            match self.within_deadline(self.publish_chunk(partition, is_durable, chunk)).await {
                Ok(published) => results.extend(places.zip(published)),
                Err(error) => {
                    results.extend(places.map(|at| (at, Err(error::shared(&error)))));
                    failure = Some(error);
                }
            }
        }
        results
    }

    /// Publishes in one pipeline, and again when the connection is lost under it: each message is known by its idempotency
    /// key, or by a token that the server's process remembers for a while. So only the same process is asked again for a
    /// message without a key; what it does not remember is `Unavailable`.
    async fn publish_chunk(
        &self,
        partition: usize,
        is_durable: bool,
        chunk: &[(usize, &Publish)],
    ) -> Result<Vec<Result<Published, BackplaneError>>, BackplaneError> {
        let tokens: Vec<u64> = chunk.iter().map(|_| rand::random_range(0..TOKENS)).collect();
        let are_keyed = chunk.iter().all(|(_, publish)| publish.idempotency_key.is_some());
        let lane = if is_durable { Lane::Own(partition) } else { Lane::Shared(partition) };
        let mut sent: Option<(Instant, String)> = None;
        for repeats in 0.. {
            let link = self.links.wait(partition).await.ok_or_else(no_link)?;
            if !are_keyed && sent.as_ref().is_some_and(|(_, server)| *server != link.run_id) {
                return Err(unavailable("the server changed under a message without an idempotency key"));
            }
            let since_ms = sent.as_ref().map(|(at, _)| millis(at.elapsed()) + 1);
            let attempt = |at: usize| Attempt { token: tokens[at], since_ms };
            let mut commands: Vec<Cmd> =
                chunk.iter().enumerate().map(|(at, (_, publish))| self.publish_call(publish, attempt(at))).collect();
            if is_durable {
                commands.extend(self.confirmation_calls(chunk, &link));
            }
            sent.get_or_insert_with(|| (Instant::now(), link.run_id.clone()));
            match self.call_on(&link, lane, &commands).await {
                Err(CallError::Lost(_)) if repeats < REPEATS_MAX => Counters::add(&self.counters.repeats, chunk.len()),
                Err(error) => return Err(error.into_backplane()),
                Ok(answers) => {
                    let results =
                        if is_durable { self.confirmed(answers, chunk, &link)? } else { all_published(answers, chunk) };
                    self.vouch(chunk, &results, &link.run_id);
                    return Ok(results);
                }
            }
        }
        Err(unexpected("no answer"))
    }

    /// Remembers for a while what must not be lost with `server`.
    fn vouch(&self, chunk: &[(usize, &Publish)], results: &[Result<Published, BackplaneError>], server: &str) {
        for ((_, publish), _) in chunk.iter().zip(results).filter(|(_, result)| result.is_ok()) {
            if vouched::is_vouched(publish) {
                self.vouched.vouch(publish, server);
            }
        }
    }

    /// The call whose function suits the class; arguments as `functions/publish.lua` lists them.
    fn publish_call(&self, publish: &Publish, attempt: Attempt) -> Cmd {
        let channel = publish.channel.as_str();
        let key = |kind| self.keys.of(kind, channel);
        let seen = publish.idempotency_key.as_ref().map(|key| self.keys.seen(&publish.channel, key));
        let owner = publish.owner.as_ref().map(|_| key(Kind::Owner));
        let identity = || seen.iter().chain(&owner).cloned();
        let expires_at_ms = publish.expires_at_ms.unwrap_or(0);
        match publish.policy.class {
            _ if !is_numbered(&publish.policy) => {
                let keys: Vec<String> = [key(Kind::Meta)].into_iter().chain(identity()).collect();
                self.with_common(functions::call("publish_live", &keys), publish, attempt)
            }
            DeliveryClass::Volatile | DeliveryClass::Reliable => {
                let keys: Vec<String> = [key(Kind::Meta), key(Kind::Stream)].into_iter().chain(identity()).collect();
                self.with_common(functions::call("publish_log", &keys), publish, attempt)
            }
            DeliveryClass::Latest => {
                let keys: Vec<String> = [key(Kind::Meta), key(Kind::Values)].into_iter().chain(identity()).collect();
                let mut command = self.with_common(functions::call("publish_latest", &keys), publish, attempt);
                command.arg(publish.key.as_deref().unwrap_or(channel)).arg(expires_at_ms).arg(LATEST_KEYS_MAX);
                command
            }
            DeliveryClass::Inbox => {
                let alerts = self.keys.alerts(channel);
                let alert_id = publish.alert.as_ref().map_or("", |alert| alert.id.as_str());
                let mut keys = vec![key(Kind::Meta), key(Kind::Stream), key(Kind::Ordinary)];
                keys.extend([key(Kind::Critical), key(Kind::Cursor), alerts + alert_id]);
                keys.extend(self.keys.awaited(self.keys.partition(channel)));
                keys.push(key(Kind::Devices));
                keys.extend(identity());
                let escalates_at_ms = publish.escalates_at_ms().unwrap_or(0);
                let mut command = self.with_common(functions::call("publish_inbox", &keys), publish, attempt);
                command
                    .arg(expires_at_ms)
                    .arg(u8::from(publish.priority == Priority::Critical))
                    .arg(INBOX_CRITICAL_MAX)
                    .arg(INBOX_ORDINARY_MAX)
                    .arg(alert_id)
                    .arg(escalates_at_ms);
                command
            }
        }
    }

    fn with_common(&self, mut command: Cmd, publish: &Publish, attempt: Attempt) -> Cmd {
        let policy = &publish.policy;
        command
            .arg(self.broadcast())
            .arg(self.keys.of(Kind::Live, publish.channel.as_str()))
            .arg(&envelope(publish)[..])
            .arg(publish.time_ms)
            .arg(meta_ttl_s(policy))
            // A time to live of 0 would delete at once, and be refused by EXPIRE's sister options.
            .arg(policy.history_ttl_s.max(1))
            .arg(policy.history_count);
        match (&publish.idempotency_key, attempt) {
            (Some(_), _) => command.arg("key"),
            (None, Attempt { token, since_ms: None }) => command.arg(token),
            (None, Attempt { token, since_ms: Some(since_ms) }) => command.arg(format!("again {since_ms} {token}")),
        };
        command.arg(publish.owner.as_ref().map_or("", |owner| owner.as_str()));
        match publish.fence {
            Some(fence) => command.arg(fence.0),
            None => command.arg(""),
        };
        command
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn envelope(publish: &Publish) -> bytes::Bytes {
    let is_latest = publish.policy.class == DeliveryClass::Latest;
    let own_name = || is_latest.then(|| publish.channel.as_str());
    Envelope {
        class: publish.policy.class,
        time_ms: publish.time_ms,
        priority: publish.priority,
        key: publish.key.as_deref().or_else(own_name),
        tags: &publish.tags,
        publisher: publish.publisher.as_ref(),
        signature: publish.signature.as_deref(),
        expires_at_ms: publish.expires_at_ms,
        traceparent: publish.traceparent.as_deref(),
        data: &publish.data,
    }
    .encode()
}

/// The message, with an idempotency key by chance where it must have one to be published again at another server.
fn named(publish: &Publish) -> Cow<'_, Publish> {
    if publish.idempotency_key.is_some() || !vouched::is_vouched(publish) {
        return Cow::Borrowed(publish);
    }
    let key = format!("{:032x}", rand::random::<u128>());
    Cow::Owned(Publish { idempotency_key: Some(key), ..publish.clone() })
}

fn all_published(answers: Answers, chunk: &[(usize, &Publish)]) -> Vec<Result<Published, BackplaneError>> {
    answers.into_iter().zip(chunk).map(|(answer, (_, publish))| published(answer, publish)).collect()
}

/// Reads an answer. A message without a key that was published already was so by an earlier attempt of this very call; of
/// one with a key nobody can tell, so it is a duplicate.
pub(super) fn published(answer: Result<Value, RedisError>, publish: &Publish) -> Result<Published, BackplaneError> {
    let is_keyed = publish.idempotency_key.is_some();
    let text = reply::text(answer.map_err(from_redis)?)?;
    let position = |text: &str| if text.is_empty() { Ok(None) } else { reply::parse_position(text).map(Some) };
    match (text.strip_prefix('='), text.strip_prefix('!')) {
        (Some(first), _) => Ok(Published { position: position(first)?, duplicate: is_keyed }),
        (_, Some("inbox_full")) => Err(BackplaneError::InboxFull),
        (_, Some("too_many_keys")) => Err(BackplaneError::TooManyKeys),
        (_, Some("forgotten")) => Err(unavailable("the connection was lost under the message")),
        (_, Some(other)) => match other.strip_prefix("fenced ") {
            Some(newest) => Err(leases::refused(newest)),
            None => Err(unexpected(other)),
        },
        _ => Ok(Published { position: position(&text)?, duplicate: false }),
    }
}
