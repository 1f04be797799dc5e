//! Several programs at one edge, which will be drained: each reads, and says when its connection moves or breaks.

use tickwire_client::{Client, ConnectionState};

use super::{
    operator::until,
    reader::{Profile, follow},
};
use crate::{
    cluster::{Phase, Stage},
    journal::Journal,
    oracle::{Event, Reader},
};

/// Starts all of them once everything is healed.
pub async fn run(journal: Journal, stage: Stage, members: &'static [Profile]) -> turmoil::Result {
    until(&stage, Phase::Liveness).await;
    for profile in members {
        let client = profile.client();
        tokio::task::spawn_local(watch(journal.clone(), profile.name, client.clone()));
        follow(&journal, *profile, &client);
    }
    std::future::pending().await
}

async fn watch(journal: Journal, reader: Reader, client: Client) {
    let mut state = client.state();
    let mut at = None;
    loop {
        match state.borrow_and_update().clone() {
            ConnectionState::Connected { node, .. } => {
                let before = at.replace(node.clone());
                if before.is_some_and(|before| before != node) {
                    journal.tell(Event::Moved { reader });
                }
            }
            ConnectionState::Reconnecting { .. } | ConnectionState::Disconnected(_) if at.is_some() => {
                journal.tell(Event::Broke { reader });
            }
            _ => {}
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}
