//! Reading what is stored: histories, current values, inboxes.

use std::sync::Arc;

use bytes::Bytes;
use redis::Value;
use tickwire_protocol::{
    ChannelName, DeliveryClass, DeviceId, Position, Publication, RawJson, UserId, envelope, namespace::Policy,
    time::now_ms,
};

use super::{
    core::Core,
    error::{unavailable, unexpected},
    functions,
    keys::Kind,
    link::Lane,
    publish::{is_numbered, meta_ttl_s},
    reply,
    stats::Counters,
};
use crate::{
    BackplaneError, HISTORY_LIMIT_MAX, History, HistoryQuery, INBOX_ORDINARY_MAX, InboxState, Snapshot, preferences,
};

/// How often two writers of one user's preferences may get in each other's way before one gives up.
const PREFERENCES_TRIES_MAX: usize = 8;

impl Core {
    pub(super) async fn history(
        &self,
        channel: &ChannelName,
        policy: &Policy,
        query: HistoryQuery,
    ) -> Result<History, BackplaneError> {
        if !is_numbered(policy) {
            return Ok(History { top: Position::new(0, 0), publications: Vec::new(), complete: false });
        }
        if policy.class == DeliveryClass::Latest {
            return self.latest_history(channel, policy, query).await;
        }
        // One more than asked for shows whether the limit cut something off.
        let limit = query.limit.min(HISTORY_LIMIT_MAX);
        let mut command = functions::call("history", &self.keys_of(&[Kind::Meta, Kind::Stream], channel));
        command.arg(meta_ttl_s(policy));
        match query.since {
            Some(since) => command.arg(since.epoch).arg(since.offset),
            None => command.arg("").arg(""),
        };
        command.arg(limit + 1).arg(u8::from(query.reverse));
        let [top, entries] = reply::tuple(self.call(self.own(channel), command).await?)?;
        let top = reply::position(top)?;
        let span = Span::of(top, query);
        let mut stored = Vec::new();
        for entry in reply::array(entries)? {
            let (position, data) = entry_parts(entry)?;
            if span.contains(position.offset) {
                stored.push((position, self.decode(channel, position, data)));
            }
        }
        Ok(span.select(top, stored, limit))
    }

    /// A `latest` channel stores values, not a history: those that changed in the span, complete if none was overwritten.
    async fn latest_history(
        &self,
        channel: &ChannelName,
        policy: &Policy,
        query: HistoryQuery,
    ) -> Result<History, BackplaneError> {
        let (top, values) = self.values(channel, policy).await?;
        let span = Span::of(top, query);
        let within = |position: &Position| position.epoch == top.epoch && span.contains(position.offset);
        let mut stored: Vec<_> = values
            .into_iter()
            .filter(|(position, _)| within(position))
            .map(|(position, data)| (position, self.decode(channel, position, data)))
            .collect();
        if query.reverse {
            stored.reverse();
        }
        Ok(span.select(top, stored, query.limit.min(HISTORY_LIMIT_MAX)))
    }

    pub(super) async fn snapshot(&self, channel: &ChannelName, policy: &Policy) -> Result<Snapshot, BackplaneError> {
        let (top, values) = self.values(channel, policy).await?;
        let now = now_ms();
        let decode = |(position, data)| self.decode(channel, position, data);
        let publications = values.into_iter().filter_map(decode).filter(|value| is_alive(value, now)).collect();
        Ok(Snapshot { top, publications })
    }

    /// The newest position, and every key's value with the position of its change, in order.
    async fn values(
        &self,
        channel: &ChannelName,
        policy: &Policy,
    ) -> Result<(Position, Vec<(Position, Bytes)>), BackplaneError> {
        if !is_numbered(policy) {
            return Ok((Position::new(0, 0), Vec::new()));
        }
        let mut command = functions::call("snapshot", &self.keys_of(&[Kind::Meta, Kind::Values], channel));
        command.arg(meta_ttl_s(policy));
        let [top, values] = reply::tuple(self.call(self.own(channel), command).await?)?;
        let mut changes = Vec::new();
        for (_, value) in reply::pairs(values)? {
            let (_expires, rest) = reply::word(reply::bytes(value)?)?;
            let (position, data) = reply::word(rest)?;
            changes.push((reply::parse_position(&position)?, data));
        }
        changes.sort_unstable_by_key(|(position, _)| *position);
        Ok((reply::position(top)?, changes))
    }

