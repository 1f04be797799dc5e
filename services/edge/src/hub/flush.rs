//! From what waits to sockets: each connection is written once for all that it has.

use std::{
    io::{self, IoSlice},
    time::Instant,
};

use super::{Hub, Shard, gather::Written};
use crate::{
    connection::{Connection, ConnectionId, Sink, pulse::Turn, socket::Socket},
    framing::outgoing,
    outbox::{Outbox, Packing, Tag},
};

/// Connections written to without giving others their turn.
const FLUSHED_AT_ONCE_MAX: usize = 64;
/// Connections written to between two looks at the clock.
const CLOCK_INTERVAL: usize = 16;
/// Writes to one socket in a row.
const WRITES_MAX: usize = 8;

/// What came of writing to a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing waits any more.
    Drained,
    /// The socket would block.
    Blocked,
    /// What waits goes when the reader has read what it was sent.
    Held,
    /// More waits, others should go first.
    More,
    /// The socket is gone.
    Dead,
}

/// Which connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listing {
    /// Have a reply, an event of their own or something critical: written at once.
    Urgent,
    /// Have messages, which may wait for more by the shard's [`super::pace::Pace`].
    Dirty,
}

impl Hub {
    fn listed(&mut self, listing: Listing) -> &mut Vec<ConnectionId> {
        match listing {
            Listing::Urgent => &mut self.urgent,
            Listing::Dirty => &mut self.dirty,
        }
    }
}

impl Shard {
    /// Writes at once to connections that have something urgent. Many at a time are left to the shard's loop, which
    /// pauses, and so is what may wait for more.
    pub(crate) fn flush_urgent(&self) {
        let mut hub = self.hub.borrow_mut();
        for _ in 0..FLUSHED_AT_ONCE_MAX {
            let Some(id) = hub.urgent.pop() else { break };
            self.flush_in(&mut hub, id, Listing::Urgent);
        }
        if !hub.urgent.is_empty() || (!hub.dirty.is_empty() && !self.rests.get()) {
            self.work.notify_one();
        }
    }

    /// Writes what is urgent, and the rest if it is due. Returns when the last stretch of work began.
    pub(crate) async fn flush_due(&self, begun: Instant) -> Instant {
        let due = self.due();
        if due.is_some_and(|due| due <= Instant::now()) || self.is_crowded() {
            return self.flush_all(begun).await;
        }
        self.flush_list(begun, Listing::Urgent).await
    }

    /// When the rest should be written, if there is any.
    pub(crate) fn due(&self) -> Option<Instant> {
        let hub = self.hub.borrow();
        let due = (!hub.dirty.is_empty()).then(|| hub.pace.due(Instant::now()));
        self.rests.set(due.is_some());
        due
    }

    /// Writes to every connection that has something new, with pauses for others.
    pub(crate) async fn flush_all(&self, begun: Instant) -> Instant {
        let from = Instant::now();
        let mut begun = self.flush_list(begun, Listing::Urgent).await;
        loop {
            begun = self.flush_list(begun, Listing::Dirty).await;
            if self.end_round(from) {
                return begun;
            }
            begun = self.flush_list(begun, Listing::Urgent).await;
        }
    }

    /// Forgets what was gathered, if nobody waits for it any more.
    fn end_round(&self, begun: Instant) -> bool {
        let mut hub = self.hub.borrow_mut();
        let is_done = hub.urgent.is_empty() && hub.dirty.is_empty();
        if is_done {
            let now = Instant::now();
            hub.gather.clear();
            hub.pace.flushed(begun, now);
            if let Some(since) = self.waiting_since.take() {
                self.node.metrics.delivery.socket.observe(now - since);
            }
        }
        is_done
    }

    /// Writes to the listed connections in order, and to those that are added during a pause. After one, what is urgent goes
    /// first.
    async fn flush_list(&self, mut begun: Instant, listing: Listing) -> Instant {
        loop {
            self.flush_some(begun, Listing::Urgent);
            if self.flush_some(begun, listing) {
                return begun;
            }
            self.give_way(begun);
            tokio::task::yield_now().await;
            begun = Instant::now();
        }
    }

    /// Writes to listed connections while there is time; whether to all.
    fn flush_some(&self, begun: Instant, listing: Listing) -> bool {
        self.coarse_ms.set(self.node.clock_ms());
        let mut hub = self.hub.borrow_mut();
        let mut listed = std::mem::take(hub.listed(listing));
        let mut done = 0;
        // At least a few, so that what comes first cannot starve what comes later.
        while done < listed.len() && (done == 0 || !done.is_multiple_of(CLOCK_INTERVAL) || !self.is_over_time(begun)) {
            self.flush_in(&mut hub, listed[done], listing);
            done += 1;
        }
        listed.drain(..done);
        let added = hub.listed(listing);
        listed.append(added);
        *added = listed;
        added.is_empty()
    }

    /// Writes what waits for one connection, unless its task does.
    fn flush_in(&self, hub: &mut Hub, id: ConnectionId, listing: Listing) {
        let Some(connection) = hub.connection(id) else { return };
        match listing {
            Listing::Urgent => connection.listed.urgent = false,
            Listing::Dirty => connection.listed.dirty = false,
        }
        let flushed = if connection.blocked { Flushed::Blocked } else { self.write(hub, id) };
        self.after_write(hub, id, flushed);
    }

