//! One shard's hub: its connections, its channels, and the way of a message from the backplane to sockets.
//!
//! Everything here lives on one thread. The hub is borrowed for short, synchronous steps and never across an await; what
//! needs the backplane runs in a local task and comes back with the names of a channel or connection, which may be gone.

pub(crate) mod ahead;
pub(crate) mod audience;
pub(crate) mod channel;
pub(crate) mod deliver;
pub(crate) mod delta;
pub(crate) mod drain;
mod drops;
pub(crate) mod encode;
pub(crate) mod flush;
mod freshness;
pub(crate) mod gather;
pub(crate) mod membership;
pub(crate) mod outage;
mod pace;
pub(crate) mod rate;
pub(crate) mod repair;
mod run;
pub(crate) mod stream;
pub(crate) mod upkeep;
mod viewers;
pub(crate) mod views;

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use slab::Slab;
use tickwire_backplane::{PresenceChange, SubscriberId};
use tickwire_protocol::{
    ChannelName, CloseCode, Event, Position, SubscriptionRequest, UserId, event::Connected, time::now_ms,
};
use tokio::sync::{Notify, Semaphore};

use crate::{
    connection::{
        Closing, Connection, ConnectionId, Handshake, Listed, Sink,
        pull::Pull,
        pulse::Pulse,
        socket::Socket,
        state::{Context, State},
    },
    framing::{FrameReader, Inflater},
    metrics::{CloseLabels, TransportLabels},
    node::Node,
    outbox::{ChannelId, Outbox, Pushed, Tag},
};
use audience::Place;
use channel::Channel;
use encode::Encoder;
use gather::{Gather, List};
use pace::Pace;

/// Why a connection is closed with 4409.
pub(crate) const REPLACED: &str = "a newer connection of this user took its place";
/// Why a connection is closed with 4430.
pub(crate) const TOO_SLOW: &str = "too slow: reconnect and recover by position";
/// Bytes read from a socket at a time.
const SCRATCH_BYTES: usize = 64 * 1024;
/// How long a connection that was told to go may take to read it.
const CLOSE_GRACE_MS: u32 = 2_000;
/// The same for one that is closed because it reads slowly: what the kernel holds for it stands before the close code.
const SLOW_CLOSE_GRACE_MS: u32 = 10_000;
/// What one connection may have waiting once the node's budget is used up.
const OUTBOX_SCARCE_BYTES: usize = 64 * 1024;
/// Empty outboxes kept for the next message. Each holds some 800 bytes: more of them than are in use in a row are a crowd's
/// memory that stays.
const SPARE_OUTBOXES_MAX: usize = 64;

/// One core's part of the edge.
pub(crate) struct Shard {
    pub(crate) node: Arc<Node>,
    pub(crate) subscriber: SubscriberId,
    /// HTTP handshakes that may be in progress; taken once a socket is readable.
    pub(crate) handshakes: Semaphore,
    pub(crate) hub: RefCell<Hub>,
    /// Something waits for the backplane: channels to subscribe, presence to tell, receipts.
    pub(crate) work: Notify,
    /// Sockets are read into it.
    pub(crate) scratch: RefCell<Vec<u8>>,
    /// Compressed messages come in and go out through these, whoever's they are.
    pub(crate) inflater: RefCell<Inflater>,
    pub(crate) encoder: Rc<Encoder>,
    /// The [`Node::revision`] that connections were checked against.
    pub(crate) rechecked: Cell<u64>,
    /// When that was, by the node's clock.
    pub(crate) rechecked_ms: Cell<u32>,
    /// When silent books were looked for, by the node's clock.
    pub(crate) views_ms: Cell<u32>,
    /// How long the loop may work before others get their turn.
    pub(crate) work_max: Duration,
    /// The node's clock as of the last flush or tick.
    pub(crate) coarse_ms: Cell<u32>,
    /// Bytes written that the metric has not been told of.
    pub(crate) bytes_out: Cell<u64>,
    /// Since when the oldest message waits for the next round of writes.
    pub(crate) waiting_since: Cell<Option<Instant>>,
    /// The loop will write what is dirty in a moment.
    pub(crate) rests: Cell<bool>,
    /// Longest time the loop worked without a pause since the last report, microseconds.
    pub(crate) pause_us_max: Cell<u64>,
}

