//! What waits for one connection, and in which order it goes.
//!
//! Four lanes by priority, the urgent first. A `latest` value waits in a slot per (channel, key): a newer one takes its
//! place. What the socket has begun to take is on the [`wire`](Outbox::slices) and is never changed again, so little is
//! moved there at a time once a socket is slow.
//!
//! Invariants (held by the property tests):
//! - Order inside a channel never changes: an entry of a channel in a lane stands before that channel's entries in every
//!   lower lane. A push therefore first raises what its channel has waiting in lower lanes.
//! - No two waiting entries of one (channel, key) of a `latest` channel.
//! - [`Outbox::bytes`] is the sum of what waits, within the budget it was pushed with.
//!
//! A lane that is passed over [`PASSED_OVER_MAX`] times goes next, so that no lane starves for ever.

mod lanes;
#[cfg(test)]
mod tests;
mod wire;

use std::{io::IoSlice, sync::Arc};

use bytes::Bytes;
use smallvec::SmallVec;
use tickwire_protocol::{ChannelName, Position, Priority, Publication};

use lanes::{Entry, Lanes, Value};
use wire::Wire;

/// How often a waiting lane is passed over before it goes first once.
const PASSED_OVER_MAX: u8 = 32;
/// What an entry costs beside its frame, bytes.
const ENTRY_BYTES: usize = 64;
/// A packed frame's body, bytes at most (one larger message goes alone).
pub(crate) const PACKED_BYTES_MAX: usize = 64 * 1024;
/// Bytes moved to the wire at a time while the socket takes all.
const FILL_BYTES: usize = 64 * 1024;
/// The same after the socket refused some: what is on the wire can be neither overtaken nor replaced.
const FILL_BYTES_SLOW: usize = 4 * 1024;
/// What replies may use beyond the budget: a recovery's reply holds a channel's whole history.
const REPLY_BUDGET_FACTOR: usize = 8;

/// Names a channel of the hub in its connections' outboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ChannelId(pub(crate) u32);

/// How several messages may share one WebSocket frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// They may not.
    No,
    /// As a JSON array.
    JsonArray,
    /// `MessagePack` values back to back.
    Concatenated,
}

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits.
    Queued,
    /// It took the place of an older value.
    Conflated,
    /// It was dropped: volatile, and over the budget.
    Dropped,
    /// It may not be dropped and there is no room: the connection is too slow.
    Overflow,
}

/// What must be remembered of an item until it is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tag {
    /// Its channel.
    pub(crate) channel: ChannelName,
    /// Where the channel stands for the client once it has this item (event ids of SSE and polling).
    pub(crate) mark: Option<Position>,
    /// Critical messages in it, to be marked as delivered.
    pub(crate) receipts: Vec<Position>,
    /// Ends when it is written.
    pub(crate) span: Option<tracing::Span>,
}

/// One complete WebSocket frame, and what it belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Header and body.
    pub(crate) frame: Bytes,
    /// See [`Tag`]; most items have none.
    pub(crate) tag: Option<Box<Tag>>,
}

impl Item {
    /// The frame without its header.
    pub(crate) fn body(&self) -> Bytes {
        self.frame.slice(header_len(&self.frame)..)
    }

    fn cost(&self) -> usize {
        self.frame.len() + ENTRY_BYTES
    }
}

/// The length of a server frame's header, from its second byte.
pub(crate) fn header_len(frame: &[u8]) -> usize {
    match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        Some(_) => 2,
        None => frame.len(),
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    lanes: Lanes,
    wire: Wire,
    /// Cost of what waits in lanes.
    waiting: usize,
    /// Cost of waiting replies, a part of `waiting`.
    replies: usize,
    /// A ping or pong.
    control: Option<Bytes>,
    /// A close frame.
    last: Option<Bytes>,
    /// The socket refused bytes since the outbox was last empty.
    slow: bool,
}

impl Outbox {
    /// Bytes that wait, on the wire included.
    pub(crate) fn bytes(&self) -> usize {
        self.waiting + self.wire.bytes()
    }

    /// Bytes of replies that wait: while they are many, no further commands should be read.
    pub(crate) fn reply_bytes(&self) -> usize {
        self.replies
    }

