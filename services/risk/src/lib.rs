//! Risk: watches trading sessions, warns their users, and stops what reaches its limit.
//!
//! Data flows one way: sessions, accounts and tickers (`intake`) → the `desk` with a pure [`watch`] a session (`rules`, one file each, on
//! [`level`]s with hysteresis) → the session's `keeper`, its one writer, which records what was decided, does it, and records that it is
//! done (`records`, [`saga`]) → the emitter (`teller`). Beside it, `valuation` publishes what wallets are worth (`portfolio`).
//!
//! Invariants:
//! - Money is decimal from wire to wire; floats are for statistics ([`market`]) alone.
//! - Nothing is told or stopped that was not recorded before, under a lease's fence; so of two instances one acts, and a successor
//!   goes on where the records end. Every step may be made twice: keys and the other services' states make it harmless.
//! - A session at its loss limit is stopped whatever its thresholds are, and its user is told also while another service is away.
//! - The desk waits for nobody.
//! - An emergency stop is carried out to its end whoever asked for it: this service, the session's owner, another service.

mod api;
mod config;
mod desk;
mod error;
mod intake;
mod keeper;
mod lease;
pub mod level;
pub mod market;
mod metrics;
mod peers;
mod portfolio;
mod records;
mod recover;
mod rules;
pub mod saga;
mod teller;
pub mod thresholds;
mod turbulence;
mod valuation;
pub mod watch;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tickwire_backplane::Backplane;
use tickwire_client::{Client, Emitter, EmitterOptions};
use tickwire_http::Credentials;
use tickwire_trading::{Figures, Session, api::Vitals, config::ClusterError, directory::Directory};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch as latest},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub use config::{Config, InvalidConfig, RiskConfig};
pub use error::RiskError;
pub use rules::Kind;

use desk::{Desk, INPUTS_MAX, Input};
use keeper::Tools;
use lease::Lease;
use metrics::Metrics;
use peers::Peers;

/// One call of the emitter takes at most this; keepers try again themselves.
const EMITTER_TIMEOUT: Duration = Duration::from_secs(3);

/// Checks `config` as [`run`] does, before a port is bound.
pub fn check(config: &Config) -> Result<(), RiskError> {
    config.risk.check()?;
    Credentials::new(&config.auth, &config.trading.api_keys)?;
    if config.trading.service_key.is_none() {
        return Err(ClusterError::Missing("service_key").into());
    }
    if config.trading.edges.is_empty() {
        return Err(ClusterError::Missing("edges").into());
    }
    if config.trading.cluster_token.is_none() && config.auth.hs256_secret.is_none() {
        return Err(ClusterError::Missing("cluster_token").into());
    }
    Ok(())
}

/// Watches until `shutdown`. What was begun is finished by whoever holds the session next.
pub async fn run(
    config: Config,
    listener: TcpListener,
    backplane: Arc<dyn Backplane>,
    shutdown: CancellationToken,
) -> Result<(), RiskError> {
    check(&config)?;
    let address = listener.local_addr().map_err(RiskError::Listen)?;
    let mut metrics = None;
    let vitals = Vitals::new("risk", Arc::clone(&backplane), |registry| metrics = Some(Metrics::register(registry)));
    let metrics =
        Arc::new(metrics.unwrap_or_else(|| Metrics::register(&mut prometheus_client::registry::Registry::default())));
    let peers = Peers::new(&config.trading)?;
    let tools = Arc::new(Tools {
        backplane: Arc::clone(&backplane),
        peers: peers.clone(),
        emitter: emitter(&config)?,
        metrics: Arc::clone(&metrics),
    });
    let client = config.trading.cluster(&config.auth, &format!("service-{}", config.risk.node))?;
    let credentials = Arc::new(Credentials::new(&config.auth, &config.trading.api_keys)?);

    let (inputs, heard) = mpsc::channel(INPUTS_MAX);
    let (wanted, following) = latest::channel(BTreeSet::new());
    let mut tasks = JoinSet::new();
    follow(&mut tasks, &client, &peers, &inputs, &shutdown);
    let wrap = |instrument: &tickwire_trading::Instrument, price| Input::Price(instrument.clone(), price);
    tasks.spawn(intake::prices(following, client.clone(), metrics, inputs.clone(), wrap));
    tasks.spawn(recover::run(Arc::clone(&backplane), peers.session.clone(), inputs.clone()));
    tasks.spawn({
        let (credentials, backplane) = (Arc::clone(&credentials), Arc::clone(&backplane));
        async move { credentials.keep_fresh(&*backplane, |_| ()).await }
    });
    let (swings, swung) = mpsc::channel(turbulence::SWINGS_MAX);
    let telling = turbulence::tell(swung, Arc::clone(&tools), Lease::new(turbulence::LEASE, &config.risk));
    tasks.spawn(telling);
    let desk = Desk::new(config.risk.clone(), Arc::clone(&tools), inputs.clone(), wanted, swings, shutdown.clone());
    let watching = tokio::spawn(desk.run(heard));
    let valuing = tokio::spawn(valuation::run(config.risk.clone(), client, tools, shutdown.clone()));

    tracing::info!(addr = %address, "listening");
    let app = api::App { credentials, backplane, desk: inputs };
    let router = api::router(app, Arc::clone(&vitals));
    let draining = shutdown.clone();
    tasks.spawn(async move {
        draining.cancelled().await;
        vitals.readiness.set("draining", true);
        std::future::pending::<()>().await;
    });
    tickwire_http::serve(listener, router, config.risk.connections_max, config.risk.drain(), shutdown).await;
    for ending in [watching, valuing] {
        if let Err(error) = ending.await {
            tracing::error!(%error, "a task ended badly");
        }
    }
    Ok(())
}

/// One attempt a call: a keeper decides itself when to try again, and what goes first.
fn emitter(config: &Config) -> Result<Emitter, ClusterError> {
    let key = config.trading.service_key.as_ref().ok_or(ClusterError::Missing("service_key"))?;
    let options = EmitterOptions::new(&config.trading.emitter, key.expose());
    Ok(Emitter::new(EmitterOptions { attempts_max: 1, timeout: EMITTER_TIMEOUT, ..options })?)
}

/// Sessions and accounts, by channel and by API.
fn follow(
    tasks: &mut JoinSet<()>,
    client: &Client,
    peers: &Peers,
    inputs: &mpsc::Sender<Input>,
    shutdown: &CancellationToken,
) {
    let sessions = Arc::new(Directory::<Session>::default());
    let wrap = |session| Input::Session(Box::new(session));
    tasks.spawn(intake::changes(Arc::clone(&sessions), inputs.clone(), wrap));
    let (cluster, peer, ending) = (client.clone(), peers.session.clone(), shutdown.clone());
    tasks.spawn(async move { sessions.follow(&cluster, &peer, ending).await });

    let accounts = Arc::new(Directory::<Figures>::default());
    let wrap = |figures| Input::Figures(Box::new(figures));
    tasks.spawn(intake::changes(Arc::clone(&accounts), inputs.clone(), wrap));
    let (cluster, peer, ending) = (client.clone(), peers.algorithm.clone(), shutdown.clone());
    tasks.spawn(async move { accounts.follow(&cluster, &peer, ending).await });
}
