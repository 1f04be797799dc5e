//! When the operator wants the service to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a second signal: what a shell gives for a program ended by SIGINT.
const EXIT_IMPATIENT: i32 = 130;

/// A token that is cancelled by the first SIGTERM or SIGINT; a second one ends the process at once with 130.
///
/// Call it inside a tokio runtime that lives as long as the service.
pub fn on_signals() -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    match signals() {
        Ok((mut terminate, mut interrupt)) => drop(tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            tracing::info!(signal = name, "draining; a second signal ends at once");
            cancelled.cancel();
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("ended by a second signal");
            std::process::exit(EXIT_IMPATIENT);
        })),
        Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "no signals: the service cannot drain"),
    }
    token
}

fn signals() -> io::Result<(tokio::signal::unix::Signal, tokio::signal::unix::Signal)> {
    Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
}
