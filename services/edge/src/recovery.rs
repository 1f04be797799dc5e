//! Answering a subscription: what was missed, joined to what comes live without a hole or a double.
//!
//! A newcomer becomes a subscriber in the same step in which its reply is made. The reply holds everything up to the
//! stream's tail, the stream delivers everything after it; so nothing falls between them. What the store is read for is
//! cut at the tail or completed from the messages delivered during the read. One read serves all that wait for a channel.

use std::{collections::VecDeque, rc::Rc, sync::Arc, time::Instant};

use tickwire_backplane::{BackplaneError, HISTORY_LIMIT_MAX, History, HistoryQuery, InboxState};
use tickwire_protocol::{
    ChannelName, DeliveryClass, Event, Position, Priority, Publication, event::Subscribed, namespace::Policy,
    time::now_ms,
};

use crate::{
    controls::FRESH,
    hub::{
        Hub, Shard,
        ahead::is_long,
        channel::{Channel, Freshness, Join},
        stream::{Next, Status, is_expired},
        views::{Doubt, Views},
    },
    metrics::reason,
    outbox::{ChannelId, Tag},
};

/// Reads for one channel that found the stream elsewhere before its newcomers are refused.
const READS_MAX: u32 = 5;

/// Newcomers that were looked at.
#[derive(Default)]
struct Looked {
    /// Memory does not have what they need.
    unknown: VecDeque<Join>,
    /// Their answers are long and not encoded yet.
    long: Vec<Join>,
    /// What those list, all of it.
    listed: Vec<Arc<Publication>>,
}

/// What a reply says.
struct Answer {
    messages: Vec<Arc<Publication>>,
    recovered: bool,
}

impl Shard {
    /// Answers what can be answered from memory, and reads the store for the rest. Many are answered with pauses.
    pub(crate) fn serve_joins(self: &Rc<Self>, id: ChannelId) {
        let begun = Instant::now();
        let mut hub = self.hub.borrow_mut();
        let Some(channel) = hub.channels.get_mut(id.0 as usize) else { return };
        if channel.stream.status != Status::Live {
            return;
        }
        let serial = channel.serial;
        let class = channel.policy.class;
        let mut joins = std::mem::take(&mut channel.joins);
        let Looked { unknown: mut rest, long, listed } = self.look(&mut hub, id, &mut joins, begun);
        if !long.is_empty() {
            hub.channels[id.0 as usize].begin_wait();
            tokio::task::spawn_local(Rc::clone(self).serve_later((id, serial), long, listed));
        }
        if !joins.is_empty() {
            self.give_way(begun);
            let shard = Rc::clone(self);
            tokio::task::spawn_local(async move {
                tokio::task::yield_now().await;
                shard.serve_joins(id);
                shard.flush_urgent();
            });
        }
        self.note_pause(begun);
        let channel = &mut hub.channels[id.0 as usize];
        if rest.is_empty() {
            channel.joins = joins;
            return;
        }
        if class == DeliveryClass::Latest {
            rest.append(&mut joins);
            channel.joins = rest;
            return self.doubt(&mut hub, id);
        }
        if class != DeliveryClass::Inbox && channel.reads > 0 {
            // The read under way may have begun before them; they wait for the next.
            rest.append(&mut joins);
            channel.joins = rest;
            return;
        }
        channel.joins = joins;
        // What an inbox owes is asked once for each device that waits.
        let groups = if class == DeliveryClass::Inbox { by_device(rest) } else { vec![rest] };
        channel.reads += u32::try_from(groups.len()).unwrap_or(u32::MAX);
        channel.set_memory();
        let target = (id, serial, channel.name.clone(), channel.policy.clone());
        drop(hub);
        for group in groups {
            if class == DeliveryClass::Inbox {
                tokio::task::spawn_local(Rc::clone(self).read_inbox(target.clone(), group));
            } else {
                tokio::task::spawn_local(Rc::clone(self).read_history(target.clone(), group));
            }
        }
    }

