//! What many connections get alike between two writes of a shard, held once for all of them.
//!
//! A [`Run`] is consecutive messages of one channel, and their frames joined once per dialect. A connection that has
//! nothing else waiting holds a [`List`] of runs, four bytes, in place of an outbox.
//!
//! Invariants:
//! - A connection has a list only while it has no outbox. Whatever else is pushed first turns the list into an outbox
//!   ([`Gather::spill`]), so order, priorities, conflation and budgets hold as they do there.
//! - A run takes no further message once somebody was written it, it was spilled for somebody, or the channel's
//!   subscribers changed: whoever has it in a list has all of it.

use std::{io, rc::Rc, sync::Arc};

use smallvec::SmallVec;
use tickwire_protocol::{DeliveryClass, Publication};

use super::{
    encode::{Encoder, Form},
    run::{Rest, Run, Shape},
};
use crate::{
    connection::{Connection, ConnectionId},
    outbox::{ChannelId, Item},
};

/// Encoded bytes gathered before they are written; what one connection gets of them is less.
pub(crate) const GATHERED_BYTES_MAX: usize = 256 * 1024;
/// What is spilled was within the bound above, whatever else waits.
const NO_BUDGET: usize = usize::MAX / 16;

/// Names a run; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RunId(u64);

/// A connection's runs, in order: the index of the last node, from which the first is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct List(u32);

impl List {
    /// No runs.
    pub(crate) const EMPTY: Self = Self(u32::MAX);

    /// Nothing is in it.
    pub(crate) fn is_empty(self) -> bool {
        self == Self::EMPTY
    }
}

#[derive(Debug)]
struct Node {
    /// Index into the runs.
    run: u32,
    /// The next node of the list; of the last, the first.
    next: u32,
}

type Indices = SmallVec<[u32; 16]>;

/// What came of writing a list.
#[derive(Debug)]
pub(crate) enum Written {
    /// The socket took all.
    All,
    /// It did not: what is left is in an outbox now.
    Spilled,
    /// The socket is gone.
    Dead,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Gather {
    encoder: Rc<Encoder>,
    runs: Vec<Run>,
    nodes: Vec<Node>,
    /// How many runs there were before the first of `runs`.
    passed: u64,
    bytes: usize,
    /// Connections that were given an outbox since the last flush.
    pub(crate) outboxes: usize,
}

impl Gather {
    pub(crate) fn new(encoder: Rc<Encoder>) -> Self {
        Self { encoder, runs: Vec::new(), nodes: Vec::new(), passed: 0, bytes: 0, outboxes: 0 }
    }

    /// Bytes of what is gathered, each message counted once.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Begins a run with a message.
    pub(crate) fn open(&mut self, channel: ChannelId, class: DeliveryClass, first: &Arc<Publication>) -> RunId {
        let mut run = Run::new(channel, class);
        run.push(first);
        self.bytes += run.bytes();
        self.runs.push(run);
        RunId(self.passed + self.runs.len() as u64)
    }

    /// Adds to a run, if it is open and has room.
    pub(crate) fn append(&mut self, id: RunId, publication: &Arc<Publication>) -> Option<&mut Run> {
        let index = self.index(id)?;
        let run = self.runs.get_mut(index).filter(|run| run.is_open())?;
        let before = run.bytes();
        run.push(publication);
        self.bytes += run.bytes() - before;
        Some(run)
    }

    /// Says who has a run: so many in their lists, these others in their outboxes.
    pub(crate) fn set_receivers(&mut self, id: RunId, listed: u64, others: Vec<ConnectionId>) {
        if let Some(run) = self.run_mut(id) {
            run.listed = listed;
            run.others = others;
        }
    }

    /// Gives back what was taken from the run to go through it.
    pub(crate) fn set_others(&mut self, id: RunId, others: Vec<ConnectionId>) {
        if let Some(run) = self.run_mut(id) {
            run.others = others;
        }
    }

    /// No further message goes into the run.
    pub(crate) fn seal(&mut self, id: RunId) {
        if let Some(run) = self.run_mut(id) {
            run.seal();
        }
    }

