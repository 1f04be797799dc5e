//! G4: a critical alert is kept until it is acknowledged, and comes again to every program that comes new; one that goes on
//! gets it once.

use std::collections::{BTreeMap, BTreeSet};

use tickwire_protocol::Position;

use super::{Event, Facts, MessageId, Reader, Verdicts};

/// What each user is owed.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// By user and message: when its position was acknowledged, and whether that was confirmed.
    acknowledged: BTreeMap<(String, MessageId), Acknowledgement>,
    by_position: BTreeMap<(String, Position), MessageId>,
    notified: BTreeMap<MessageId, String>,
    delivered: BTreeSet<(Reader, Position)>,
}

#[derive(Debug, Clone, Copy)]
struct Acknowledgement {
    begun_ms: u64,
    confirmed_ms: Option<u64>,
}

impl Inbox {
    pub(super) fn see(&mut self, facts: &Facts, now_ms: u64, event: &Event, verdicts: &mut Verdicts) {
        match event {
            Event::Notified { id, position } => {
                if let Some(user) = facts.message(*id).and_then(|fact| fact.channel.strip_prefix("user:")) {
                    self.notified.insert(*id, user.to_owned());
                    self.by_position.insert((user.to_owned(), *position), *id);
                }
            }
            Event::Delivered { reader, channel, position: Some(position), id, .. } => {
                if let Some(user) = channel.strip_prefix("user:") {
                    self.by_position.insert((user.to_owned(), *position), *id);
                    if !self.delivered.insert((reader, *position)) && !self.may_be_owed_again(facts, user, *id) {
                        verdicts.broken("G4", format!("{reader}: alert {id} at {position} came twice"));
                    }
                }
            }
            Event::Ended { reader, .. } | Event::Forgot { reader } => {
                self.delivered.retain(|(other, _)| other != reader);
            }
            Event::Acknowledging { user, position } => {
                if let Some(id) = self.by_position.get(&(user.clone(), *position)) {
                    let begun = Acknowledgement { begun_ms: now_ms, confirmed_ms: None };
                    self.acknowledged.entry((user.clone(), *id)).or_insert(begun);
                }
            }
            Event::Acknowledged { user, position } => {
                if let Some(id) = self.by_position.get(&(user.clone(), *position))
                    && let Some(acknowledgement) = self.acknowledged.get_mut(&(user.clone(), *id))
                {
                    acknowledgement.confirmed_ms = Some(now_ms);
                }
            }
            Event::Owed { user, ids } => self.judge(facts, user, ids, verdicts),
            _ => {}
        }
    }

    /// Its acknowledgement may be lost.
    fn may_be_owed_again(&self, facts: &Facts, user: &str, id: MessageId) -> bool {
        self.acknowledged.get(&(user.to_owned(), id)).is_some_and(|&Acknowledgement { begun_ms, confirmed_ms }| {
            facts.may_have_lost(begun_ms, confirmed_ms.unwrap_or(u64::MAX))
        })
    }

    fn judge(&self, facts: &Facts, user: &str, owed: &BTreeSet<MessageId>, verdicts: &mut Verdicts) {
        for (id, _) in self.notified.iter().filter(|(_, other)| *other == user) {
            let Some(fact) = facts.message(*id) else { continue };
            let acked_ms = fact.acked.map_or(fact.begun_ms, |(acked_ms, _)| acked_ms);
            let is_lost = facts.may_have_lost(fact.begun_ms, acked_ms);
            let acknowledgement = self.acknowledged.get(&(user.to_owned(), *id));
            if acknowledgement.is_none() && !owed.contains(id) && !facts.may_be_gone(fact) {
                verdicts.broken("G4", format!("user {user}: alert {id} was not acknowledged and does not come again"));
            }
            if let Some(Acknowledgement { begun_ms, confirmed_ms: Some(confirmed_ms) }) = acknowledgement
                && owed.contains(id)
                && !facts.may_have_lost(*begun_ms, *confirmed_ms)
                // Published again, it has another position than the acknowledged one.
                && !is_lost
            {
                verdicts.broken("G4", format!("user {user}: alert {id} was acknowledged and comes again"));
            }
        }
    }
}
