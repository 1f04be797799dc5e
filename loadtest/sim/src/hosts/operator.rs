//! Operations: revokes, watches, and asks at the end.

use std::{collections::BTreeSet, time::Duration};

use tickwire_client::emitter::Revocation;
use tickwire_protocol::{ChannelName, UserId};

use super::{publisher::until_done, reader::look_into_inbox};
use crate::{
    cluster::{EDGES, OUTBOX_NODE_BYTES, Phase, Stage, emitters, http},
    journal::Journal,
    oracle::Event,
};

/// How often the stage is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Watches the edges, and revokes `user`'s tokens after `delay` of the storm.
pub async fn duties(journal: Journal, stage: Stage, user: &'static str, delay: Duration) -> turmoil::Result {
    tokio::task::spawn_local(watch(journal.clone()));
    until(&stage, Phase::Storm).await;
    tokio::time::sleep(delay).await;
    let user_id = UserId::new(user)?;
    until_done(&emitters(), async |emitter| {
        emitter.revoke(&Revocation::User { user_id: user_id.clone(), iat: None }).await
    })
    .await;
    journal.tell(Event::Revoked { user: user.into() });
    std::future::pending().await
}

/// Reads every edge's metrics now and then.
async fn watch(journal: Journal) -> turmoil::Result {
    let http_client = reqwest::Client::builder().timeout(Duration::from_secs(1)).build()?;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        for node in EDGES {
            let Ok(answer) = http_client.get(format!("{}/metrics", http(node))).send().await else { continue };
            let Ok(text) = answer.text().await else { continue };
            let waiting = text.lines().find_map(|line| line.strip_prefix("tickwire_edge_outbox_bytes "));
            if let Some(bytes) = waiting.and_then(|bytes| bytes.parse().ok()) {
                journal.tell(Event::Waiting { node, bytes, max: OUTBOX_NODE_BYTES as u64 });
            }
        }
    }
}

/// At the audit: what inboxes owe, and who is present.
pub async fn audit(
    journal: Journal,
    stage: Stage,
    users: &'static [&'static str],
    room: &'static str,
    present: &'static [&'static str],
) -> turmoil::Result {
    until(&stage, Phase::Audit).await;
    for user in users {
        look_into_inbox(&journal, user).await;
    }
    let channel = ChannelName::new(room)?;
    let told = until_done(&emitters(), async |emitter| emitter.presence(&channel).await).await;
    journal.tell(Event::Present {
        channel: room.into(),
        told: told.users.iter().map(ToString::to_string).collect(),
        real: present.iter().map(|&user| user.to_owned()).collect::<BTreeSet<String>>(),
    });
    std::future::pending().await
}

pub(super) async fn until(stage: &Stage, phase: Phase) {
    while stage.get() < phase {
        tokio::time::sleep(POLL).await;
    }
}
