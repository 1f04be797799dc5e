//! G3: never an older value after a newer one, and the last value of every key arrives.

use std::collections::{BTreeMap, BTreeSet};

use super::{Event, Facts, MessageId, Reader, Verdicts};

/// The values seen, by reader, channel and key. Values are published one after the other, so greater is newer.
#[derive(Debug, Default)]
pub(super) struct Latest {
    seen: BTreeMap<(Reader, String, String), Seen>,
    readers: Vec<(Reader, String)>,
}

#[derive(Debug, Default)]
struct Seen {
    last: Option<MessageId>,
    all: BTreeSet<MessageId>,
}

impl Latest {
    pub(super) fn see(&mut self, facts: &Facts, event: &Event, verdicts: &mut Verdicts) {
        match event {
            Event::Subscribed { reader, channel, .. } if is_latest(channel) => {
                self.readers.push((reader, channel.clone()));
            }
            Event::Delivered { reader, channel, key: Some(key), id, .. } if is_latest(channel) => {
                let seen = self.seen.entry((reader, channel.clone(), key.clone())).or_default();
                // A value may have left the store just before that died, and be told by it no more. What survived it may not
                // be taken back.
                let newer = seen.all.range(id + 1..).rfind(|newer| !facts.may_have_forgotten(**newer));
                if let Some(newer) = newer {
                    verdicts.broken("G3", format!("{reader} on {channel}: {key} = {id} after {newer}"));
                }
                seen.last = Some(*id);
                seen.all.insert(*id);
            }
            Event::Ended { reader, channel, .. } => {
                self.seen.retain(|(one, other, _), _| (one, other) != (reader, channel));
                self.readers.retain(|(one, other)| (one, other) != (reader, channel));
            }
            Event::Forgot { reader } => {
                self.seen.retain(|(other, ..), _| other != reader);
                self.readers.retain(|(other, _)| other != reader);
            }
            _ => {}
        }
    }

    pub(super) fn audit(&self, facts: &Facts, verdicts: &mut Verdicts) {
        let mut last: BTreeMap<(&str, &str), MessageId> = BTreeMap::new();
        for (id, fact) in facts.messages().filter(|(_, fact)| fact.acked.is_some()) {
            if let Some(key) = &fact.key {
                last.insert((&fact.channel, key), id);
            }
        }
        for (reader, channel) in &self.readers {
            for ((_, key), id) in last.iter().filter(|((other, _), _)| other == channel) {
                let has = self.seen.get(&(*reader, channel.clone(), (*key).to_owned())).and_then(|seen| seen.last);
                if has != Some(*id) {
                    verdicts.broken(
                        "G3",
                        format!("{reader} on {channel}: the last value of {key} is {id}, it has {has:?}"),
                    );
                }
            }
        }
    }
}

fn is_latest(channel: &str) -> bool {
    channel.starts_with("prices:")
}
