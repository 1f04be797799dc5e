//! `tickwire-loadtest`: load on a running cluster, and an account of every message.
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tickwire_loadtest::{
    Settings,
    chaos::{self, ChaosArgs},
    settings::without_secrets,
};

/// Load generator of Tickwire.
#[derive(Parser)]
#[command(name = "tickwire-loadtest", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run a scenario against a cluster.
    Run(Box<RunArgs>),
    /// Break a cluster of real processes for some minutes and judge every promise.
    Chaos(ChaosArgs),
}

#[derive(clap::Args)]
struct RunArgs {
    #[command(flatten)]
    settings: Settings,
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().task {
        Task::Run(args) => run(&args),
        Task::Chaos(args) => chaos::run(&args),
    }
}

fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let command = without_secrets(std::env::args());
    let record = runtime.block_on(tickwire_loadtest::run(&args.settings, command, |second| {
        eprintln!(
            "{:>6.1} s {:<10} {:>6} connected {:>9} delivered  p50 {:>7.2} ms  p99 {:>7.2} ms",
            second.at_ms as f64 / 1_000.0,
            second.phase,
            second.connected,
            second.delivered,
            second.delivery.p50_us as f64 / 1_000.0,
            second.delivery.p99_us as f64 / 1_000.0,
        );
    }))?;
    let figures: Vec<_> = record.distributions.iter().map(|(measure, d)| (measure.name(), d.percentiles())).collect();
    println!("{:#?}\n{:#?}\n{figures:#?}\n{:?}", record.totals, record.generator, record.notes);
    Ok(ExitCode::SUCCESS)
}
