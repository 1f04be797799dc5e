//! Says on `system` when the backplane is away and when it is back: a local notice to this shard's subscribers, without a
//! position, since it is nobody's message but this node's.
//!
//! `data` is `{"type":"backplane_status","status":"unavailable"|"available","node":"edge-a","timestamp":…}`.

use std::sync::Arc;

use serde::Serialize;
use tickwire_protocol::{
    ChannelName, DeliveryClass, Priority, Publication, RawJson,
    publication::{FrameCache, Tags},
    time::now_ms,
};

use super::Shard;
use crate::connection::ConnectionId;

/// Where it is said.
const CHANNEL: &str = "system";
/// How long the backplane is away before it is said: a connection that is dialled again at once is no news.
const SAID_AFTER_MS: u32 = 1_500;

/// What a shard knows and has said.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    since_ms: Option<u32>,
    is_said: bool,
}

/// What is there to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Unavailable,
    Available,
}

impl Outage {
    /// It was said that the backplane is away, and not yet that it is back.
    pub(crate) fn lasts(&self) -> bool {
        self.is_said
    }

    /// Takes a look at the backplane.
    fn on_look(&mut self, is_healthy: bool, clock_ms: u32) -> Option<Status> {
        if is_healthy {
            self.since_ms = None;
            return std::mem::take(&mut self.is_said).then_some(Status::Available);
        }
        let since_ms = *self.since_ms.get_or_insert(clock_ms);
        if self.is_said || clock_ms.wrapping_sub(since_ms) < SAID_AFTER_MS {
            return None;
        }
        self.is_said = true;
        Some(Status::Unavailable)
    }
}

#[derive(Serialize)]
struct Notice<'a> {
    r#type: &'static str,
    status: Status,
    node: &'a str,
    timestamp: u64,
}

impl Shard {
    /// Looks at the backplane, and says what changed.
    pub(crate) fn watch_backplane(&self) {
        let is_healthy = self.node.backplane.is_healthy();
        let mut hub = self.hub.borrow_mut();
        let Some(status) = hub.outage.on_look(is_healthy, self.node.clock_ms()) else { return };
        self.node.metrics.outage_notices.inc();
        if status == Status::Unavailable {
            self.suspend_all_views(&mut hub);
        }
        let Some(id) = hub.by_name.get(CHANNEL).copied() else { return };
        let Some(notice) = self.notice(status) else { return };
        self.deliver(&mut hub, id, &notice, None);
    }

    /// Tells one who subscribes to `channel` during an outage, after the reply.
    pub(crate) fn tell_outage(&self, hub: &mut super::Hub, channel: &ChannelName, to: ConnectionId) {
        if !hub.outage.is_said || channel.as_str() != CHANNEL {
            return;
        }
        let Some(&id) = hub.by_name.get(channel) else { return };
        if let Some(notice) = self.notice(Status::Unavailable) {
            self.deliver_to(hub, id, to, &notice, false);
        }
    }

    fn notice(&self, status: Status) -> Option<Arc<Publication>> {
        let now = now_ms();
        let node = &self.node.config.edge.node;
        let data = RawJson::of(&Notice { r#type: "backplane_status", status, node, timestamp: now });
        let channel = ChannelName::new(CHANNEL);
        let (Ok(data), Ok(channel)) = (data, channel) else {
            tracing::error!("the notice of an outage cannot be rendered");
            return None;
        };
        Some(Arc::new(Publication {
            channel,
            position: None,
            class: DeliveryClass::Reliable,
            time_ms: now,
            stored_ms: None,
            priority: Priority::High,
            key: None,
            tags: Tags::new(),
            data,
            publisher: None,
            signature: None,
            expires_at_ms: None,
            traceparent: None,
            frames: FrameCache::default(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_once_after_a_while_and_its_end_once() {
        let mut outage = Outage::default();
        assert_eq!(outage.on_look(true, 0), None);
        assert_eq!(outage.on_look(false, 10), None);
        assert_eq!(outage.on_look(false, 10 + SAID_AFTER_MS), Some(Status::Unavailable));
        assert_eq!(outage.on_look(false, 20 + SAID_AFTER_MS), None);
        assert_eq!(outage.on_look(true, 30 + SAID_AFTER_MS), Some(Status::Available));
        assert_eq!(outage.on_look(true, 40 + SAID_AFTER_MS), None);
    }

    #[test]
    fn a_short_loss_is_not_said() {
        let mut outage = Outage::default();
        for round in 0..10 {
            assert_eq!(outage.on_look(false, round * 2_000), None);
            assert_eq!(outage.on_look(true, round * 2_000 + 1_000), None);
        }
    }
}
