//! Real processes under real faults, and a verdict per promise.
//!
//! A fleet of three edges and two emitters behind haproxy, on Redis with Sentinels or on a Redis Cluster, serves a crowd of
//! clients while a seeded schedule kills, freezes and drains processes and breaks links. Everything acknowledged and
//! everything delivered is written down; what that means for G1 to G10 is judged when the run is over.
//!
//! Invariants:
//! - A promise that a run gave no occasion to judge is `not judged`, never `held`.
//! - The schedule depends on the seed alone. What the cluster makes of it does not, so a seed repeats the faults, not the run.
//! - Faults are mended before a quiet phase begins, and of the faults that take a server of Redis away there is one a storm.

mod balancer;
mod conductor;
mod crowd;
mod document;
mod experiment;
mod failovers;
mod fleet;
mod ledger;
mod observer;
mod probes;
mod process;
mod proxy;
mod publisher;
mod reading;
mod redis;
mod schedule;
mod sdk;
mod translation;
mod verdict;
mod watch;
mod webhook;
mod wire;

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use clap::Args;
use tickwire_protocol::time::now_ms;

use conductor::Conductor;
use crowd::{Crowd, Size};
use document::Document;
pub use experiment::Experiment;
use fleet::{COUNTS, Fleet};
use schedule::Schedule;
pub use schedule::Topology;
use watch::lock;

/// How long all clients may take to connect and subscribe before anything breaks.
const SETTLE_PATIENCE: Duration = Duration::from_secs(120);

/// Settings of a chaos run.
#[derive(Debug, Clone, Args)]
pub struct ChaosArgs {
    /// How Redis is set up.
    #[arg(long, value_enum, default_value_t = Topology::Sentinel)]
    pub topology: Topology,
    /// How long faults happen, minutes; as many storms as fit, one at least.
    #[arg(long, default_value_t = 10.0)]
    pub minutes: f64,
    /// Clients.
    #[arg(long, default_value_t = 2_000)]
    pub clients: usize,
    /// Of these, those with the shipped client; a tenth if not given.
    #[arg(long)]
    pub sdk_clients: Option<usize>,
    /// Decides the faults; a random one if not given.
    #[arg(long)]
    pub seed: Option<u64>,
    /// An experiment instead of a schedule of faults.
    #[arg(long, value_enum)]
    pub experiment: Option<Experiment>,
    /// Where reports and the processes' logs go.
    #[arg(long, default_value = "target/chaos")]
    pub out: PathBuf,
}

/// Runs and prints the verdicts; fails by exit code where a promise was broken.
pub fn run(args: &ChaosArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    runtime.block_on(async {
        match args.experiment {
            Some(experiment) => {
                Box::pin(experiment::run(experiment, args.topology, args.clients, seed, &args.out)).await
            }
            None => Box::pin(chaos(args, seed)).await,
        }
    })
}

#[allow(clippy::print_stderr, reason = "a command that runs for minutes says what it does")]
fn say(line: &str) {
    eprintln!("{line}");
}

#[allow(clippy::print_stdout, reason = "the result of a command")]
async fn chaos(args: &ChaosArgs, seed: u64) -> anyhow::Result<ExitCode> {
    let schedule = Schedule::new(seed, Duration::from_secs_f64(args.minutes * 60.0), args.topology, COUNTS);
    let sdk = args.sdk_clients.unwrap_or(args.clients / 10).min(args.clients);
    let size = Size { clients: args.clients, sdk, every: Duration::from_secs(1) };
    let directory = args.out.join(format!("{}-{seed}", args.topology));
    say(&format!(
        "chaos: {}, seed {seed}, {} faults; logs in {}",
        args.topology,
        schedule.fault_count(),
        directory.display()
    ));
    let fleet = Arc::new(Fleet::start(args.topology, directory).await?);
    let started_at_ms = now_ms();
    let mut crowd = Crowd::new(size, seed)?;
    crowd.connect(size, fleet.client_port).await?;
    crowd.until_settled(SETTLE_PATIENCE).await?;
    crowd.publish(size, fleet.emitter_port)?;
    say(&format!("{} clients are connected and subscribed", crowd.connected()));
    let (clock, counts, whereabouts) = (crowd.clock.clone(), Arc::clone(&crowd.counts), crowd.whereabouts.clone());
    let (mut ledger, faults, failures) = Conductor::new(fleet, crowd)?.conduct(&schedule, say).await?;
    conductor::mark_disturbed(&mut ledger, &faults);
    ledger.alerts_are_replicated = args.topology == Topology::Sentinel;
    let delays = clock.delays();
    let document = Document {
        topology: args.topology,
        seed,
        clients: size.clients,
        sdk_clients: size.sdk,
        started_at_ms,
        duration_ms: now_ms() - started_at_ms,
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        acknowledged: counts.acknowledged(),
        uncertain: counts.uncertain(),
        connects: whereabouts.iter().map(|(_, whereabouts)| lock(whereabouts).connects).sum(),
        quiet_delivery: delays.quiet.percentiles(),
        delivery: delays.all.percentiles(),
        faults,
        verdicts: verdict::judge(&ledger),
        failures,
    };
    document.write(&args.out)?;
    print!("{}", document.summary());
    Ok(if document.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
