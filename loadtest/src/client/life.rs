//! A client's life: connect, stay, come back.

use std::{rc::Rc, sync::atomic::Ordering, time::Duration};

use tokio::time::{sleep, timeout};

use super::{
    Client, Order, Target, World,
    link::{End, Link},
    poll::PollLink,
};
use crate::{plan::Transport, record::Measure};

/// From the attempt to connect until everything is subscribed.
const PATIENCE: Duration = Duration::from_secs(30);
/// First and longest pause after a failure, before jitter, milliseconds.
const PAUSE_MS: u64 = 100;
const PAUSE_MS_MAX: u64 = 5_000;

/// An open connection of either kind.
enum Connection {
    Stream(Link),
    Poll(PollLink),
}

impl Connection {
    async fn open(client: &Client, world: &World, target: &Target) -> Result<Self, End> {
        match client.plan.transport {
            Transport::WebSocket | Transport::Sse => Link::open(client, world, target).await.map(Self::Stream),
            Transport::Poll => PollLink::open(client, world, target).await.map(Self::Poll),
        }
    }

    async fn stay(&mut self, client: &Client, world: &World) -> End {
        match self {
            Self::Stream(link) => link.stay(client, world).await,
            Self::Poll(link) => link.stay(client, world).await,
        }
    }
}

/// Lives until the worker's runtime ends.
pub(crate) async fn live(client: Rc<Client>, world: Rc<World>) {
    let mut target = client.number as usize % world.targets.len();
    let mut failures = 0_u32;
    let mut dropped_us = None;
    loop {
        // Closed only when the worker ends.
        let Ok(permit) = world.attempts.acquire().await else { return };
        let began_us = world.clock.now_us();
        client.session.borrow_mut().begin();
        let opening = Connection::open(&client, &world, &world.targets[target]);
        let opened = timeout(PATIENCE, opening).await.unwrap_or_else(|_| Err(End::cut("timeout")));
        drop(permit);
        let pause = match opened {
            Ok(mut connection) => {
                failures = 0;
                became_ready(&client, &world, began_us, dropped_us);
                let end = connection.stay(&client, &world).await;
                dropped_us = Some(world.clock.now_us());
                drop(connection);
                left(&client, &world);
                pause_after(end, &world, &mut dropped_us)
            }
            Err(end) => {
                failures += 1;
                failed(end, failures, &world)
            }
        };
        if !world.is_sticky {
            target = (target + 1) % world.targets.len();
        }
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
}

fn became_ready(client: &Client, world: &World, began_us: u64, dropped_us: Option<u64>) {
    let now_us = world.clock.now_us();
    let mut meter = world.meter.borrow_mut();
    meter.totals.connects += 1;
    world.ready.fetch_add(1, Ordering::Relaxed);
    meter.distributions.record_us(Measure::Connect, now_us - began_us);
    if let Some(dropped_us) = dropped_us {
        meter.distributions.record_us(Measure::Recovery, now_us - dropped_us);
    }
    if client.has_been_ready.replace(true) {
        meter.totals.reconnects += 1;
    }
    client.is_ready.set(true);
    client.heard_us.set(now_us);
}

fn left(client: &Client, world: &World) {
    client.is_ready.set(false);
    client.order.set(None);
    world.ready.fetch_sub(1, Ordering::Relaxed);
}

/// Counts the end of a connection; returns how long to stay away.
fn pause_after(end: End, world: &World, dropped_us: &mut Option<u64>) -> Duration {
    let drops = |what: String| *world.meter.borrow_mut().totals.drops.entry(what).or_default() += 1;
    match end {
        End::Ordered(Order::Drop) => Duration::ZERO,
        End::Ordered(Order::Leave(ms)) => {
            // It was away on purpose: there is nothing to recover from quickly.
            *dropped_us = None;
            Duration::from_millis(ms)
        }
        End::Ordered(Order::GiveUp) => {
            drops("silent".into());
            Duration::ZERO
        }
        End::Asked(after_ms) => {
            drops("asked to reconnect".into());
            Duration::from_millis(after_ms.min(PAUSE_MS_MAX * 12))
        }
        End::Cut(what, after_s) => {
            drops(what);
            pause(1, after_s)
        }
    }
}

/// Counts a failed attempt; returns how long to wait before the next.
fn failed(end: End, failures: u32, world: &World) -> Duration {
    let (what, after_s) = match end {
        End::Cut(what, after_s) => (what, after_s),
        End::Asked(ms) => ("asked to reconnect".to_owned(), Some(ms / 1_000)),
        End::Ordered(_) => ("ordered".to_owned(), None),
    };
    *world.meter.borrow_mut().totals.connect_failures.entry(what).or_default() += 1;
    pause(failures, after_s)
}

/// Grows with the failures, with jitter, and is no shorter than what the server asked for.
fn pause(failures: u32, after_s: Option<u64>) -> Duration {
    let longest_ms = PAUSE_MS.saturating_mul(1 << failures.min(10)).min(PAUSE_MS_MAX);
    let jittered = Duration::from_millis(rand::random_range(longest_ms / 2..=longest_ms));
    jittered.max(Duration::from_secs(after_s.unwrap_or(0).min(60)))
}