    /// Writes until the socket is full or nothing waits.
    pub(crate) fn write(&self, hub: &mut Hub, id: ConnectionId) -> Flushed {
        let Hub { connections, gather, .. } = hub;
        let connection = connections.get_mut(id.key as usize).filter(|connection| connection.serial == id.serial);
        let Some(connection) = connection else { return Flushed::Dead };
        if !connection.gathered.is_empty() {
            let (bytes, written) = gather.write(connection, write_slices);
            self.bytes_out.set(self.bytes_out.get() + bytes as u64);
            let asks = self.note_written(connection, bytes);
            match written {
                Written::All if !asks => return connection.socket().map_or(Flushed::Drained, drained),
                Written::Dead => return Flushed::Dead,
                Written::All | Written::Spilled => {}
            }
        }
        if !matches!(connection.sink, Sink::Socket { .. }) {
            let outbox = &connection.outbox;
            let is_drained = outbox.as_ref().is_none_or(|outbox| outbox.is_empty());
            return if is_drained { Flushed::Drained } else { Flushed::More };
        }
        let mut written = Vec::new();
        let flushed = self.write_outbox(connection, &mut written);
        for tag in written {
            hub.receipts.extend(tag.receipts.into_iter().map(|position| (tag.channel.clone(), position)));
            self.work.notify_one();
        }
        flushed
    }

    /// Counts what the socket took, and has a ping sent if it is time to ask how far the reader is; whether it is.
    fn note_written(&self, connection: &mut Connection, bytes: usize) -> bool {
        match connection.pulse.on_written(bytes, self.coarse_ms.get()) {
            Turn::Same => return false,
            Turn::Slows => {
                self.node.metrics.slow_readers.inc();
                return false;
            }
            Turn::Ask => {}
        }
        connection.outbox.get_or_insert_default().push_control(outgoing::PING);
        true
    }

    fn write_outbox(&self, connection: &mut Connection, written: &mut Vec<Tag>) -> Flushed {
        let packing = connection.packing();
        for _ in 0..WRITES_MAX {
            let room = connection.room();
            let Connection { sink: Sink::Socket { stream, .. }, outbox, .. } = connection else {
                return Flushed::Dead;
            };
            if outbox.is_none() && !stream.has_unsent() {
                return Flushed::Drained;
            }
            let outbox = outbox.get_or_insert_default();
            match write_once(stream, outbox, packing, room, written) {
                Ok(bytes) => {
                    self.bytes_out.set(self.bytes_out.get() + bytes as u64);
                    self.note_written(connection, bytes);
                }
                Err(Flushed::Blocked) => {
                    if connection.pulse.on_blocked() == Turn::Slows {
                        self.node.metrics.slow_readers.inc();
                    }
                    return Flushed::Blocked;
                }
                Err(flushed) => return flushed,
            }
        }
        match (&connection.outbox, connection.socket()) {
            (Some(outbox), _) if !outbox.is_empty() => Flushed::More,
            (_, Some(stream)) => drained(stream),
            (_, None) => Flushed::Dead,
        }
    }

    /// Keeps the books after a write, and wakes the task where it must go on.
    pub(crate) fn after_write(&self, hub: &mut Hub, id: ConnectionId, flushed: Flushed) {
        let Some(connection) = hub.connection(id) else { return };
        let is_socket = matches!(connection.sink, Sink::Socket { .. });
        let was_blocked = connection.blocked;
        connection.blocked = flushed == Flushed::Blocked;
        connection.sent_ms = self.coarse_ms.get();
        let (before, bytes) = connection.account();
        let emptied = if flushed == Flushed::Drained { connection.outbox.take() } else { None };
        let wake = match flushed {
            Flushed::Blocked => !was_blocked,
            Flushed::More => true,
            Flushed::Drained => connection.closing.is_some() || !is_socket,
            // Its pong wakes it.
            Flushed::Held | Flushed::Dead => false,
        };
        if wake && let Some(waker) = &connection.waker {
            waker.wake_by_ref();
        }
        hub.outbox_bytes = hub.outbox_bytes + bytes - before;
        if let Some(outbox) = emptied {
            Self::recycle(hub, outbox);
        }
        if flushed == Flushed::Dead {
            self.drop_in(hub, id);
        }
    }
}

fn write_slices(connection: &mut Connection, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let Sink::Socket { stream, .. } = &mut connection.sink else { return Err(io::ErrorKind::Unsupported.into()) };
    stream.try_write(slices)
}

/// Nothing waits in an outbox; it may in the socket's TLS session.
fn drained(stream: &Socket) -> Flushed {
    if stream.has_unsent() { Flushed::Blocked } else { Flushed::Drained }
}

/// Writes as much as goes in one call. The error says why nothing was written.
fn write_once(
    stream: &mut Socket,
    outbox: &mut Outbox,
    packing: Packing,
    room: usize,
    written: &mut Vec<Tag>,
) -> Result<usize, Flushed> {
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock => Flushed::Blocked,
        _ => Flushed::Dead,
    };
    stream.flush().map_err(refused)?;
    if !outbox.fill(packing, room) {
        return Err(if outbox.is_empty() { drained(stream) } else { Flushed::Held });
    }
    let taken = stream.try_write(&outbox.slices());
    match taken {
        Ok(0) => Err(Flushed::Dead),
        Ok(bytes) => {
            outbox.advance(bytes, &mut |tag| written.push(tag));
            Ok(bytes)
        }
        Err(error) => {
            let refused = refused(error);
            if refused == Flushed::Blocked {
                outbox.set_slow();
            }
            Err(refused)
        }
    }
}

#[cfg(test)]
#[path = "flush_tests.rs"]
mod tests;
