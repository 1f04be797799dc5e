//! A thread that holds a part of the clients.

use std::{
    rc::Rc,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::{LocalSet, spawn_local},
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    client::{self, Client, ClientOptions, Order, Target, World},
    error::LoadError,
    ledger::Log,
    meter::{Meter, RunClock},
    plan::{ClientPlan, Plan},
    record::Measure,
};

/// Attempts to connect in progress at once on all workers: what a listen queue takes at once.
pub(crate) const ATTEMPTS_MAX: usize = 1_024;
/// How often the loop's lateness is measured.
const PROBE: Duration = Duration::from_millis(10);
/// How often newcomers are let in.
const RAMP_STEP: Duration = Duration::from_millis(10);
/// How often silent connections are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// A connection from which nothing came for so long is dead: the edge pings every 25 s.
const SILENCE_US: u64 = 90_000_000;
/// How long a client that leaves stays away at least, and how much longer at most, milliseconds.
const AWAY_MS: u64 = 500;

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Hand over what was counted.
    Take(oneshot::Sender<Meter>),
    /// All clients drop and come back.
    Storm,
    /// So many clients leave and come back a little later.
    Churn(u32),
    /// How many channels of clients still wait for something; clients that are away count with all theirs.
    Behind(Arc<[Log]>, oneshot::Sender<u64>),
    /// Compare every connected client with the logs; the answer is the last that was counted.
    Audit(Arc<[Log]>, oneshot::Sender<Meter>),
}

/// What a worker is made of.
pub(crate) struct Assignment {
    /// Number, plan and token of each client.
    pub(crate) clients: Vec<(u32, ClientPlan, String)>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) targets: Arc<[Target]>,
    pub(crate) options: ClientOptions,
    pub(crate) clock: RunClock,
    /// New connections a second.
    pub(crate) connect_hz: f64,
}

/// A running worker. It ends, and drops its clients, when this is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    commands: mpsc::Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(crate) fn start(index: usize, assignment: Assignment) -> Result<Self, LoadError> {
        let (commands, orders) = mpsc::channel(16);
        let failed = |source| LoadError::Io { what: "start a thread", source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let thread = thread::Builder::new()
            .name(format!("load-{index}"))
            .spawn(move || {
                let local = LocalSet::new();
                local.block_on(&runtime, work(assignment, orders));
            })
            .map_err(failed)?;
        Ok(Self { commands, thread: Some(thread) })
    }

    /// Sends a command that has no answer.
    pub(crate) async fn tell(&self, command: Command) -> Result<(), LoadError> {
        self.commands.send(command).await.map_err(|_| LoadError::ThreadDied)
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, LoadError> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply)).await?;
        answer.await.map_err(|_| LoadError::ThreadDied)
    }

    /// Ends it.
    pub(crate) fn stop(mut self) -> Result<(), LoadError> {
        drop(self.commands);
        self.thread.take().map_or(Ok(()), JoinHandle::join).map_err(|_| LoadError::ThreadDied)
    }
}

async fn work(assignment: Assignment, mut commands: mpsc::Receiver<Command>) {
    let Assignment { clients, plan, targets, options, clock, connect_hz } = assignment;
    let world = Rc::new(World::new(Arc::clone(&plan), clock, targets, options));
    let clients: Rc<[Rc<Client>]> =
        clients.into_iter().map(|(number, client, token)| Rc::new(Client::new(number, client, token, &plan))).collect();
    spawn_local(ramp(Rc::clone(&clients), Rc::clone(&world), connect_hz));
    spawn_local(probe(Rc::clone(&world)));
    spawn_local(sweep(Rc::clone(&clients), Rc::clone(&world)));
    let mut churned = 0;
    while let Some(command) = commands.recv().await {
        match command {
            // Whoever asked and is gone needs no answer, here and below.
            Command::Take(reply) => drop(reply.send(world.meter.borrow_mut().take())),
            Command::Storm => clients.iter().for_each(|client| client.order(Order::Drop)),
            Command::Churn(count) => churn(&clients, count, &mut churned),
            Command::Behind(logs, reply) => drop(reply.send(behind(&clients, &logs))),
            Command::Audit(logs, reply) => drop(reply.send(audit(&clients, &world, &logs))),
        }
    }
}

/// Lets the clients in at the given rate.
async fn ramp(clients: Rc<[Rc<Client>]>, world: Rc<World>, connect_hz: f64) {
    let start = Instant::now();
    for (started, client) in clients.iter().enumerate() {
        while start.elapsed().as_secs_f64() * connect_hz < started as f64 {
            sleep(RAMP_STEP).await;
        }
        spawn_local(client::live(Rc::clone(client), Rc::clone(&world)));
    }
}

/// Measures how late the loop is.
async fn probe(world: Rc<World>) {
    let mut ticks = interval(PROBE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = ticks.tick().await;
        let late_us = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
        world.meter.borrow_mut().distributions.record_us(Measure::LoopLag, late_us);
    }
}

/// Gives up connections that have fallen silent.
async fn sweep(clients: Rc<[Rc<Client>]>, world: Rc<World>) {
    loop {
        sleep(SWEEP).await;
        let now_us = world.clock.now_us();
        for client in clients.iter().filter(|client| now_us.saturating_sub(client.heard_us()) > SILENCE_US) {
            client.order(Order::GiveUp);
        }
    }
}

/// The next `count` connected clients, one round after the other, leave for a while.
fn churn(clients: &[Rc<Client>], count: u32, churned: &mut usize) {
    let connected: Vec<_> = clients.iter().filter(|client| client.is_ready()).collect();
    for _ in 0..(count as usize).min(connected.len()) {
        let away_ms = rand::random_range(AWAY_MS..AWAY_MS * 3);
        connected[*churned % connected.len()].order(Order::Leave(away_ms));
        *churned += 1;
    }
}

fn behind(clients: &[Rc<Client>], logs: &[Log]) -> u64 {
    let waits = |client: &Rc<Client>| if client.is_ready() { client.session().borrow().behind(logs) } else { 1 };
    clients.iter().map(waits).sum()
}

fn audit(clients: &[Rc<Client>], world: &World, logs: &[Log]) -> Meter {
    let now_us = world.clock.now_us();
    let mut meter = world.meter.borrow_mut();
    for client in clients {
        if client.is_ready() {
            client.session().borrow_mut().audit(logs, now_us, &world.directory, &mut meter);
        } else {
            meter.totals.absent += 1;
        }
    }
    meter.take()
}
