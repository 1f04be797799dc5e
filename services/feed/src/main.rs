//! `tickwire-feed`: market data of exchanges, into a cluster or out of a recording.

mod cli;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Books are many vectors that grow and shrink.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Market data of five exchanges, normalised. Without a command, the service: settings come from `TICKWIRE_CONFIG` (a TOML file)
/// and from `TICKWIRE_<SECTION>__<KEY>`.
#[derive(Debug, Parser)]
#[command(version)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: cli::serve::Arguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs recordings through the same parsers and books as live data.
    Replay(cli::replay::Arguments),
    /// Serves a recording as its exchange would, with faults on demand.
    Simulate(cli::simulate::Arguments),
    /// Records a live connection, byte for byte.
    Record(cli::record::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(command) = arguments.command else { return cli::serve::run(arguments.serve) };
    let done = match command {
        Command::Replay(arguments) => cli::replay::run(&arguments),
        Command::Simulate(arguments) => cli::simulate::run(arguments),
        Command::Record(arguments) => cli::record::run(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::fail(&error),
    }
}
