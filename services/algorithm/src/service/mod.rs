//! The service: follows sessions, runs their bots, answers for their accounts.

mod api;
mod config;
mod floor;
mod herald;
mod ledger;
mod mailbox;
mod markets;
mod metrics;
mod outbox;
mod trader;

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use axum::Router;
use tickwire_auth::AuthError;
use tickwire_backplane::Backplane;
use tickwire_client::Client;
use tickwire_http::{Credentials, serve};
use tickwire_protocol::namespace::Namespaces;
use tickwire_trading::{api::Vitals, config::ClusterError};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

pub use config::{AlgorithmConfig, Config, InvalidConfig};
use floor::Floor;
use markets::Markets;
use metrics::Metrics;

/// Why the service does not start, or ends early.
#[derive(Debug, thiserror::Error)]
pub enum AlgorithmError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// Callers cannot be authenticated as it is configured.
    #[error("callers cannot be authenticated")]
    Auth(#[from] AuthError),
    /// The cluster or another service cannot be reached as it is configured.
    #[error("the cluster cannot be reached")]
    Cluster(#[from] ClusterError),
    /// The listener failed.
    #[error("the listener failed")]
    Listen(#[source] std::io::Error),
}

/// Checks `config` as [`run`] does, before a port is bound.
pub fn check(config: &Config) -> Result<(), AlgorithmError> {
    config.check()?;
    Credentials::new(&config.auth, &config.trading.api_keys)?;
    config.trading.emitter()?;
    Ok(())
}

/// Serves `listener` and runs bots until `shutdown`. Their accounts are in journals of `backplane`; what is under way is taken up
/// again by the next instance.
pub async fn run(
    config: Config,
    listener: TcpListener,
    backplane: Arc<dyn Backplane>,
    shutdown: CancellationToken,
) -> Result<(), AlgorithmError> {
    let cluster = config.trading.cluster(&config.auth, "algorithm")?;
    let peer = config.trading.peer(&config.trading.session)?;
    let Parts { floor, credentials, vitals, router } = parts(&config, Arc::clone(&backplane), &cluster, &shutdown)?;
    let address = listener.local_addr().map_err(AlgorithmError::Listen)?;
    tracing::info!(addr = %address, "listening");
    let following = {
        let (sessions, cluster, shutdown) = (Arc::clone(&floor.sessions), cluster.clone(), shutdown.clone());
        tokio::spawn(async move { sessions.follow(&cluster, &peer, shutdown).await })
    };
    let working = tokio::spawn(floor.run(shutdown.clone()));
    let refreshing = {
        let shutdown = shutdown.clone();
        tokio::spawn(async move { shutdown.run_until_cancelled(credentials.keep_fresh(&*backplane, |_| ())).await })
    };
    let draining = {
        let (vitals, shutdown) = (Arc::clone(&vitals), shutdown.clone());
        tokio::spawn(async move {
            shutdown.cancelled().await;
            vitals.readiness.set("draining", true);
        })
    };
    serve(listener, router, config.algorithm.connections_max, config.algorithm.drain(), shutdown).await;
    // Bots end by themselves; what they had not told is told by who runs them next.
    if tokio::time::timeout(config.algorithm.drain(), working).await.is_err() {
        tracing::warn!("bots were still at work when the drain's time was up");
    }
    following.abort();
    refreshing.abort();
    draining.abort();
    cluster.close().await;
    Ok(())
}

/// The service at rest.
struct Parts {
    floor: Arc<Floor>,
    credentials: Arc<Credentials>,
    vitals: Arc<Vitals>,
    router: Router,
}

fn parts(
    config: &Config,
    backplane: Arc<dyn Backplane>,
    cluster: &Client,
    shutdown: &CancellationToken,
) -> Result<Parts, AlgorithmError> {
    config.check()?;
    let credentials = Arc::new(Credentials::new(&config.auth, &config.trading.api_keys)?);
    let metrics = Arc::new(Metrics::default());
    let vitals = Vitals::new("algorithm", Arc::clone(&backplane), |registry| metrics.register(registry));
    let floor = Arc::new(Floor {
        backplane,
        emitter: config.trading.emitter()?,
        sessions: Arc::default(),
        markets: Markets::new(cluster.clone(), Arc::clone(&metrics), shutdown.clone()),
        metrics,
        namespaces: Arc::new(Namespaces::with(&config.namespaces)),
        holder: format!("{}-{:08x}", config.algorithm.node, rand::random::<u32>()),
        bots_max: config.algorithm.bots_max,
        bots: Mutex::default(),
        resting: Mutex::default(),
        finished: Mutex::default(),
    });
    let app = api::App {
        floor: Arc::clone(&floor),
        credentials: Arc::clone(&credentials),
        body_bytes_max: config.algorithm.body_bytes_max,
        begun: Instant::now(),
        reading: Arc::new(Semaphore::new(api::READS_AT_ONCE)),
    };
    let router = api::router(Arc::clone(&vitals), app);
    Ok(Parts { floor, credentials, vitals, router })
}

#[cfg(test)]
mod tests;
