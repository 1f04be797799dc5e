//! A connection without a socket: SSE and long polling take what waits as bodies.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use tickwire_protocol::{ChannelName, Position};

use super::ConnectionId;
use crate::{framing::outgoing, hub::Shard, outbox::Tag};

/// The consumer's end. Dropping it detaches the connection.
pub(crate) struct Pull {
    shard: Rc<Shard>,
    id: ConnectionId,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PullItem {
    /// Its native JSON.
    pub(crate) body: Bytes,
    /// Where a channel stands for the client once it has this.
    pub(crate) mark: Option<(ChannelName, Position)>,
}

impl Pull {
    pub(crate) fn new(shard: Rc<Shard>, id: ConnectionId) -> Self {
        Self { shard, id }
    }

    /// The next event; `None` when the connection has ended and everything is taken.
    pub(crate) fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<PullItem>> {
        let mut hub = self.shard.hub.borrow_mut();
        let Some(connection) = hub.connection(self.id) else { return Poll::Ready(None) };
        let Some(item) = connection.outbox.as_mut().and_then(|outbox| outbox.pop()) else {
            if connection.closing.is_some() {
                return Poll::Ready(None);
            }
            connection.outbox = None;
            connection.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        // A socket would be sent this close frame; here it is the end.
        if item.frame.first() == Some(&outgoing::CLOSE) {
            return Poll::Ready(None);
        }
        let body = item.body();
        let (before, bytes) = connection.account();
        hub.outbox_bytes = hub.outbox_bytes + bytes - before;
        let mut mark = None;
        if let Some(tag) = item.tag {
            let Tag { channel, mark: position, receipts, span: _ } = *tag;
            hub.receipts.extend(receipts.into_iter().map(|position| (channel.clone(), position)));
            mark = position.map(|position| (channel, position));
            self.shard.work.notify_one();
        }
        Poll::Ready(Some(PullItem { body, mark }))
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.shard.detach(self.id);
    }
}
