//! Demand: which channels somebody listens to.

use std::collections::BTreeSet;

use tickwire_protocol::ChannelName;

/// Channels that one answer names; of more, the first by name.
pub const DEMAND_MAX: usize = 10_000;

/// Channels with a subscriber somewhere in the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// Those.
    pub channels: BTreeSet<ChannelName>,
    /// All of them are there. If not (over [`DEMAND_MAX`], or a part of the store did not answer), a channel that is missing
    /// may be wanted all the same: do not stop to serve it because of this answer.
    pub complete: bool,
}

impl Demand {
    /// Those of `found` that belong to one of `namespaces`.
    pub(crate) fn among(found: impl Iterator<Item = ChannelName>, namespaces: &[&str], is_all: bool) -> Self {
        let mut channels: BTreeSet<_> = found.filter(|channel| namespaces.contains(&channel.namespace())).collect();
        let mut complete = is_all;
        while channels.len() > DEMAND_MAX {
            complete = false;
            channels.pop_last();
        }
        Self { channels, complete }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_bound_is_left_out_and_it_says_so() {
        let names = |count: usize| (0..count).map(|n| ChannelName::new(&format!("book:{n:06}")).unwrap());
        let full = Demand::among(names(DEMAND_MAX), &["book"], true);
        assert!(full.complete && full.channels.len() == DEMAND_MAX);
        let over = Demand::among(names(DEMAND_MAX + 2), &["book"], true);
        assert!(!over.complete);
        assert_eq!(over.channels, full.channels);
        assert!(!Demand::among(names(1), &["book"], false).complete);
    }
}
