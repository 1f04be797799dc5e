//! Every recurring task of the repository: `cargo xtask <task>`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]

mod bench;
mod chaos;
mod dashboard;
mod deploy;
mod machine;
mod mutants;
mod shell;
mod sim;
mod test;
mod tidy;
mod up;
mod web;

use clap::{Parser, Subcommand};

/// Tasks of the Tickwire repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build and start standalone: edge on 127.0.0.1:8000, emitter on 127.0.0.1:8001.
    Up {
        /// Build without optimisation: starts sooner on a first run, serves slower.
        #[arg(long)]
        debug: bool,
        /// Passed on to `tickwire-standalone`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run every check and test; installs what is missing.
    Test {
        /// Only tests whose name contains this; skips the static checks.
        filter: Option<String>,
    },
    /// Break a cluster of real processes for ten minutes (Redis with Sentinels, 2,000 clients) and judge every promise.
    Chaos {
        /// Build without optimisation.
        #[arg(long)]
        debug: bool,
        /// Passed on to `tickwire-loadtest chaos`, such as `--minutes 10 --clients 2000 --topology cluster`; see its `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Make the TypeScript types of `shared/sdk` from the vectors of `shared/protocol`.
    Codegen,
    /// Check all that deploys the product, and try it in a container engine of its own (needs root).
    TestDeploy {
        /// Renew what is generated (the chart's README, the list of metrics) instead of comparing it.
        #[arg(long)]
        write: bool,
        /// Without the profile `tracing`: its collector is built from sources, which takes minutes.
        #[arg(long)]
        quick: bool,
    },
    /// Write `.env` with fresh secrets for `docker compose`.
    Env,
    /// Check the shape of the house: dependency direction, file sizes, licences, top level.
    Tidy,
    /// Measure the table of goals on this machine, beside a raw loop: Redis, two edges and an emitter in release builds.
    Bench {
        /// Passed on to `tickwire-loadtest bench`, such as `--quick` or `--only fanout`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Simulate the cluster under faults: the kept seeds, then fresh ones; a verdict per promise.
    Sim {
        /// How many fresh seeds.
        #[arg(long, default_value_t = sim::FRESH)]
        seeds: usize,
        /// Repeat this one and print its events.
        #[arg(long)]
        seed: Option<u64>,
        /// Instead, see that every deliberately broken build is noticed.
        #[arg(long)]
        mutants: bool,
        /// Only this one of them.
        #[arg(long, requires = "mutants")]
        only: Option<String>,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Up { debug, args } => up::up(debug, &args),
        Task::Test { filter } => test::test(filter.as_deref()),
        Task::Chaos { debug, args } => {
            chaos::chaos(if debug { chaos::Build::Debug } else { chaos::Build::Release }, &args)
        }
        Task::Codegen => web::codegen(),
        Task::TestDeploy { write, quick } => deploy::test(write, quick),
        Task::Env => deploy::write_environment(),
        Task::Tidy => tidy::tidy(),
        Task::Bench { args } => bench::bench(&args),
        Task::Sim { mutants: true, only, .. } => sim::mutants(only.as_deref()),
        Task::Sim { seeds, seed, .. } => sim::sim(seeds, seed),
    }
}
