//! `tickwire-algorithm`: the service, or a backtest.

mod cli;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs trading sessions' bots on live prices, on paper. Without a command, the service: settings come from `TICKWIRE_CONFIG` (a TOML
/// file) and from `TICKWIRE_<SECTION>__<KEY>`.
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
    /// Runs a strategy over a recording of channels.
    Backtest(cli::backtest::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Some(Command::Backtest(arguments)) => cli::backtest::run(&arguments),
        None => return cli::serve::run(arguments.serve),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::fail(&error),
    }
}
