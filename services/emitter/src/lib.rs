//! The emitter: the only door for publishing.
//!
//! A backend of the platform says over HTTP what happened; the emitter checks it, turns typed events into messages
//! (`events` is the whole table of kinds and channels), and hands them to the backplane. A message goes `api` → `publish` →
//! backplane.
//!
//! Invariants:
//! - A 2xx is sent only after the backplane confirmed; whatever else happened is an error with a code.
//! - Bodies are closed structs; money never passes through a float; `data` is passed on as the text it came in.
//! - The process holds nothing that another emitter would need: idempotency and alerts live in the backplane.

mod api;
mod config;
mod escalate;
mod events;
mod metrics;
mod presentation;
mod publish;
mod throttle;
mod value;

use std::sync::Arc;

use tickwire_auth::AuthError;
use tickwire_backplane::Backplane;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use config::{Config, EmitterConfig};
pub use escalate::EscalationConfig;

/// Why an emitter does not start, or ends early.
#[derive(Debug, thiserror::Error)]
pub enum EmitterError {
    /// No usable way to authenticate callers is configured.
    #[error("callers cannot be authenticated")]
    Auth(#[from] AuthError),
    /// A setting is out of its bounds.
    #[error("emitter.{key}: {reason}")]
    Config {
        /// The key below `emitter`.
        key: &'static str,
        /// What it should be.
        reason: &'static str,
    },
    /// A setting of escalation is out of its bounds.
    #[error("escalation.{key}: {reason}")]
    Escalation {
        /// The key below `escalation`.
        key: &'static str,
        /// What it should be.
        reason: &'static str,
    },
    /// The webhook's client cannot be made.
    #[error("there is no client for escalation.url")]
    Webhook(#[source] reqwest::Error),
    /// The listener failed.
    #[error("the listener failed")]
    Listen(#[source] std::io::Error),
}

impl EmitterError {
    /// Whether the configuration is at fault: exit code 64.
    pub fn is_config(&self) -> bool {
        match self {
            Self::Auth(error) => error.is_config(),
            Self::Config { .. } | Self::Escalation { .. } => true,
            Self::Webhook(_) | Self::Listen(_) => false,
        }
    }
}

/// Checks `config` as [`run`] does, before a port is bound.
pub fn check(config: &Config) -> Result<(), EmitterError> {
    tickwire_auth::ApiKeys::new(&config.emitter.api_keys)?;
    match tickwire_auth::Verifier::new(&config.auth) {
        Err(AuthError::NoKeys) if !config.emitter.api_keys.is_empty() => {}
        result => drop(result?),
    }
    escalate::check(&config.escalation)?;
    let emitter = &config.emitter;
    let at_least_one = |key, value: usize| {
        if value == 0 { Err(EmitterError::Config { key, reason: "at least 1" }) } else { Ok(()) }
    };
    at_least_one("body_bytes_max", emitter.body_bytes_max)?;
    at_least_one("batch_bytes_max", emitter.batch_bytes_max)?;
    at_least_one("data_bytes_max", emitter.data_bytes_max)?;
    at_least_one("requests_max", emitter.requests_max)?;
    at_least_one("connections_max", emitter.connections_max)?;
    if emitter.requests_max.max(emitter.connections_max) > tokio::sync::Semaphore::MAX_PERMITS {
        return Err(EmitterError::Config { key: "requests_max or connections_max", reason: "too many" });
    }
    Ok(())
}

/// Serves `listener` until `shutdown`, then finishes what is in progress within `emitter.drain_ms`.
pub async fn run(
    config: Config,
    listener: TcpListener,
    backplane: Arc<dyn Backplane>,
    shutdown: CancellationToken,
) -> Result<(), EmitterError> {
    check(&config)?;
    let drain = config.emitter.drain();
    let app = Arc::new(api::App::new(config, backplane)?);
    let address = listener.local_addr().map_err(EmitterError::Listen)?;
    let escalator = escalate::Escalator::new(
        Arc::clone(&app.backplane),
        app.config.escalation.clone(),
        app.metrics.escalation.clone(),
    );
    let escalating = tokio::spawn(escalator.map_err(EmitterError::Webhook)?.run(shutdown.clone()));
    let upkeep = {
        let (app, shutdown) = (Arc::clone(&app), shutdown.clone());
        tokio::spawn(async move { shutdown.run_until_cancelled(app.keep_revocations()).await })
    };
    let connections_max = app.config.emitter.connections_max;
    let draining = tokio::spawn(tell_draining(Arc::clone(&app), shutdown.clone()));
    tracing::info!(addr = %address, "listening");
    tickwire_http::serve(listener, api::router(app), connections_max, drain, shutdown).await;
    // Its requests end within their own deadline; what is cut off here is another emitter's after the lease.
    let mut escalating = escalating;
    if tokio::time::timeout(drain, &mut escalating).await.is_err() {
        escalating.abort();
    }
    draining.abort();
    upkeep.abort();
    Ok(())
}

async fn tell_draining(app: Arc<api::App>, shutdown: CancellationToken) {
    shutdown.cancelled().await;
    app.readiness.set("draining", true);
}