    fn index(&self, id: RunId) -> Option<usize> {
        id.0.checked_sub(self.passed + 1).and_then(|index| usize::try_from(index).ok())
    }

    fn run_mut(&mut self, id: RunId) -> Option<&mut Run> {
        let index = self.index(id)?;
        self.runs.get_mut(index)
    }

    /// Puts a run at the end of a connection's list.
    pub(crate) fn give(&mut self, id: RunId, list: &mut List) {
        let Some(run) = self.index(id).and_then(|index| u32::try_from(index).ok()) else { return };
        let node = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let next = match self.nodes.get_mut(list.0 as usize) {
            Some(end) => std::mem::replace(&mut end.next, node),
            None => node,
        };
        self.nodes.push(Node { run, next });
        *list = List(node);
    }

    /// The list's runs, in order; they take no further message.
    fn take(&mut self, list: &mut List) -> Indices {
        let end = std::mem::replace(list, List::EMPTY).0;
        let mut indices = Indices::new();
        let mut at = self.nodes.get(end as usize).map(|node| node.next);
        while let Some(node) = at.and_then(|at| self.nodes.get(at as usize)) {
            indices.push(node.run);
            at = (at != Some(end)).then_some(node.next);
        }
        for &index in &indices {
            self.runs[index as usize].seal();
        }
        indices
    }

    /// Moves what a connection has in its list to its outbox.
    pub(crate) fn spill(&mut self, connection: &mut Connection) {
        if connection.gathered.is_empty() {
            return;
        }
        let runs = self.take(&mut connection.gathered);
        self.queue(connection, &runs, 0);
    }

    /// Pushes the runs' messages to the outbox, those before `from` of the first left out.
    fn queue(&mut self, connection: &mut Connection, runs: &[u32], mut from: usize) {
        self.outboxes += 1;
        let form = Form::of(connection);
        for &index in runs {
            let run = &self.runs[index as usize];
            for (publication, frame) in run.messages(form, &self.encoder, from) {
                let item = Item { frame, tag: None };
                connection.message(run.channel(), run.class(), publication, item, NO_BUDGET);
            }
            from = 0;
        }
    }

    /// Writes a connection's list with `write`, as few times as possible. Returns also how many bytes were taken.
    pub(crate) fn write(
        &mut self,
        connection: &mut Connection,
        mut write: impl FnMut(&mut Connection, &[io::IoSlice<'_>]) -> io::Result<usize>,
    ) -> (usize, Written) {
        let runs = self.take(&mut connection.gathered);
        let encoder = Rc::clone(&self.encoder);
        let shape = Shape { form: Form::of(connection), packing: connection.packing(), encoder: &encoder };
        let (mut done, mut bytes) = (0, 0);
        while done < runs.len() {
            let (count, left) = {
                let batch = shape.batch(&self.runs, &runs[done..]);
                let slices = batch.slices();
                let total: usize = slices.iter().map(|slice| slice.len()).sum();
                let taken = if total == 0 { Ok(0) } else { write(connection, &slices) };
                let count = batch.count();
                match taken {
                    Ok(taken) if taken == total => {
                        bytes += taken;
                        (count, None)
                    }
                    Ok(0) => return (bytes, Written::Dead),
                    Ok(taken) => {
                        bytes += taken;
                        (count, Some(batch.rest(taken)))
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => (0, Some(Rest::default())),
                    Err(_) => return (bytes, Written::Dead),
                }
            };
            if let Some(rest) = left {
                // Of a packed frame that is begun, no message is left to be queued; else the rest says where to go on.
                let (next, from) = rest.next.map_or((done + count, 0), |(run, message)| (done + run, message));
                connection.outbox.get_or_insert_default().resume(rest.begun);
                self.queue(connection, &runs[next..], from);
                return (bytes, Written::Spilled);
            }
            done += count;
        }
        (bytes, Written::All)
    }

    /// Forgets all runs: nobody has a list any more.
    pub(crate) fn clear(&mut self) {
        self.passed += self.runs.len() as u64;
        self.runs.clear();
        self.nodes.clear();
        self.bytes = 0;
        self.outboxes = 0;
    }
}

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
