//! Who is connected where.
//!
//! The store holds which users are on which nodes; how many connections each has on a node, only that node knows. So a node
//! counts in its own ledger and *states* in the store who is there and who is not. A statement can be repeated: after a
//! lost answer, and for the whole ledger after the store lost its data or took the node for dead.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::future::try_join_all;
use redis::Cmd;
use tickwire_protocol::{ChannelName, UserId};

use super::{core::Core, error::from_redis, functions, keys::Kind, link::Lane, reply};
use crate::{BackplaneError, PRESENCE_USERS_MAX, Presence, PresenceChange};

/// How long a channel's presence is kept after the last node that tracks it went silent, seconds.
const PRESENCE_TTL_S: u64 = 3_600;
/// Statements that wait for the store. At the bound they are dropped and the whole ledger is stated once the store is back.
const WAITING_MAX: usize = 100_000;
/// Users in one call.
const USERS_BATCH: usize = 256;
/// Calls in one pipeline.
const CALLS_BATCH: usize = 64;

/// The connections that this process counts, and what it has yet to state.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    book: Mutex<Book>,
    /// Held while stating, so that statements reach the store in order.
    stating: tokio::sync::Mutex<()>,
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
struct Statement {
    channel: ChannelName,
    node: Box<str>,
    user: UserId,
    is_here: bool,
    /// It comes from the node just now, and so is a sign of life; the repetition of an old one is not.
    is_news: bool,
}

impl Ledger {
    /// Counts connections; what changes by it waits to be stated.
    fn apply(&self, node: &str, changes: &[PresenceChange]) {
        let mut book = self.book();
        for change in changes {
            book.apply(node, change);
        }
    }

    /// The store may have lost everything.
    pub(super) fn state_all(&self) {
        self.book().is_stale = true;
    }

    pub(super) fn has_waiting(&self) -> bool {
        let book = self.book();
        book.is_stale || !book.waiting.is_empty()
    }

    /// The channels with a connection here.
    fn channels(&self) -> Vec<ChannelName> {
        self.book().counts.keys().cloned().collect()
    }

    /// What to state now, oldest first.
    fn take(&self) -> Vec<Statement> {
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
    fn put_back(&self, statements: Vec<Statement>) {
        let mut book = self.book();
        if book.waiting.len() + statements.len() > WAITING_MAX {
            book.overflow();
            return;
        }
        for statement in statements.into_iter().rev() {
            book.waiting.push_front(statement);
        }
    }

    /// The store says that in `channel` these are on these nodes: whoever of this ledger it forgot is stated again, unless
    /// the node's lease ended.
    fn compare(&self, channel: &ChannelName, stored: &HashMap<UserId, HashSet<Box<str>>>, live: &[String]) {
        let mut book = self.book();
        let Some(counts) = book.counts.get(channel.as_str()) else { return };
        let is_stored = |node: &str, user: &UserId| stored.get(user).is_some_and(|nodes| nodes.contains(node));
        let forgotten: Vec<Statement> = counts
            .keys()
            .filter(|(node, user)| live.iter().any(|live| **live == **node) && !is_stored(node, user))
            .map(|(node, user)| Statement {
                channel: channel.clone(),
                node: node.clone(),
                user: user.clone(),
                is_here: true,
                is_news: false,
            })
            .collect();
        for statement in forgotten {
            book.wait(statement);
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

    /// Leaves are lost by it; the store forgets those users when their node's lease ends or another statement corrects it.
    fn overflow(&mut self) {
        self.waiting.retain(|statement| !statement.is_here);
        self.waiting.truncate(WAITING_MAX / 2);
        self.is_stale = true;
    }
}

/// Statements on their way to the store; those left when it is dropped, be it with a cancelled call, wait again.
struct Taken<'a> {
    ledger: &'a Ledger,
    statements: Vec<Statement>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.ledger.put_back(std::mem::take(&mut self.statements));
    }
}

impl Core {
    /// Never fails for want of the store: what cannot be stated now is stated later.
    pub(super) async fn presence_change(&self, node: &str, changes: &[PresenceChange]) {
        self.ledger.apply(node, changes);
        if let Err(error) = self.state_presence().await {
            tracing::debug!(%error, "presence is stated later");
        }
    }

    /// States what waits. Who is alive is asked after what to state was taken: a node's lease precedes its statements.
    pub(super) async fn state_presence(&self) -> Result<(), BackplaneError> {
        let _in_order = self.ledger.stating.lock().await;
        let mut taken = Taken { ledger: &self.ledger, statements: self.ledger.take() };
        if !taken.statements.is_empty() {
            self.state(&taken.statements).await?;
            taken.statements.clear();
        }
        Ok(())
    }

