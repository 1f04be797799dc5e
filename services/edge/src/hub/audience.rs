//! Who gets a channel's messages, grouped by what they want of it.
//!
//! Subscribers with equal filters are one [`Group`], so a filter is evaluated once per message however many have it. In a
//! group, those who want every message are plain: they can share what is written. The others choose for themselves. A book's
//! subscribers with the same depth are a group, too, which gets its own messages.

use std::sync::Arc;

use slab::Slab;
use tickwire_protocol::{Publication, book::Depth, filter::Filter};

use super::{delta::Sent, gather::RunId, rate::Rate};
use crate::connection::{ConnectionId, state::Options};

/// Groups looked at for an equal filter; a channel with more distinct ones may hold a filter twice.
const GROUPS_COMPARED_MAX: usize = 1_024;

/// Where a subscriber stands, so that it is found again without looking for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    index: u32,
    /// 0: neither filter nor depth; otherwise one more than the index of the group.
    group: u16,
    chooses: bool,
}

/// What a subscriber wants beyond its group's filter.
#[derive(Debug)]
pub(crate) struct Choice {
    keys: Option<Vec<String>>,
    /// Of this subscription.
    pub(crate) rate: Option<Rate>,
    /// The connection's own rate counts too.
    pub(crate) is_paced: bool,
    /// Messages go with their times.
    pub(crate) is_traced: bool,
    /// Values that wait for it, oldest first, one per key.
    pub(crate) held: Vec<Arc<Publication>>,
    /// With deltas: what the client has, or will have once what waits for it is written.
    pub(crate) sent: Option<Sent>,
}

/// A subscriber with a choice of its own.
#[derive(Debug)]
pub(crate) struct Chooser {
    pub(crate) connection: ConnectionId,
    pub(crate) choice: Box<Choice>,
}

/// Subscribers with the same filter or depth, or with none.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) filter: Option<Box<Filter>>,
    /// They get a view instead of the channel's messages.
    pub(crate) depth: Option<Depth>,
    pub(crate) plain: Slab<ConnectionId>,
    pub(crate) choosers: Slab<Chooser>,
    /// What was gathered last for its plain subscribers.
    pub(crate) run: RunId,
}

/// A channel's subscribers.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    unfiltered: Group,
    filtered: Slab<Group>,
    len: usize,
}

impl Choice {
    /// Whether the subscriber wants `publication`, which its filter lets pass.
    pub(crate) fn wants(&self, publication: &Publication) -> bool {
        wants_key(self.keys.as_deref(), publication)
    }

    /// Keeps a value until it may go, in place of an older one of its key.
    pub(crate) fn hold(&mut self, publication: &Arc<Publication>) -> bool {
        if let Some(held) = self.held.iter_mut().find(|held| held.key == publication.key) {
            *held = publication.clone();
            return true;
        }
        self.held.push(publication.clone());
        false
    }
}

fn wants_key(keys: Option<&[String]>, publication: &Publication) -> bool {
    let key = publication.key.as_deref().unwrap_or_default();
    keys.is_none_or(|keys| keys.iter().any(|wanted| wanted == key))
}

impl Options {
    /// Whether a subscriber with these wants `publication` at all.
    pub(crate) fn want(&self, publication: &Publication) -> bool {
        wants_key(self.keys.as_deref(), publication)
            && self.filter.as_ref().is_none_or(|filter| filter.matches(&publication.tags))
    }
}

impl Audience {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Nobody is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes in a subscriber. Returns also its group's run, which is not the newcomer's. `None` if there is no room for its filter.
    pub(crate) fn admit(&mut self, connection: ConnectionId, options: Option<Options>) -> Option<(Place, RunId)> {
        let Options { filter, keys, max_rate, trace, is_paced, delta, depth } = options.unwrap_or_default();
        let group = match (filter, depth) {
            (None, None) => 0,
            (filter, depth) => self.group_for(filter, depth)?,
        };
        let members = self.group_mut(group)?;
        let chooses = delta || trace || is_paced || keys.is_some() || max_rate.is_some();
        let index = if chooses {
            let (rate, sent) = (max_rate.map(Rate::per_second), delta.then(Sent::default));
            let choice = Box::new(Choice { keys, rate, is_paced, is_traced: trace, held: Vec::new(), sent });
            members.choosers.insert(Chooser { connection, choice })
        } else {
            members.plain.insert(connection)
        };
        let run = members.run;
        self.len += 1;
        Some((Place { index: u32::try_from(index).ok()?, group, chooses }, run))
    }

