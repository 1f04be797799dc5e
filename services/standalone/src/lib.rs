//! Tickwire in one process: an edge, an emitter, a feed and the trading services on a backplane in memory.
//!
//! The same code as a cluster's, without Redis and without configuration: for development, demonstrations and small
//! installations that may lose their history with the process.
//!
//! Invariants:
//! - Nothing of the product lives here: only its assembly, credentials for development, and the dashboard's files.
//! - Generated credentials exist on loopback addresses only.

use std::sync::Arc;

use tickwire_backplane::{Backplane, memory::MemoryBackplane};
use tickwire_protocol::Origin;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod dashboard;
mod demo;
pub mod development;
mod trading;

pub use trading::Trading;

/// Where market data comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Market {
    /// From nowhere.
    #[default]
    None,
    /// From recordings inside the program, looped and marked as replayed in every message.
    Replayed,
    /// From the exchanges.
    Live,
}

/// Settings of its parts.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The edge's.
    pub edge: tickwire_edge::Config,
    /// The emitter's.
    pub emitter: tickwire_emitter::Config,
    /// The feed's; its listener is bound by [`run`].
    pub feed: tickwire_feed::Config,
    /// Where market data comes from.
    pub market: Market,
    /// The trading services; none without it.
    pub trading: Option<Trading>,
    /// Sessions that begin by themselves, where markets are replayed and the secret is a random one.
    pub demo: bool,
    /// The secret is a random one of this run, so that tokens may be given to whoever sits at this machine.
    pub is_development: bool,
}

/// Why standalone cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StandaloneError {
    /// The edge's reason.
    #[error("the edge ended")]
    Edge(#[from] tickwire_edge::EdgeError),
    /// No token can be signed for development.
    #[error("the secret cannot sign")]
    Sign(#[from] tickwire_auth::AuthError),
    /// The emitter's reason.
    #[error("the emitter ended")]
    Emitter(#[from] tickwire_emitter::EmitterError),
    /// The feed's reason.
    #[error("the feed ended")]
    Feed(#[from] tickwire_feed::FeedError),
    /// The session service's reason.
    #[error("the session service ended")]
    Session(#[from] tickwire_session::SessionError),
    /// The algorithm service's reason.
    #[error("the algorithm service ended")]
    Algorithm(#[from] tickwire_algorithm::AlgorithmError),
    /// The risk service's reason.
    #[error("the risk service ended")]
    Risk(#[from] tickwire_risk::RiskError),
    /// The feed or its simulated exchanges cannot listen.
    #[error("the feed cannot listen")]
    Listen(#[source] std::io::Error),
}

/// Serves both listeners until `shutdown`, then drains. If one part fails, the others are shut down too. Call it on a
/// multi-thread runtime.
pub async fn run(
    mut config: Config,
    edge_listener: std::net::TcpListener,
    emitter_listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), StandaloneError> {
    let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
    let address = emitter_listener.local_addr().map_err(tickwire_emitter::EmitterError::Listen)?;
    let edge_address = edge_listener.local_addr().map_err(tickwire_edge::EdgeError::Listen)?;
    let feed_listener = match config.market {
        Market::None => None,
        Market::Replayed | Market::Live => {
            Some(TcpListener::bind(config.feed.feed.listen).await.map_err(StandaloneError::Listen)?)
        }
    };
    let feed_address =
        feed_listener.as_ref().map(TcpListener::local_addr).transpose().map_err(StandaloneError::Listen)?;
    if config.edge.site.is_none() {
        let sign_in = development::sign_in(&config, edge_address)?;
        config.edge.site = Some(Arc::new(dashboard::site(&config, address, feed_address, sign_in)?));
    }
    // The dashboard calls the others from the edge's address, which a browser may have by either name.
    for name in [edge_address.to_string(), format!("localhost:{}", edge_address.port())] {
        // An address and a port are always an origin.
        let Ok(origin) = Origin::new(&format!("http://{name}")) else { continue };
        config.emitter.emitter.allowed_origins.push(origin.clone());
        config.feed.feed.allowed_origins.push(origin);
    }
    let demo = demo::Demo::new(&config)?;
    let trading = config.trading.take().map(Trading::with_key).map(|(trading, key)| {
        // Last: the first one is what a developer is shown.
        config.emitter.emitter.api_keys.push(key);
        trading
    });
    let auth = config.edge.auth.clone();
    let trading = async {
        let ended = if let Some(trading) = trading {
            trading.run(auth, (edge_address, address), Arc::clone(&backplane), demo, shutdown.clone()).await
        } else {
            shutdown.cancelled().await;
            Ok(())
        };
        shutdown.cancel();
        ended
    };
    let edge = async {
        let ended = tickwire_edge::run(config.edge, edge_listener, Arc::clone(&backplane), shutdown.clone()).await;
        shutdown.cancel();
        ended
    };
    let emitter = async {
        let ended =
            tickwire_emitter::run(config.emitter, emitter_listener, Arc::clone(&backplane), shutdown.clone()).await;
        shutdown.cancel();
        ended
    };
    let feed = async {
        let ended = feed(config.feed, config.market, feed_listener, Arc::clone(&backplane), shutdown.clone()).await;
        shutdown.cancel();
        ended
    };
    let (edge, emitter, feed, trading) = tokio::join!(edge, emitter, feed, Box::pin(trading));
    edge?;
    emitter?;
    feed?;
    trading
}

async fn feed(
    mut config: tickwire_feed::Config,
    market: Market,
    listener: Option<TcpListener>,
    backplane: Arc<dyn Backplane>,
    shutdown: CancellationToken,
) -> Result<(), StandaloneError> {
    let Some(listener) = listener else {
        shutdown.cancelled().await;
        return Ok(());
    };
    let _demo = match market {
        Market::None | Market::Live => None,
        Market::Replayed => {
            let demo = tickwire_feed::simulate::Demo::start().await.map_err(StandaloneError::Listen)?;
            config.feed.venues.clone_from(&demo.venues);
            Some(demo)
        }
    };
    tickwire_feed::run(config, listener, backplane, shutdown).await?;
    Ok(())
}
