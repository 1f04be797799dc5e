//! G3: never an older value after a newer one, and the last value of every key arrives.

use std::collections::BTreeMap;

use super::{Event, Facts, MessageId, Reader, Verdicts};

/// The newest value seen, by reader, channel and key. Values are published one after the other, so greater is newer.
#[derive(Debug, Default)]
pub(super) struct Latest {
    newest: BTreeMap<(Reader, String, String), MessageId>,
    readers: Vec<(Reader, String)>,
}

impl Latest {
    pub(super) fn see(&mut self, event: &Event, verdicts: &mut Verdicts) {
        match event {
            Event::Subscribed { reader, channel, .. } if is_latest(channel) => {
                self.readers.push((reader, channel.clone()));
            }
            Event::Delivered { reader, channel, key: Some(key), id, .. } if is_latest(channel) => {
                let newest = self.newest.entry((reader, channel.clone(), key.clone())).or_insert(*id);
                if id < newest {
                    verdicts.broken("G3", format!("{reader} on {channel}: {key} = {id} after {newest}"));
                }
                *newest = *id;
            }
            // What it came back with may be older.
            Event::StoreLost { .. } => self.newest.clear(),
            Event::Ended { reader, channel, .. } => {
                self.newest.retain(|(one, other, _), _| (one, other) != (reader, channel));
                self.readers.retain(|(one, other)| (one, other) != (reader, channel));
            }
            Event::Forgot { reader } => {
                self.newest.retain(|(other, ..), _| other != reader);
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
                let has = self.newest.get(&(*reader, channel.clone(), (*key).to_owned()));
                if has != Some(id) {
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
