//! The way of a message: from the backplane's signal to outboxes, then once to each socket.

use std::{
    cell::OnceCell,
    io::{self, IoSlice},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tickwire_backplane::Signal;
use tickwire_protocol::{
    ChannelName, CloseCode, DeliveryClass, Event, Position, Priority, Publication, dialect::Dialect,
    publication::FrameCache, time::now_ms,
};

use super::{
    Hub, Shard, TOO_SLOW,
    channel::Choice,
    delta::{Change, Sent},
    stream::{Next, is_expired},
};
use crate::{
    connection::{Connection, ConnectionId, Sink, frame, frame_kind, socket::Socket},
    metrics::{ClassLabels, Metrics},
    outbox::{ChannelId, Item, Outbox, Packing, Pushed, SLICES_MAX, Tag},
};

/// How long the loop may work before others get their turn.
const WORK_MAX: Duration = Duration::from_millis(5);
/// Connections written to without giving others their turn.
const FLUSHED_AT_ONCE_MAX: usize = 64;
/// Writes to one socket in a row.
const WRITES_MAX: usize = 8;
/// Messages gathered before the first is written: large batches save writes, small ones save memory.
const DIRTY_MAX: usize = 4_096;

/// What came of writing to a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing waits any more.
    Drained,
    /// The socket would block.
    Blocked,
    /// More waits, others should go first.
    More,
    /// The socket is gone.
    Dead,
}

