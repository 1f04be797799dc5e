//! G6: nobody receives what they have no grant for, nor more than a second after revocation.
//!
//! One known limit is excused: a node that was cut off from the store, and has just been connected again, repairs its
//! channels before it has read which tokens were revoked meanwhile.

use std::collections::BTreeMap;

use super::{Event, Facts, Verdicts};

/// From the confirmed revocation to the last message that may still come.
const GRACE_MS: u64 = 1_000;
/// How long after a cut a node may not have heard of a revocation: until the loss is noticed, it has dialled again, and it
/// has read the orders, once a second.
const NOTICE_MS: u64 = 8_000;

/// Who may not read (any more).
#[derive(Debug, Default)]
pub(super) struct Grants {
    revoked_ms: BTreeMap<String, u64>,
    /// Cuts between nodes and the store that last, and when the last one ended.
    cuts: u32,
    mended_ms: Option<u64>,
}

impl Grants {
    pub(super) fn see(&mut self, facts: &Facts, now_ms: u64, event: &Event, verdicts: &mut Verdicts) {
        match event {
            Event::Revoked { user } => {
                self.revoked_ms.entry(user.clone()).or_insert(now_ms);
            }
            Event::Deaf { is_deaf: true } => self.cuts += 1,
            Event::Deaf { is_deaf: false } => {
                self.cuts = self.cuts.saturating_sub(1);
                self.mended_ms = Some(now_ms);
            }
            // An order that the store forgot is not known to a node that comes later.
            Event::StoreLost { written_until_ms } => {
                self.revoked_ms.retain(|_, revoked| written_until_ms.is_some_and(|until| *revoked < until));
            }
            Event::Delivered { reader, channel, id, .. } => {
                if *reader == "stranger" {
                    verdicts.broken("G6", format!("{reader} has no grant for {channel} and got message {id}"));
                }
                let begun_ms = facts.message(*id).map_or(0, |fact| fact.begun_ms);
                let may_not_know = self.cuts > 0 || self.mended_ms.is_some_and(|at| now_ms < at + NOTICE_MS);
                if let Some(revoked) = self.revoked_ms.get(*reader)
                    && !may_not_know
                    && begun_ms > revoked + GRACE_MS
                {
                    verdicts.broken(
                        "G6",
                        format!("{reader} was revoked at {revoked} ms and got message {id} of {begun_ms} ms"),
                    );
                }
            }
            _ => {}
        }
    }
}
