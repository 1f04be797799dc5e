//! The way of a message: from the backplane's signal to outboxes, then once to each socket.

use std::{cell::OnceCell, rc::Rc, sync::Arc, time::Instant};

use bytes::Bytes;
use slab::Slab;
use tickwire_backplane::Signal;
use tickwire_protocol::{
    ChannelName, CloseCode, DeliveryClass, Event, Position, Priority, Publication, book::Depth,
    publication::FrameCache, time::now_ms,
};
use tickwire_telemetry::trace;
use tracing::Span;

use super::{
    Hub, Shard, TOO_SLOW,
    audience::{Choice, Group, Place},
    delta::{Change, Sent},
    encode::{Encoder, Form},
    gather::{GATHERED_BYTES_MAX, Gather},
    stream::{Next, is_expired},
};
use crate::{
    connection::{Connection, ConnectionId, Sink},
    metrics::ClassLabels,
    outbox::{ChannelId, Item, Outbox, Pushed, Tag},
};

/// Connections that are given an outbox before the first is written: large batches save writes, small ones save memory.
const OUTBOXES_MAX: usize = 4_096;
/// Signals taken between two looks at the clock.
const CLOCK_INTERVAL: usize = 16;
/// Shortest time between two checks of all connections for what was revoked, the tick's own aside.
const RECHECK_INTERVAL_MS: u32 = 25;
/// Receivers of a message whose writes are traced, on each shard.
const WRITE_SPANS_MAX: usize = 8;

impl Shard {
    /// Takes a batch of signals and writes what is due. Pauses between two of them, never inside one.
    pub(crate) async fn on_signals(self: &Rc<Self>, signals: &mut Vec<Signal>) {
        let mut begun = Instant::now();
        self.obey_controls(signals);
        for (number, signal) in signals.drain(..).enumerate() {
            match signal {
                Signal::Publication(publication) => self.on_publication(&publication),
                Signal::Top { channel, position } => self.on_top(&channel, position),
                Signal::Presence { channel, joined, user } => {
                    let mut hub = self.hub.borrow_mut();
                    if let Some(&id) = hub.by_name.get(&channel) {
                        self.send_event(&mut hub, id, &Event::Presence { channel, joined, user }, None);
                    }
                }
                Signal::Acknowledged { channel, positions } => self.on_acknowledged(&channel, positions),
                Signal::Preferences { channel, preferences } => {
                    let mut hub = self.hub.borrow_mut();
                    if let Some(&id) = hub.by_name.get(&channel) {
                        self.send_event(&mut hub, id, &Event::Preferences { id: None, preferences }, None);
                    }
                }
                // See `obey_controls`; all else about them is the node's, which has a queue that messages cannot fill.
                Signal::Control(_) | Signal::Controls(_) => {}
                Signal::Lagged => self.on_lagged(),
            }
            if self.is_crowded() || (number % CLOCK_INTERVAL == 0 && self.is_over_time(begun)) {
                begun = self.flush_all(begun).await;
            }
        }
        begun = self.flush_due(begun).await;
        self.note_pause(begun);
    }

    /// What was revoked before a message of the batch was published has an end before that message goes out. A held
    /// connection to the store brings both in one instant; the node's own queue or the tick would be too late for it.
    fn obey_controls(&self, signals: &[Signal]) {
        let mut has_any = false;
        for signal in signals {
            match signal {
                Signal::Control(control) => self.node.keep(control),
                Signal::Controls(controls) => self.node.learn(controls),
                _ => continue,
            }
            has_any = true;
        }
        // Each check looks at every connection: a flood of revocations gets one a tick, which is soon enough for those that
        // come as they are given.
        if has_any && self.node.clock_ms().wrapping_sub(self.rechecked_ms.get()) >= RECHECK_INTERVAL_MS {
            self.recheck();
        }
    }

    /// As much is gathered as may wait.
    pub(crate) fn is_crowded(&self) -> bool {
        let hub = self.hub.borrow();
        hub.gather.bytes() >= GATHERED_BYTES_MAX.min(self.node.config.limits.outbox_bytes / 2)
            || hub.gather.outboxes >= OUTBOXES_MAX
    }

