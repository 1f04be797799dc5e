//! G6: nobody receives what they have no grant for, nor more than a second after revocation.

use std::collections::BTreeMap;

use super::{Event, Facts, Verdicts};

/// From the confirmed revocation to the last message that may still come.
const GRACE_MS: u64 = 1_000;

/// Who may not read (any more).
#[derive(Debug, Default)]
pub(super) struct Grants {
    revoked_ms: BTreeMap<String, u64>,
}

impl Grants {
    pub(super) fn see(&mut self, facts: &Facts, now_ms: u64, event: &Event, verdicts: &mut Verdicts) {
        match event {
            Event::Revoked { user } => {
                self.revoked_ms.entry(user.clone()).or_insert(now_ms);
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
                if let Some(revoked) = self.revoked_ms.get(*reader)
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