    pub(super) async fn inbox(
        &self,
        channel: &ChannelName,
        policy: &Policy,
        device: Option<&DeviceId>,
    ) -> Result<InboxState, BackplaneError> {
        let kinds = [Kind::Meta, Kind::Stream, Kind::Ordinary, Kind::Critical, Kind::Cursor, Kind::Devices];
        let mut command = functions::call("inbox", &self.keys_of(&kinds, channel));
        command.arg(meta_ttl_s(policy)).arg(INBOX_ORDINARY_MAX).arg(device.map_or("", DeviceId::as_str));
        let [top, cursor, critical, ordinary] = reply::tuple(self.call(self.own(channel), command).await?)?;
        let mut owed = Vec::new();
        for (position, stored) in reply::pairs(critical)? {
            let (_expires, rest) = reply::word(reply::bytes(stored)?)?;
            let (_alert, data) = reply::word(rest)?;
            owed.extend(self.decode(channel, reply::position(position)?, data));
        }
        for entry in reply::array(ordinary)? {
            let (position, data) = entry_parts(entry)?;
            owed.extend(self.decode(channel, position, data));
        }
        let now = now_ms();
        owed.retain(|publication| is_alive(publication, now));
        owed.sort_by_key(|publication| publication.position);
        let cursor = match reply::text(cursor)?.as_str() {
            "" => None,
            cursor => Some(reply::parse_position(cursor)?),
        };
        Ok(InboxState { top: reply::position(top)?, cursor, owed })
    }

    pub(super) async fn owner(&self, channel: &ChannelName) -> Result<Option<UserId>, BackplaneError> {
        let mut command = redis::cmd("GET");
        command.arg(self.keys.of(Kind::Owner, channel.as_str()));
        match self.call(self.shared(channel), command).await? {
            Value::Nil => Ok(None),
            owner => UserId::new(&reply::text(owner)?).map(Some).map_err(|_| unexpected("an owner that is no user id")),
        }
    }

    pub(super) async fn preferences(&self, user: &UserId, merge: Option<&RawJson>) -> Result<RawJson, BackplaneError> {
        let (partition, key) = self.keys.preferences(user);
        for _ in 0..PREFERENCES_TRIES_MAX {
            let mut read = redis::cmd("GET");
            read.arg(&key);
            let current = match self.call(Lane::Shared(partition), read).await? {
                Value::Nil => None,
                text => Some(RawJson::trusted(reply::bytes(text)?)),
            };
            let Some(changes) = merge else { return Ok(current.unwrap_or_else(preferences::empty)) };
            let merged = preferences::merge(current.as_ref(), changes)?;
            let mut swap = functions::call("swap_preferences", &[&key]);
            swap.arg(current.as_ref().map_or("", RawJson::as_str)).arg(merged.as_str());
            if self.call(Lane::Shared(partition), swap).await? == Value::Int(1) {
                self.tell_preferences(user, &merged).await;
                return Ok(merged);
            }
        }
        Err(unavailable("others keep changing the same preferences"))
    }

    /// The document lies in another slot than the inbox, so this is a call of its own; devices that miss it read the document
    /// when they connect.
    async fn tell_preferences(&self, user: &UserId, preferences: &RawJson) {
        let Ok(inbox) = ChannelName::new(&format!("user:{user}")) else { return };
        let mut command = redis::cmd(self.broadcast());
        command.arg(self.keys.of(Kind::Live, inbox.as_str())).arg(format!("f{}", preferences.as_str()));
        if let Err(error) = self.call(self.shared(&inbox), command).await {
            tracing::debug!(%user, %error, "the user's devices were not told of new preferences");
        }
    }

    pub(super) fn keys_of(&self, kinds: &[Kind], channel: &ChannelName) -> Vec<String> {
        kinds.iter().map(|&kind| self.keys.of(kind, channel.as_str())).collect()
    }

    pub(super) fn own(&self, channel: &ChannelName) -> Lane {
        Lane::Own(self.keys.partition(channel.as_str()))
    }

    pub(super) fn shared(&self, channel: &ChannelName) -> Lane {
        Lane::Shared(self.keys.partition(channel.as_str()))
    }

    /// `None` where the stored bytes cannot be read: one damaged message must not hide the others.
    pub(super) fn decode(&self, channel: &ChannelName, position: Position, data: Bytes) -> Option<Arc<Publication>> {
        match envelope::decode(channel.clone(), Some(position), data) {
            Ok(publication) => Some(Arc::new(publication)),
            Err(error) => {
                Counters::add(&self.counters.damaged, 1);
                tracing::error!(%channel, %position, %error, "a stored message cannot be read");
                None
            }
        }
    }
}

