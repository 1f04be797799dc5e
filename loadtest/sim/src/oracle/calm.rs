//! G7, G8: while nothing is broken, nobody waits: neither beside a stuck reader nor when a node drains. And a drain moves its
//! clients one after the other, each before its old connection ends.

use std::collections::BTreeSet;

use super::{Event, Facts, MessageId, Reader, Verdicts};

/// From the publish to a reader, while nothing is broken.
const LATE_MS: u64 = 1_000;
/// Between the first and the last client that a drain moves, at least. It asks them over half its time, two seconds in all;
/// eight of them at random are closer together than this once in a thousand times.
const SPREAD_MS: u64 = 200;

/// What is going on.
#[derive(Debug, Default)]
pub(super) struct Calm {
    /// The promise that a late message breaks, and since when.
    blamed: Option<(&'static str, u64)>,
    moved: Vec<(Reader, u64)>,
    /// What came to whom: what comes again is not late.
    delivered: BTreeSet<(Reader, MessageId)>,
}

impl Calm {
    pub(super) fn see(&mut self, facts: &Facts, now_ms: u64, event: &Event, verdicts: &mut Verdicts) {
        match event {
            Event::Calm { promise } => self.blamed = promise.map(|promise| (promise, now_ms)),
            Event::Moved { reader } => self.moved.push((reader, now_ms)),
            Event::Broke { reader } if self.is_draining() => {
                verdicts.broken("G8", format!("{reader}: the old connection ended before the new one was there"));
            }
            Event::Drained { clients } => self.judge(*clients, verdicts),
            Event::Delivered { reader, channel, id, .. } => {
                if !self.delivered.insert((reader, *id)) {
                    return;
                }
                let (Some((promise, since_ms)), Some(fact)) = (self.blamed, facts.message(*id)) else { return };
                let waited_ms = now_ms - fact.begun_ms;
                if fact.begun_ms >= since_ms && waited_ms > LATE_MS {
                    verdicts.broken(promise, format!("{reader} on {channel}: message {id} took {waited_ms} ms"));
                }
            }
            Event::Stuck { bytes, max, is_closed } => {
                if bytes > max {
                    verdicts.broken("G7", format!("{bytes} bytes were held for a stuck reader, {max} may be"));
                }
                if !is_closed {
                    verdicts
                        .broken("G7", "a stuck reader of a reliable channel was not told that it is too slow".into());
                }
            }
            _ => {}
        }
    }

    fn is_draining(&self) -> bool {
        self.blamed.is_some_and(|(promise, _)| promise == "G8")
    }

    fn judge(&self, clients: usize, verdicts: &mut Verdicts) {
        let times = || self.moved.iter().map(|(_, at_ms)| *at_ms);
        let spread_ms = times().max().unwrap_or(0) - times().min().unwrap_or(0);
        if self.moved.len() < clients {
            verdicts.broken("G8", format!("{} of {clients} clients left the node that drained", self.moved.len()));
        } else if spread_ms < SPREAD_MS {
            verdicts.broken("G8", format!("all {clients} clients moved within {spread_ms} ms"));
        }
    }
}
