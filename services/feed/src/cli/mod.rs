//! The commands, one a file.

pub(crate) mod record;
pub(crate) mod replay;
pub(crate) mod serve;
pub(crate) mod simulate;

use std::process::ExitCode;

/// Tells why on standard error.
#[allow(clippy::print_stderr, reason = "the command's own output")]
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("tickwire-feed: {error:#}");
    ExitCode::FAILURE
}
