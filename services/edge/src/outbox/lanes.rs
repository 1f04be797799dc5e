//! Four queues and the slots of `latest` values.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hash, Hasher},
    sync::{Arc, LazyLock},
};

use hashbrown::HashTable;
use slab::Slab;
use tickwire_protocol::Publication;

use super::{ChannelId, Item, PASSED_OVER_MAX};

const LANES: usize = 4;

/// One per process: a per-outbox state would cost 32 bytes on each connection that waits.
static HASHER: LazyLock<ahash::RandomState> = LazyLock::new(ahash::RandomState::new);

/// One place in a lane.
#[derive(Debug)]
pub(super) struct Entry {
    /// `None` for a reply that concerns no channel.
    pub(super) channel: Option<ChannelId>,
    /// Leaving the channel does not remove it.
    pub(super) is_reply: bool,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Frame(Item),
    /// Index into the slots.
    Slot(usize),
}

/// The newest value of a key.
#[derive(Debug)]
struct Slot {
    channel: ChannelId,
    /// Whose `key` it is.
    publication: Arc<Publication>,
    item: Item,
}

#[derive(Debug, Default)]
struct Lane {
    entries: VecDeque<Entry>,
    /// A bit per channel id modulo 64 that may be here: most pushes need not look for entries to raise.
    channels: u64,
    /// Times that another lane went while this one waited.
    passed_over: u8,
}

#[derive(Debug, Default)]
pub(super) struct Lanes {
    by_priority: [Lane; LANES],
    slots: Slab<Slot>,
    by_key: HashTable<usize>,
}

fn bit(channel: Option<ChannelId>) -> u64 {
    channel.map_or(0, |ChannelId(id)| 1 << (id % 64))
}

fn hash(channel: ChannelId, key: Option<&str>) -> u64 {
    let mut hasher = HASHER.build_hasher();
    channel.hash(&mut hasher);
    key.hash(&mut hasher);
    hasher.finish()
}

impl Slot {
    fn hash(&self) -> u64 {
        hash(self.channel, self.publication.key.as_deref())
    }
}

impl Lanes {
    pub(super) fn is_empty(&self) -> bool {
        self.by_priority.iter().all(|lane| lane.entries.is_empty())
    }

    pub(super) fn has_below_critical(&self) -> bool {
        self.by_priority[1..].iter().any(|lane| !lane.entries.is_empty())
    }

    pub(super) fn capacity(&self) -> usize {
        self.by_priority.iter().map(|lane| lane.entries.capacity()).sum::<usize>() + self.slots.capacity()
    }

    pub(super) fn push(&mut self, lane: usize, entry: Entry) {
        let lane = &mut self.by_priority[lane];
        lane.channels |= bit(entry.channel);
        lane.entries.push_back(entry);
    }

    /// Moves the channel's entries in lanes below `to` to its end, in order.
    pub(super) fn raise(&mut self, channel: ChannelId, to: usize) {
        let bit = bit(Some(channel));
        for from in to + 1..LANES {
            if self.by_priority[from].channels & bit == 0 {
                continue;
            }
            let entries = std::mem::take(&mut self.by_priority[from].entries);
            let (raised, kept): (VecDeque<_>, VecDeque<_>) =
                entries.into_iter().partition(|entry| entry.channel == Some(channel));
            self.by_priority[from].channels = kept.iter().fold(0, |bits, entry| bits | self::bit(entry.channel));
            self.by_priority[from].entries = kept;
            for entry in raised {
                self.push(to, entry);
            }
        }
    }

    pub(super) fn find_slot(&self, channel: ChannelId, publication: &Publication) -> Option<usize> {
        let key = publication.key.as_deref();
        let same = |&slot: &usize| {
            let slot = &self.slots[slot];
            slot.channel == channel && slot.publication.key.as_deref() == key
        };
        self.by_key.find(hash(channel, key), same).copied()
    }

    pub(super) fn new_slot(&mut self, channel: ChannelId, publication: &Arc<Publication>, item: Item) -> usize {
        let slot = self.slots.insert(Slot { channel, publication: publication.clone(), item });
        let slots = &self.slots;
        self.by_key.insert_unique(slots[slot].hash(), slot, |&other| slots[other].hash());
        slot
    }