    /// Answers newcomers from memory, as long as there is time.
    fn look(&self, hub: &mut Hub, id: ChannelId, joins: &mut VecDeque<Join>, begun: Instant) -> Looked {
        let now = now_ms();
        let mut looked = Looked::default();
        let mut count = 0;
        while (count == 0 || !self.is_over_time(begun))
            && let Some(mut join) = joins.pop_front()
        {
            count += 1;
            match from_memory(&hub.channels[id.0 as usize], &join, now) {
                Some(answer) if !join.is_encoded && is_long(&answer.messages) => {
                    // Each has the newest of one list, or all of it.
                    if answer.messages.len() > looked.listed.len() {
                        looked.listed = answer.messages;
                    }
                    looked.long.push(join);
                }
                Some(answer) => self.answer(hub, id, &mut join, answer),
                None => looked.unknown.push_back(join),
            }
        }
        looked
    }

    async fn read_history(
        self: Rc<Self>,
        (id, serial, name, policy): (ChannelId, u32, ChannelName, Policy),
        mut joins: VecDeque<Join>,
    ) {
        // Someone without a position wants the short history of a volatile channel: then all of it is read.
        let since = joins.iter().map(|join| join.since).min().flatten();
        let query = HistoryQuery { since, limit: HISTORY_LIMIT_MAX, reverse: false };
        for _ in 0..READS_MAX {
            let history = match self.known(self.node.backplane.history(&name, &policy, query)).await {
                Ok(history) => history,
                Err(error) => {
                    let mut hub = self.hub.borrow_mut();
                    if hub.channel(id, serial).is_some() {
                        self.refuse_joins(&mut hub, &name, joins.make_contiguous(), &error);
                    }
                    joins.clear();
                    break;
                }
            };
            self.encode_ahead(joins.iter().map(|join| join.connection), &history.publications).await;
            let mut rest = VecDeque::new();
            while !joins.is_empty() {
                if !self.splice((id, serial), &mut joins, &mut rest, &history) {
                    return;
                }
                self.flush_urgent();
                if !joins.is_empty() {
                    tokio::task::yield_now().await;
                }
            }
            joins = rest;
            if joins.is_empty() {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.end_read(id, serial, &name, joins.into());
    }

    /// What `read` brings from the store, once those who may not have it any more are gone.
    pub(crate) async fn known<T>(
        &self,
        read: impl Future<Output = Result<T, BackplaneError>>,
    ) -> Result<T, BackplaneError> {
        let stored = read.await?;
        self.node.know_controls(FRESH).await?;
        self.recheck();
        Ok(stored)
    }

    /// Answers each join that the read can be spliced for, as long as there is time; those it cannot go to `rest`. A read
    /// that knows of a newer epoch or of messages that did not come also sets the stream's repair going. False if the
    /// channel is gone.
    fn splice(
        self: &Rc<Self>,
        (id, serial): (ChannelId, u32),
        joins: &mut VecDeque<Join>,
        rest: &mut VecDeque<Join>,
        history: &History,
    ) -> bool {
        let begun = Instant::now();
        let now = now_ms();
        let mut hub = self.hub.borrow_mut();
        if hub.channel(id, serial).is_none() {
            return false;
        }
        let mut looked = 0;
        while (looked == 0 || !self.is_over_time(begun))
            && let Some(mut join) = joins.pop_front()
        {
            looked += 1;
            let channel = &mut hub.channels[id.0 as usize];
            match channel.stream.splice(join.since, history, now) {
                Some((messages, _)) if join.depth().is_some() => {
                    channel.views.get_or_insert_with(|| {
                        let mut views = Views::of(&messages);
                        views.note_age(messages.last().map_or(now, |newest| newest.time_ms), now);
                        Box::new(views)
                    });
                    if hub.outage.lasts() {
                        self.suspend_views(&mut hub, id, Doubt::Outage);
                    }
                    self.answer(&mut hub, id, &mut join, Answer::nothing(false));
                }
                Some((messages, recovered)) => self.answer(&mut hub, id, &mut join, Answer { messages, recovered }),
                None => rest.push_back(join),
            }
        }
        self.hear_of(&mut hub, id, history.top);
        self.note_pause(begun);
        true
    }

    /// The store has numbered up to `top`: what of it did not come is read.
    fn hear_of(self: &Rc<Self>, hub: &mut Hub, id: ChannelId, top: Position) {
        let channel = &mut hub.channels[id.0 as usize];
        if channel.stream.on_top(top) == Next::Repair {
            let serial = channel.serial;
            self.start_repair(channel, id, serial);
        }
    }

    async fn read_inbox(
        self: Rc<Self>,
        (id, serial, name, policy): (ChannelId, u32, ChannelName, Policy),
        mut joins: VecDeque<Join>,
    ) {
        let device = joins.front().and_then(|join| join.device.clone());
        let owed = self.known(self.node.backplane.inbox(&name, &policy, device.as_ref())).await;
        let since = joins.iter().filter_map(|join| join.since).min();
        let missed = match since {
            Some(since) => {
                let query = HistoryQuery { since: Some(since), limit: HISTORY_LIMIT_MAX, reverse: false };
                Some(self.known(self.node.backplane.history(&name, &policy, query)).await)
            }
            None => None,
        };
        let missed = missed.transpose();
        let connections = || joins.iter().map(|join| join.connection);
        if let (Ok(owed), Ok(missed)) = (&owed, &missed) {
            self.encode_ahead(connections(), &owed.owed).await;
            let missed = missed.as_ref().map(|missed| &missed.publications[..]).unwrap_or_default();
            self.encode_ahead(connections(), missed).await;
        }
        let mut hub = self.hub.borrow_mut();
        if hub.channel(id, serial).is_none() {
            return;
        }
        let mut rest = Vec::new();
        match (owed, missed) {
            (Ok(owed), Ok(missed)) => {
                for mut join in joins {
                    match inbox_answer(&hub, id, &join, &owed, missed.as_ref()) {
                        Some(answer) => self.answer(&mut hub, id, &mut join, answer),
                        None => rest.push(join),
                    }
                }
                self.hear_of(&mut hub, id, missed.as_ref().map_or(owed.top, |missed| missed.top.max(owed.top)));
            }
            (Err(error), _) | (_, Err(error)) => self.refuse_joins(&mut hub, &name, joins.make_contiguous(), &error),
        }
        drop(hub);
        self.end_read(id, serial, &name, rest);
    }

    /// A read is over: what it could not serve is refused, what came meanwhile gets the next one.
    fn end_read(self: &Rc<Self>, id: ChannelId, serial: u32, name: &ChannelName, unserved: Vec<Join>) {
        let clock_ms = self.node.clock_ms();
        let mut hub = self.hub.borrow_mut();
        let Some(channel) = hub.channel(id, serial) else { return };
        channel.reads -= 1;
        channel.set_memory();
        if channel.stream.status == Status::Live {
            self.refuse_joins(&mut hub, name, &unserved, &BackplaneError::Unavailable(None));
        } else {
            // The stream is being repaired; they are served when it is live again.
            channel.joins.extend(unserved);
        }
        let channel = &mut hub.channels[id.0 as usize];
        if channel.is_unused() {
            channel.idle_since_ms.get_or_insert(clock_ms);
        }
        drop(hub);
        self.serve_joins(id);
        self.flush_urgent();
    }

    pub(crate) fn refuse_joins(&self, hub: &mut Hub, name: &ChannelName, joins: &[Join], error: &BackplaneError) {
        for join in joins {
            self.node.metrics.recoveries.get_or_create(&reason("failed")).inc();
            self.refuse_join(hub, name, join, error);
        }
    }

    /// Makes the newcomer a subscriber and says so.
    fn answer(&self, hub: &mut Hub, id: ChannelId, join: &mut Join, answer: Answer) {
        let Answer { mut messages, recovered } = answer;
        let channel = &hub.channels[id.0 as usize];
        let traced_ms = join.options.as_ref().filter(|options| options.trace).map(|_| now_ms());
        let (name, class) = (channel.name.clone(), channel.policy.class);
        let position = (channel.policy.history_count > 0).then(|| channel.stream.position());
        let depth = join.depth();
        // A view has no positions: its client goes on with a snapshot of it, wherever it was.
        let (class, position) = if depth.is_some() { (DeliveryClass::Volatile, None) } else { (class, position) };
        if let Some(options) = &join.options {
            messages.retain(|message| options.want(message));
        }
        if self.admit(hub, id, join, &messages).is_none() {
            return;
        }
        messages.extend(depth.and_then(|depth| self.show_view(hub, id, depth)));
        if join.since.is_some() {
            let result = if recovered { "recovered" } else { "history_gone" };
            self.node.metrics.recoveries.get_or_create(&reason(result)).inc();
            self.node.metrics.recovery.observe(join.begun.elapsed());
        }
        let Some(connection) = hub.connection(join.connection) else { return };
        let is_pull = matches!(connection.sink, crate::connection::Sink::Pull);
        let receipts: Vec<_> = if class == DeliveryClass::Inbox { critical_positions(&messages) } else { Vec::new() };
        let tag = (is_pull || !receipts.is_empty()).then(|| Tag {
            channel: name.clone(),
            mark: position,
            receipts,
            span: None,
        });
        let expires_at_ms = connection
            .identity()
            .map(|identity| identity.expires_at_ms)
            .filter(|&expires_at_ms| expires_at_ms != u64::MAX);
        let event = Event::Subscribed(Box::new(Subscribed {
            id: join.id,
            channel: name.clone(),
            class,
            position,
            recovered,
            messages,
            traced_ms,
            expires_at_ms,
        }));
        self.reply_in(hub, join.connection, Some(id), &event, tag);
        self.tell_outage(hub, &name, join.connection);
    }
}

/// What a channel's memory has for a newcomer; `None` if the store must be read.
fn from_memory(channel: &Channel, join: &Join, now_ms: u64) -> Option<Answer> {
    if join.depth().is_some() {
        return channel.views.as_ref().map(|_| Answer::nothing(false));
    }
    match channel.policy.class {
        DeliveryClass::Inbox => None,
        DeliveryClass::Latest if join.freshness != Freshness::Known => None,
        DeliveryClass::Latest => Some(Answer { messages: channel.stream.values(now_ms), recovered: false }),
        DeliveryClass::Volatile if channel.policy.history_count == 0 => Some(Answer::nothing(false)),
        DeliveryClass::Reliable if join.since.is_none() => Some(Answer::nothing(false)),
        DeliveryClass::Reliable | DeliveryClass::Volatile => {
            let messages = channel.stream.recent_since(join.since?, now_ms)?;
            Some(Answer { messages, recovered: true })
        }
    }
}

impl Answer {
    fn nothing(recovered: bool) -> Self {
        Self { messages: Vec::new(), recovered }
    }
}

fn by_device(joins: VecDeque<Join>) -> Vec<VecDeque<Join>> {
    let mut groups: Vec<VecDeque<Join>> = Vec::new();
    for join in joins {
        match groups.iter_mut().find(|group| group[0].device == join.device) {
            Some(group) => group.push_back(join),
            None => groups.push(VecDeque::from([join])),
        }
    }
    groups
}

/// Of critical messages the inbox alone says which are owed: of those missed some may be settled, and others are as old as
/// the log no longer is.
fn with_alerts(mut missed: Vec<Arc<Publication>>, owed: &InboxState, at: Position) -> Vec<Arc<Publication>> {
    let is_critical = |message: &Publication| message.priority == Priority::Critical;
    missed.retain(|message| !is_critical(message) || message.position > Some(owed.top));
    let alerts = owed.owed.iter().filter(|message| is_critical(message) && message.position <= Some(at));
    missed.extend(alerts.cloned());
    missed.sort_by_key(|message| message.position);
    missed
}

fn critical_positions(messages: &[Arc<Publication>]) -> Vec<Position> {
    messages
        .iter()
        .filter(|message| message.priority == Priority::Critical)
        .filter_map(|message| message.position)
        .collect()
}

/// What an inbox owes a newcomer: without `since` all that is owed; with it, critical messages up to `since` once more,
/// then everything after it. `None`: the stream went on meanwhile and does not remember how.
fn inbox_answer(hub: &Hub, id: ChannelId, join: &Join, owed: &InboxState, missed: Option<&History>) -> Option<Answer> {
    let now = now_ms();
    let stream = &hub.channels[id.0 as usize].stream;
    let at = stream.position();
    let (mut messages, recovered, top) = if let (Some(since), Some(missed)) = (join.since, missed) {
        let (after, recovered) = stream.splice(Some(since), missed, now)?;
        (with_alerts(after, owed, at), recovered, at)
    } else {
        let up_to_tail = |message: &&Arc<Publication>| message.position.is_some_and(|position| position <= at);
        (owed.owed.iter().filter(up_to_tail).cloned().collect(), false, owed.top)
    };
    if top < at {
        messages.extend(stream.recent_since(top, now)?);
    }
    messages.retain(|message| !is_expired(message, now));
    Some(Answer { messages, recovered })
}
