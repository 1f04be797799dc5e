//! Why the service fails, as a whole or in a call.

use tickwire_auth::AuthError;
use tickwire_backplane::BackplaneError;
use tickwire_client::ClientError;
use tickwire_trading::{config::ClusterError, peer::PeerError};

use crate::config::InvalidConfig;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RiskError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// Callers cannot be authenticated.
    #[error("callers cannot be authenticated")]
    Auth(#[from] AuthError),
    /// The cluster or another service cannot be reached as it is configured.
    #[error("the cluster cannot be reached as configured")]
    Cluster(#[from] ClusterError),
    /// The listener failed.
    #[error("the listener failed")]
    Listen(#[source] std::io::Error),
}

impl RiskError {
    /// Whether the configuration is at fault: exit code 64.
    pub fn is_config(&self) -> bool {
        match self {
            Self::Config(_) | Self::Cluster(_) => true,
            Self::Auth(error) => error.is_config(),
            Self::Listen(_) => false,
        }
    }
}

/// Why a session's records could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// Another instance writes, or wrote.
    #[error("another instance keeps the session")]
    Lost(#[source] BackplaneError),
    /// The store failed in a way that trying again will not change.
    #[error("the records cannot be kept")]
    Store(#[source] BackplaneError),
    /// What is stored cannot be understood.
    #[error("record {number} of {journal} cannot be read")]
    Unreadable {
        journal: String,
        number: u64,
        #[source]
        source: serde_json::Error,
    },
    /// What is to be stored cannot be rendered, or has no name.
    #[error("a record cannot be rendered: {0}")]
    Render(String),
}

/// Why a step of a stop, or an alert, is not done yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// The session or algorithm service did not do it.
    #[error("the other service did not do it")]
    Peer(#[source] PeerError),
    /// The account still has orders or positions.
    #[error("the account is not flat yet")]
    NotFlat,
    /// The emitter did not take it.
    #[error("the emitter did not take it")]
    Emitter(#[source] ClientError),
}