/// A stream entry's ID and its `d` field, which comes first.
fn entry_parts(entry: Value) -> Result<(Position, Bytes), BackplaneError> {
    let [id, fields] = reply::tuple(entry)?;
    let data = reply::array(fields)?.into_iter().nth(1).ok_or_else(|| unexpected("a stored message without data"))?;
    Ok((reply::position(id)?, reply::bytes(data)?))
}

fn is_alive(publication: &Publication, now_ms: u64) -> bool {
    publication.expires_at_ms.is_none_or(|at| now_ms < at)
}

/// The offsets that a query asks for: after `after`, up to `up_to`.
#[derive(Debug, Clone, Copy)]
struct Span {
    after: u64,
    up_to: u64,
    /// Whether `since` is a position of this epoch that was given out.
    is_anchored: bool,
}

impl Span {
    fn of(top: Position, query: HistoryQuery) -> Self {
        match query.since {
            None => Self { after: 0, up_to: top.offset, is_anchored: true },
            // Everything of this epoch comes after a position of an earlier one, and nothing before it.
            Some(since) if since.epoch != top.epoch => {
                Self { after: 0, up_to: if query.reverse { 0 } else { top.offset }, is_anchored: false }
            }
            Some(since) => {
                let is_anchored = since.offset <= top.offset;
                if query.reverse {
                    Self { after: 0, up_to: since.offset.saturating_sub(1).min(top.offset), is_anchored }
                } else {
                    Self { after: since.offset.min(top.offset), up_to: top.offset, is_anchored }
                }
            }
        }
    }

    fn contains(self, offset: u64) -> bool {
        (self.after + 1..=self.up_to).contains(&offset)
    }

    /// Makes the answer of what is stored in the span, in the order asked for, up to one more than `limit`. Offsets decide
    /// about completeness, not their number: what was trimmed in between shows as a hole.
    fn select(self, top: Position, stored: Vec<(Position, Option<Arc<Publication>>)>, limit: usize) -> History {
        let is_cut = stored.len() > limit;
        let offsets = || stored.iter().map(|(position, _)| position.offset);
        let is_dense = stored.len() as u64 == self.up_to.saturating_sub(self.after)
            && offsets().min().is_none_or(|first| first == self.after + 1)
            && offsets().max().is_none_or(|last| last == self.up_to);
        let is_readable = stored.iter().all(|(_, publication)| publication.is_some());
        let now = now_ms();
        let publications = stored.into_iter().take(limit).filter_map(|(_, publication)| publication);
        let publications = publications.filter(|publication| is_alive(publication, now)).collect();
        History { top, publications, complete: self.is_anchored && is_dense && is_readable && !is_cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(offsets: impl IntoIterator<Item = u64>) -> Vec<(Position, Option<Arc<Publication>>)> {
        let publication = |offset| {
            let position = Position::new(7, offset);
            let data = tickwire_protocol::envelope::Envelope {
                class: DeliveryClass::Reliable,
                time_ms: 0,
                priority: tickwire_protocol::Priority::default(),
                key: None,
                tags: &tickwire_protocol::publication::Tags::new(),
                publisher: None,
                signature: None,
                expires_at_ms: None,
                traceparent: None,
                data: &RawJson::null(),
            };
            let channel = ChannelName::new("a").unwrap();
            (position, Some(Arc::new(envelope::decode(channel, Some(position), data.encode()).unwrap())))
        };
        offsets.into_iter().map(publication).collect()
    }

    fn query(since: Option<Position>) -> HistoryQuery {
        HistoryQuery { since, limit: 10, reverse: false }
    }

    #[test]
    fn completeness_is_decided_by_offsets() {
        let top = Position::new(7, 5);
        let complete = |query, offsets: Vec<u64>| Span::of(top, query).select(top, stored(offsets), 10).complete;
        assert!(complete(query(None), vec![1, 2, 3, 4, 5]));
        assert!(!complete(query(None), vec![2, 3, 4, 5]));
        assert!(complete(query(Some(Position::new(7, 3))), vec![4, 5]));
        assert!(!complete(query(Some(Position::new(7, 3))), vec![5]));
        assert!(complete(query(Some(Position::new(7, 5))), vec![]));
        assert!(!complete(query(Some(Position::new(7, 9))), vec![]));
        assert!(!complete(query(Some(Position::new(6, 5))), vec![1, 2, 3, 4, 5]));
    }

    #[test]
    fn what_the_limit_cut_off_is_not_complete() {
        let top = Position::new(7, 3);
        let history = Span::of(top, query(None)).select(top, stored([1, 2, 3]), 2);
        assert_eq!((history.publications.len(), history.complete), (2, false));
    }
}
