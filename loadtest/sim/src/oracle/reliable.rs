//! G1, G2: every message once and in order, or an explicit word that history is gone.

use std::collections::{BTreeMap, BTreeSet};

use tickwire_protocol::Position;

use super::{Event, Facts, MessageId, Reader, Verdicts};

#[derive(Debug)]
struct Subscription {
    /// Where it stands.
    at: Position,
    /// It was told that what lies behind `at` is gone; the next message may come from anywhere up to there.
    jump: Option<Position>,
    delivered: BTreeSet<MessageId>,
    /// Ranges that it is not owed, both ends included.
    excused: Vec<(Position, Position)>,
    /// Epochs that it went through by being told.
    resets: u32,
}

/// The `reliable` subscriptions.
#[derive(Debug, Default)]
pub(super) struct Reliable {
    subscriptions: BTreeMap<(Reader, String), Subscription>,
}

const START: Position = Position::new(0, 0);

impl Reliable {
    pub(super) fn see(&mut self, facts: &Facts, event: &Event, verdicts: &mut Verdicts) {
        match event {
            Event::Subscribed { reader, channel, position: Some(position) } if is_reliable(channel) => {
                let subscription = Subscription {
                    at: *position,
                    jump: None,
                    delivered: BTreeSet::new(),
                    excused: vec![(START, *position)],
                    resets: 0,
                };
                self.subscriptions.insert((reader, channel.clone()), subscription);
            }
            Event::Recovered { reader, channel, complete: false, position: Some(position) } => {
                self.told_of_a_gap(reader, channel, *position, facts, verdicts, true);
            }
            Event::Reset { reader, channel, position } => {
                self.told_of_a_gap(reader, channel, *position, facts, verdicts, false);
            }
            Event::Delivered { reader, channel, position: Some(position), id, .. } => {
                if let Some(subscription) = self.subscriptions.get_mut(&(*reader, channel.clone())) {
                    subscription.take(*position, *id, facts).unwrap_or_else(|what| {
                        verdicts.broken("G1", format!("{reader} on {channel}: message {id} at {position}: {what}"));
                    });
                }
            }
            Event::Ended { reader, channel, .. } => {
                self.subscriptions.remove(&(*reader, channel.clone()));
            }
            Event::Forgot { reader } => self.subscriptions.retain(|(other, _), _| other != reader),
            _ => {}
        }
    }

    fn told_of_a_gap(
        &mut self,
        reader: Reader,
        channel: &str,
        to: Position,
        facts: &Facts,
        verdicts: &mut Verdicts,
        may_bring_history: bool,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&(reader, channel.to_owned())) else { return };
        if to.epoch != subscription.at.epoch {
            subscription.resets += 1;
        }
        if to.epoch == subscription.at.epoch && to >= subscription.at {
            let at = subscription.at;
            verdicts
                .broken("G1", format!("{reader} on {channel}: told that history after {at} is gone, which it is not"));
        } else if subscription.resets > facts.restarts() {
            verdicts.broken("G1", format!("{reader} on {channel}: more resets than servers were replaced"));
        }
        if may_bring_history {
            subscription.jump = Some(to);
        } else {
            subscription.excused.push((subscription.at.next(), to));
            subscription.at = to;
            subscription.jump = None;
        }
    }

    /// Whoever still subscribes has everything that was confirmed and is not excused.
    pub(super) fn audit(&self, facts: &Facts, standing: &[(Reader, &str)], verdicts: &mut Verdicts) {
        for (reader, channel) in standing.iter().filter(|(_, channel)| is_reliable(channel)) {
            if !self.subscriptions.contains_key(&(*reader, (*channel).to_owned())) {
                verdicts.broken("G2", format!("{reader} has no subscription to {channel}, though all is healed"));
            }
        }
        for ((reader, channel), subscription) in &self.subscriptions {
            for (id, fact) in facts.messages().filter(|(_, fact)| fact.channel == *channel) {
                let Some((acked_ms, Some(position))) = fact.acked else { continue };
                let is_lost = facts.may_have_lost(fact.begun_ms, acked_ms);
                if !subscription.delivered.contains(&id) && !subscription.is_excused(position) && !is_lost {
                    verdicts.broken(
                        "G2",
                        format!("{reader} on {channel}: message {id} at {position} was confirmed and never came"),
                    );
                }
            }
        }
    }
}

fn is_reliable(channel: &str) -> bool {
    ["session:", "orders", "room:"].iter().any(|prefix| channel.starts_with(prefix))
}

impl Subscription {
    fn take(&mut self, position: Position, id: MessageId, facts: &Facts) -> Result<(), String> {
        let expected = self.at.next();
        match self.jump.take() {
            Some(to) if position.epoch == to.epoch && position <= to.next() => {
                self.excused.push((expected, position));
            }
            Some(to) => return Err(format!("after the gap, live messages follow {to}")),
            None if position == expected => {}
            None if position <= self.at => return Err(format!("it stood at {} already", self.at)),
            None => return Err(format!("expected {expected}")),
        }
        self.at = position;
        // A publisher that had no answer yet repeats what the store forgot: in the new log it is another message.
        match self.delivered.insert(id) || facts.may_have_forgotten(id) {
            true => Ok(()),
            false => Err("it came before".into()),
        }
    }

    fn is_excused(&self, position: Position) -> bool {
        let told = self.excused.iter().any(|(from, to)| *from <= position && position <= *to);
        told || self.jump.is_some_and(|to| position <= to)
    }
}