    /// Tells the user's other devices what is over, so that no toast stays anywhere. The one that said so hears it, too.
    fn on_acknowledged(&self, name: &ChannelName, positions: Vec<Position>) {
        let mut hub = self.hub.borrow_mut();
        let Some(&id) = hub.by_name.get(name) else { return };
        for position in positions {
            self.send_event(&mut hub, id, &Event::Acked { id: None, channel: name.clone(), position }, None);
        }
    }

    /// Where a publication's time went until now.
    fn note_times(&self, publication: &Publication) {
        let (times, now) = (&self.node.metrics.delivery, now_ms());
        times.total.observe_between_ms(publication.time_ms, now);
        if let Some(stored_ms) = publication.stored_ms {
            times.backplane.observe_between_ms(publication.time_ms, stored_ms);
            times.edge.observe_between_ms(stored_ms, now);
        }
        if self.waiting_since.get().is_none() {
            self.waiting_since.set(Some(Instant::now()));
        }
    }

    fn on_publication(self: &Rc<Self>, publication: &Arc<Publication>) {
        self.node.metrics.publications_in.inc();
        self.note_times(publication);
        let mut hub = self.hub.borrow_mut();
        self.take_publication(&mut hub, publication);
        // What nobody wants, or not yet, waits for no round of writes: the next one, whenever it is, says nothing of it.
        if hub.dirty.is_empty() && hub.urgent.is_empty() {
            self.waiting_since.set(None);
        }
    }

    fn take_publication(self: &Rc<Self>, hub: &mut Hub, publication: &Arc<Publication>) {
        let Some(&id) = hub.by_name.get(&publication.channel) else { return };
        let channel = &mut hub.channels[id.0 as usize];
        let base = channel.stream.value(publication.key.as_deref()).cloned();
        match channel.stream.on_publication(publication) {
            Next::Deliver => self.deliver(hub, id, publication, base),
            Next::Repair => self.start_repair(channel, id, channel.serial),
            Next::Nothing => {}
        }
    }

    pub(crate) fn on_top(self: &Rc<Self>, name: &ChannelName, top: Position) {
        let mut hub = self.hub.borrow_mut();
        let Some(&id) = hub.by_name.get(name) else { return };
        let channel = &mut hub.channels[id.0 as usize];
        if channel.stream.on_top(top) == Next::Repair {
            self.start_repair(channel, id, channel.serial);
        } else {
            self.confirm_views(&mut hub, id);
        }
    }

    /// Queues a message for every subscriber that wants it. `base` is the value of its key before it, if nothing is missing
    /// between them.
    pub(crate) fn deliver(
        &self,
        hub: &mut Hub,
        id: ChannelId,
        publication: &Arc<Publication>,
        base: Option<Arc<Publication>>,
    ) {
        if is_expired(publication, now_ms()) {
            return;
        }
        self.update_views(hub, id, publication);
        let clock_ms = self.node.clock_ms();
        let mut round = Round::new(self, hub, id, publication, base);
        let Hub { connections, channels, gather, dirty, urgent, spare, rated, .. } = hub;
        let mut to = Receivers { connections, gather, dirty, urgent, spare };
        for (number, group) in channels[id.0 as usize].subscribers.groups_mut() {
            if group.depth.is_some() {
                continue;
            }
            if let Some(filter) = &group.filter {
                round.evaluations += 1;
                if !filter.matches(&publication.tags) {
                    continue;
                }
            }
            to.share(&mut round, group);
            for (index, chooser) in &mut group.choosers {
                let choice = &mut chooser.choice;
                match round.choose(choice, clock_ms) {
                    Chosen::Send => {
                        to.queue(&mut round, chooser.connection, choice.sent.as_mut(), choice.is_traced);
                    }
                    Chosen::Skip | Chosen::Hold { first: false } => {}
                    Chosen::Hold { first: true } => {
                        rated.push((id, Place::of_chooser(number, index), chooser.connection));
                    }
                }
            }
        }
        round.finish(hub);
    }