    fn group_for(&mut self, filter: Option<Filter>, depth: Option<Depth>) -> Option<u16> {
        let equal = |(_, group): &(usize, &Group)| group.depth == depth && group.filter.as_deref() == filter.as_ref();
        let index = match self.filtered.iter().take(GROUPS_COMPARED_MAX).find(equal) {
            Some((index, _)) => index,
            None if self.filtered.len() >= usize::from(u16::MAX) => return None,
            None => self.filtered.insert(Group { filter: filter.map(Box::new), depth, ..Group::default() }),
        };
        u16::try_from(index + 1).ok()
    }

    fn group_mut(&mut self, group: u16) -> Option<&mut Group> {
        match usize::from(group).checked_sub(1) {
            None => Some(&mut self.unfiltered),
            Some(index) => self.filtered.get_mut(index),
        }
    }

    /// Lets a subscriber go. Returns its group's run, unless it was not there.
    pub(crate) fn remove(&mut self, place: Place) -> Option<RunId> {
        let group = self.group_mut(place.group)?;
        let run = group.run;
        let index = place.index as usize;
        let was_there = if place.chooses {
            group.choosers.try_remove(index).is_some()
        } else {
            group.plain.try_remove(index).is_some()
        };
        if !was_there {
            return None;
        }
        let is_empty = group.plain.is_empty() && group.choosers.is_empty();
        if is_empty {
            group.plain.shrink_to_fit();
            group.choosers.shrink_to_fit();
        }
        if let (true, Some(index)) = (is_empty, usize::from(place.group).checked_sub(1)) {
            self.filtered.remove(index);
            self.filtered.shrink_to_fit();
        }
        self.len -= 1;
        Some(run)
    }

    /// Every group that has subscribers, or may have.
    pub(crate) fn groups_mut(&mut self) -> impl Iterator<Item = (u16, &mut Group)> {
        let number = |index: usize| u16::try_from(index + 1).unwrap_or(u16::MAX);
        let filtered = self.filtered.iter_mut().map(move |(index, group)| (number(index), group));
        std::iter::once((0, &mut self.unfiltered)).chain(filtered)
    }

    /// Somebody has a view of that depth.
    pub(crate) fn has_depth(&self, depth: Depth) -> bool {
        self.filtered.iter().any(|(_, group)| group.depth == Some(depth))
    }

    /// Every subscriber.
    pub(crate) fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        let groups = std::iter::once(&self.unfiltered).chain(self.filtered.iter().map(|(_, group)| group));
        groups.flat_map(|group| {
            let plain = group.plain.iter().map(|(_, connection)| *connection);
            plain.chain(group.choosers.iter().map(|(_, chooser)| chooser.connection))
        })
    }

    /// What the subscriber at `place` was sent, if it has deltas.
    pub(crate) fn sent_to(&mut self, place: Place) -> Option<&mut Sent> {
        let group = self.group_mut(place.group)?;
        let chooser = group.choosers.get_mut(place.index as usize).filter(|_| place.chooses)?;
        chooser.choice.sent.as_mut()
    }

    /// The subscriber at `place`, if it is `connection` and chooses.
    pub(crate) fn chooser(&mut self, place: Place, connection: ConnectionId) -> Option<&mut Chooser> {
        let group = self.group_mut(place.group)?;
        let chooser = group.choosers.get_mut(place.index as usize).filter(|_| place.chooses)?;
        (chooser.connection == connection).then_some(chooser)
    }
}

impl Place {
    /// That of a chooser in a group of [`Audience::groups_mut`].
    pub(crate) fn of_chooser(group: u16, index: usize) -> Self {
        Self { index: u32::try_from(index).unwrap_or(u32::MAX), group, chooses: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(key: u32) -> ConnectionId {
        ConnectionId { key, serial: key }
    }

    fn filtered(text: &str) -> Options {
        Options { filter: Some(Filter::parse(text).unwrap()), ..Options::default() }
    }

    #[test]
    fn equal_filters_are_held_once_and_go_with_their_last_subscriber() {
        let mut audience = Audience::default();
        let places: Vec<_> =
            (0..100).map(|key| audience.admit(id(key), Some(filtered(r#"side == "buy""#))).unwrap().0).collect();
        audience.admit(id(200), Some(filtered("size > 3"))).unwrap();
        audience.admit(id(201), None).unwrap();
        assert_eq!((audience.len(), audience.filtered.len()), (102, 2));
        for place in &places {
            assert!(audience.remove(*place).is_some());
            assert!(audience.remove(*place).is_none(), "it is gone");
        }
        assert_eq!((audience.len(), audience.filtered.len()), (2, 1));
        assert_eq!(audience.connections().map(|id| id.key).collect::<Vec<_>>(), [201, 200]);
    }

    #[test]
    fn a_place_is_small() {
        assert_eq!(size_of::<Option<Place>>(), 8);
    }
}
