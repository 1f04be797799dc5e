//! Faults on demand, for tests and simulation.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tickwire_protocol::ChannelName;

use crate::BackplaneError;

/// A call on one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is named after its call")]
pub enum Operation {
    Publish,
    Subscribe,
    History,
    Snapshot,
    Inbox,
    Acknowledge,
    Delivered,
    Owner,
}

/// What a real store does on bad days. Nothing here happens unless it is asked for.
#[derive(Debug, Default)]
pub struct Faults {
    is_down: AtomicBool,
    /// Channels with signals to drop: a publish looks at the map only while there are any.
    armed: AtomicUsize,
    drops: Mutex<HashMap<ChannelName, usize>>,
    /// Calls to refuse, and how many there are to look for.
    refusals: Mutex<HashMap<(Operation, ChannelName), usize>>,
    refusing: AtomicUsize,
}

impl Faults {
    /// Every call is refused with [`BackplaneError::Unavailable`] until this is undone.
    pub fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    /// The next `count` publications of `channel` are stored and reach no subscriber.
    pub fn drop_publications(&self, channel: &ChannelName, count: usize) {
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        drops.insert(channel.clone(), count);
        drops.retain(|_, left| *left > 0);
        self.armed.store(drops.len(), Ordering::SeqCst);
    }

    /// The next `count` calls of `operation` on `channel` are refused with [`BackplaneError::Unavailable`].
    pub fn fail(&self, operation: Operation, channel: &ChannelName, count: usize) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.insert((operation, channel.clone()), count);
        refusals.retain(|_, left| *left > 0);
        self.refusing.store(refusals.len(), Ordering::SeqCst);
    }

    /// [`Faults::check`] for a call on a channel.
    pub(super) fn check_on(&self, operation: Operation, channel: &ChannelName) -> Result<(), BackplaneError> {
        self.check()?;
        if self.refusing.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left) = refusals.get_mut(&(operation, channel.clone())) else { return Ok(()) };
        *left -= 1;
        refusals.retain(|_, left| *left > 0);
        self.refusing.store(refusals.len(), Ordering::SeqCst);
        Err(BackplaneError::Unavailable(None))
    }

    pub(super) fn check(&self) -> Result<(), BackplaneError> {
        if self.is_down() { Err(BackplaneError::Unavailable(None)) } else { Ok(()) }
    }

    pub(super) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// Whether this publication of `channel` is one to lose.
    pub(super) fn loses(&self, channel: &ChannelName) -> bool {
        if self.armed.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left) = drops.get_mut(channel.as_str()) else { return false };
        *left -= 1;
        if *left == 0 {
            drops.remove(channel.as_str());
            self.armed.store(drops.len(), Ordering::SeqCst);
        }
        true
    }
}