    async fn state(&self, statements: &[Statement]) -> Result<(), BackplaneError> {
        let news = statements.iter().filter(|statement| statement.is_news);
        let live = &self.live_nodes(&news.map(|statement| &*statement.node).collect()).await?;
        // The order of a channel's statements is kept; that between channels does not matter.
        let mut by_partition: HashMap<usize, HashMap<&ChannelName, Vec<&Statement>>> = HashMap::new();
        for statement in statements {
            let partition = self.keys.partition(statement.channel.as_str());
            by_partition.entry(partition).or_default().entry(&statement.channel).or_default().push(statement);
        }
        let calls = by_partition.into_iter().map(|(partition, channels)| async move {
            let mut commands = Vec::new();
            for (channel, statements) in channels {
                for same_node in statements.chunk_by(|one, other| one.node == other.node) {
                    commands.extend(same_node.chunks(USERS_BATCH).map(|chunk| self.set_call(channel, chunk, live)));
                }
            }
            for chunk in commands.chunks(CALLS_BATCH) {
                for answer in self.call_all(Lane::Shared(partition), chunk.to_vec()).await? {
                    answer.map_err(from_redis)?;
                }
            }
            Ok(())
        });
        try_join_all(calls).await.map(drop)
    }

    /// `statements` of one node, not empty.
    fn set_call(&self, channel: &ChannelName, statements: &[&Statement], live: &[String]) -> Cmd {
        let mut command = self.presence_call("presence_set", channel);
        command.arg(statements.first().map_or("", |statement| &*statement.node)).arg(live.len()).arg(live);
        for statement in statements {
            command.arg(statement.user.as_str()).arg(u8::from(statement.is_here));
        }
        command
    }

    fn presence_call(&self, function: &str, channel: &ChannelName) -> Cmd {
        let mut command = functions::call(function, &[self.keys.of(Kind::Presence, channel.as_str())]);
        command.arg(self.broadcast()).arg(self.keys.of(Kind::Live, channel.as_str())).arg(PRESENCE_TTL_S);
        command
    }

    pub(super) async fn presence(&self, channel: &ChannelName) -> Result<Presence, BackplaneError> {
        let live = self.live_nodes(&BTreeSet::new()).await?;
        let mut users: Vec<UserId> = self.sweep_channel(channel, &live).await?.into_keys().collect();
        let count = users.len() as u64;
        users.sort_unstable();
        users.truncate(PRESENCE_USERS_MAX);
        Ok(Presence { users, count })
    }

    /// Clears dead nodes' users out of every channel that this process has connections in, and puts right what the store
    /// forgot of its own.
    pub(super) async fn sweep_presence(&self) -> Result<(), BackplaneError> {
        let channels = self.ledger.channels();
        if channels.is_empty() {
            return Ok(());
        }
        let live = self.live_nodes(&BTreeSet::new()).await?;
        for channel in channels {
            let stored = self.sweep_channel(&channel, &live).await?;
            self.ledger.compare(&channel, &stored, &live);
        }
        Ok(())
    }

    async fn sweep_channel(
        &self,
        channel: &ChannelName,
        live: &[String],
    ) -> Result<HashMap<UserId, HashSet<Box<str>>>, BackplaneError> {
        let mut command = self.presence_call("presence_sweep", channel);
        command.arg(live.len()).arg(live);
        let answer = self.call(self.own(channel), command).await?;
        let mut present = HashMap::new();
        for (user, nodes) in reply::pairs(answer)? {
            let Ok(user) = UserId::new(&reply::text(user)?) else { continue };
            present.insert(user, serde_json::from_slice(&reply::bytes(nodes)?).unwrap_or_default());
        }
        Ok(present)
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
    fn whom_the_store_forgot_is_stated_again() {
        let ledger = Ledger::default();
        ledger.apply("n", &[change("a", true), change("b", true)]);
        stated(&ledger);
        let nodes = HashSet::from([Box::from("n"), Box::from("m")]);
        let stored = HashMap::from([(UserId::new("a").unwrap(), nodes)]);
        let room = ChannelName::new("room:1").unwrap();
        ledger.compare(&room, &stored, &[]);
        assert!(!ledger.has_waiting(), "a node without a lease states nothing");
        ledger.compare(&room, &stored, &["n".to_owned()]);
        assert_eq!(stated(&ledger), [("b".into(), true)]);
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
