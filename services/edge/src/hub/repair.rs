//! Filling holes: one read of the store per channel and shard, however many subscribers it has.

use std::{rc::Rc, time::Duration};

use tickwire_backplane::{HISTORY_LIMIT_MAX, HistoryQuery};
use tickwire_protocol::{CloseCode, DeliveryClass, Event, Position, Priority, event::ResetReason};

use super::{
    Hub, Shard, TOO_SLOW,
    channel::Channel,
    stream::{Repaired, Stored},
    views::Doubt,
};
use crate::{
    connection::{Sink, frame},
    outbox::{ChannelId, Item, Pushed, Tag},
};

/// First and longest pause between reads that failed or came from a store that is behind.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

impl Shard {
    /// Begins to read what `channel` is missing. Its stream is already holding messages back, so there is one at a time.
    pub(crate) fn start_repair(self: &Rc<Self>, channel: &Channel, id: ChannelId, serial: u32) {
        self.node.metrics.gaps.inc();
        tracing::debug!(channel = %channel.name, position = %channel.stream.position(), "a hole is being filled");
        tokio::task::spawn_local(Rc::clone(self).repair(id, serial));
    }

    async fn repair(self: Rc<Self>, id: ChannelId, serial: u32) {
        {
            let mut hub = self.hub.borrow_mut();
            if hub.channel(id, serial).is_none() {
                return;
            }
            self.suspend_views(&mut hub, id, Doubt::Gap);
        }
        self.flush_urgent();
        self.read_missing(id, serial, Duration::ZERO).await;
    }

    async fn read_missing(self: Rc<Self>, id: ChannelId, serial: u32, mut pause: Duration) {
        loop {
            tokio::time::sleep(pause).await;
            let (name, policy, since) = {
                let mut hub = self.hub.borrow_mut();
                let Some(channel) = hub.channel(id, serial) else { return };
                (channel.name.clone(), channel.policy.clone(), channel.stream.query_since())
            };
            let stored = if policy.class == DeliveryClass::Latest {
                self.known(self.node.backplane.snapshot(&name, &policy)).await.map(Stored::Snapshot)
            } else {
                let query = HistoryQuery { since: Some(since), limit: HISTORY_LIMIT_MAX, reverse: false };
                self.known(self.node.backplane.history(&name, &policy, query)).await.map(Stored::History)
            };
            match stored {
                Ok(stored) => {
                    let mut hub = self.hub.borrow_mut();
                    let Some(channel) = hub.channel(id, serial) else { return };
                    let repaired = channel.stream.on_stored(stored);
                    drop(hub);
                    // A store that is behind is asked again after a pause; a new epoch at once.
                    let is_stuck = repaired.again && repaired.reset.is_none() && repaired.deliver.is_empty();
                    self.apply_repair(id, serial, repaired, is_stuck);
                    self.flush_urgent();
                    return;
                }
                Err(error) => {
                    self.node.metrics.repair_failures.inc();
                    tracing::warn!(channel = %name, %error, "a hole cannot be filled yet");
                    pause = (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
                }
            }
        }
    }

    /// Passes on what a repair found, and goes on with whom it kept waiting.
    pub(crate) fn apply_repair(self: &Rc<Self>, id: ChannelId, serial: u32, repaired: Repaired, is_stuck: bool) {
        let Repaired { reset, deliver, again } = repaired;
        let mut hub = self.hub.borrow_mut();
        if hub.channel(id, serial).is_none() {
            return;
        }
        if reset.is_none() && !deliver.is_empty() {
            self.node.metrics.gaps_filled.inc();
        }
        if let Some((position, reason)) = reset {
            self.send_reset(&mut hub, id, position, reason);
            if let Some(views) = &mut hub.channels[id.0 as usize].views {
                views.lose("history_lost");
            }
        }
        for publication in &deliver {
            self.deliver(&mut hub, id, publication, None);
        }
        if !again {
            self.resume_views(&mut hub, id, Doubt::Gap);
        }
        drop(hub);
        if again {
            let pause = if is_stuck { PAUSE_MIN } else { Duration::ZERO };
            tokio::task::spawn_local(Rc::clone(self).read_missing(id, serial, pause));
        } else {
            self.serve_joins(id);
        }
    }

    fn send_reset(&self, hub: &mut Hub, id: ChannelId, position: Position, reason: ResetReason) {
        self.node.metrics.resets.inc();
        let event = Event::Reset { channel: hub.channels[id.0 as usize].name.clone(), position, reason };
        self.send_event(hub, id, &event, Some(position));
    }

    /// Sends every subscriber an event that keeps its place among the channel's messages.
    pub(crate) fn send_event(&self, hub: &mut Hub, id: ChannelId, event: &Event, mark: Option<Position>) {
        let budget = self.budget(hub);
        let mut overflown = Vec::new();
        let Hub { connections, channels, gather, urgent, .. } = &mut *hub;
        let channel = &channels[id.0 as usize];
        for subscriber in channel.subscribers.connections() {
            let Some(connection) = connections.get_mut(subscriber.key as usize) else { continue };
            let dialect = connection.state.dialect();
            let Some(body) = dialect.encode(event) else { continue };
            let tag = matches!(connection.sink, Sink::Pull)
                .then(|| Box::new(Tag { channel: channel.name.clone(), mark, receipts: Vec::new(), span: None }));
            let item = Item { frame: frame(dialect, &body), tag };
            if connection.closing.is_some() {
                continue;
            }
            gather.spill(connection);
            let outbox = connection.outbox.get_or_insert_default();
            if outbox.push_lossless(id, Priority::Medium, item, budget) == Pushed::Overflow {
                overflown.push(subscriber);
            } else if !connection.listed.urgent {
                connection.listed.urgent = true;
                urgent.push(subscriber);
            }
        }
        // A reset that is not said would be a silent loss.
        for connection in overflown {
            self.close_in(hub, connection, CloseCode::TooSlow, TOO_SLOW, None);
        }
    }
}
