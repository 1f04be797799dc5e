//! Publishing: one function call a message, pipelined by partition.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use redis::{Cmd, RedisError, Value};
use tickwire_protocol::{DeliveryClass, Priority, envelope::Envelope, namespace::Policy};

use super::{
    core::Core,
    error::{self, from_redis, unexpected},
    functions,
    keys::Kind,
    link::Lane,
    reply,
    stats::Counters,
};
use crate::{
    BackplaneError, IDEMPOTENCY_WINDOW, INBOX_CRITICAL_MAX, INBOX_ORDINARY_MAX, LATEST_KEYS_MAX, Publish, Published,
};

/// Messages in one pipeline; more go one pipeline after the other.
const PIPELINE_MAX: usize = 512;
/// How long the replicas have to confirm.
const REPLICAS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an owner is remembered after the last message that named one, seconds.
const OWNER_TTL_S: u64 = 30 * 86_400;

/// Whether the channels of such a namespace have positions.
pub(super) fn is_numbered(policy: &Policy) -> bool {
    policy.class != DeliveryClass::Volatile || policy.history_count > 0
}

/// How long a channel's numbering is kept, seconds: clearly longer than what it numbers.
pub(super) fn meta_ttl_s(policy: &Policy) -> u64 {
    u64::from(policy.history_ttl_s) * 2 + 86_400
}

/// Messages that go down one connection in order.
type Group<'a> = ((usize, bool), Vec<(usize, &'a Publish)>);