impl Shard {
    /// Takes a batch of signals. Pauses between two of them, never inside one.
    pub(crate) async fn on_signals(self: &Rc<Self>, signals: &mut Vec<Signal>) {
        let mut begun = Instant::now();
        for signal in signals.drain(..) {
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
                // The node hears these on a queue of its own, which messages cannot fill.
                Signal::Control(_) => {}
                Signal::Lagged => self.on_lagged(),
            }
            let crowded = self.hub.borrow().dirty.len() >= DIRTY_MAX;
            if crowded || begun.elapsed() >= WORK_MAX {
                begun = self.flush_pausing(begun).await;
            }
        }
        begun = self.flush_pausing(begun).await;
        self.note_pause(begun);
    }

    /// Tells the user's other devices what is over, so that no toast stays anywhere. The one that said so hears it, too.
    fn on_acknowledged(&self, name: &ChannelName, positions: Vec<Position>) {
        let mut hub = self.hub.borrow_mut();
        let Some(&id) = hub.by_name.get(name) else { return };
        for position in positions {
            self.send_event(&mut hub, id, &Event::Acked { id: None, channel: name.clone(), position }, None);
        }
    }

    fn on_publication(self: &Rc<Self>, publication: &Arc<Publication>) {
        self.node.metrics.publications_in.inc();
        let mut hub = self.hub.borrow_mut();
        let Some(&id) = hub.by_name.get(&publication.channel) else { return };
        let channel = &mut hub.channels[id.0 as usize];
        let base = channel.stream.value(publication.key.as_deref()).cloned();
        match channel.stream.on_publication(publication) {
            Next::Deliver => self.deliver(&mut hub, id, publication, base),
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
        let clock_ms = self.node.clock_ms();
        let mut round = Round::new(self, hub, id, publication, base);
        let Hub { connections, channels, dirty, spare, rated, .. } = hub;
        let channel = &mut channels[id.0 as usize];
        for (_, subscriber) in &mut channel.subscribers {
            if let Some(choice) = &mut subscriber.choice {
                match round.choose(choice, clock_ms) {
                    Chosen::Send => {}
                    Chosen::Skip => continue,
                    Chosen::Hold { first } => {
                        if first {
                            rated.push((id, subscriber.connection));
                        }
                        continue;
                    }
                }
            }
            let Some(connection) = connections.get_mut(subscriber.connection.key as usize) else { continue };
            if connection.outbox.is_none() {
                connection.outbox = spare.pop();
            }
            let sent = subscriber.choice.as_mut().and_then(|choice| choice.sent.as_mut());
            round.push(connection, subscriber.connection, sent);
            if !connection.dirty {
                connection.dirty = true;
                dirty.push(subscriber.connection);
            }
        }
        round.finish(hub);
    }

    /// Sends what a subscriber's rate held back and now allows; whether something is still held.
    pub(crate) fn release_held(&self, hub: &mut Hub, id: ChannelId, to: ConnectionId, clock_ms: u32) -> bool {
        let Some(channel) = hub.channels.get_mut(id.0 as usize) else { return false };
        let Some((_, subscriber)) = channel.subscribers.iter_mut().find(|(_, held)| held.connection == to) else {
            return false;
        };
        let Some(choice) = &mut subscriber.choice else { return false };
        if choice.held.is_empty() || !is_due(choice.due_ms, clock_ms) {
            return !choice.held.is_empty();
        }
        let publication = choice.held.remove(0);
        choice.due_ms = clock_ms.wrapping_add(choice.options.interval_ms.unwrap_or_default());
        let more = !choice.held.is_empty();
        // Others came and went unsent meanwhile: it goes whole.
        if let Some(sent) = &mut choice.sent {
            sent.note(&publication);
        }
        self.deliver_to(hub, id, to, &publication);
        more
    }

    /// Queues a message for one connection, whole.
    pub(crate) fn deliver_to(&self, hub: &mut Hub, id: ChannelId, to: ConnectionId, publication: &Arc<Publication>) {
        let mut round = Round::new(self, hub, id, publication, None);
        if let Some(connection) = hub.connection(to) {
            round.push(connection, to, None);
        }
        hub.mark_dirty(to);
        round.finish(hub);
    }

    /// Writes at once to connections that have something new. Many at a time are left to the shard's loop, which pauses.
    pub(crate) fn flush_dirty(&self) {
        let mut hub = self.hub.borrow_mut();
        for _ in 0..FLUSHED_AT_ONCE_MAX {
            let Some(id) = hub.dirty.pop() else { return };
            self.flush_in(&mut hub, id);
        }
        if !hub.dirty.is_empty() {
            self.work.notify_one();
        }
    }

    /// Writes to every connection that has something new, with pauses for others; returns when the last stretch of work
    /// began.
    pub(crate) async fn flush_pausing(&self, mut begun: Instant) -> Instant {
        loop {
            {
                let mut hub = self.hub.borrow_mut();
                // In the order in which they became dirty; a later pass takes what others add during a pause.
                let mut dirty = std::mem::take(&mut hub.dirty);
                let mut done = 0;
                while done < dirty.len() && (done % 16 != 0 || begun.elapsed() < WORK_MAX) {
                    self.flush_in(&mut hub, dirty[done]);
                    done += 1;
                }
                dirty.drain(..done);
                let added = std::mem::take(&mut hub.dirty);
                dirty.extend(added);
                hub.dirty = dirty;
                if hub.dirty.is_empty() {
                    return begun;
                }
            }
            self.note_pause(begun);
            tokio::task::yield_now().await;
            begun = Instant::now();
        }
    }

    /// Writes what waits for one connection, unless its task does.
    pub(crate) fn flush_in(&self, hub: &mut Hub, id: ConnectionId) {
        let Some(connection) = hub.connection(id) else { return };
        connection.dirty = false;
        let flushed = if connection.blocked { Flushed::Blocked } else { self.write(hub, id) };
        self.after_write(hub, id, flushed);
    }

    /// Writes until the socket is full or nothing waits.
    pub(crate) fn write(&self, hub: &mut Hub, id: ConnectionId) -> Flushed {
        let Some(connection) = hub.connection(id) else { return Flushed::Dead };
        let packing = connection.packing();
        let Connection { sink, outbox, .. } = connection;
        let Sink::Socket { stream, .. } = sink else {
            let is_drained = outbox.as_ref().is_none_or(|outbox| outbox.is_empty());
            return if is_drained { Flushed::Drained } else { Flushed::More };
        };
        if outbox.is_none() && !stream.has_unsent() {
            return Flushed::Drained;
        }
        let outbox = outbox.get_or_insert_default();
        let mut written = Vec::new();
        let flushed = write_outbox(stream, outbox, packing, &self.node.metrics, &mut written);
        for tag in written {
            hub.receipts.extend(tag.receipts.into_iter().map(|position| (tag.channel.clone(), position)));
            self.work.notify_one();
        }
        flushed
    }

    /// Keeps the books after a write, and wakes the task where it must go on.
    pub(crate) fn after_write(&self, hub: &mut Hub, id: ConnectionId, flushed: Flushed) {
        let clock_ms = self.node.clock_ms();
        let Some(connection) = hub.connection(id) else { return };
        let is_socket = matches!(connection.sink, Sink::Socket { .. });
        let was_blocked = connection.blocked;
        connection.blocked = flushed == Flushed::Blocked;
        connection.sent_ms = clock_ms;
        let bytes = connection.outbox.as_ref().map_or(0, |outbox| outbox.bytes());
        let before = std::mem::replace(&mut connection.accounted, bytes);
        let emptied = if flushed == Flushed::Drained { connection.outbox.take() } else { None };
        let wake = match flushed {
            Flushed::Blocked => !was_blocked,
            Flushed::More => true,
            Flushed::Drained => connection.closing.is_some() || !is_socket,
            Flushed::Dead => false,
        };
        if wake && let Some(waker) = &connection.waker {
            waker.wake_by_ref();
        }
        hub.outbox_bytes = hub.outbox_bytes + bytes - before;
        if let Some(outbox) = emptied {
            Self::recycle(hub, outbox);
        }
        if flushed == Flushed::Dead {
            self.drop_in(hub, id);
        }
    }
}

