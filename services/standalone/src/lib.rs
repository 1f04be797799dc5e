//! Tickwire in one process: an edge and an emitter on a backplane in memory.
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

/// Settings of both halves.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The edge's.
    pub edge: tickwire_edge::Config,
    /// The emitter's.
    pub emitter: tickwire_emitter::Config,
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
}

/// Serves both listeners until `shutdown`, then drains. If one half fails, the other is shut down too. Call it on a
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
    let (edge, emitter) = tokio::join!(edge, emitter);
    edge?;
    emitter?;
    Ok(())
}