impl Core {
    pub(super) async fn publish_all(&self, batch: &[Publish]) -> Vec<Result<Published, BackplaneError>> {
        let mut groups: BTreeMap<(usize, bool), Vec<(usize, &Publish)>> = BTreeMap::new();
        for (at, publish) in batch.iter().enumerate() {
            let partition = self.keys.partition(publish.channel.as_str());
            groups.entry((partition, publish.policy.replicas_min > 0)).or_default().push((at, publish));
        }
        let results = join_all(groups.into_iter().map(|group| self.publish_group(group))).await;
        let mut in_order: Vec<Option<Result<Published, BackplaneError>>> = batch.iter().map(|_| None).collect();
        for (at, result) in results.into_iter().flatten() {
            in_order[at] = Some(result);
        }
        let results: Vec<_> =
            in_order.into_iter().map(|result| result.unwrap_or_else(|| Err(unexpected("no answer")))).collect();
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
            if let Some(error) = &failure {
                results.extend(chunk.iter().map(|(at, _)| (*at, Err(error::shared(error)))));
                continue;
            }
            let outcome = if is_durable {
                self.publish_durably(partition, chunk).await
            } else {
                let commands = chunk.iter().map(|(_, publish)| self.publish_call(publish)).collect();
                let answers = self.call_all(Lane::Shared(partition), commands).await;
                answers.map(|answers| answers.into_iter().map(published).collect())
            };
            match outcome {
                Ok(published) => results.extend(chunk.iter().map(|(at, _)| *at).zip(published)),
                Err(error) => {
                    results.extend(chunk.iter().map(|(at, _)| (*at, Err(error::shared(&error)))));
                    failure = Some(error);
                }
            }
        }
        results
    }

    /// `WAIT` counts replicas that have all that its connection wrote, so it goes right behind the messages.
    async fn publish_durably(
        &self,
        partition: usize,
        chunk: &[(usize, &Publish)],
    ) -> Result<Vec<Result<Published, BackplaneError>>, BackplaneError> {
        let wanted = chunk.iter().map(|(_, publish)| publish.policy.replicas_min).max().unwrap_or(0);
        let mut commands: Vec<Cmd> = chunk.iter().map(|(_, publish)| self.publish_call(publish)).collect();
        let mut wait = redis::cmd("WAIT");
        wait.arg(wanted).arg(u64::try_from(REPLICAS_TIMEOUT.as_millis()).unwrap_or(u64::MAX));
        commands.push(wait);
        let mut answers = self.call_all(Lane::Own(partition), commands).await?;
        let confirmed = match answers.pop() {
            Some(Ok(Value::Int(confirmed))) => u32::try_from(confirmed).unwrap_or(0),
            Some(Err(error)) => return Err(from_redis(error)),
            _ => return Err(unexpected("WAIT answered no number")),
        };
        let results = answers.into_iter().zip(chunk).map(|(answer, (_, publish))| {
            let published = published(answer)?;
            match publish.policy.replicas_min {
                wanted if confirmed < wanted => Err(BackplaneError::NotDurable { confirmed, wanted }),
                _ => Ok(published),
            }
        });
        Ok(results.collect())
    }

    /// The call whose function suits the class; arguments as `functions/publish.lua` lists them.
    fn publish_call(&self, publish: &Publish) -> Cmd {
        let channel = publish.channel.as_str();
        let key = |kind| self.keys.of(kind, channel);
        let seen = match &publish.idempotency_key {
            Some(idempotency_key) => self.keys.seen(&publish.channel, idempotency_key),
            None => key(Kind::Seen),
        };
        let mut keys = vec![key(Kind::Meta), key(Kind::Stream), seen, key(Kind::Owner)];
        let expires_at_ms = publish.expires_at_ms.unwrap_or(0);
        match publish.policy.class {
            _ if !is_numbered(&publish.policy) => self.with_common(functions::call("publish_live", &keys), publish),
            DeliveryClass::Volatile | DeliveryClass::Reliable => {
                self.with_common(functions::call("publish_log", &keys), publish)
            }
            DeliveryClass::Latest => {
                keys.push(key(Kind::Values));
                let mut command = self.with_common(functions::call("publish_latest", &keys), publish);
                command.arg(publish.key.as_deref().unwrap_or(channel)).arg(expires_at_ms).arg(LATEST_KEYS_MAX);
                command
            }
            DeliveryClass::Inbox => {
                let alerts = self.keys.alerts(channel);
                let alert_id = publish.alert.as_ref().map_or("", |alert| alert.id.as_str());
                keys.extend([key(Kind::Ordinary), key(Kind::Critical), key(Kind::Cursor), alerts + alert_id]);
                keys.extend(self.keys.awaited(self.keys.partition(channel)));
                let escalates_at_ms = publish.escalates_at_ms().unwrap_or(0);
                let mut command = self.with_common(functions::call("publish_inbox", &keys), publish);
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

    fn with_common(&self, mut command: Cmd, publish: &Publish) -> Cmd {
        let policy = &publish.policy;
        command
            .arg(self.broadcast())
            .arg(self.keys.of(Kind::Live, publish.channel.as_str()))
            .arg(&envelope(publish)[..])
            .arg(meta_ttl_s(policy))
            // A time to live of 0 would delete at once, and be refused by EXPIRE's sister options.
            .arg(policy.history_ttl_s.max(1))
            .arg(policy.history_count);
        match publish.idempotency_key {
            Some(_) => command.arg(IDEMPOTENCY_WINDOW.as_secs()),
            None => command.arg(""),
        };
        command.arg(publish.owner.as_ref().map_or("", |owner| owner.as_str())).arg(OWNER_TTL_S);
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

fn published(answer: Result<Value, RedisError>) -> Result<Published, BackplaneError> {
    let [status, position] = reply::tuple(answer.map_err(from_redis)?)?;
    let position = match reply::text(position)?.as_str() {
        "" => None,
        position => Some(reply::parse_position(position)?),
    };
    match reply::text(status)?.as_str() {
        "ok" => Ok(Published { position, duplicate: false }),
        "duplicate" => Ok(Published { position, duplicate: true }),
        "inbox_full" => Err(BackplaneError::InboxFull),
        "too_many_keys" => Err(BackplaneError::TooManyKeys),
        other => Err(unexpected(other)),
    }
}
