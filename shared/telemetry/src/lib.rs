//! What every service does the same way before and beside its work: settings, logs, traces, metrics, readiness,
//! shutdown.
//!
//! Invariants:
//! - Settings come through [`config`] only, are checked before a port is bound, and an unknown key is an error.
//! - Secrets are in no error and in no rendered default.
//! - Logs go to stderr; stdout belongs to the program.

pub mod config;
pub mod health;
mod http_sender;
mod level;
mod logs;
pub mod metrics;
mod probe;
pub mod shutdown;
pub mod trace;

use std::{fmt::Display, future::Future, io::Write, process::ExitCode};

pub use config::ConfigError;
pub use logs::{Guard, InitError, LogFormat, OtlpProtocol, TelemetryConfig, init};
pub use probe::probe;

/// Exit code of a service whose configuration cannot be used (`EX_USAGE` of sysexits).
pub const EXIT_CONFIG: u8 = 64;

/// Says on stderr, in one line, why a service does not start, and gives the exit code for it. For use before (or
/// after) logging is up.
pub fn fail(reason: &dyn Display) -> ExitCode {
    let line = reason.to_string().replace('\n', " ");
    // Nobody is left to tell if stderr is closed.
    let _closed = writeln!(std::io::stderr(), "configuration error: {line}");
    ExitCode::from(EXIT_CONFIG)
}

/// [`fail`] for an error of [`init`], which cannot be logged; only what the configuration is to blame for is
/// [`EXIT_CONFIG`].
pub fn fail_init(error: &InitError) -> ExitCode {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    if error.is_config() {
        return fail(&format!("{error}{cause}"));
    }
    // As above.
    let _closed = writeln!(std::io::stderr(), "{error}{cause}");
    ExitCode::FAILURE
}

/// What a service's `main` does once its settings are checked: logs and traces, a runtime, `serve` until it ends. Why it ended early is
/// logged, with its causes where the error's alternate form names them.
pub fn run<E: Display>(
    config: &TelemetryConfig,
    service: &'static str,
    serve: impl Future<Output = Result<(), E>>,
) -> ExitCode {
    // Until the end: what is not exported yet goes out when it is dropped.
    let _guard = match init(config, service) {
        Ok(guard) => guard,
        Err(error) => return fail_init(&error),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
