//! The trading services, on the same machine and backplane: they reach edge and emitter as any backend does.

use std::{net::SocketAddr, sync::Arc};

use tickwire_auth::{AuthConfig, Secret};
use tickwire_backplane::Backplane;
use tickwire_session::SessionConfig;
use tickwire_trading::TradingConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::StandaloneError;

/// Settings of the trading services.
#[derive(Debug, Clone, Default)]
pub struct Trading {
    /// The session service's; its listener is bound by [`crate::run`].
    pub session: SessionConfig,
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

    /// Runs them until `shutdown`.
    pub(crate) async fn run(
        mut self,
        auth: AuthConfig,
        (edge, emitter): (SocketAddr, SocketAddr),
        backplane: Arc<dyn Backplane>,
        shutdown: CancellationToken,
    ) -> Result<(), StandaloneError> {
        let listener = TcpListener::bind(self.session.listen).await.map_err(StandaloneError::Listen)?;
        let session = listener.local_addr().map_err(StandaloneError::Listen)?;
        self.trading.edges = vec![format!("ws://{}/ws", reachable(edge))];
        self.trading.emitter = format!("http://{}", reachable(emitter));
        self.trading.session = format!("http://{}", reachable(session));
        let config = tickwire_session::Config {
            auth,
            session: self.session,
            trading: self.trading,
            ..tickwire_session::Config::default()
        };
        tickwire_session::run(config, listener, backplane, shutdown).await?;
        Ok(())
    }
}

/// Where a listener on every address is reached from this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    address
}
