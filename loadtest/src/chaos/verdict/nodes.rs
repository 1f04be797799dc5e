//! G7 to G10: what nodes owe under pressure, when they leave and when they crash.

use super::Verdict;
use crate::chaos::{fleet::OUTBOX_BYTES, ledger::Ledger};

const MIB: u64 = 1 << 20;
/// How long an edge's drain may take beyond its configured time.
pub(crate) const DRAIN_GRACE_MS: u64 = 10_000;

/// G7: bounded memory.
pub(super) fn stuck(ledger: &Ledger) -> Verdict {
    let claim = "a stuck reader costs a bounded amount of memory and disturbs nobody else";
    let mut verdict = Verdict::new("G7", claim);
    let mut readers = 0;
    for stuck in &ledger.stuck {
        // Too little for anybody to get stuck with proves nothing.
        if stuck.published_bytes > OUTBOX_BYTES {
            readers += stuck.readers;
        }
        let grown = stuck.peak_bytes.saturating_sub(stuck.before_bytes);
        verdict.fact(format!(
            "edge {}: {} stuck readers with {} KiB for each, {} seen to be closed as too slow; memory grew by {} MiB, {} MiB \
             allowed",
            stuck.edge,
            stuck.readers,
            stuck.published_bytes >> 10,
            stuck.closed,
            grown / MIB,
            stuck.allowed_bytes / MIB
        ));
        verdict.breach_if(grown > stuck.allowed_bytes, || {
            format!("edge {} grew by {} MiB for {} stuck readers", stuck.edge, grown / MIB, stuck.readers)
        });
    }
    verdict.fact("that nobody else loses by it is G1 and G2 of the same run; latency is left to the load tests".into());
    verdict.conclude(readers, "no reader got stuck while its edge was watched")
}

/// G8: a drain loses nothing.
pub(super) fn drained(ledger: &Ledger) -> Verdict {
    let mut verdict = Verdict::new("G8", "draining a node loses nothing and says goodbye to every client");
    for drained in &ledger.drained {
        match drained.code {
            Some(0) => {}
            Some(code) => verdict.breach(|| format!("edge {} ended with code {code}", drained.edge)),
            None => verdict.breach(|| format!("edge {} did not end in time", drained.edge)),
        }
        verdict.breach_if(drained.unannounced > 0 && !drained.disturbed, || {
            format!(
                "edge {}: {} of {} connections ended without a word",
                drained.edge, drained.unannounced, drained.connections
            )
        });
        verdict.fact(format!(
            "edge {}: {} connections, ended after {} ms{}",
            drained.edge,
            drained.connections,
            drained.took_ms,
            if drained.disturbed { ", with other faults at the same time" } else { "" }
        ));
    }
    verdict.fact("that nothing was lost by it is G1 and G2 of the same run".into());
    verdict.conclude(ledger.drained.len() as u64, "no edge was drained")
}

/// G9: presence equals connections.
pub(super) fn presence(ledger: &Ledger) -> Verdict {
    let mut verdict = Verdict::new("G9", "presence equals the real connections within 10 s of a crash");
    let mut slowest = 0;
    for check in &ledger.presence {
        match check.equal_after_ms {
            Some(after_ms) => slowest = slowest.max(after_ms),
            None => verdict
                .breach(|| format!("round {}: ghosts {:?}, missing {:?}", check.round, check.ghosts, check.missing)),
        }
    }
    let after_crash = ledger.presence.iter().filter(|check| check.after_crash).count();
    verdict.fact(format!(
        "compared {} times, {after_crash} of them after a storm in which an edge was killed or frozen; equal within {slowest} ms \
         of the storm's end",
        ledger.presence.len()
    ));
    verdict.conclude(ledger.presence.len() as u64, "presence was never compared")
}

/// G10: critical first.
pub(super) fn overtakes(ledger: &Ledger) -> Verdict {
    let claim = "a critical message overtakes waiting messages of other channels on its connection";
    let mut verdict = Verdict::new("G10", claim);
    let mut occasions = 0;
    for overtake in &ledger.overtakes {
        verdict.fact(format!(
            "{} ordinary messages published before the alert, {} came after it",
            overtake.ordinary, overtake.overtaken
        ));
        verdict.breach_if(!overtake.critical_came, || "the alert never came".into());
        verdict.breach_if(overtake.critical_came && overtake.overtaken == 0, || {
            format!("the alert came after all {} messages published before it", overtake.ordinary)
        });
        occasions += 1;
    }
    verdict.conclude(occasions, "no connection had anything waiting")
}
