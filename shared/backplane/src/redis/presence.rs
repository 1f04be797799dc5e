//! Who is connected where.
//!
//! The store holds which users are on which nodes; how many connections each has on a node, only that node knows. So a node
//! counts in its own ledger and *states* in the store who is there and who is not. A statement can be repeated: after a
//! lost answer, and for the whole ledger after the store lost its data or took the node for dead. No call of the store
//! takes longer because many are in a channel.

mod ledger;

use std::collections::{BTreeSet, HashMap, HashSet};

use futures_util::future::try_join_all;
use redis::{Cmd, FromRedisValue, Value};
use tickwire_protocol::{ChannelName, UserId};

use super::{
    core::Core,
    error::{from_redis, unexpected},
    functions,
    keys::Kind,
    link::Lane,
    reply,
};
use crate::{BackplaneError, PRESENCE_EVENTS_MAX, PRESENCE_USERS_MAX, Presence, PresenceChange};
pub(super) use ledger::Ledger;
use ledger::Statement;

/// How long a channel's presence is kept after the last node that tracks it went silent, seconds.
const PRESENCE_TTL_S: u64 = 3_600;
/// Users in one call.
const USERS_BATCH: usize = 256;
/// Calls in one pipeline.
const CALLS_BATCH: usize = 64;
/// Users of a dead node that one call removes, so that none holds Redis up.
const SWEEP_SLICE: usize = 1_000;
/// Slices in one sweep; what is left after it is left for the next.
const SWEEP_SLICES_MAX: usize = 1_000;
/// Users in one page when the store's view of a node is read.
const SCAN_PAGE: usize = 1_000;
/// Pages of one reading; a set that is longer is no edge's.
const SCAN_PAGES_MAX: usize = 10_000;

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
        let live = self.live_nodes(&news.map(|statement| &*statement.node).collect()).await?;
        // A node without a lease has nobody anywhere. Once it has one again, the comparison of counts brings them back.
        let counts = |statement: &&Statement| !statement.is_here || live.iter().any(|live| **live == *statement.node);
        // The order of a channel's statements is kept; that between channels does not matter.
        let mut by_partition: HashMap<usize, HashMap<&ChannelName, Vec<&Statement>>> = HashMap::new();
        for statement in statements.iter().filter(counts) {
            let partition = self.keys.partition(statement.channel.as_str());
            by_partition.entry(partition).or_default().entry(&statement.channel).or_default().push(statement);
        }
        let calls = by_partition.into_iter().map(|(partition, channels)| async move {
            let mut commands = Vec::new();
            for (channel, statements) in channels {
                for same_node in statements.chunk_by(|one, other| one.node == other.node) {
                    commands.extend(same_node.chunks(USERS_BATCH).map(|chunk| self.set_call(channel, chunk)));
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
    fn set_call(&self, channel: &ChannelName, statements: &[&Statement]) -> Cmd {
        let node = statements.first().map_or("", |statement| &*statement.node);
        let mut command = self.presence_call("presence_set", channel, node);
        command.arg(PRESENCE_TTL_S).arg(node);
        for statement in statements {
            command.arg(statement.user.as_str()).arg(u8::from(statement.is_here));
        }
        command
    }

    fn presence_call(&self, function: &str, channel: &ChannelName, node: &str) -> Cmd {
        let [users, nodes] = [Kind::Users, Kind::Nodes].map(|kind| self.keys.of(kind, channel.as_str()));
        let mut command = functions::call(function, &[users, nodes, self.keys.users_on(channel, node)]);
        command.arg(self.broadcast()).arg(self.keys.of(Kind::Live, channel.as_str())).arg(PRESENCE_EVENTS_MAX);
        command
    }

    pub(super) async fn presence(&self, channel: &ChannelName) -> Result<Presence, BackplaneError> {
        let live = self.live_nodes(&BTreeSet::new()).await?;
        self.sweep_channel(channel, &[], &live).await?;
        let mut command = functions::call("presence_list", &[self.keys.of(Kind::Users, channel.as_str())]);
        command.arg(PRESENCE_USERS_MAX);
        let [count, users] = reply::tuple(self.call(self.own(channel), command).await?)?;
        let mut users = users_of(users)?;
        users.sort_unstable();
        Ok(Presence { users, count: number(count)? })
    }

    /// Clears dead nodes' users out of every channel that this process has connections in, and puts right what the store
    /// has wrong of its own.
    pub(super) async fn sweep_presence(&self) -> Result<(), BackplaneError> {
        let channels = self.ledger.channels();
        if channels.is_empty() {
            return Ok(());
        }
        let live = self.live_nodes(&BTreeSet::new()).await?;
        for channel in channels {
            let own = self.ledger.counts(&channel);
            let stored = self.sweep_channel(&channel, &own, &live).await?;
            for ((node, counted), stored) in own.iter().zip(stored) {
                if stored != *counted as u64 && live.iter().any(|live| **live == **node) {
                    self.ledger.correct(&channel, node, &self.stored_on(&channel, node).await?);
                }
            }
        }
        Ok(())
    }

    /// Removes dead nodes' users; answers how many the store has on each of `own`.
    async fn sweep_channel(
        &self,
        channel: &ChannelName,
        own: &[(Box<str>, usize)],
        live: &[String],
    ) -> Result<Vec<u64>, BackplaneError> {
        let mut keys = vec![self.keys.of(Kind::Users, channel.as_str()), self.keys.of(Kind::Nodes, channel.as_str())];
        keys.extend(own.iter().map(|(node, _)| self.keys.users_on(channel, node)));
        let mut command = functions::call("presence_nodes", &keys);
        command.arg(PRESENCE_TTL_S);
        let [nodes, counts] = reply::tuple(self.call(self.own(channel), command).await?)?;
        for node in reply::array(nodes)? {
            let node = reply::text(node)?;
            if !live.contains(&node) {
                self.sweep_node(channel, &node).await?;
            }
        }
        reply::array(counts)?.into_iter().map(number).collect()
    }

    async fn sweep_node(&self, channel: &ChannelName, node: &str) -> Result<(), BackplaneError> {
        for _ in 0..SWEEP_SLICES_MAX {
            let mut command = self.presence_call("presence_sweep", channel, node);
            command.arg(SWEEP_SLICE).arg(node);
            if number(self.call(self.own(channel), command).await?)? < SWEEP_SLICE as u64 {
                break;
            }
        }
        Ok(())
    }

    /// Whom the store has on `node`, read page by page: others' calls go between.
    async fn stored_on(&self, channel: &ChannelName, node: &str) -> Result<HashSet<UserId>, BackplaneError> {
        let key = self.keys.users_on(channel, node);
        let mut stored = HashSet::new();
        let mut cursor = "0".to_owned();
        for _ in 0..SCAN_PAGES_MAX {
            let mut command = redis::cmd("SSCAN");
            command.arg(&key).arg(&cursor).arg("COUNT").arg(SCAN_PAGE);
            let [next, users] = reply::tuple(self.call(self.own(channel), command).await?)?;
            stored.extend(users_of(users)?);
            cursor = reply::text(next)?;
            if cursor == "0" {
                return Ok(stored);
            }
        }
        Err(unexpected("a set without an end"))
    }
}

fn users_of(answer: Value) -> Result<Vec<UserId>, BackplaneError> {
    let names = reply::array(answer)?.into_iter().map(reply::text);
    names.map(|name| UserId::new(&name?).map_err(|_| unexpected("a user's name that is none"))).collect()
}

fn number(answer: Value) -> Result<u64, BackplaneError> {
    u64::from_redis_value(answer).map_err(|_| unexpected("no number where one was expected"))
}
