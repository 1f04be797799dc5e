//! What happens by the clock: heartbeats, timeouts, expiry, rates, idle channels; and what the node orders.

use std::{rc::Rc, time::Instant};

use tickwire_backplane::Signal;
use tickwire_protocol::{ChannelName, CloseCode, ErrorCode, Event, UserId, time::now_ms};
use tokio::{sync::mpsc, time::MissedTickBehavior};

use super::{Hub, REPLACED, Shard, deliver::Released, stream::Status};
use crate::{
    connection::{ConnectionId, Sink, state},
    framing::outgoing,
    node::{Order, ShardReport},
    outbox::ChannelId,
};

/// The shard's tick.
const TICK: std::time::Duration = std::time::Duration::from_millis(25);
/// Each connection is looked at once in so many ticks: once a second.
const SWEEP_TICKS: usize = 40;
/// Signals taken at a time.
const BATCH_MAX: usize = 256;

/// Until `due`, for ever if there is none.
async fn passed(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

impl Shard {
    /// The shard's loop. Ends only if the backplane ends the subscription.
    pub(crate) async fn run(self: Rc<Self>, mut signals: mpsc::Receiver<Signal>, mut orders: mpsc::Receiver<Order>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.due();
            tokio::select! {
                taken = signals.recv_many(&mut batch, BATCH_MAX) => {
                    if taken == 0 {
                        tracing::error!("the backplane ended a shard's subscription");
                        return;
                    }
                    self.on_signals(&mut batch).await;
                }
                Some(order) = orders.recv() => self.on_order(order),
                _ = tick.tick() => self.on_tick(),
                () = self.work.notified() => {
                    self.do_work();
                    let begun = self.flush_due(Instant::now()).await;
                    self.note_pause(begun);
                }
                () = passed(due) => {
                    let begun = self.flush_all(Instant::now()).await;
                    self.note_pause(begun);
                }
            }
        }
    }

    fn on_order(&self, order: Order) {
        match order {
            Order::Disconnect(user, code) => self.disconnect(&user, code),
            Order::Replace(user, place) => {
                let mut hub = self.hub.borrow_mut();
                for id in Self::connections_where(&hub, |connection| connection.slot.is_at(&user, place)) {
                    self.close_in(&mut hub, id, CloseCode::Replaced, REPLACED, None);
                }
            }
            Order::Report(answer) => {
                // The asker may have given up; then nobody wants the answer.
                let _ = answer.send(self.report());
            }
        }
        self.flush_urgent();
    }

    fn report(&self) -> ShardReport {
        let hub = self.hub.borrow();
        let busy = hub.channels.iter().filter(|(_, channel)| !channel.subscribers.is_empty());
        ShardReport {
            connections: hub.connections.len() as u64,
            subscriptions: busy.map(|(_, channel)| (channel.name.clone(), channel.subscribers.len() as u64)).collect(),
            outbox_bytes: hub.outbox_bytes as u64,
            pause_us_max: self.pause_us_max.replace(0),
        }
    }

    /// Ids of connections that fit.
    pub(crate) fn connections_where(
        hub: &Hub,
        fits: impl Fn(&crate::connection::Connection) -> bool,
    ) -> Vec<ConnectionId> {
        hub.connections
            .iter()
            .filter(|(_, connection)| fits(connection))
            .map(|(key, connection)| ConnectionId {
                key: u32::try_from(key).unwrap_or(u32::MAX),
                serial: connection.serial,
            })
            .collect()
    }

    /// Closes every connection whose token has been withdrawn, if any was since the last time.
    pub(crate) fn recheck(&self) {
        // Read first: what is revoked from here on raises it again.
        let revision = self.node.revision();
        if self.rechecked.replace(revision) == revision {
            return;
        }
        self.rechecked_ms.set(self.node.clock_ms());
        self.node.metrics.rechecks.inc();
        let mut hub = self.hub.borrow_mut();
        let revoked = Self::connections_where(&hub, |connection| {
            connection.identity().is_some_and(|identity| self.node.is_revoked(identity))
        });
        for id in revoked {
            self.node.metrics.revoked.inc();
            self.close_in(&mut hub, id, CloseCode::Unauthenticated, "the token was revoked", None);
        }
    }

    /// Closes a user's connections.
    fn disconnect(&self, user: &UserId, code: CloseCode) {
        let why = match code {
            CloseCode::Blocked => "disconnected by an operator",
            _ => "banned for a while: too many refused requests",
        };
        let mut hub = self.hub.borrow_mut();
        let theirs = Self::connections_where(&hub, |connection| {
            connection.identity().is_some_and(|identity| identity.user == *user)
        });
        for id in theirs {
            self.close_in(&mut hub, id, code, why, None);
        }
    }

    /// Signals were lost: every channel's newest position is asked for, by subscribing once more.
    pub(crate) fn on_lagged(self: &Rc<Self>) {
        self.node.metrics.lagged.inc();
        tracing::warn!("a shard's signal queue overflowed; its channels are checked");
        let channels: Vec<_> = {
            let hub = self.hub.borrow();
            let live = hub.channels.iter().filter(|(_, channel)| channel.stream.status != Status::Joining);
            live.map(|(_, channel)| (channel.name.clone(), channel.policy.clone())).collect()
        };
        let shard = Rc::clone(self);
        tokio::task::spawn_local(async move {
            for batch in channels.chunks(512) {
                match shard.node.backplane.subscribe(shard.subscriber, batch).await {
                    Ok(tops) => {
                        for ((name, _), top) in batch.iter().zip(tops) {
                            shard.on_top(name, top);
                        }
                    }
                    // The backplane tells every channel's top within seconds anyway.
                    Err(error) => tracing::warn!(%error, "channels could not be checked"),
                }
            }
            shard.flush_urgent();
        });
    }

    fn on_tick(self: &Rc<Self>) {
        let begun = Instant::now();
        self.coarse_ms.set(self.node.clock_ms());
        self.node.metrics.bytes_out.inc_by(self.bytes_out.take());
        self.release_rates();
        self.recheck();
        let is_round = self.sweep();
        if is_round {
            self.tell_drops();
            self.drop_idle_channels();
            self.watch_backplane();
            self.suspend_silent_views();
        }
        self.flush_urgent();
        self.do_work();
        self.note_pause(begun);
    }

    fn release_rates(&self) {
        let clock_ms = self.node.clock_ms();
        let mut hub = self.hub.borrow_mut();
        let mut rated = std::mem::take(&mut hub.rated);
        let mut waiting = Vec::new();
        // Who was served goes behind who was not: the channels of one connection share its rate.
        while !rated.is_empty() {
            let mut served = Vec::new();
            for entry in rated {
                match self.release_held(&mut hub, entry, clock_ms) {
                    Released::All => {}
                    Released::One => served.push(entry),
                    Released::Nothing => waiting.push(entry),
                }
            }
            rated = served;
        }
        hub.rated = waiting;
    }

    /// Looks at a share of the connections, so that each is seen once a second; whether a round is over.
    fn sweep(&self) -> bool {
        let mut hub = self.hub.borrow_mut();
        let capacity = hub.connections.capacity();
        let share = capacity.div_ceil(SWEEP_TICKS).max(1);
        let from = if hub.swept >= capacity { 0 } else { hub.swept };
        for key in from..(from + share).min(capacity) {
            let Some(connection) = hub.connections.get(key) else { continue };
            let id = ConnectionId { key: u32::try_from(key).unwrap_or(u32::MAX), serial: connection.serial };
            self.sweep_one(&mut hub, id);
        }
        hub.swept = from + share;
        hub.swept >= capacity
    }

    fn sweep_one(&self, hub: &mut Hub, id: ConnectionId) {
        let clock_ms = self.node.clock_ms();
        let edge = &self.node.config.edge;
        let Some(connection) = hub.connection(id) else { return };
        let since = |then: u32| u64::from(clock_ms.wrapping_sub(then));
        if let Some(closing) = connection.closing {
            if clock_ms.wrapping_sub(closing.deadline_ms) < u32::MAX / 2 {
                self.drop_in(hub, id);
            }
            return;
        }
        let Some(identity) = connection.identity() else {
            if since(connection.heard_ms).max(since(connection.pinged_ms)) >= edge.handshake_timeout_ms {
                self.close_in(hub, id, CloseCode::Timeout, "no token came: send `connect` at once", None);
            }
            return;
        };
        if identity.is_expired(now_ms()) {
            self.node.metrics.revoked.inc();
            let text = "the token has expired: refresh it in time";
            let event = state::error(None, ErrorCode::TokenExpired, text, None);
            self.close_in(hub, id, CloseCode::Unauthenticated, "the token has expired", Some(&event));
            return;
        }
        if !matches!(connection.sink, Sink::Socket { .. }) {
            return;
        }
        if since(connection.heard_ms) >= edge.idle_timeout_ms && edge.idle_timeout_ms > 0 {
            self.close_in(hub, id, CloseCode::Timeout, "nothing came for too long", None);
            return;
        }
        if connection.pulse.is_given_up(clock_ms) {
            hub.mark_urgent(id);
            return;
        }
        if since(connection.pinged_ms) >= edge.heartbeat_interval_ms && edge.heartbeat_interval_ms > 0 {
            connection.pinged_ms = clock_ms;
            let quiet = since(connection.sent_ms) >= edge.heartbeat_interval_ms;
            let shows = connection.state.offered && connection.state.dialect().packs();
            if let Some(connection) = hub.settled(id) {
                connection.outbox.get_or_insert_default().push_control(outgoing::PING);
            }
            if quiet && shows {
                self.reply_in(hub, id, None, &Event::Heartbeat { time_ms: now_ms() }, None);
            }
            hub.mark_urgent(id);
        }
    }

    /// Leaves channels at the backplane that nobody has wanted for a while.
    fn drop_idle_channels(&self) {
        let clock_ms = self.node.clock_ms();
        let linger_ms = self.node.config.edge.channel_linger_ms;
        let mut hub = self.hub.borrow_mut();
        let idle: Vec<(ChannelId, ChannelName)> = hub
            .channels
            .iter()
            .filter(|(_, channel)| {
                let long = |since: u32| u64::from(clock_ms.wrapping_sub(since)) >= linger_ms;
                channel.stream.status == Status::Live && channel.idle_since_ms.is_some_and(long) && channel.is_unused()
            })
            .map(|(key, channel)| (ChannelId(u32::try_from(key).unwrap_or(u32::MAX)), channel.name.clone()))
            .collect();
        if idle.is_empty() {
            return;
        }
        for (id, name) in &idle {
            hub.channels.remove(id.0 as usize);
            hub.by_name.remove(name);
            self.node.metrics.channels.dec();
        }
        let names: Vec<_> = idle.into_iter().map(|(_, name)| name).collect();
        self.node.backplane.unsubscribe(self.subscriber, &names);
    }
}
