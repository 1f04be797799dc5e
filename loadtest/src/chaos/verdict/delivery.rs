//! G1, G2, G3 and G5: what reached whom.

use std::collections::{BTreeMap, HashMap};

use super::Verdict;
use crate::chaos::{ledger::Ledger, reading::Reading};

/// G1: once, in order, or told.
pub(super) fn reliable(ledger: &Ledger, readings: &[Reading]) -> Verdict {
    let claim = "reliable: every message once and in order, or told that history is gone";
    let mut verdict = Verdict::new("G1", claim);
    let (mut messages, mut told) = (0, 0);
    for (log, reading) in ledger.readers.iter().zip(readings) {
        messages += reading.messages;
        told += reading.told.len();
        let channel = &ledger.channels[log.channel].name;
        let counts = [
            (reading.skipped, "messages skipped"),
            (reading.doubled, "messages twice"),
            (reading.backwards, "steps back"),
            (reading.silent_epochs, "new epochs without a word"),
            (reading.trimmed, "times told that history is gone in the same epoch"),
        ];
        for (count, what) in counts {
            verdict.breach_if(count > 0, || format!("{} in {channel}: {count} {what}", log.name));
        }
        verdict.breach_if(log.overflowed, || format!("{} in {channel}: more than the ledger holds", log.name));
        let is_deaf = log.stays && reading.start.is_none();
        verdict.breach_if(is_deaf, || format!("{} in {channel}: never subscribed", log.name));
    }
    // Without a server fault there is no reason for a new epoch; with some, at most one each and a few for elections.
    let epochs = ledger.channels.iter().map(|channel| {
        let epochs: std::collections::BTreeSet<u64> = channel.contents.keys().map(|position| position.epoch).collect();
        (epochs.len() as u64, channel)
    });
    for (count, channel) in epochs {
        verdict.breach_if(count > 1 + 2 * ledger.redis_faults, || {
            format!("{}: {count} epochs with {} faults of Redis", channel.name, ledger.redis_faults)
        });
    }
    let readers = readings.len();
    verdict
        .fact(format!("{messages} messages seen by {readers} subscriptions, which were told {told} times of a loss"));
    verdict.conclude(messages, "no message was seen")
}

/// G2: what was acknowledged arrives.
pub(super) fn acknowledged(ledger: &Ledger, readings: &[Reading]) -> Verdict {
    let claim = "an acknowledged publish reaches every subscribed client";
    let mut verdict = Verdict::new("G2", claim);
    let (mut owed, mut excused) = (0_u64, 0_u64);
    for (log, reading) in ledger.readers.iter().zip(readings).filter(|(log, _)| log.stays) {
        let channel = &ledger.channels[log.channel];
        let missing = channel.acks.iter().filter(|ack| reading.is_owed(ack.position)).count();
        owed += channel.acks.len() as u64;
        excused += channel.acks.iter().filter(|ack| reading.was_told(ack.position)).count() as u64;
        verdict.breach_if(missing > 0, || format!("{} misses {missing} messages of {}", log.name, channel.name));
        let deaf = reading.deaf(&channel.acks);
        verdict.breach_if(deaf > 0, || {
            format!("{} was subscribed to {} and did not get {deaf} messages for long", log.name, channel.name)
        });
    }
    for channel in &ledger.channels {
        for ack in &channel.acks {
            let other = channel.contents.get(&ack.position).filter(|&&number| number != ack.number);
            verdict.breach_if(other.is_some(), || {
                format!(
                    "{}: {} was acknowledged for {} and held another message",
                    channel.name, ack.position, ack.number
                )
            });
        }
        for position in &channel.conflicts {
            verdict.breach(|| format!("{}: two messages were delivered as {position}", channel.name));
        }
    }
    let acks: usize = ledger.channels.iter().map(|channel| channel.acks.len()).sum();
    verdict.fact(format!(
        "{acks} acknowledged publishes, {owed} deliveries owed; in {excused} cases the client was told that Redis lost it"
    ));
    verdict.conclude(acks as u64, "no publish was acknowledged")
}

/// G3: never older after newer, and the last one comes.
pub(super) fn latest(ledger: &Ledger) -> Verdict {
    let claim = "latest: never an older value after a newer one, over reconnects too, and the last value arrives";
    let mut verdict = Verdict::new("G3", claim);
    let mut count = 0;
    for log in &ledger.latest {
        count += log.count;
        verdict.breach_if(log.older > 0, || format!("{}: {} older values", log.name, log.older));
        for (key, &last) in ledger.latest_acked.iter().filter(|_| log.stays) {
            // Unacknowledged ones may have been published too.
            if let Some(&value) = log.values.get(key) {
                verdict.breach_if(value < last, || format!("{}: {key} ended at {value}, not {last}", log.name));
            }
        }
        let is_blind = log.stays && log.values.is_empty() && !ledger.latest_acked.is_empty();
        verdict.breach_if(is_blind, || format!("{}: has no value at the end", log.name));
    }
    verdict.fact(format!("{count} values seen by {} subscriptions", ledger.latest.len()));
    verdict.conclude(count, "no value was seen")
}

/// G5: one key, one message.
pub(super) fn idempotent(ledger: &Ledger) -> Verdict {
    let mut verdict = Verdict::new("G5", "one idempotency key gives one message");
    let (mut repeated, mut over_epochs) = (0, 0);
    for channel in &ledger.channels {
        let mut positions: HashMap<u64, BTreeMap<u64, u64>> = HashMap::new();
        let acked = channel.acks.iter().map(|ack| (ack.position, ack.number));
        for (position, number) in channel.contents.iter().map(|(&position, &number)| (position, number)).chain(acked) {
            let by_epoch = positions.entry(number).or_default();
            let first = *by_epoch.entry(position.epoch).or_insert(position.offset);
            verdict.breach_if(first != position.offset, || {
                format!("{}: message {number} stands at {first} and at {}", channel.name, position.offset)
            });
        }
        over_epochs += positions.values().filter(|by_epoch| by_epoch.len() > 1).count();
        repeated += channel.acks.iter().filter(|ack| ack.is_duplicate).count() as u64;
        let mut firsts: HashMap<(u64, u64), u64> = HashMap::new();
        for ack in channel.acks.iter().filter(|ack| !ack.is_duplicate) {
            *firsts.entry((ack.number, ack.position.epoch)).or_default() += 1;
        }
        for ((number, _), count) in firsts.into_iter().filter(|&(_, count)| count > 1) {
            verdict.breach(|| format!("{}: {count} publishes of message {number} were called the first", channel.name));
        }
    }
    verdict.fact(format!(
        "{repeated} publishes were repetitions; {over_epochs} messages were published again after Redis lost them"
    ));
    verdict.conclude(repeated, "no publish was repeated")
}
