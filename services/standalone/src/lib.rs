//! Tickwire in one process: an edge, an emitter and a feed on a backplane in memory.
//!
//! The same code as a cluster's, without Redis and without configuration: for development, demonstrations and small
//! installations that may lose their history with the process.
//!
//! Invariants:
//! - Nothing of the product lives here: only its assembly, credentials for development, and the page at `/`.
//! - Generated credentials exist on loopback addresses only.

use std::sync::Arc;

use tickwire_backplane::{Backplane, memory::MemoryBackplane};
use tokio_util::sync::CancellationToken;

pub mod development;
mod page;

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
}

/// Why standalone cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StandaloneError {
    /// The edge's reason.
    #[error("the edge ended")]
    Edge(#[from] tickwire_edge::EdgeError),
    /// The emitter's reason.
    #[error("the emitter ended")]
    Emitter(#[from] tickwire_emitter::EmitterError),
    /// The feed's reason.
    #[error("the feed ended")]
    Feed(#[from] tickwire_feed::FeedError),
    /// The feed or its simulated exchanges cannot listen.
    #[error("the feed cannot listen")]
    Listen(#[source] std::io::Error),
}

/// Serves both listeners until `shutdown`, then drains. If one part fails, the others are shut down too. Call it on a
/// multi-thread runtime.
pub async fn run(
    mut config: Config,
    edge_listener: std::net::TcpListener,
    emitter_listener: tokio::net::TcpListener,
    shutdown: CancellationToken,
) -> Result<(), StandaloneError> {
    let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
    config.edge.page.get_or_insert_with(page::page);
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
        let ended = feed(config.feed, config.market, Arc::clone(&backplane), shutdown.clone()).await;
        shutdown.cancel();
        ended
    };
    let (edge, emitter, feed) = tokio::join!(edge, emitter, feed);
    edge?;
    emitter?;
    feed
}

async fn feed(
    mut config: tickwire_feed::Config,
    market: Market,
    backplane: Arc<dyn Backplane>,
    shutdown: CancellationToken,
) -> Result<(), StandaloneError> {
    let _demo = match market {
        Market::None => {
            shutdown.cancelled().await;
            return Ok(());
        }
        Market::Live => None,
        Market::Replayed => {
            let demo = tickwire_feed::simulate::Demo::start().await.map_err(StandaloneError::Listen)?;
            config.feed.venues.clone_from(&demo.venues);
            Some(demo)
        }
    };
    let listener = tokio::net::TcpListener::bind(config.feed.listen).await.map_err(StandaloneError::Listen)?;
    tickwire_feed::run(config, listener, backplane, shutdown).await?;
    Ok(())
}
