//! What was published, and what the store may have lost.

use std::collections::BTreeMap;

use tickwire_protocol::Position;

use super::{Event, MessageId, Verdicts};

/// How long a publisher may need to publish again what a store forgot, from its death: it has to come back first.
const VOUCHING_MS: u64 = 10_000;

/// A message.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    pub(crate) channel: String,
    pub(crate) key: Option<String>,
    pub(crate) begun_ms: u64,
    /// Where the emitter said that it stands, and when.
    pub(crate) acked: Option<(u64, Option<Position>)>,
    /// Where it was seen first, and when.
    seen: Option<(u64, Position)>,
}

/// Everything known.
#[derive(Debug, Default)]
pub struct Facts {
    messages: BTreeMap<MessageId, Fact>,
    by_position: BTreeMap<(String, Position), MessageId>,
    /// When the store died, and until when its writes survived.
    losses: Vec<(u64, u64)>,
    /// When a process that publishes died.
    deaths: Vec<u64>,
    restarts: u32,
    are_alerts_replicated: bool,
    epochs: BTreeMap<String, Vec<u64>>,
}

impl Facts {
    pub(crate) fn see(&mut self, now_ms: u64, event: &Event, verdicts: &mut Verdicts) {
        match event {
            Event::Publishing { id, channel, key } => {
                let fact =
                    Fact { channel: channel.clone(), key: key.clone(), begun_ms: now_ms, acked: None, seen: None };
                self.messages.insert(*id, fact);
            }
            Event::Notifying { id, user } => {
                let channel = format!("user:{user}");
                self.messages.insert(*id, Fact { channel, key: None, begun_ms: now_ms, acked: None, seen: None });
            }
            Event::Published { id, position, .. } => self.confirm(*id, now_ms, *position, verdicts),
            Event::Notified { id, position } => self.confirm(*id, now_ms, Some(*position), verdicts),
            Event::Delivered { position: Some(position), id, .. } => self.stand(*id, now_ms, *position, verdicts),
            Event::StoreLost { written_until_ms } => {
                self.losses.push((now_ms, written_until_ms.unwrap_or(0)));
                self.restarts += 1;
            }
            Event::StoreRestarted => self.restarts += 1,
            Event::PublisherDied => self.deaths.push(now_ms),
            Event::Replicated => self.are_alerts_replicated = true,
            _ => {}
        }
    }

    fn confirm(&mut self, id: MessageId, now_ms: u64, position: Option<Position>, verdicts: &mut Verdicts) {
        if let Some(position) = position {
            self.stand(id, now_ms, position, verdicts);
        }
        if let Some(fact) = self.messages.get_mut(&id) {
            fact.acked.get_or_insert((now_ms, position));
        }
    }

    /// A message has one position, and a position one message.
    fn stand(&mut self, id: MessageId, now_ms: u64, position: Position, verdicts: &mut Verdicts) {
        let Some(fact) = self.messages.get_mut(&id) else {
            verdicts.broken("G1", format!("message {id} was never published"));
            return;
        };
        let channel = fact.channel.clone();
        let first = *fact.seen.get_or_insert((now_ms, position));
        let known = first.1;
        if known != position && !self.may_have_forgotten(id) {
            verdicts.broken("G5", format!("{channel}: message {id} stands at {known} and at {position}"));
        }
        let other = *self.by_position.entry((channel.clone(), position)).or_insert(id);
        if other != id {
            verdicts.broken("G1", format!("{channel}: {position} is message {other} and message {id}"));
        }
        let epochs = self.epochs.entry(channel.clone()).or_default();
        if !epochs.contains(&position.epoch) {
            epochs.push(position.epoch);
            if epochs.len() as u64 > u64::from(self.restarts) + 1 {
                verdicts.broken("G1", format!("{channel}: a new epoch, though no server was replaced since the last"));
            }
        }
    }

    pub(super) fn audit(&self, verdicts: &mut Verdicts) {
        for (id, fact) in self.messages.iter().filter(|(_, fact)| fact.acked.is_none()) {
            verdicts
                .broken("G2", format!("{}: message {id} of {} ms is still not confirmed", fact.channel, fact.begun_ms));
        }
    }

    pub(crate) fn message(&self, id: MessageId) -> Option<&Fact> {
        self.messages.get(&id)
    }

    pub(crate) fn messages(&self) -> impl Iterator<Item = (MessageId, &Fact)> {
        self.messages.iter().map(|(id, fact)| (*id, fact))
    }

    /// Whether the store may have lost a message and its key, so that the same key was published again: not one that was
    /// confirmed early enough to survive.
    pub(crate) fn may_have_forgotten(&self, id: MessageId) -> bool {
        self.messages.get(&id).is_some_and(|fact| {
            let acked_ms = fact.acked.map_or(u64::MAX, |(acked_ms, _)| acked_ms);
            self.may_have_lost(fact.begun_ms, acked_ms)
        })
    }

    /// Whether a write made between these two times may be gone.
    pub(crate) fn may_have_lost(&self, from_ms: u64, to_ms: u64) -> bool {
        self.losses.iter().any(|(died, survived)| from_ms <= *died && to_ms >= *survived)
    }

    /// Whether an alert may be gone for good although its publisher vouches for it: that died too, before or soon after the
    /// store did, and no replica had confirmed it.
    pub(crate) fn may_be_gone(&self, fact: &Fact) -> bool {
        let acked_ms = fact.acked.map_or(fact.begun_ms, |(acked_ms, _)| acked_ms);
        let lost = self.losses.iter().filter(|(died, survived)| {
            fact.begun_ms <= *died && acked_ms >= *survived && (*survived == 0 || !self.are_alerts_replicated)
        });
        lost.into_iter()
            .any(|(store, _)| self.deaths.iter().any(|at| (fact.begun_ms..store + VOUCHING_MS).contains(at)))
    }

    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    pub(super) fn summary(&self) -> String {
        let acked = self.messages.values().filter(|fact| fact.acked.is_some()).count();
        format!("{} messages, {acked} confirmed, {} restarts of the store", self.messages.len(), self.restarts)
    }
}
