//! Long answers are encoded in pieces.
//!
//! An answer is one frame and made in one step with the newcomer's admission, so it cannot be interrupted. What it lists can be
//! encoded before, message by message, with pauses for others; the encodings stay with the messages, and the answer is only
//! put together.

use std::{rc::Rc, sync::Arc, time::Instant};

use smallvec::SmallVec;
use tickwire_protocol::{Event, Publication, dialect::Dialect};

use super::{
    Shard,
    channel::{Channel, Join},
};
use crate::{connection::ConnectionId, outbox::ChannelId};

/// Answers with less data than this are encoded as they are made: about a millisecond of work.
const LONG_BYTES: usize = 64 * 1024;
/// What a message costs beside its data.
const MESSAGE_BYTES: usize = 128;
/// Messages encoded between two looks at the clock.
const CLOCK_INTERVAL: usize = 8;

/// Whether encoding so much is too long for one step.
pub(crate) fn is_long(messages: &[Arc<Publication>]) -> bool {
    let mut bytes = 0;
    messages.iter().any(|message| {
        bytes += MESSAGE_BYTES + message.data.bytes().len();
        bytes > LONG_BYTES
    })
}

impl Shard {
    /// Encodes what `connections` will be answered, once for each dialect among them. Returns at once where that is little.
    pub(crate) async fn encode_ahead(
        &self,
        connections: impl IntoIterator<Item = ConnectionId>,
        messages: &[Arc<Publication>],
    ) {
        if !is_long(messages) {
            return;
        }
        let mut begun = Instant::now();
        for dialect in self.dialects(connections) {
            for (number, message) in messages.iter().enumerate() {
                // It stays with the message.
                drop(dialect.encode(&Event::Message(Arc::clone(message))));
                if number % CLOCK_INTERVAL == 0 && self.is_over_time(begun) {
                    self.give_way(begun);
                    tokio::task::yield_now().await;
                    begun = Instant::now();
                }
            }
        }
        self.note_pause(begun);
    }

    /// Newcomers whose answers are long wait until `messages`, which hold what they all are told, are encoded.
    pub(crate) async fn serve_later(
        self: Rc<Self>,
        (id, serial): (ChannelId, u32),
        mut joins: Vec<Join>,
        messages: Vec<Arc<Publication>>,
    ) {
        self.encode_ahead(joins.iter().map(|join| join.connection), &messages).await;
        for join in &mut joins {
            join.is_encoded = true;
        }
        if let Some(channel) = self.hub.borrow_mut().channel(id, serial) {
            for join in joins.into_iter().rev() {
                channel.joins.push_front(join);
            }
        }
        self.serve_joins(id);
        let clock_ms = self.node.clock_ms();
        if let Some(channel) = self.hub.borrow_mut().channel(id, serial) {
            channel.end_wait(clock_ms);
        }
        // Those who need a read of the store waited for this to end.
        self.serve_joins(id);
        self.flush_urgent();
    }

    fn dialects(&self, connections: impl IntoIterator<Item = ConnectionId>) -> SmallVec<[Dialect; 4]> {
        let mut hub = self.hub.borrow_mut();
        let mut dialects = SmallVec::new();
        for id in connections {
            let Some(connection) = hub.connection(id) else { continue };
            let dialect = connection.state.dialect();
            if !dialects.contains(&dialect) {
                dialects.push(dialect);
            }
        }
        dialects
    }
}

impl Channel {
    /// `joins` wait outside, so that the channel is not given up meanwhile.
    pub(crate) fn begin_wait(&mut self) {
        self.reads += 1;
        self.set_memory();
    }

    fn end_wait(&mut self, clock_ms: u32) {
        self.reads -= 1;
        self.set_memory();
        // They may all have left meanwhile.
        if self.is_unused() {
            self.idle_since_ms.get_or_insert(clock_ms);
        }
    }
}
