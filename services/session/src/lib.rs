//! The session service: what may happen to a trading session, and what has.
//!
//! A command goes `api` → `desk` (who may write, what follows from the command, the journal) → answer; what it made happen goes
//! from the journal by `outbox` to the other services (`trading:sessions`) and to the user (`session-started`, `session-status`,
//! `session-completed`). `keeper` does what nobody asks for: it ends sessions whose time is over, sums up those that are over, and
//! tells figures at most four times a second each.
//!
//! Invariants:
//! - A session's journal is its state: a 2xx is sent after the journal has the event, and nothing else is remembered of a session.
//! - One instance writes a session: sessions fall into [`leases::PARTITIONS`] by their id, an instance holds a partition's lease, and the
//!   journal refuses older fences. A command that reaches another instance is passed on to the writer.
//! - What was told to others is derived from the journal, in its order, under keys made of session and version; how far it was told is
//!   in the journal too. After a crash what was not told is told, under the same keys.
//! - A command's idempotency key is in the record of what it did: a repeated command gets the first answer also after a crash.

mod api;
mod config;
mod desk;
mod keeper;
mod leases;
mod log;
mod metrics;
mod outbox;

use std::sync::Arc;

use tickwire_auth::AuthError;
use tickwire_backplane::Backplane;
use tickwire_http::Credentials;
use tickwire_trading::{ClusterError, Directory, api::Vitals};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use config::{Config, SessionConfig};

use crate::{desk::Desk, keeper::Keeper, leases::Leases, metrics::Metrics};

/// Why a session service does not start, or ends early.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No usable way to authenticate callers is configured.
    #[error("callers cannot be authenticated")]
    Auth(#[from] AuthError),
    /// The cluster cannot be reached as configured.
    #[error("the cluster cannot be reached")]
    Cluster(#[from] ClusterError),
    /// A setting is out of its bounds.
    #[error("session.{key}: {reason}")]
    Config {
        /// The key below `session`.
        key: &'static str,
        /// What it should be.
        reason: &'static str,
    },
    /// The listener failed.
    #[error("the listener failed")]
    Listen(#[source] std::io::Error),
    /// The client for other instances cannot be made.
    #[error("the HTTP client cannot be made")]
    Http(#[from] reqwest::Error),
}

/// Checks `config` as [`run`] does, before a port is bound.
pub fn check(config: &Config) -> Result<(), SessionError> {
    Credentials::new(&config.auth, &config.trading.api_keys)?;
    config.trading.emitter()?;
    config.trading.peer(&config.trading.algorithm)?;
    config.session.check()
}

/// Serves `listener` until `shutdown`, then gives its leases back and finishes what is in progress within `session.drain_ms`.
/// Call it on a tokio runtime.
pub async fn run(
    config: Config,
    listener: TcpListener,
    backplane: Arc<dyn Backplane>,
    shutdown: CancellationToken,
) -> Result<(), SessionError> {
    check(&config)?;
    let address = listener.local_addr().map_err(SessionError::Listen)?;
    let metrics = Metrics::default();
    let vitals = Vitals::new("session", Arc::clone(&backplane), |registry| metrics.register(registry));
    let credentials = Arc::new(Credentials::new(&config.auth, &config.trading.api_keys)?);
    let leases = Leases::new(config.session.advertised(address), metrics.clone());
    let desk = Arc::new(Desk::new(Arc::clone(&backplane), Arc::clone(&leases), metrics.clone()));
    let accounts = Arc::new(Directory::default());
    let algorithm = config.trading.peer(&config.trading.algorithm)?;
    let keeper = Keeper {
        desk: Arc::clone(&desk),
        accounts: Arc::clone(&accounts),
        algorithm: algorithm.clone(),
        emitter: config.trading.emitter()?,
        metrics: metrics.clone(),
    };
    let cluster = config.trading.cluster(&config.auth, "session-service")?;
    let app =
        Arc::new(api::App::new(Arc::clone(&desk), Arc::clone(&leases), Arc::clone(&credentials), &config.session)?);
    let background = shutdown.child_token();
    let tasks = TaskTracker::new();
    tasks.spawn(leases.keep(Arc::clone(&backplane), background.clone()));
    tasks.spawn(keeper.run(background.clone()));
    tasks.spawn({
        let shutdown = background.clone();
        async move {
            accounts.follow(&cluster, &algorithm, shutdown).await;
            cluster.close().await;
        }
    });
    tasks.spawn({
        let shutdown = background.clone();
        async move {
            shutdown.run_until_cancelled(credentials.keep_fresh(&*backplane, |_| ())).await;
        }
    });
    tasks.spawn({
        let (vitals, shutdown) = (Arc::clone(&vitals), shutdown.clone());
        async move {
            shutdown.cancelled().await;
            vitals.readiness.set("draining", true);
        }
    });
    tracing::info!(addr = %address, "listening");
    let router = api::router(app, vitals);
    let drain = config.session.drain();
    tickwire_http::serve(listener, router, config.session.connections_max, drain, shutdown).await;
    background.cancel();
    tasks.close();
    if tokio::time::timeout(drain, tasks.wait()).await.is_err() {
        tracing::warn!("what was in progress goes on from the journal at the next writer");
    }
    Ok(())
}