    /// Queues a view's message for those who have that depth. Who still has an older one waiting gets `whole` in its place.
    pub(super) fn deliver_view(
        &self,
        hub: &mut Hub,
        id: ChannelId,
        depth: Depth,
        publication: &Arc<Publication>,
        whole: &dyn Fn() -> Option<Arc<Publication>>,
    ) {
        let mut round = Round::new(self, hub, id, publication, None);
        round.class = DeliveryClass::Volatile;
        round.whole = Some(whole);
        let Hub { connections, channels, gather, dirty, urgent, spare, .. } = hub;
        let mut to = Receivers { connections, gather, dirty, urgent, spare };
        for (_, group) in channels[id.0 as usize].subscribers.groups_mut() {
            if group.depth == Some(depth) {
                to.share(&mut round, group);
            }
        }
        round.finish(hub);
    }

    /// Sends one message that a rate held back and now allows.
    pub(crate) fn release_held(
        &self,
        hub: &mut Hub,
        (id, place, to): (ChannelId, Place, ConnectionId),
        clock_ms: u32,
    ) -> Released {
        let Hub { channels, connections, .. } = hub;
        let Some(channel) = channels.get_mut(id.0 as usize) else { return Released::All };
        let Some(chooser) = channel.subscribers.chooser(place, to) else { return Released::All };
        let choice = &mut chooser.choice;
        if choice.held.is_empty() {
            return Released::All;
        }
        let is_paced = choice.is_paced;
        let connection = connections.get_mut(to.key as usize).filter(|_| is_paced);
        let shared = connection.and_then(|connection| connection.state.rate.as_deref_mut());
        let mut rates = [choice.rate.as_mut(), shared];
        if rates.iter().flatten().any(|rate| !rate.is_due(clock_ms)) {
            return Released::Nothing;
        }
        rates.iter_mut().flatten().for_each(|rate| rate.spend(clock_ms));
        let publication = choice.held.remove(0);
        let released = if choice.held.is_empty() { Released::All } else { Released::One };
        let is_traced = choice.is_traced;
        // Others came and went unsent meanwhile: it goes whole.
        if let Some(sent) = &mut choice.sent {
            sent.note(&publication);
        }
        self.deliver_to(hub, id, to, &publication, is_traced);
        released
    }

    /// Queues a message for one connection, whole.
    pub(crate) fn deliver_to(
        &self,
        hub: &mut Hub,
        id: ChannelId,
        to: ConnectionId,
        publication: &Arc<Publication>,
        is_traced: bool,
    ) {
        let mut round = Round::new(self, hub, id, publication, None);
        let Hub { connections, gather, dirty, urgent, spare, .. } = hub;
        Receivers { connections, gather, dirty, urgent, spare }.queue(&mut round, to, None, is_traced);
        round.finish(hub);
    }
}

/// What came of looking at what a subscriber's rate holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Released {
    /// Nothing is held any more.
    All,
    /// One message went, others wait.
    One,
    /// It is not time yet.
    Nothing,
}

enum Chosen {
    Send,
    Skip,
    Hold {
        /// Nothing was held before.
        first: bool,
    },
}

/// The parts of a hub that a message goes into.
struct Receivers<'a> {
    connections: &'a mut Slab<Box<Connection>>,
    gather: &'a mut Gather,
    dirty: &'a mut Vec<ConnectionId>,
    urgent: &'a mut Vec<ConnectionId>,
    #[allow(clippy::vec_box, reason = "a connection takes the box as it is")]
    spare: &'a mut Vec<Box<Outbox>>,
}

