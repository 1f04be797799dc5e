//! Clients: lean ones, so that thousands of them cost less than the servers they load.
//!
//! A client is one task on one thread, a [`Session`] of a few hundred bytes, and a socket. Nothing is
//! buffered for it while nothing is incomplete: all clients of a worker read into one scratch buffer.

mod http;
mod life;
mod link;
mod poll;
mod session;
#[cfg(test)]
mod session_tests;
mod socket;
mod sse;
mod target;

use std::{
    cell::{Cell, RefCell},
    sync::{Arc, atomic::AtomicU64},
    task::{Context, Poll, Waker},
};

use ahash::AHashMap;
use tokio::sync::Semaphore;

use crate::{
    meter::{Meter, RunClock},
    plan::{ClientPlan, Plan},
    record::Measure,
};

pub(crate) use life::live;
pub(crate) use session::Session;
pub(crate) use socket::Trust;
pub(crate) use target::Target;

/// Bytes read at a time.
const SCRATCH_BYTES: usize = 128 << 10;

/// Finds channels by name.
#[derive(Debug)]
pub(crate) struct Directory {
    plan: Arc<Plan>,
    by_name: AHashMap<Box<[u8]>, u32>,
}

impl Directory {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        let entries = plan.channels.iter().zip(0..);
        let by_name = entries.map(|(channel, index)| (channel.name.as_str().as_bytes().into(), index)).collect();
        Self { plan, by_name }
    }

    fn index(&self, name: &[u8]) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    fn name(&self, index: u32) -> &str {
        self.plan.channels.get(index as usize).map_or("", |channel| channel.name.as_str())
    }
}

/// What all clients of one worker share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Arc<Plan>,
    pub(crate) directory: Directory,
    pub(crate) clock: RunClock,
    pub(crate) meter: RefCell<Meter>,
    pub(crate) targets: Arc<[Target]>,
    pub(crate) is_sticky: bool,
    pub(crate) is_packed: bool,
    /// Attempts to connect that may be in progress at once.
    pub(crate) attempts: Semaphore,
    /// Clients of all workers that are subscribed to everything.
    pub(crate) ready: Arc<AtomicU64>,
    scratch: RefCell<Box<[u8]>>,
}

impl World {
    pub(crate) fn new(plan: Arc<Plan>, clock: RunClock, targets: Arc<[Target]>, options: ClientOptions) -> Self {
        Self {
            directory: Directory::new(Arc::clone(&plan)),
            plan,
            clock,
            meter: RefCell::default(),
            targets,
            is_sticky: options.is_sticky,
            is_packed: options.is_packed,
            attempts: Semaphore::new(options.attempts_max),
            ready: options.ready,
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
        }
    }
}

/// How clients connect.
#[derive(Debug, Clone)]
pub(crate) struct ClientOptions {
    /// They come back to the same target.
    pub(crate) is_sticky: bool,
    /// They offer a subprotocol, and take several messages in a frame.
    pub(crate) is_packed: bool,
    /// Attempts in progress at once on one worker.
    pub(crate) attempts_max: usize,
    /// Where clients that are subscribed to everything are counted.
    pub(crate) ready: Arc<AtomicU64>,
}

/// What a client is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Cut the connection and come back at once.
    Drop,
    /// Cut it and come back after so many milliseconds.
    Leave(u64),
    /// Nothing has come for too long: give the connection up.
    GiveUp,
}

/// One client over the whole run.
#[derive(Debug)]
pub(crate) struct Client {
    number: u32,
    plan: ClientPlan,
    token: String,
    session: RefCell<Session>,
    order: Cell<Option<Order>>,
    waker: RefCell<Option<Waker>>,
    is_ready: Cell<bool>,
    has_been_ready: Cell<bool>,
    /// When something last came.
    heard_us: Cell<u64>,
}

impl Client {
    pub(crate) fn new(number: u32, plan: ClientPlan, token: String, world: &Plan) -> Self {
        let latency = match plan.transport {
            _ if plan.is_slow => Measure::DeliverySlow,
            crate::plan::Transport::WebSocket => Measure::Delivery,
            _ => Measure::DeliveryFallback,
        };
        let session = RefCell::new(Session::new(number, latency, &plan.channels, &world.channels));
        Self {
            number,
            plan,
            token,
            session,
            order: Cell::default(),
            waker: RefCell::default(),
            is_ready: Cell::default(),
            has_been_ready: Cell::default(),
            heard_us: Cell::default(),
        }
    }

    /// Tells a connected client what to do; one that is not connected is on its way anyhow.
    pub(crate) fn order(&self, order: Order) {
        if self.is_ready.get() {
            self.order.set(Some(order));
            if let Some(waker) = self.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// An order that has come, or word when one comes.
    fn poll_order(&self, cx: &Context<'_>) -> Poll<Order> {
        if let Some(order) = self.order.take() {
            return Poll::Ready(order);
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Connected and subscribed to everything.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.get()
    }

    /// When something last came from the server, microseconds on the run's clock.
    pub(crate) fn heard_us(&self) -> u64 {
        self.heard_us.get()
    }

    pub(crate) fn session(&self) -> &RefCell<Session> {
        &self.session
    }
}
