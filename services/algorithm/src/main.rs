//! `tickwire-algorithm`: backtests.

mod cli;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs strategies on paper.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a strategy over a recording of channels.
    Backtest(cli::backtest::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Backtest(arguments) => cli::backtest::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::fail(&error),
    }
}