impl Receivers<'_> {
    /// Passes the message to a group's plain subscribers, shared as far as that goes.
    fn share(&mut self, round: &mut Round<'_>, group: &mut Group) {
        if group.plain.is_empty() {
            return;
        }
        if !round.is_shared() {
            self.gather.seal(group.run);
            for (_, connection) in &group.plain {
                self.queue(round, *connection, None, false);
            }
            return;
        }
        if let Some(run) = self.gather.append(group.run, round.publication) {
            round.queued += run.listed;
            if !run.others.is_empty() {
                let others = std::mem::take(&mut run.others);
                for &connection in &others {
                    self.queue(round, connection, None, false);
                }
                self.gather.set_others(group.run, others);
            }
            return;
        }
        let (run, mut listed, mut others) =
            (self.gather.open(round.channel, round.class, round.publication), 0, Vec::new());
        group.run = run;
        for (_, &id) in &group.plain {
            let Some(connection) = self.connections.get_mut(id.key as usize) else { continue };
            if !connection.shares() {
                others.push(id);
                continue;
            }
            self.gather.give(run, &mut connection.gathered);
            listed += 1;
            if !connection.listed.dirty {
                connection.listed.dirty = true;
                self.dirty.push(id);
            }
        }
        round.queued += listed;
        for &connection in &others {
            self.queue(round, connection, None, false);
        }
        self.gather.set_receivers(run, listed, others);
    }

    /// Puts the message into one connection's own outbox. `sent` is what a subscriber with deltas has.
    fn queue(&mut self, round: &mut Round<'_>, id: ConnectionId, sent: Option<&mut Sent>, is_traced: bool) {
        let connection = self.connections.get_mut(id.key as usize).filter(|connection| connection.serial == id.serial);
        let Some(connection) = connection else { return };
        self.gather.spill(connection);
        if connection.outbox.is_none() {
            connection.outbox = self.spare.pop();
            self.gather.outboxes += 1;
        }
        round.push(connection, id, sent, is_traced);
        let (is_listed, listed) = match round.publication.priority {
            Priority::Critical => (&mut connection.listed.urgent, &mut *self.urgent),
            _ => (&mut connection.listed.dirty, &mut *self.dirty),
        };
        if !std::mem::replace(is_listed, true) {
            listed.push(id);
        }
    }
}

/// One message on its way to a channel's subscribers: encoded at most once per dialect.
struct Round<'a> {
    shard: &'a Shard,
    channel: ChannelId,
    class: DeliveryClass,
    publication: &'a Arc<Publication>,
    /// Frames by form; `None` in a cell where the dialect has no such message.
    frames: [OnceCell<Option<Bytes>>; Form::COUNT],
    /// The same with [`tickwire_protocol::event::Trace`] by dialect, for those who asked; never compressed.
    traced: [OnceCell<Option<Bytes>>; FrameCache::SLOTS],
    change: Change<'a>,
    /// Of a view: all that it shows.
    whole: Option<&'a dyn Fn() -> Option<Arc<Publication>>>,
    wholly: OnceCell<Option<Arc<Publication>>>,
    budget: usize,
    queued: u64,
    deltas: u64,
    conflated: u64,
    overtakes: u64,
    dropped: u64,
    /// Filters evaluated.
    evaluations: u64,
    /// Who lost this message, of a volatile channel.
    lost: Vec<ConnectionId>,
    overflown: Vec<ConnectionId>,
    spans: usize,
}

impl<'a> Round<'a> {
    fn new(
        shard: &'a Shard,
        hub: &Hub,
        channel: ChannelId,
        publication: &'a Arc<Publication>,
        base: Option<Arc<Publication>>,
    ) -> Self {
        Self {
            shard,
            channel,
            class: hub.channels[channel.0 as usize].policy.class,
            publication,
            frames: [const { OnceCell::new() }; Form::COUNT],
            traced: [const { OnceCell::new() }; FrameCache::SLOTS],
            change: Change::new(&shard.encoder, base, publication),
            whole: None,
            wholly: OnceCell::new(),
            budget: shard.budget(hub),
            queued: 0,
            deltas: 0,
            conflated: 0,
            overtakes: 0,
            dropped: 0,
            evaluations: 0,
            lost: Vec::new(),
            overflown: Vec::new(),
            spans: 0,
        }
    }

    fn choose(&mut self, choice: &mut Choice, clock_ms: u32) -> Chosen {
        if !choice.wants(self.publication) {
            return Chosen::Skip;
        }
        // What shares a rate is always held: each channel then gets its turn.
        if !choice.is_paced {
            let Some(rate) = &mut choice.rate else { return Chosen::Send };
            if choice.held.is_empty() && rate.is_due(clock_ms) {
                rate.spend(clock_ms);
                return Chosen::Send;
            }
        }
        if self.class != DeliveryClass::Latest {
            self.dropped += 1;
            return Chosen::Skip;
        }
        let first = choice.held.is_empty();
        self.conflated += u64::from(choice.hold(self.publication));
        Chosen::Hold { first }
    }

    /// Whether connections may get it alike: nothing must be noted when it is written, and it overtakes nothing.
    fn is_shared(&self) -> bool {
        self.publication.priority == Priority::Medium && self.publication.traceparent.is_none()
    }

