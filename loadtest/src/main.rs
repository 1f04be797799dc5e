//! `tickwire-loadtest`: load on a running cluster, and an account of every message.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tickwire_loadtest::Settings;

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
}

#[derive(clap::Args)]
struct RunArgs {
    #[command(flatten)]
    settings: Settings,
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().task {
        Task::Run(args) => anyhow::bail!("{} has no clients yet", args.settings.scenario),
    }
}
