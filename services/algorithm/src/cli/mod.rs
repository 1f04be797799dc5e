//! The program's commands.

pub(crate) mod backtest;
pub(crate) mod serve;

use std::{io::Write, process::ExitCode};

/// Says on stderr why a command failed.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    // Nobody is left to tell if stderr is closed.
    let _closed = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::FAILURE
}
