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

/// What a real store does on bad days. Nothing here happens unless it is asked for.
#[derive(Debug, Default)]
pub struct Faults {
    is_down: AtomicBool,
    /// Channels with signals to drop: a publish looks at the map only while there are any.
    armed: AtomicUsize,
    drops: Mutex<HashMap<ChannelName, usize>>,
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
