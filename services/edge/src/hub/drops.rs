//! What slow readers of volatile channels lost, told to them once a second.

use std::collections::HashMap;

use tickwire_protocol::Event;

use super::{Hub, Shard};
use crate::{connection::ConnectionId, outbox::ChannelId};

/// Bytes of replies that wait for a connection beyond which it is told nothing more.
const REPLIES_WAITING_MAX: usize = 4 * 1024;

/// Messages dropped and not yet told. At most one entry per subscription that lost something since the last round.
pub(crate) type Drops = HashMap<(ConnectionId, ChannelId), u64, ahash::RandomState>;

impl Hub {
    /// One message for `to` was dropped.
    pub(super) fn note_drop(&mut self, to: ConnectionId, channel: ChannelId) {
        *self.drops.entry((to, channel)).or_default() += 1;
    }
}

impl Shard {
    /// Tells each connection what it lost. Who has not even read its last replies is told later, of all of it.
    pub(super) fn tell_drops(&self) {
        let mut hub = self.hub.borrow_mut();
        if hub.drops.is_empty() {
            return;
        }
        for ((id, channel), count) in std::mem::take(&mut hub.drops) {
            let name = hub.channels.get(channel.0 as usize).map(|entry| entry.name.clone());
            let (Some(name), Some(connection)) = (name, hub.connection(id)) else { continue };
            let is_subscribed = connection.state.subscriptions.iter().any(|held| held.channel == channel);
            if !is_subscribed || connection.closing.is_some() {
                continue;
            }
            let waiting = connection.outbox.as_ref().map_or(0, |outbox| outbox.reply_bytes());
            if waiting > REPLIES_WAITING_MAX {
                hub.drops.insert((id, channel), count);
                continue;
            }
            self.reply_in(&mut hub, id, None, &Event::Dropped { channel: name, count }, None);
        }
    }
}