fn write_outbox(
    stream: &mut Socket,
    outbox: &mut Outbox,
    packing: Packing,
    metrics: &Metrics,
    written: &mut Vec<Tag>,
) -> Flushed {
    match stream.flush() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flushed::Blocked,
        Err(_) => return Flushed::Dead,
        Ok(()) => {}
    }
    for _ in 0..WRITES_MAX {
        if !outbox.fill(packing) {
            return drained(stream);
        }
        let taken = {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = outbox.slices(&mut slices);
            stream.try_write(&slices[..count])
        };
        match taken {
            Ok(0) => return Flushed::Dead,
            Ok(bytes) => {
                metrics.bytes_out.inc_by(bytes as u64);
                outbox.advance(bytes, &mut |tag| written.push(tag));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                outbox.set_slow();
                return Flushed::Blocked;
            }
            Err(_) => return Flushed::Dead,
        }
    }
    if outbox.is_empty() { drained(stream) } else { Flushed::More }
}

/// Nothing waits in the outbox; it may in the socket's TLS session.
fn drained(stream: &Socket) -> Flushed {
    if stream.has_unsent() { Flushed::Blocked } else { Flushed::Drained }
}

fn is_due(due_ms: u32, clock_ms: u32) -> bool {
    // The clock wraps: what is more than half its range away lies in the past.
    clock_ms.wrapping_sub(due_ms) < u32::MAX / 2
}

enum Chosen {
    Send,
    Skip,
    Hold {
        /// Nothing was held before.
        first: bool,
    },
}