    /// Something waits that a critical message goes before.
    pub(crate) fn is_overtaken_by_critical(&self) -> bool {
        self.lanes.has_below_critical()
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.wire.is_empty() && self.control.is_none() && self.last.is_none()
    }

    /// Goes on with a frame of which the socket has taken all but `begun`, as the first thing in an empty outbox.
    pub(crate) fn resume(&mut self, begun: impl IntoIterator<Item = Bytes>) {
        self.wire.resume(begun);
    }

    /// Appends a reply: it goes before everything that is not yet on the wire, after earlier replies and critical messages.
    /// `channel` is the one whose later messages must not overtake it.
    pub(crate) fn push_reply(&mut self, channel: Option<ChannelId>, item: Item, budget: usize) -> Pushed {
        let cost = item.cost();
        if self.replies > 0 && self.waiting + cost > budget * REPLY_BUDGET_FACTOR {
            return Pushed::Overflow;
        }
        self.waiting += cost;
        self.replies += cost;
        self.lanes.push(0, Entry { channel, is_reply: true, value: Value::Frame(item) });
        Pushed::Queued
    }

    /// Appends a message of a `reliable` or `inbox` channel, or anything that must keep its place in its channel.
    pub(crate) fn push_lossless(
        &mut self,
        channel: ChannelId,
        priority: Priority,
        item: Item,
        budget: usize,
    ) -> Pushed {
        let cost = item.cost();
        if self.waiting > 0 && self.waiting - self.replies + cost > budget {
            return Pushed::Overflow;
        }
        self.append(channel, priority, cost, Value::Frame(item));
        Pushed::Queued
    }

    /// Appends a message of a `volatile` channel.
    pub(crate) fn push_volatile(
        &mut self,
        channel: ChannelId,
        priority: Priority,
        item: Item,
        budget: usize,
    ) -> Pushed {
        match self.push_lossless(channel, priority, item, budget) {
            Pushed::Overflow => Pushed::Dropped,
            pushed => pushed,
        }
    }

    /// Appends a value of a `latest` channel, or puts it where an older one of its key waits.
    pub(crate) fn push_latest(
        &mut self,
        channel: ChannelId,
        publication: &Arc<Publication>,
        item: Item,
        budget: usize,
    ) -> Pushed {
        let cost = item.cost();
        let lane = publication.priority as usize;
        if let Some(slot) = self.lanes.find_slot(channel, publication) {
            self.lanes.raise(channel, lane);
            let older = self.lanes.replace(slot, publication, item);
            self.waiting = self.waiting + cost - older;
            return Pushed::Conflated;
        }
        if self.waiting > 0 && self.waiting - self.replies + cost > budget {
            return Pushed::Overflow;
        }
        let slot = self.lanes.new_slot(channel, publication, item);
        self.append(channel, publication.priority, cost, Value::Slot(slot));
        Pushed::Queued
    }

    /// Appends a view's message, which says what changed since the one before; where one of the channel waits, `whole` takes its
    /// place, and what a slow reader gets is always one message that needs no other.
    pub(crate) fn push_view(
        &mut self,
        channel: ChannelId,
        publication: &Arc<Publication>,
        frame: Bytes,
        whole: impl FnOnce() -> Option<Bytes>,
        budget: usize,
    ) -> Pushed {
        let has_slot = self.lanes.find_slot(channel, publication).is_some();
        let purged = if has_slot { 0 } else { self.lanes.purge(channel) };
        self.waiting -= purged;
        let is_behind = has_slot || purged > 0;
        let frame = if is_behind { whole() } else { Some(frame) };
        let Some(frame) = frame else { return Pushed::Overflow };
        match self.push_latest(channel, publication, Item { frame, tag: None }, budget) {
            Pushed::Queued if is_behind => Pushed::Conflated,
            pushed => pushed,
        }
    }

    /// Whether a value of `publication`'s key waits: it would be replaced, and never be sent.
    pub(crate) fn holds_value(&self, channel: ChannelId, publication: &Publication) -> bool {
        self.lanes.find_slot(channel, publication).is_some()
    }

    fn append(&mut self, channel: ChannelId, priority: Priority, cost: usize, value: Value) {
        let lane = priority as usize;
        self.lanes.raise(channel, lane);
        self.waiting += cost;
        self.lanes.push(lane, Entry { channel: Some(channel), is_reply: false, value });
    }

