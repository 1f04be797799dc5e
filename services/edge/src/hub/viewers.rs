//! From a book's channel to the subscribers of its views.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;
use tickwire_protocol::{Publication, book::Depth, time::now_ms};

use super::{
    Hub, Shard,
    stream::Status,
    views::{self, Change, Doubt, Views},
};
use crate::outbox::ChannelId;

const SECOND: Duration = Duration::from_secs(1);

impl Shard {
    /// The book's next message has come: tells what it changes in each view.
    pub(super) fn update_views(&self, hub: &mut Hub, id: ChannelId, publication: &Publication) {
        let channel = &mut hub.channels[id.0 as usize];
        let Some(views) = &mut channel.views else { return };
        let (changes, taken) = views.apply(publication);
        if taken.is_err() {
            self.node.metrics.book_messages_damaged.inc();
            tracing::warn!(channel = %channel.name, position = ?publication.position, "a message is no book's");
        }
        self.tell_views(hub, id, changes, publication.time_ms);
    }

    /// What the stream says cannot be believed for a while.
    pub(crate) fn suspend_views(&self, hub: &mut Hub, id: ChannelId, doubt: Doubt) {
        self.change_views(hub, id, |views| views.suspend(doubt));
    }

    /// It can again.
    pub(super) fn resume_views(&self, hub: &mut Hub, id: ChannelId, doubt: Doubt) {
        self.change_views(hub, id, |views| views.resume(doubt));
    }

    /// The store is away: no view is live. Each is again with the next that is heard of its channel.
    pub(super) fn suspend_all_views(&self, hub: &mut Hub) {
        for id in with_views(hub) {
            self.suspend_views(hub, id, Doubt::Outage);
        }
    }

    /// Books whose publishers have said nothing for long are not live any more. Called now and then, at any times.
    pub(super) fn suspend_silent_views(&self) {
        let clock_ms = self.node.clock_ms();
        let passed_ms = u64::from(clock_ms.wrapping_sub(self.views_ms.replace(clock_ms)));
        // What came while the shard stood still waits behind this: it is not its publisher that was silent.
        let passed = Duration::from_millis(passed_ms).min(SECOND);
        let mut hub = self.hub.borrow_mut();
        for id in with_views(&hub) {
            self.change_views(&mut hub, id, |views| views.on_time(passed));
        }
    }

    /// The channel's newest position was told by the store.
    pub(super) fn confirm_views(&self, hub: &mut Hub, id: ChannelId) {
        let channel = &hub.channels[id.0 as usize];
        if channel.views.is_some() && channel.stream.status == Status::Live {
            self.resume_views(hub, id, Doubt::Outage);
        }
    }

    fn change_views(&self, hub: &mut Hub, id: ChannelId, change: impl FnOnce(&mut Views) -> SmallVec<[Change; 2]>) {
        if let Some(views) = &mut hub.channels[id.0 as usize].views {
            let changes = change(views);
            self.tell_views(hub, id, changes, now_ms());
        }
    }

    fn tell_views(&self, hub: &mut Hub, id: ChannelId, changes: SmallVec<[Change; 2]>, time_ms: u64) {
        let name = hub.channels[id.0 as usize].name.clone();
        for change in changes {
            self.node.metrics.view_updates.inc();
            let Some(message) = views::message(&name, &change.update, time_ms) else { continue };
            let whole = || views::message(&name, &change.whole(), time_ms);
            self.deliver_view(hub, id, change.depth, &message, &whole);
        }
    }

    /// What a new subscriber of a view gets first.
    pub(crate) fn show_view(&self, hub: &mut Hub, id: ChannelId, depth: Depth) -> Option<Arc<Publication>> {
        let channel = &mut hub.channels[id.0 as usize];
        let (update, is_new) = channel.views.as_mut()?.show(depth);
        if is_new {
            self.node.metrics.views.inc();
        }
        views::message(&channel.name, &update, now_ms())
    }

    /// Somebody left the channel: views that nobody has are no longer computed.
    pub(super) fn drop_unseen_views(&self, hub: &mut Hub, id: ChannelId) {
        let channel = &mut hub.channels[id.0 as usize];
        let Some(views) = &mut channel.views else { return };
        let gone = views.retain(|depth| channel.subscribers.has_depth(depth));
        self.node.metrics.views.dec_by(i64::try_from(gone).unwrap_or(0));
        if views.is_empty() {
            channel.views = None;
        }
    }
}

fn with_views(hub: &Hub) -> Vec<ChannelId> {
    let channels = hub.channels.iter().filter(|(_, channel)| channel.views.is_some());
    channels.map(|(key, _)| ChannelId(u32::try_from(key).unwrap_or(u32::MAX))).collect()
}