/// One message on its way to a channel's subscribers: encoded at most once per dialect.
struct Round<'a> {
    shard: &'a Shard,
    channel: ChannelId,
    class: DeliveryClass,
    publication: &'a Arc<Publication>,
    /// Frames by dialect; `None` in a cell where the dialect has no such message.
    frames: [OnceCell<Option<Bytes>>; FrameCache::SLOTS],
    change: Change<'a>,
    budget: usize,
    queued: u64,
    deltas: u64,
    conflated: u64,
    dropped: u64,
    overflown: Vec<ConnectionId>,
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
            frames: [const { OnceCell::new() }; FrameCache::SLOTS],
            change: Change::new(shard, base, publication),
            budget: shard.budget(hub),
            queued: 0,
            deltas: 0,
            conflated: 0,
            dropped: 0,
            overflown: Vec::new(),
        }
    }

    fn choose(&mut self, choice: &mut Choice, clock_ms: u32) -> Chosen {
        if !choice.wants(self.publication) {
            return Chosen::Skip;
        }
        let Some(interval_ms) = choice.options.interval_ms else { return Chosen::Send };
        if choice.held.is_empty() && is_due(choice.due_ms, clock_ms) {
            choice.due_ms = clock_ms.wrapping_add(interval_ms);
            return Chosen::Send;
        }
        if self.class != DeliveryClass::Latest {
            self.dropped += 1;
            return Chosen::Skip;
        }
        let first = choice.held.is_empty();
        self.conflated += u64::from(choice.hold(self.publication));
        Chosen::Hold { first }
    }

    /// The message's frame, compressed where the connection can read that and it is worth it.
    fn encoded(&self, dialect: Dialect, deflates: bool) -> Option<Bytes> {
        let plain = || dialect.encode(&Event::Message(self.publication.clone()));
        if deflates && let Some(deflated) = self.deflated(dialect, plain) {
            return Some(deflated);
        }
        self.frames[dialect.slot()].get_or_init(|| plain().map(|body| frame(dialect, &body))).clone()
    }

    /// Compressed by the first shard of the node that needs it, for all.
    fn deflated(&self, dialect: Dialect, plain: impl Fn() -> Option<Bytes>) -> Option<Bytes> {
        let deflated = self.publication.frames.get_or_deflate(dialect.slot(), || {
            let body = plain().filter(|body| body.len() >= self.shard.node.config.edge.deflate_min_bytes)?;
            let deflated = self.shard.deflater.borrow_mut().frame(frame_kind(dialect), &body);
            let saved = deflated.as_ref().map_or(0, |deflated| body.len().saturating_sub(deflated.len()));
            self.shard.node.metrics.deflated.inc();
            self.shard.node.metrics.deflate_saved.inc_by(saved as u64);
            deflated
        });
        deflated.cloned()
    }

    /// `sent` is what a subscriber with deltas has.
    fn push(&mut self, connection: &mut Connection, id: ConnectionId, sent: Option<&mut Sent>) {
        let dialect = connection.state.dialect();
        let mut encoded = None;
        if let Some(sent) = sent {
            if self.change.applies(sent) && !connection.holds_value(self.channel, self.publication) {
                encoded = self.change.frame(dialect, connection.deflates);
                self.deltas += u64::from(encoded.is_some());
            }
            sent.note(self.publication);
        }
        let Some(encoded) = encoded.or_else(|| self.encoded(dialect, connection.deflates)) else { return };
        let is_owed = self.class == DeliveryClass::Inbox && self.publication.priority == Priority::Critical;
        let tag = (is_owed || matches!(connection.sink, Sink::Pull)).then(|| {
            let receipts = if is_owed { self.publication.position.into_iter().collect() } else { Vec::new() };
            let channel = self.publication.channel.clone();
            Box::new(Tag { channel, mark: self.publication.position, receipts })
        });
        let item = Item { frame: encoded, tag };
        match connection.message(self.channel, self.class, self.publication, item, self.budget) {
            Pushed::Queued => self.queued += 1,
            Pushed::Conflated => self.conflated += 1,
            Pushed::Dropped => self.dropped += 1,
            Pushed::Overflow => self.overflown.push(id),
        }
    }

    fn finish(self, hub: &mut Hub) {
        let shard = self.shard;
        let metrics = &shard.node.metrics;
        metrics.messages_out.inc_by(self.queued + self.conflated);
        metrics.conflated.inc_by(self.conflated);
        metrics.deltas.inc_by(self.deltas);
        if self.dropped > 0 {
            metrics.dropped.get_or_create(&ClassLabels { class: "volatile" }).inc_by(self.dropped);
        }
        for id in self.overflown {
            shard.close_in(hub, id, CloseCode::TooSlow, TOO_SLOW, None);
        }
    }
}