/// The shard's data.
pub(crate) struct Hub {
    pub(crate) connections: Slab<Box<Connection>>,
    pub(crate) channels: Slab<Channel>,
    pub(crate) by_name: HashMap<ChannelName, ChannelId, ahash::RandomState>,
    /// Ids of subscribe requests that wait for their reply, by the subscription's serial: one each at most.
    pub(crate) unanswered: HashMap<u32, i64, ahash::RandomState>,
    /// What connections get alike, until it is written.
    pub(crate) gather: Gather,
    /// Have messages to be written when the pace allows.
    pub(crate) dirty: Vec<ConnectionId>,
    /// Have something to be written at once.
    pub(crate) urgent: Vec<ConnectionId>,
    pub(crate) pace: Pace,
    #[allow(clippy::vec_box, reason = "a connection takes the box as it is")]
    pub(crate) spare: Vec<Box<Outbox>>,
    /// Channels whose subscription the backplane must be told.
    pub(crate) to_subscribe: Vec<ChannelId>,
    /// `latest` channels with newcomers who wait until the store was asked how far they are.
    pub(crate) doubtful: Vec<ChannelId>,
    /// It is being asked.
    pub(crate) is_confirming: bool,
    pub(crate) presence: VecDeque<PresenceChange>,
    /// A presence call is under way; changes keep their order.
    pub(crate) telling_presence: bool,
    /// Critical inbox messages written since the last call.
    pub(crate) receipts: Vec<(ChannelName, Position)>,
    /// Subscribers with values held back by their rate.
    pub(crate) rated: Vec<(ChannelId, Place, ConnectionId)>,
    drops: drops::Drops,
    /// Waiting for connections, as of each one's last flush.
    pub(crate) outbox_bytes: usize,
    /// Where the sweep goes on.
    pub(crate) swept: usize,
    pub(crate) outage: outage::Outage,
    serial: u32,
}

impl Hub {
    fn new(coalesce_max: Duration, encoder: Rc<Encoder>) -> Self {
        Self {
            connections: Slab::new(),
            channels: Slab::new(),
            by_name: HashMap::default(),
            unanswered: HashMap::default(),
            gather: Gather::new(encoder),
            dirty: Vec::new(),
            urgent: Vec::new(),
            pace: Pace::new(coalesce_max),
            spare: Vec::new(),
            to_subscribe: Vec::new(),
            doubtful: Vec::new(),
            is_confirming: false,
            presence: VecDeque::new(),
            telling_presence: false,
            receipts: Vec::new(),
            rated: Vec::new(),
            drops: drops::Drops::default(),
            outbox_bytes: 0,
            swept: 0,
            outage: outage::Outage::default(),
            serial: 0,
        }
    }

    pub(crate) fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }

    /// The connection, while it lives.
    pub(crate) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(id.key as usize)?;
        (connection.serial == id.serial).then_some(connection)
    }

    /// The channel, if it is still the one of that serial.
    pub(crate) fn channel(&mut self, id: ChannelId, serial: u32) -> Option<&mut Channel> {
        self.channels.get_mut(id.0 as usize).filter(|channel| channel.serial == serial)
    }

    /// The connection, with all that waits for it in an outbox of its own: call it before anything is put there.
    pub(crate) fn settled(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(id.key as usize).filter(|held| held.serial == id.serial)?;
        self.gather.spill(connection);
        Some(connection)
    }

    /// Has what waits for the connection written at once.
    pub(crate) fn mark_urgent(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection(id)
            && !connection.listed.urgent
        {
            connection.listed.urgent = true;
            self.urgent.push(id);
        }
    }
}

impl Shard {
    pub(crate) fn new(node: Arc<Node>, subscriber: SubscriberId) -> Rc<Self> {
        let handshakes = Semaphore::new(node.config.edge.handshakes_max.max(1));
        let metrics = Arc::clone(&node.metrics);
        let encoder = Rc::new(Encoder::new(node.config.edge.deflate_min_bytes, metrics));
        let work_max = Duration::from_millis(node.config.edge.work_max_ms);
        let coalesce_max = Duration::from_millis(node.config.edge.coalesce_max_ms);
        Rc::new(Self {
            node,
            subscriber,
            handshakes,
            hub: RefCell::new(Hub::new(coalesce_max, Rc::clone(&encoder))),
            work: Notify::new(),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
            inflater: RefCell::default(),
            encoder,
            rechecked: Cell::new(0),
            rechecked_ms: Cell::new(0),
            views_ms: Cell::new(0),
            work_max,
            coarse_ms: Cell::new(0),
            bytes_out: Cell::new(0),
            waiting_since: Cell::new(None),
            rests: Cell::new(false),
            pause_us_max: Cell::new(0),
        })
    }

