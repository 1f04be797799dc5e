//! Who holds which lease.

use std::{collections::HashMap, time::Duration};

use tickwire_protocol::ChannelName;
use tokio::time::Instant;

use crate::{BackplaneError, Fence, Taken};

/// Leases remembered at once. At the bound a new one is refused with [`BackplaneError::Full`].
const LEASES_MAX: usize = 100_000;
/// How long the fence of a lease that nobody holds is remembered.
const KEPT: Duration = Duration::from_secs(86_400);

#[derive(Debug, Default)]
pub(super) struct Leases(HashMap<ChannelName, Entry>);

#[derive(Debug)]
struct Entry {
    holder: String,
    fence: Fence,
    until: Instant,
}

impl Leases {
    pub(super) fn take(
        &mut self,
        lease: &ChannelName,
        holder: &str,
        ttl: Duration,
        now_ms: u64,
    ) -> Result<Taken, BackplaneError> {
        let now = Instant::now();
        let until = now + ttl;
        if let Some(entry) = self.0.get_mut(lease.as_str()) {
            let is_held = now < entry.until;
            if is_held && entry.holder != holder {
                return Ok(Taken::Elsewhere { holder: entry.holder.clone(), rest: entry.until - now });
            }
            if !is_held {
                entry.fence = Fence(now_ms.max(entry.fence.0 + 1));
                holder.clone_into(&mut entry.holder);
            }
            entry.until = until;
            return Ok(Taken::Held(entry.fence));
        }
        if self.0.len() >= LEASES_MAX {
            self.0.retain(|_, entry| now < entry.until + KEPT);
            if self.0.len() >= LEASES_MAX {
                return Err(BackplaneError::Full);
            }
        }
        let fence = Fence(now_ms);
        self.0.insert(lease.clone(), Entry { holder: holder.to_owned(), fence, until });
        Ok(Taken::Held(fence))
    }

    pub(super) fn renew(&mut self, lease: &ChannelName, fence: Fence, ttl: Duration) -> bool {
        let now = Instant::now();
        let held = self.0.get_mut(lease.as_str()).filter(|entry| entry.fence == fence && now < entry.until);
        held.map(|entry| entry.until = now + ttl).is_some()
    }

    pub(super) fn release(&mut self, lease: &ChannelName, fence: Fence) {
        if let Some(entry) = self.0.get_mut(lease.as_str()).filter(|entry| entry.fence == fence) {
            entry.until = Instant::now();
        }
    }
}
