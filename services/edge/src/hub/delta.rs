//! Changed fields instead of whole values, for subscribers of `latest` channels that have the value before.
//!
//! What a client has is known by what was queued for it: a queued value is written in order, or replaced while it waits, or
//! the connection ends. So a delta goes only to who was last queued just its base and has nothing of that key waiting.
//! Everyone else gets the whole value: newcomers, who was held back by a rate or a filter, and all after a repair or a new epoch.

use std::{cell::OnceCell, collections::HashMap, sync::Arc};

use bytes::Bytes;
use tickwire_backplane::LATEST_KEYS_MAX;
use tickwire_protocol::{Delta, Event, Position, Publication};

use super::encode::{Encoder, Form};

/// The last value of each key that went to a subscriber with deltas. A position belongs to one value of one key in one epoch,
/// so equal positions prove a base whatever hashes do: a collision only costs a whole value.
#[derive(Debug, Default)]
pub(crate) struct Sent(HashMap<u64, Position, ahash::RandomState>);

impl Sent {
    /// Whether `base` is what the client has of its key.
    pub(crate) fn has(&self, base: &Publication) -> bool {
        base.position.is_some() && self.0.get(&self.slot(base)).copied() == base.position
    }

    /// `publication` goes to the client. Keys beyond what a channel holds are not remembered: they get whole values.
    pub(crate) fn note(&mut self, publication: &Publication) {
        let slot = self.slot(publication);
        match publication.position {
            Some(position) if self.0.len() < LATEST_KEYS_MAX || self.0.contains_key(&slot) => {
                self.0.insert(slot, position);
            }
            _ => drop(self.0.remove(&slot)),
        }
    }

    fn slot(&self, publication: &Publication) -> u64 {
        self.0.hasher().hash_one(publication.key.as_deref())
    }
}

/// A publication as a change of the value before it: found out and encoded once for all subscribers of a shard that have it.
pub(super) struct Change<'a> {
    encoder: &'a Encoder,
    base: Option<Arc<Publication>>,
    next: &'a Arc<Publication>,
    event: OnceCell<Option<Event>>,
    frames: [OnceCell<Option<Bytes>>; Form::COUNT],
}

impl<'a> Change<'a> {
    /// `base` is the value of `next`'s key before it.
    pub(super) fn new(encoder: &'a Encoder, base: Option<Arc<Publication>>, next: &'a Arc<Publication>) -> Self {
        let frames = [const { OnceCell::new() }; Form::COUNT];
        Self { encoder, base, next, event: OnceCell::new(), frames }
    }

    /// Whether the change means something to who was sent `sent`.
    pub(super) fn applies(&self, sent: &Sent) -> bool {
        self.base.as_ref().is_some_and(|base| sent.has(base))
    }

    /// Its frame; `None` where the whole value says it better.
    pub(super) fn frame(&self, form: Form) -> Option<Bytes> {
        let event = self.event.get_or_init(|| {
            let delta = Delta::between(self.base.as_ref()?, self.next)?;
            Some(Event::Delta(Box::new(delta)))
        });
        let event = event.as_ref()?;
        self.frames[form.slot()].get_or_init(|| self.encoder.event_frame(event, form)).clone()
    }
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::{
        ChannelName, DeliveryClass, Priority, RawJson,
        publication::{FrameCache, Tags},
    };

    use super::*;

    fn value(key: &str, epoch: u64, offset: u64) -> Publication {
        Publication {
            channel: ChannelName::new("prices:X").unwrap(),
            position: Some(Position::new(epoch, offset)),
            class: DeliveryClass::Latest,
            time_ms: 0,
            stored_ms: None,
            priority: Priority::Medium,
            key: Some(key.into()),
            tags: Tags::new(),
            data: RawJson::null(),
            publisher: None,
            signature: None,
            expires_at_ms: None,
            traceparent: None,
            frames: FrameCache::default(),
        }
    }

    #[test]
    fn only_the_very_value_that_was_sent_is_a_base() {
        let mut sent = Sent::default();
        assert!(!sent.has(&value("A", 1, 1)));
        sent.note(&value("A", 1, 1));
        assert!(sent.has(&value("A", 1, 1)));
        assert!(!sent.has(&value("A", 1, 2)) && !sent.has(&value("A", 2, 1)) && !sent.has(&value("B", 1, 1)));
        sent.note(&value("A", 1, 3));
        assert!(!sent.has(&value("A", 1, 1)));
    }

    #[test]
    fn what_is_remembered_of_a_subscriber_is_bounded() {
        let mut sent = Sent::default();
        for offset in 0..LATEST_KEYS_MAX as u64 + 10 {
            sent.note(&value(&offset.to_string(), 1, offset));
        }
        assert!(sent.0.len() <= LATEST_KEYS_MAX);
        assert!(!sent.has(&value(&(LATEST_KEYS_MAX + 5).to_string(), 1, LATEST_KEYS_MAX as u64 + 5)));
    }
}