    /// The context of states.
    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            limits: &self.node.config.limits,
            edge: &self.node.config.edge,
            namespaces: &self.node.namespaces,
            now_ms: now_ms(),
        }
    }

    /// Bytes that may wait for one connection now.
    pub(crate) fn budget(&self, hub: &Hub) -> usize {
        let limits = &self.node.config.limits;
        if hub.outbox_bytes > self.node.outbox_share_bytes {
            OUTBOX_SCARCE_BYTES.min(limits.outbox_bytes)
        } else {
            limits.outbox_bytes
        }
    }

    /// Takes in an upgraded socket, for [`crate::connection::task::serve`]. `read` is what came behind the upgrade request.
    pub(crate) fn attach_socket(self: &Rc<Self>, stream: Socket, read: &Bytes, handshake: Handshake) -> ConnectionId {
        let sink = Sink::Socket { stream, reader: FrameReader::new() };
        let id = self.attach(sink, handshake);
        if !read.is_empty() {
            self.take_bytes(&mut self.hub.borrow_mut(), id, read);
            self.pump(id);
        }
        id
    }

    /// Serves SSE or a poll: an authenticated connection with these subscriptions and no socket.
    pub(crate) fn open_pull(self: &Rc<Self>, handshake: Handshake, channels: Vec<SubscriptionRequest>) -> Pull {
        let id = self.attach(Sink::Pull, handshake);
        let channels = channels.into_iter().map(Ok).collect();
        let request =
            tickwire_protocol::Request { id: None, command: tickwire_protocol::Command::Subscribe { channels } };
        self.enqueue_in(&mut self.hub.borrow_mut(), id, request);
        self.pump(id);
        Pull::new(Rc::clone(self), id)
    }

    fn attach(self: &Rc<Self>, sink: Sink, handshake: Handshake) -> ConnectionId {
        let clock_ms = self.node.clock_ms();
        let is_socket = matches!(sink, Sink::Socket { .. });
        let mut hub = self.hub.borrow_mut();
        let serial = hub.next_serial();
        let Handshake { peer: _, transport, identity, dialect, offered, deflates, area, slot } = handshake;
        let connection = Connection {
            serial,
            sink,
            transport,
            waker: None,
            outbox: None,
            gathered: List::EMPTY,
            accounted: 0,
            blocked: false,
            pulse: Pulse::default(),
            deflates,
            listed: Listed::default(),
            state: State::new(None, dialect, offered, area),
            commands: None,
            busy: 0,
            slot,
            peer: handshake.peer,
            heard_ms: clock_ms,
            sent_ms: clock_ms,
            pinged_ms: clock_ms,
            closing: None,
        };
        let key = hub.connections.insert(Box::new(connection));
        drop(hub);
        let id = ConnectionId { key: u32::try_from(key).unwrap_or(u32::MAX), serial };
        let labels = TransportLabels::new(transport, dialect);
        self.node.metrics.connections.get_or_create(&labels).inc();
        self.node.metrics.connections_opened.get_or_create(&labels).inc();
        self.node.changed.notify_one();
        if let Some(identity) = identity {
            self.authenticated(id, None, identity, false, is_socket);
        }
        id
    }

    /// Forgets a connection and everything it had.
    pub(crate) fn detach(&self, id: ConnectionId) {
        let mut hub = self.hub.borrow_mut();
        if hub.connection(id).is_none() {
            return;
        }
        let mut connection = hub.connections.remove(id.key as usize);
        hub.outbox_bytes -= connection.accounted as usize;
        let user = connection.state.identity.as_ref().map(|identity| identity.user.clone());
        for subscription in std::mem::take(&mut connection.state.subscriptions) {
            self.forget(&mut hub, user.as_ref(), subscription);
        }
        drop(hub);
        let labels = TransportLabels::new(connection.transport, connection.state.decided());
        self.node.metrics.connections.get_or_create(&labels).dec();
        self.node.changed.notify_one();
        self.work.notify_one();
    }

    /// Says `event` to one connection, tagged if it must be known when it is written. Written at the next flush.
    pub(crate) fn reply_tagged(&self, id: ConnectionId, channel: Option<ChannelId>, event: &Event, tag: Option<Tag>) {
        let mut hub = self.hub.borrow_mut();
        self.reply_in(&mut hub, id, channel, event, tag);
    }

    pub(crate) fn reply_in(
        &self,
        hub: &mut Hub,
        id: ConnectionId,
        channel: Option<ChannelId>,
        event: &Event,
        tag: Option<Tag>,
    ) {
        let budget = self.budget(hub);
        let Some(connection) = hub.settled(id) else { return };
        if connection.reply(channel, event, tag, budget) == Pushed::Overflow {
            self.close_in(hub, id, CloseCode::TooSlow, TOO_SLOW, None);
        } else {
            hub.mark_urgent(id);
        }
    }

    /// [`Shard::reply_tagged`] for a reply that concerns no channel's order.
    pub(crate) fn reply(&self, id: ConnectionId, event: &Event) {
        self.reply_tagged(id, None, event, None);
    }

    /// Ends a connection with a close code, after `last` if there is one.
    pub(crate) fn close(&self, id: ConnectionId, code: CloseCode, reason: &str, last: Option<&Event>) {
        self.close_in(&mut self.hub.borrow_mut(), id, code, reason, last);
    }

    pub(crate) fn close_in(
        &self,
        hub: &mut Hub,
        id: ConnectionId,
        code: CloseCode,
        reason: &str,
        last: Option<&Event>,
    ) {
        let grace_ms = if code == CloseCode::TooSlow { SLOW_CLOSE_GRACE_MS } else { CLOSE_GRACE_MS };
        let deadline_ms = self.node.clock_ms().wrapping_add(grace_ms);
        let Some(connection) = hub.settled(id) else { return };
        if connection.closing.is_some() {
            return;
        }
        connection.close(code, reason, last, deadline_ms);
        let user = connection.identity().map(|identity| identity.user.clone());
        let subscriptions = std::mem::take(&mut connection.state.subscriptions);
        for subscription in subscriptions {
            self.forget(hub, user.as_ref(), subscription);
        }
        hub.mark_urgent(id);
        self.node.metrics.closes.get_or_create(&CloseLabels { code: u32::from(code.as_u16()) }).inc();
        if code == CloseCode::TooSlow {
            self.node.metrics.slow_closes.inc();
        }
        self.work.notify_one();
    }

    /// Drops a connection without a word: its socket is gone.
    pub(crate) fn drop_in(&self, hub: &mut Hub, id: ConnectionId) {
        let now_ms = self.node.clock_ms();
        if let Some(connection) = hub.connection(id) {
            connection.outbox = None;
            connection.gathered = List::EMPTY;
            connection.closing = Some(Closing { deadline_ms: now_ms, is_shut: true });
            if let Some(waker) = connection.waker.take() {
                waker.wake();
            }
        }
    }

    /// What a client is told once it is authenticated.
    pub(crate) fn connected(&self, id: Option<i64>, user: &UserId, expires_at_ms: u64) -> Event {
        let edge = &self.node.config.edge;
        let connection_id = self.node.next_connection_id();
        Event::Connected(Box::new(Connected {
            id,
            // Positions are what a client resumes by; this names the connection that it had.
            resume: Some(connection_id.clone()),
            connection_id,
            user: user.clone(),
            node: edge.node.clone(),
            nodes: edge.nodes.clone(),
            time_ms: now_ms(),
            heartbeat_interval_ms: edge.heartbeat_interval_ms,
            expires_at_ms: (expires_at_ms != u64::MAX).then_some(expires_at_ms),
        }))
    }

    /// Whether what began then has to give way to others.
    pub(crate) fn is_over_time(&self, begun: Instant) -> bool {
        begun.elapsed() >= self.work_max
    }

    /// Counts that work which began then stops for others to get their turn.
    pub(crate) fn give_way(&self, begun: Instant) {
        self.node.metrics.yields.inc();
        self.note_pause(begun);
    }

    /// Notes how long the loop worked since `begun`.
    pub(crate) fn note_pause(&self, begun: Instant) {
        let pause_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.pause_us_max.set(self.pause_us_max.get().max(pause_us));
    }

    /// Keeps an emptied outbox for the next message of anyone.
    pub(crate) fn recycle(hub: &mut Hub, outbox: Box<Outbox>) {
        if hub.spare.len() < SPARE_OUTBOXES_MAX && outbox.is_reusable() {
            hub.spare.push(outbox);
        }
    }
}
