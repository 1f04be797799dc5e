//! The connections that this process counts in channels with presence, and what of it the store has yet to be told.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tickwire_protocol::{ChannelName, UserId};

use crate::PresenceChange;

/// Statements that wait for the store. At the bound they are dropped and the whole ledger is stated once the store is back.
const WAITING_MAX: usize = 100_000;

/// The connections that this process counts, and what it has yet to state.
#[derive(Debug, Default)]
pub(in crate::redis) struct Ledger {
    book: Mutex<Book>,
    /// Held while stating, so that statements reach the store in order.
    pub(super) stating: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Book {
    counts: HashMap<ChannelName, HashMap<(Box<str>, UserId), u32>>,
    waiting: VecDeque<Statement>,
    /// All of `counts` has to be stated again.
    is_stale: bool,
}

/// `user` is on `node`, or is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) channel: ChannelName,
    pub(super) node: Box<str>,
    pub(super) user: UserId,
    pub(super) is_here: bool,
    /// It comes from the node just now, and so is a sign of life; the repetition of an old one is not.
    pub(super) is_news: bool,
}

impl Ledger {
    /// Counts connections; what changes by it waits to be stated.
    pub(super) fn apply(&self, node: &str, changes: &[PresenceChange]) {
        let mut book = self.book();
        for change in changes {
            book.apply(node, change);
        }
    }

    /// The store may have lost everything.
    pub(in crate::redis) fn state_all(&self) {
        self.book().is_stale = true;
    }

    pub(in crate::redis) fn has_waiting(&self) -> bool {
        let book = self.book();
        book.is_stale || !book.waiting.is_empty()
    }

    /// The channels with a connection here.
    pub(super) fn channels(&self) -> Vec<ChannelName> {
        self.book().counts.keys().cloned().collect()
    }

    /// What to state now, oldest first.
    pub(super) fn take(&self) -> Vec<Statement> {
        let mut book = self.book();
        let mut statements: Vec<Statement> = book.waiting.drain(..).collect();
        if std::mem::take(&mut book.is_stale) {
            for (channel, counts) in &book.counts {
                let everyone = counts.keys().map(|(node, user)| Statement {
                    channel: channel.clone(),
                    node: node.clone(),
                    user: user.clone(),
                    is_here: true,
                    is_news: false,
                });
                statements.extend(everyone);
            }
        }
        statements
    }

    /// Those were not stated after all.
    pub(super) fn put_back(&self, statements: Vec<Statement>) {
        let mut book = self.book();
        if book.waiting.len() + statements.len() > WAITING_MAX {
            book.overflow();
            return;
        }
        for statement in statements.into_iter().rev() {
            book.waiting.push_front(statement);
        }
    }

    /// The users that each of this process's nodes has in `channel`, as many as the store should know of.
    pub(super) fn counts(&self, channel: &ChannelName) -> Vec<(Box<str>, usize)> {
        let book = self.book();
        let mut by_node: HashMap<&str, usize> = HashMap::new();
        for (node, _) in book.counts.get(channel.as_str()).into_iter().flat_map(HashMap::keys) {
            *by_node.entry(node).or_default() += 1;
        }
        by_node.into_iter().map(|(node, count)| (node.into(), count)).collect()
    }

    /// The store has `stored` of `node` in `channel`: what is missing there or is too much waits to be stated.
    pub(super) fn correct(&self, channel: &ChannelName, node: &str, stored: &HashSet<UserId>) {
        let mut book = self.book();
        let counted: HashSet<&UserId> = book
            .counts
            .get(channel.as_str())
            .into_iter()
            .flat_map(HashMap::keys)
            .filter(|(at, _)| **at == *node)
            .map(|(_, user)| user)
            .collect();
        let missing = counted.iter().filter(|user| !stored.contains(**user)).map(|&user| (user.clone(), true));
        let surplus = stored.iter().filter(|user| !counted.contains(user)).map(|user| (user.clone(), false));
        let wrong: Vec<(UserId, bool)> = missing.chain(surplus).collect();
        for (user, is_here) in wrong {
            book.wait(Statement { channel: channel.clone(), node: node.into(), user, is_here, is_news: false });
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn apply(&mut self, node: &str, change: &PresenceChange) {
        let key = (Box::from(node), change.user.clone());
        let counts = self.counts.entry(change.channel.clone()).or_default();
        let count = counts.entry(key.clone()).or_default();
        let was_here = *count > 0;
        *count = if change.joined { *count + 1 } else { count.saturating_sub(1) };
        let is_here = *count > 0;
        if !is_here {
            counts.remove(&key);
        }
        if counts.is_empty() {
            self.counts.remove(change.channel.as_str());
        }
        if was_here != is_here {
            let (node, user) = key;
            self.wait(Statement { channel: change.channel.clone(), node, user, is_here, is_news: true });
        }
    }

    fn wait(&mut self, statement: Statement) {
        if self.waiting.len() >= WAITING_MAX {
            self.overflow();
        } else {
            self.waiting.push_back(statement);
        }
    }

    /// Leaves are lost by it; the comparison of counts finds them.
    fn overflow(&mut self) {
        self.waiting.retain(|statement| !statement.is_here);
        self.waiting.truncate(WAITING_MAX / 2);
        self.is_stale = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(user: &str, joined: bool) -> PresenceChange {
        PresenceChange { channel: ChannelName::new("room:1").unwrap(), user: UserId::new(user).unwrap(), joined }
    }

    fn stated(ledger: &Ledger) -> Vec<(String, bool)> {
        let mut all: Vec<_> =
            ledger.take().into_iter().map(|statement| (statement.user.to_string(), statement.is_here)).collect();
        all.sort();
        all
    }

    #[test]
    fn only_the_first_and_the_last_connection_is_stated() {
        let ledger = Ledger::default();
        ledger.apply("n", &[change("a", true), change("a", true), change("b", true), change("a", false)]);
        assert_eq!(stated(&ledger), [("a".into(), true), ("b".into(), true)]);
        ledger.apply("n", &[change("a", false), change("a", false)]);
        assert_eq!(stated(&ledger), [("a".into(), false)]);
    }

    #[test]
    fn everything_is_stated_again_on_demand() {
        let ledger = Ledger::default();
        ledger.apply("n", &[change("a", true), change("b", true), change("b", false)]);
        stated(&ledger);
        ledger.state_all();
        assert_eq!(stated(&ledger), [("a".into(), true)]);
        assert!(!ledger.has_waiting());
    }

    #[test]
    fn what_the_store_has_wrong_is_put_right() {
        let ledger = Ledger::default();
        ledger.apply("n", &[change("a", true), change("b", true)]);
        ledger.apply("m", &[change("c", true)]);
        stated(&ledger);
        let room = ChannelName::new("room:1").unwrap();
        let mut counts = ledger.counts(&room);
        counts.sort();
        assert_eq!(counts, [("m".into(), 1), ("n".into(), 2)]);
        let stored = ["a", "x"].map(|user| UserId::new(user).unwrap());
        ledger.correct(&room, "n", &HashSet::from(stored));
        assert_eq!(stated(&ledger), [("b".into(), true), ("x".into(), false)]);
    }

    #[test]
    fn what_could_not_be_stated_comes_first_next_time() {
        let ledger = Ledger::default();
        ledger.apply("n", &[change("a", true)]);
        let lost = ledger.take();
        ledger.apply("n", &[change("a", false)]);
        ledger.put_back(lost);
        let order: Vec<bool> = ledger.take().into_iter().map(|statement| statement.is_here).collect();
        assert_eq!(order, [true, false]);
    }
}
