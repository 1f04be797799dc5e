//! `GET /sse?channels=a,b`: Server-Sent Events (HTML standard §9.2).

use std::{
    fmt,
    fmt::Write,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{
    HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE},
    request::Parts,
};
use tokio::time::{Instant, Sleep, sleep};

use super::{cursors::Cursors, opening};
use crate::{
    accept::{
        Deadline, Visitor,
        answer::{self, Answer, AnswerBody},
    },
    connection::pull::{Pull, PullItem},
    metrics::Transport,
};

/// Bytes put together before hyper gets them; what follows stays in the outbox, where it is bounded and conflated.
const CHUNK_BYTES: usize = 16 * 1024;
/// How long an `EventSource` waits before it reconnects.
const RETRY: &[u8] = b"retry: 2000\n\n";

/// Opens the stream.
pub(crate) async fn answer(visitor: &Visitor<'_>, head: &Parts) -> Answer {
    let opened = match opening::open(visitor, head, Transport::Sse).await {
        Ok(opened) => opened,
        Err(refusal) => return answer::refusal(&refusal),
    };
    let edge = &visitor.shard.node.config.edge;
    let stream = EventStream {
        pull: Some(opened.pull),
        first: opened.first.into_iter(),
        cursors: opened.cursors,
        begun: false,
        heartbeat: edge.heartbeat_interval(),
        quiet_until: Box::pin(sleep(edge.heartbeat_interval())),
        deadline: visitor.deadline.clone(),
        patience: Duration::from_millis(edge.idle_timeout_ms).max(edge.heartbeat_interval() * 2),
    };
    let mut answer = Response::new(AnswerBody::Events(Box::new(stream)));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would hold the events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    answer
}

/// The body: it pulls from the outbox when the socket takes more, so nothing is queued here.
pub(crate) struct EventStream {
    /// `None` once it ended.
    pull: Option<Pull>,
    first: std::vec::IntoIter<PullItem>,
    cursors: Cursors,
    begun: bool,
    heartbeat: Duration,
    quiet_until: Pin<Box<Sleep>>,
    /// Moved each time the socket takes something: a client that stops reading is dropped after `patience`.
    deadline: Deadline,
    patience: Duration,
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("cursors", &self.cursors).finish_non_exhaustive()
    }
}

impl EventStream {
    /// The next events; `None` at the end. hyper asks whenever its buffer has room.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.deadline.extend(self.patience);
        let mut chunk = BytesMut::new();
        if !self.begun {
            self.begun = true;
            chunk.put_slice(RETRY);
        }
        while chunk.len() < CHUNK_BYTES {
            match self.poll_item(cx) {
                Poll::Ready(Some(item)) => self.write(&mut chunk, item),
                Poll::Ready(None) => {
                    self.pull = None;
                    break;
                }
                Poll::Pending => break,
            }
        }
        if !chunk.is_empty() {
            self.quiet_until.as_mut().reset(Instant::now() + self.heartbeat);
            return Poll::Ready(Some(chunk.freeze()));
        }
        if self.pull.is_none() {
            return Poll::Ready(None);
        }
        if self.quiet_until.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.quiet_until.as_mut().reset(Instant::now() + self.heartbeat);
        Poll::Ready(Some(Bytes::from_static(b":\n\n")))
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<PullItem>> {
        match (self.first.next(), &mut self.pull) {
            (Some(item), _) => Poll::Ready(Some(item)),
            (None, Some(pull)) => pull.poll_item(cx),
            (None, None) => Poll::Ready(None),
        }
    }

    /// A native frame is one line of JSON, so one `data` line holds it.
    fn write(&mut self, chunk: &mut BytesMut, item: PullItem) {
        if let Some((channel, position)) = item.mark {
            self.cursors.set(channel, position);
        }
        if !self.cursors.is_empty() {
            // Writing to a growing buffer does not fail.
            let _ = writeln!(chunk, "id: {}", self.cursors);
        }
        chunk.put_slice(b"data: ");
        chunk.put_slice(&item.body);
        chunk.put_slice(b"\n\n");
    }
}