    /// The whole message.
    fn frame(&self, form: Form) -> Option<Bytes> {
        self.frames[form.slot()].get_or_init(|| self.shard.encoder.frame(self.publication, form)).clone()
    }

    /// The same with the times of its way, made when somebody asked for them.
    fn traced(&self, form: Form) -> Option<Bytes> {
        let encode = || Encoder::traced(self.publication, form.dialect, now_ms());
        self.traced[form.dialect.slot()].get_or_init(encode).clone()
    }

    /// Lasts until the socket has taken the message; only where its sender's trace is kept, and for the first receivers.
    fn write_span(&mut self) -> Option<Span> {
        let parent = self.publication.traceparent.as_deref()?;
        if self.spans >= WRITE_SPANS_MAX {
            return None;
        }
        self.spans += 1;
        let span = tracing::info_span!(parent: None, "write", channel = self.publication.channel.as_str());
        trace::set_parent(&span, parent);
        Some(span)
    }

    fn push_view(
        &mut self,
        connection: &mut Connection,
        id: ConnectionId,
        make: &dyn Fn() -> Option<Arc<Publication>>,
    ) {
        let form = Form::of(connection);
        let Some(frame) = self.frame(form) else { return };
        let whole = || self.shard.encoder.frame(self.wholly.get_or_init(make).as_ref()?, form);
        match connection.view(self.channel, self.publication, frame, whole, self.budget) {
            Pushed::Queued => self.queued += 1,
            Pushed::Conflated => self.conflated += 1,
            Pushed::Dropped => {}
            Pushed::Overflow => self.overflown.push(id),
        }
    }

    /// `sent` is what a subscriber with deltas has.
    fn push(&mut self, connection: &mut Connection, id: ConnectionId, sent: Option<&mut Sent>, is_traced: bool) {
        if let Some(make) = self.whole {
            return self.push_view(connection, id, make);
        }
        let form = Form::of(connection);
        let mut delta = None;
        if let Some(sent) = sent {
            if self.change.applies(sent) && !connection.holds_value(self.channel, self.publication) {
                delta = self.change.frame(form);
                self.deltas += u64::from(delta.is_some());
            }
            sent.note(self.publication);
        }
        let whole = || if is_traced { self.traced(form) } else { self.frame(form) };
        let Some(frame) = delta.or_else(whole) else { return };
        let is_owed = self.class == DeliveryClass::Inbox && self.publication.priority == Priority::Critical;
        let span = self.write_span();
        let tag = (is_owed || span.is_some() || matches!(connection.sink, Sink::Pull)).then(|| {
            let receipts = if is_owed { self.publication.position.into_iter().collect() } else { Vec::new() };
            let channel = self.publication.channel.clone();
            Box::new(Tag { channel, mark: self.publication.position, receipts, span })
        });
        let item = Item { frame, tag };
        if self.publication.priority == Priority::Critical {
            let overtakes = connection.outbox.as_ref().is_some_and(|outbox| outbox.is_overtaken_by_critical());
            self.overtakes += u64::from(overtakes);
        }
        match connection.message(self.channel, self.class, self.publication, item, self.budget) {
            Pushed::Queued => self.queued += 1,
            Pushed::Conflated => self.conflated += 1,
            Pushed::Dropped => {
                self.dropped += 1;
                self.lost.push(id);
            }
            Pushed::Overflow => self.overflown.push(id),
        }
    }

    fn finish(self, hub: &mut Hub) {
        let shard = self.shard;
        let metrics = &shard.node.metrics;
        metrics.messages_out.inc_by(self.queued + self.conflated);
        metrics.conflated.inc_by(self.conflated);
        metrics.deltas.inc_by(self.deltas);
        if self.overtakes > 0 {
            metrics.overtakes.inc_by(self.overtakes);
        }
        if self.evaluations > 0 {
            metrics.filter_evaluations.inc_by(self.evaluations);
        }
        if self.dropped > 0 {
            metrics.dropped.get_or_create(&ClassLabels { class: "volatile" }).inc_by(self.dropped);
        }
        for id in self.lost {
            hub.note_drop(id, self.channel);
        }
        for id in self.overflown {
            shard.close_in(hub, id, CloseCode::TooSlow, TOO_SLOW, None);
        }
    }
}
