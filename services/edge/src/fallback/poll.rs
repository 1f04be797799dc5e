//! `GET /poll?channels=a,b&since=…&wait=25`: long polling.

use std::{collections::BTreeSet, future::poll_fn, task::Poll, time::Duration};

use http::{StatusCode, request::Parts};
use serde::Serialize;
use serde_json::value::RawValue;
use tickwire_protocol::{DeliveryClass, ErrorCode, Position};

use super::{
    cursors::Cursors,
    opening::{self, FrameParts},
};
use crate::{
    accept::{
        Visitor,
        answer::{self, Answer},
        parameter,
    },
    connection::pull::PullItem,
    metrics::Transport,
};

/// Longest `wait`.
const WAIT_S_MAX: u64 = 30;
/// Without `wait`.
const WAIT_S: u64 = 25;
/// Beyond the wait: time to subscribe and to write the answer.
const GRACE: Duration = Duration::from_secs(15);
/// A poll takes no more messages than this once it has some; the rest comes with the next one.
const MESSAGES_MAX: usize = 1_000;

/// The answer.
#[derive(Debug, Default, Serialize)]
struct Batch {
    /// Native `message` frames.
    messages: Vec<Box<RawValue>>,
    /// For the next `since`.
    next: String,
    /// Channels in which `since` could not be recovered, or whose history was lost: fetch a snapshot.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    reset: BTreeSet<String>,
    /// Native `error` frames of channels that were refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Box<RawValue>>,
}

/// Answers at once if something was missed, else with the first message, or empty when the wait is over.
pub(crate) async fn answer(visitor: &Visitor<'_>, head: &Parts) -> Answer {
    let wait_s = match parameter(head.uri.query(), "wait").map(|wait| wait.parse::<u64>()) {
        None => WAIT_S,
        Some(Ok(wait_s)) if wait_s <= WAIT_S_MAX => wait_s,
        Some(_) => return answer::error(ErrorCode::BadRequest, "`wait` is a number of seconds from 0 to 30"),
    };
    let mut opened = match opening::open(visitor, head, Transport::Poll).await {
        Ok(opened) => opened,
        Err(refusal) => return answer::refusal(&refusal),
    };
    let wait = Duration::from_secs(wait_s);
    visitor.deadline.extend(wait + GRACE);
    let mut cursors = opened.cursors;
    let asked = cursors.clone();
    let mut batch = Batch::default();
    for item in opened.first {
        batch.take(item, &asked, &mut cursors);
    }
    let waiting = async {
        while batch.messages.is_empty() && batch.reset.is_empty() {
            let Some(item) = poll_fn(|cx| opened.pull.poll_item(cx)).await else { return };
            batch.take(item, &asked, &mut cursors);
        }
        // What came together is answered together.
        while batch.messages.len() < MESSAGES_MAX {
            let ready = poll_fn(|cx| match opened.pull.poll_item(cx) {
                Poll::Ready(item) => Poll::Ready(item),
                Poll::Pending => Poll::Ready(None),
            });
            let Some(item) = ready.await else { return };
            batch.take(item, &asked, &mut cursors);
        }
    };
    // When the time is over, the answer is what there is: mostly nothing.
    let _over = tokio::time::timeout(wait, waiting).await;
    batch.next = cursors.to_string();
    visitor.deadline.extend(GRACE);
    answer::json(StatusCode::OK, &batch)
}

impl Batch {
    fn take(&mut self, item: PullItem, asked: &Cursors, cursors: &mut Cursors) {
        let Some(frame) = FrameParts::read(&item.body) else { return };
        match &*frame.kind {
            "message" => self.messages.extend(raw(&item.body)),
            "subscribed" => {
                let since = item.mark.as_ref().and_then(|(channel, _)| asked.get(channel));
                let at = item.mark.as_ref().map(|&(_, position)| position);
                self.take_missed(frame, since, at);
            }
            "reset" => self.reset.extend(frame.channel),
            "error" => self.errors.extend(raw(&item.body)),
            // `connected`, `presence` and the like have no place in a poll.
            _ => {}
        }
        if let Some((channel, position)) = item.mark {
            cursors.set(channel, position);
        }
    }

    /// What a subscription began with, less what the client has: a state that did not change since, or a critical message that is
    /// delivered again on every connection until it is acknowledged. Given out again and again, they would make a poll return at
    /// once, for ever.
    fn take_missed(&mut self, subscribed: FrameParts<'_>, since: Option<Position>, at: Option<Position>) {
        let is_state = subscribed.class == Some(DeliveryClass::Latest);
        if is_state && since.is_some() && since == at {
            return;
        }
        for message in subscribed.messages {
            let position = FrameParts::read(message.get().as_bytes()).and_then(|frame| frame.position);
            let is_known = position.zip(since).is_some_and(|(position, since)| position <= since);
            if !is_known {
                self.messages.push(message.to_owned());
            }
        }
        if since.is_some() && !subscribed.recovered && !is_state {
            self.reset.extend(subscribed.channel);
        }
    }
}

fn raw(body: &[u8]) -> Option<Box<RawValue>> {
    serde_json::from_slice(body).ok()
}
