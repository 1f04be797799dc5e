//! `tickwire-feed`: market data of exchanges, into a cluster or out of a recording.

mod cli;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Books are many vectors that grow and shrink.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Market data of five exchanges, normalised.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs recordings through the same parsers and books as live data.
    Replay(cli::replay::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Replay(arguments) => cli::replay::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::fail(&error),
    }
}
