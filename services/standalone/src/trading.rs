//! The trading services, on the same machine and backplane: they reach edge and emitter, and one another, as any backend does.

use std::{net::SocketAddr, sync::Arc};

use tickwire_algorithm::AlgorithmConfig;
use tickwire_auth::{AuthConfig, Secret};
use tickwire_backplane::Backplane;
use tickwire_risk::RiskConfig;
use tickwire_session::SessionConfig;
use tickwire_trading::TradingConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{StandaloneError, demo::Demo};

/// Settings of the trading services. [`crate::run`] binds their listeners.
#[derive(Debug, Clone, Default)]
pub struct Trading {
    /// The session service's.
    pub session: SessionConfig,
    /// The algorithm service's.
    pub algorithm: AlgorithmConfig,
    /// The risk service's.
    pub risk: RiskConfig,
    /// What they share. Addresses are those that this process binds, whatever stands here.
    pub trading: TradingConfig,
}

impl Trading {
    /// A key by which the services know one another, if none is configured. It lives in this process only.
    pub(crate) fn with_key(mut self) -> (Self, Secret) {
        let key = self.trading.service_key.get_or_insert_with(Secret::random).clone();
        self.trading.api_keys.push(key.clone());
        (self, key)
    }

    /// Runs them until `shutdown`; if one fails, the others are shut down too.
    pub(crate) async fn run(
        self,
        auth: AuthConfig,
        (edge, emitter): (SocketAddr, SocketAddr),
        backplane: Arc<dyn Backplane>,
        demo: Option<Demo>,
        shutdown: CancellationToken,
    ) -> Result<(), StandaloneError> {
        let Self { session, algorithm, risk, mut trading } = self;
        let (session_listener, session_url) = bind(session.listen).await?;
        let (algorithm_listener, algorithm_url) = bind(algorithm.listen).await?;
        let (risk_listener, risk_url) = bind(risk.listen).await?;
        trading.edges = vec![format!("ws://{}/ws", reachable(edge))];
        trading.emitter = format!("http://{}", reachable(emitter));
        (trading.session, trading.algorithm, trading.risk) = (session_url, algorithm_url, risk_url);
        let session = tickwire_session::Config {
            auth: auth.clone(),
            session,
            trading: trading.clone(),
            ..tickwire_session::Config::default()
        };
        let algorithm = tickwire_algorithm::Config {
            auth: auth.clone(),
            algorithm,
            trading: trading.clone(),
            ..tickwire_algorithm::Config::default()
        };
        let risk = tickwire_risk::Config { auth, risk, trading: trading.clone(), ..tickwire_risk::Config::default() };
        let sessions = trading.session.clone();
        let session = tickwire_session::run(session, session_listener, Arc::clone(&backplane), shutdown.clone());
        let algorithm =
            tickwire_algorithm::run(algorithm, algorithm_listener, Arc::clone(&backplane), shutdown.clone());
        let risk = tickwire_risk::run(risk, risk_listener, backplane, shutdown.clone());
        let demo = async {
            if let Some(demo) = demo {
                demo.run(&sessions, &shutdown).await;
            }
        };
        let (session, algorithm, risk, ()) =
            tokio::join!(ending(session, &shutdown), ending(algorithm, &shutdown), ending(risk, &shutdown), demo);
        session?;
        algorithm?;
        risk?;
        Ok(())
    }
}

/// A listener, and the URL by which this machine reaches it.
async fn bind(address: SocketAddr) -> Result<(TcpListener, String), StandaloneError> {
    let listener = TcpListener::bind(address).await.map_err(StandaloneError::Listen)?;
    let bound = listener.local_addr().map_err(StandaloneError::Listen)?;
    Ok((listener, format!("http://{}", reachable(bound))))
}

/// Runs a service; when it ends, so do the others.
async fn ending<T>(service: impl Future<Output = T>, shutdown: &CancellationToken) -> T {
    let ended = Box::pin(service).await;
    shutdown.cancel();
    ended
}

/// Where a listener on every address is reached from this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    address
}