    /// Forgets what waits of a channel, the wire excepted.
    pub(crate) fn purge(&mut self, channel: ChannelId) {
        self.waiting -= self.lanes.purge(channel);
    }

    /// Forgets everything but what the socket has begun to take, then `last` (a close frame) goes.
    pub(crate) fn cut(&mut self, last: Bytes) {
        self.lanes = Lanes::default();
        self.waiting = 0;
        self.replies = 0;
        self.control = None;
        self.wire.keep_begun_frame();
        self.last = Some(last);
    }

    /// A close frame goes when nothing else waits.
    pub(crate) fn push_last(&mut self, last: Bytes) {
        self.last = Some(last);
    }

    /// A ping or pong goes before what waits; a newer one replaces one that waits.
    pub(crate) fn push_control(&mut self, control: Bytes) {
        self.control = Some(control);
    }

    /// The next item by priority.
    pub(crate) fn pop(&mut self) -> Option<Item> {
        let (item, is_reply) = self.lanes.pop()?;
        let cost = item.cost();
        self.waiting -= cost;
        if is_reply {
            self.replies -= cost;
        }
        Some(item)
    }

    /// Moves waiting items to the wire if that is empty, `latest` values only until they are `room` bytes; whether there is
    /// something to write.
    pub(crate) fn fill(&mut self, packing: Packing, room: usize) -> bool {
        if !self.wire.is_empty() {
            return true;
        }
        if let Some(control) = self.control.take() {
            self.wire.push(control, None);
            self.wire.end_frame();
            return true;
        }
        if self.lanes.is_empty()
            && let Some(last) = self.last.take()
        {
            self.wire.push(last, None);
            self.wire.end_frame();
            return true;
        }
        let bytes_max = if self.slow { FILL_BYTES_SLOW } else { FILL_BYTES };
        match packing {
            Packing::No => self.fill_single(bytes_max, room),
            Packing::JsonArray | Packing::Concatenated => {
                self.fill_packed(packing, bytes_max.min(PACKED_BYTES_MAX), room);
            }
        }
        !self.wire.is_empty()
    }

    /// Whether what is next has to wait once `bytes` are to be written.
    fn is_held(&self, bytes: usize, room: usize) -> bool {
        bytes >= room && self.lanes.is_value_next()
    }

    fn fill_single(&mut self, bytes_max: usize, room: usize) {
        while self.wire.bytes() < bytes_max && self.wire.has_room() && !self.is_held(self.wire.bytes(), room) {
            let Some(item) = self.pop() else { break };
            self.wire.push(item.frame, item.tag);
            self.wire.end_frame();
        }
    }

    fn fill_packed(&mut self, packing: Packing, bytes_max: usize, room: usize) {
        if self.is_held(0, room) {
            return;
        }
        let Some(first) = self.pop() else { return };
        let mut items = SmallVec::<[Item; 16]>::new();
        let mut bytes = first.frame.len();
        items.push(first);
        while bytes < bytes_max && items.len() < wire::PACKED_ITEMS_MAX && !self.is_held(bytes, room) {
            let Some(next_len) = self.lanes.peek_len() else { break };
            if bytes + next_len > PACKED_BYTES_MAX {
                break;
            }
            let Some(item) = self.pop() else { break };
            bytes += item.frame.len();
            items.push(item);
        }
        self.wire.pack(items, packing);
    }

    /// What to write next.
    pub(crate) fn slices(&self) -> SmallVec<[IoSlice<'_>; 16]> {
        self.wire.slices()
    }

    /// The socket took `written` bytes. Tags of items that are now wholly written are handed to `on_written`.
    pub(crate) fn advance(&mut self, written: usize, on_written: &mut impl FnMut(Tag)) {
        self.wire.advance(written, on_written);
        if self.is_empty() {
            self.slow = false;
        }
    }

    /// The socket would block.
    pub(crate) fn set_slow(&mut self) {
        self.slow = true;
    }

    /// Empty again, to be used for another connection; keeps small allocations.
    pub(crate) fn is_reusable(&self) -> bool {
        self.is_empty() && self.lanes.capacity() + self.wire.capacity() <= 256
    }
}
