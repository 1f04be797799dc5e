//! Calls of the session and algorithm services that stop a session. Each is one attempt with a deadline; whoever calls tries again.

use http::StatusCode;
use serde::{Serialize, de::IgnoredAny};
use tickwire_trading::{
    Figures, SessionId,
    config::{ClusterError, TradingConfig},
    peer::{Peer, PeerError},
};

use crate::error::StepError;

/// The two services, as this one sees them.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    pub(crate) session: Peer,
    pub(crate) algorithm: Peer,
}

#[derive(Serialize)]
struct Reason<'a> {
    reason: &'a str,
}

impl Peers {
    pub(crate) fn new(config: &TradingConfig) -> Result<Self, ClusterError> {
        Ok(Self { session: config.peer(&config.session)?, algorithm: config.peer(&config.algorithm)? })
    }

    /// Stops a session; answers whether it had ended before, or does not exist.
    pub(crate) async fn stop_session(&self, id: &SessionId, reason: &str) -> Result<bool, StepError> {
        let path = format!("/v1/sessions/{id}/emergency-stop");
        let stopped = self.session.post::<_, IgnoredAny>(&path, &key(id), &Reason { reason }).await;
        match stopped {
            Ok(_) => Ok(false),
            // 409: it completed or expired meanwhile.
            Err(error) if matches!(error.status(), Some(StatusCode::NOT_FOUND | StatusCode::CONFLICT)) => Ok(true),
            Err(error) => Err(StepError::Peer(error)),
        }
    }

    /// Cancels and closes everything; answers the final figures, or `None` where there is no account.
    pub(crate) async fn flatten(&self, id: &SessionId, reason: &str) -> Result<Option<Figures>, StepError> {
        let path = format!("/v1/accounts/{id}/flatten");
        match self.algorithm.post::<_, Figures>(&path, &key(id), &Reason { reason }).await {
            Ok(figures) if figures.is_flat() => Ok(Some(figures)),
            Ok(_) => Err(StepError::NotFlat),
            Err(PeerError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(StepError::Peer(error)),
        }
    }
}

fn key(id: &SessionId) -> String {
    format!("stop/{id}")
}
