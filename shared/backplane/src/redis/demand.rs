//! Which channels somebody listens to, from the server's own list of subscriptions.
//!
//! `PUBSUB CHANNELS` (in a cluster `SHARDCHANNELS`, on every master) walks over all subscriptions of the server: half a
//! microsecond each, 46 ms at 100,000 (Redis 7.0, busy machine), whatever the pattern finds. So there is one call for all
//! namespaces, and it is one to make every second or two, not for each decision.

use std::sync::Arc;

use futures_util::future::join_all;
use tickwire_protocol::ChannelName;

use super::{
    core::{Core, no_link},
    keys::channel_of_live,
    link::Lane,
    reply,
};
use crate::{BackplaneError, Demand};

impl Core {
    pub(super) async fn demand(&self, namespaces: &[&str]) -> Result<Demand, BackplaneError> {
        if namespaces.is_empty() {
            return Ok(Demand { complete: true, ..Demand::default() });
        }
        let (partitions, mut is_all) = self.a_partition_of_each_master();
        let asked = partitions.into_iter().map(|partition| self.subscribed(partition, namespaces));
        let mut found = Vec::new();
        let (mut failure, mut answered) = (None, false);
        for answer in join_all(asked).await {
            match answer {
                Ok(channels) => {
                    answered = true;
                    found.extend(channels);
                }
                Err(error) => failure = Some(error),
            }
        }
        is_all &= failure.is_none();
        if !answered {
            return Err(failure.unwrap_or_else(no_link));
        }
        Ok(Demand::among(found.into_iter(), namespaces, is_all))
    }

    /// One partition for each master that is connected, and whether all are.
    fn a_partition_of_each_master(&self) -> (Vec<usize>, bool) {
        let mut seen = Vec::new();
        let mut partitions = Vec::new();
        let mut is_all = true;
        for partition in 0..self.keys.partitions() {
            let Some(link) = self.links.get(partition) else {
                is_all = false;
                continue;
            };
            if !seen.iter().any(|known| Arc::ptr_eq(known, &link)) {
                seen.push(link);
                partitions.push(partition);
            }
        }
        (partitions, is_all)
    }

    async fn subscribed(&self, partition: usize, namespaces: &[&str]) -> Result<Vec<ChannelName>, BackplaneError> {
        let which = if self.topology.is_cluster() { "SHARDCHANNELS" } else { "CHANNELS" };
        let mut question = redis::cmd("PUBSUB");
        question.arg(which).arg(pattern(namespaces));
        let mut channels = Vec::new();
        for name in reply::array(self.call(Lane::Own(partition), question).await?)? {
            let name = reply::text(name)?;
            channels.extend(channel_of_live(&name).and_then(|channel| ChannelName::new(channel).ok()));
        }
        Ok(channels)
    }
}

/// What the server can choose by in one pattern: the first letter of a namespace. The rest is sorted out here.
fn pattern(namespaces: &[&str]) -> String {
    // Escaped, since some letters mean something between brackets.
    let letters: String =
        namespaces.iter().filter_map(|namespace| namespace.chars().next()).flat_map(|letter| ['\\', letter]).collect();
    format!("tw:{{*}}:live:[{letters}]*")
}
