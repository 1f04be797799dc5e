//! G6: what a user must not get.

use super::Verdict;
use crate::chaos::ledger::Ledger;

/// G6: nothing without a grant, and nothing for long after a revocation.
pub(super) fn access(ledger: &Ledger) -> Verdict {
    let claim = "nobody gets a message without a grant, nor one published 1 s after revocation";
    let mut verdict = Verdict::new("G6", claim);
    for revoked in &ledger.revoked {
        verdict.breach_if(revoked.late > 0, || {
            format!("{} got {} messages from after the revocation", revoked.user, revoked.late)
        });
        verdict.breach_if(revoked.came_back, || format!("{}'s revoked token opened a connection", revoked.user));
    }
    let intrusion = ledger.intrusion;
    verdict
        .breach_if(intrusion.admitted > 0, || format!("{} forbidden subscriptions were admitted", intrusion.admitted));
    verdict.fact(format!(
        "{} revocations of users with live connections, {} forbidden subscriptions refused",
        ledger.revoked.len(),
        intrusion.refused
    ));
    verdict.conclude(ledger.revoked.len() as u64 + intrusion.refused, "nobody was revoked or refused")
}