    /// Puts a newer value into a slot; returns the older one's cost.
    pub(super) fn replace(&mut self, slot: usize, publication: &Arc<Publication>, item: Item) -> usize {
        let slot = &mut self.slots[slot];
        let older = slot.item.cost();
        slot.publication = publication.clone();
        slot.item = item;
        older
    }

    fn take_slot(&mut self, slot: usize) -> Item {
        let taken = self.slots.remove(slot);
        if let Ok(entry) = self.by_key.find_entry(taken.hash(), |&other| other == slot) {
            entry.remove();
        }
        taken.item
    }

    /// Removes the channel's entries; returns their cost.
    pub(super) fn purge(&mut self, channel: ChannelId) -> usize {
        let bit = bit(Some(channel));
        let mut cost = 0;
        for lane in 0..LANES {
            if self.by_priority[lane].channels & bit == 0 {
                continue;
            }
            let entries = std::mem::take(&mut self.by_priority[lane].entries);
            let mut kept = VecDeque::with_capacity(entries.len());
            for entry in entries {
                if entry.is_reply || entry.channel != Some(channel) {
                    kept.push_back(entry);
                    continue;
                }
                cost += match entry.value {
                    Value::Frame(item) => item.cost(),
                    Value::Slot(slot) => self.take_slot(slot).cost(),
                };
            }
            self.by_priority[lane].entries = kept;
        }
        cost
    }

    /// The next entry's item, and whether it is a reply.
    pub(super) fn pop(&mut self) -> Option<(Item, bool)> {
        let lane = self.next_lane()?;
        for waiting in lane + 1..LANES {
            let waiting = &mut self.by_priority[waiting];
            if !waiting.entries.is_empty() {
                waiting.passed_over = waiting.passed_over.wrapping_add(1);
            }
        }
        let lane = &mut self.by_priority[lane];
        lane.passed_over = 0;
        let entry = lane.entries.pop_front()?;
        if lane.entries.is_empty() {
            lane.channels = 0;
        }
        let item = match entry.value {
            Value::Frame(item) => item,
            Value::Slot(slot) => self.take_slot(slot),
        };
        Some((item, entry.is_reply))
    }

    /// Whether [`Lanes::pop`] would return the newest value of a key.
    pub(super) fn is_value_next(&self) -> bool {
        let first = self.next_lane().and_then(|lane| self.by_priority[lane].entries.front());
        first.is_some_and(|entry| matches!(entry.value, Value::Slot(_)))
    }

    /// The length of the frame that [`Lanes::pop`] would return.
    pub(super) fn peek_len(&self) -> Option<usize> {
        let entry = self.by_priority[self.next_lane()?].entries.front()?;
        Some(match &entry.value {
            Value::Frame(item) => item.frame.len(),
            Value::Slot(slot) => self.slots[*slot].item.frame.len(),
        })
    }

    /// The most urgent lane, unless a lower one has been passed over too often and its first entry's channel has nothing
    /// waiting above it. Those have their own turn to come, after which it has.
    fn next_lane(&self) -> Option<usize> {
        let urgent = self.by_priority.iter().position(|lane| !lane.entries.is_empty())?;
        for (index, lane) in self.by_priority.iter().enumerate().skip(urgent + 1) {
            // Looked at once in so many times: the look may be long.
            let is_overdue = lane.passed_over > 0 && lane.passed_over % PASSED_OVER_MAX == 0;
            if is_overdue && lane.entries.front().is_some_and(|first| !self.waits_above(index, first.channel)) {
                return Some(index);
            }
        }
        Some(urgent)
    }

    /// Whether the channel has something in a lane above `index`. The bits alone do not tell: channels share them, and one
    /// stays set while its lane is never empty.
    fn waits_above(&self, index: usize, channel: Option<ChannelId>) -> bool {
        let bit = bit(channel);
        let may = self.by_priority[..index].iter().filter(|lane| lane.channels & bit != 0);
        may.flat_map(|lane| &lane.entries).any(|entry| entry.channel == channel)
    }
}
