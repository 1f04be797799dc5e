//! What this process wants from pub/sub, whichever connection brings it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tickwire_protocol::{ChannelName, namespace::Policy};

use super::publish::{is_numbered, meta_ttl_s};
use crate::{BackplaneError, FanIn, Signal, SubscriberId, fan_in::Added};

/// The subscribers' registry, and beside it what the store must be told of each wanted channel.
#[derive(Debug, Default)]
pub(super) struct Interest {
    fan_in: FanIn,
    // Held while the registry changes, so that both agree; never while waiting.
    wanted: Mutex<HashMap<ChannelName, Wanted, ahash::RandomState>>,
}

#[derive(Debug, Clone, Copy)]
struct Wanted {
    partition: usize,
    /// `None` for a channel without positions.
    meta_ttl_s: Option<u64>,
}

/// A numbered channel, and how long its numbering is kept.
pub(super) type Numbered = (ChannelName, u64);

impl Interest {
    pub(super) fn fan_in(&self) -> &FanIn {
        &self.fan_in
    }

    /// Registers `subscriber`; answers the channels that it did not have.
    pub(super) fn add(
        &self,
        subscriber: SubscriberId,
        channels: &[(ChannelName, Policy)],
        partition_of: impl Fn(&str) -> usize,
    ) -> Result<Vec<ChannelName>, BackplaneError> {
        let mut wanted = self.wanted();
        let mut new = Vec::new();
        for (channel, policy) in channels {
            let had = self.fan_in.has(subscriber, channel.as_str());
            if self.fan_in.add(subscriber, channel) == Added::UnknownSubscriber {
                return Err(BackplaneError::UnknownSubscriber);
            }
            if !had {
                new.push(channel.clone());
            }
            wanted.entry(channel.clone()).or_insert_with(|| Wanted {
                partition: partition_of(channel.as_str()),
                meta_ttl_s: is_numbered(policy).then(|| meta_ttl_s(policy)),
            });
        }
        Ok(new)
    }

    /// Takes `subscriber` out; answers the channels that nobody wants any more.
    pub(super) fn remove(&self, subscriber: SubscriberId, channels: &[ChannelName]) -> Vec<ChannelName> {
        let mut wanted = self.wanted();
        let mut last = Vec::new();
        for channel in channels {
            if self.fan_in.remove(subscriber, channel) {
                wanted.remove(channel.as_str());
                last.push(channel.clone());
            }
        }
        last
    }

    /// Forgets subscribers that were dropped; answers the channels that nobody wants any more.
    pub(super) fn sweep(&self) -> Vec<ChannelName> {
        let mut wanted = self.wanted();
        let orphaned = self.fan_in.sweep();
        for channel in &orphaned {
            wanted.remove(channel.as_str());
        }
        orphaned
    }

    /// The numbered ones among `channels`, each with its place in them.
    pub(super) fn numbered(channels: &[(ChannelName, Policy)]) -> (Vec<usize>, Vec<Numbered>) {
        let with_places = channels.iter().enumerate().filter(|(_, (_, policy))| is_numbered(policy));
        with_places.map(|(at, (channel, policy))| (at, (channel.clone(), meta_ttl_s(policy)))).unzip()
    }

    pub(super) fn is_wanted(&self, channel: &str) -> bool {
        self.fan_in.is_wanted(channel)
    }

    pub(super) fn deliver(&self, channel: &str, signal: &Signal) {
        self.fan_in.deliver(channel, signal);
    }

    /// All wanted channels of these partitions.
    pub(super) fn wanted_in(&self, partitions: &[usize]) -> Vec<ChannelName> {
        let wanted = self.wanted();
        let within = wanted.iter().filter(|(_, wanted)| partitions.binary_search(&wanted.partition).is_ok());
        within.map(|(channel, _)| channel.clone()).collect()
    }

    /// The numbered ones among them.
    pub(super) fn numbered_in(&self, partitions: &[usize]) -> Vec<Numbered> {
        let wanted = self.wanted();
        let within = wanted.iter().filter(|(_, wanted)| partitions.binary_search(&wanted.partition).is_ok());
        within.filter_map(|(channel, wanted)| Some((channel.clone(), wanted.meta_ttl_s?))).collect()
    }

    fn wanted(&self) -> MutexGuard<'_, HashMap<ChannelName, Wanted, ahash::RandomState>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
