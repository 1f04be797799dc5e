//! Critical messages of inboxes that this process vouches for a while after they were acknowledged.
//!
//! Where no replica confirms, a server that restarts may have lost the newest writes of its append-only file; where all do
//! (`replicas`), this is the second line. So what was acknowledged a short while ago is published once more at any other
//! server that takes the partition over, under its idempotency key: one that has the message answers with its position.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError, atomic::AtomicUsize, atomic::Ordering},
    time::Duration,
};

use tickwire_protocol::{DeliveryClass, Priority, time::now_ms};
use tokio::time::Instant;

use super::{core::Core, stats::Counters};
use crate::{BackplaneError, IDEMPOTENCY_WINDOW, Publish};

/// How long after its acknowledgement. Clearly shorter than keys are remembered: a later repetition would be a second message.
const WINDOW: Duration = Duration::from_secs(120);
const _: () = assert!(WINDOW.as_secs() * 2 < IDEMPOTENCY_WINDOW.as_secs());
/// Most messages at once; beyond, the oldest is let go.
const MESSAGES_MAX: usize = 4_096;
/// Bytes of their payloads; beyond, the oldest is let go.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Messages published again in one go.
const BATCH: usize = 256;

/// An acknowledged message and who acknowledged it.
#[derive(Debug)]
struct Vouched {
    publish: Publish,
    /// The server's process.
    server: String,
    since: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Recent {
    messages: Mutex<VecDeque<Vouched>>,
    bytes: AtomicUsize,
}

/// Whether its loss would be worse than its repetition.
pub(super) fn is_vouched(publish: &Publish) -> bool {
    publish.policy.class == DeliveryClass::Inbox && publish.priority == Priority::Critical
}

impl Recent {
    /// `server` acknowledged the message, which has an idempotency key.
    pub(super) fn vouch(&self, publish: &Publish, server: &str) {
        self.keep(Vouched { publish: publish.clone(), server: server.to_owned(), since: Instant::now() });
    }

    fn keep(&self, message: Vouched) {
        let mut messages = self.lock();
        self.bytes.fetch_add(message.publish.data.as_str().len(), Ordering::Relaxed);
        messages.push_back(message);
        while messages.len() > MESSAGES_MAX || self.bytes.load(Ordering::Relaxed) > BYTES_MAX {
            let Some(oldest) = messages.pop_front() else { break };
            self.let_go(&oldest);
        }
    }

    /// Takes out at most [`BATCH`] messages whose partition is served by another server now, and forgets those that are old
    /// enough. While no server is known nothing grows old.
    fn take_orphans<'a>(&self, server_of: impl Fn(&Publish) -> Option<&'a str>) -> Vec<Vouched> {
        let mut orphans = Vec::new();
        let mut messages = self.lock();
        let mut kept = VecDeque::with_capacity(messages.len());
        for message in messages.drain(..) {
            match server_of(&message.publish) {
                Some(server) if server != message.server => {
                    if orphans.len() < BATCH {
                        self.let_go(&message);
                        orphans.push(message);
                    } else {
                        kept.push_back(message);
                    }
                }
                Some(_) if message.since.elapsed() > WINDOW => self.let_go(&message),
                None | Some(_) => kept.push_back(message),
            }
        }
        *messages = kept;
        orphans
    }

    fn let_go(&self, message: &Vouched) {
        self.bytes.fetch_sub(message.publish.data.as_str().len(), Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Vouched>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Publishes again what a server acknowledged that has been replaced. What fails is tried again the next time.
    pub(super) async fn restate_vouched(&self) -> Result<(), BackplaneError> {
        let links: Vec<_> = (0..self.keys.partitions()).map(|partition| self.links.get(partition)).collect();
        let orphans = self.vouched.take_orphans(|publish| {
            let partition = self.keys.partition(publish.channel.as_str());
            links[partition].as_ref().map(|link| link.run_id.as_str())
        });
        let is_expired =
            |orphan: &Vouched| orphan.publish.expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= now_ms());
        let orphans: Vec<Vouched> = orphans.into_iter().filter(|orphan| !is_expired(orphan)).collect();
        if orphans.is_empty() {
            return Ok(());
        }
        let batch: Vec<Publish> = orphans.iter().map(|orphan| orphan.publish.clone()).collect();
        let mut failure = None;
        for (orphan, result) in orphans.into_iter().zip(self.publish_all(&batch).await) {
            match result {
                // Its publish vouched for it anew.
                Ok(published) if published.duplicate => {}
                Ok(published) => {
                    Counters::add(&self.counters.restated, 1);
                    let channel = orphan.publish.channel.as_str();
                    tracing::warn!(channel, position = ?published.position, "a critical message that Redis lost is published again");
                }
                // It is there, and the replicas that are missing now may come: nobody waits for the answer.
                Err(BackplaneError::NotDurable { .. }) => {
                    let partition = self.keys.partition(orphan.publish.channel.as_str());
                    let server = links[partition].as_ref().map(|link| link.run_id.clone()).unwrap_or_default();
                    self.vouched.keep(Vouched { server, ..orphan });
                }
                Err(BackplaneError::InboxFull) => {
                    let channel = orphan.publish.channel.as_str();
                    tracing::error!(channel, "a critical message that Redis may have lost finds its inbox full");
                }
                Err(error) => {
                    self.vouched.keep(orphan);
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tickwire_protocol::{ChannelName, RawJson, namespace::Policy};

    use super::*;

    fn alert(user: &str, bytes: usize) -> Publish {
        let channel = ChannelName::new(&format!("user:{user}")).unwrap();
        let data = RawJson::parse(Bytes::from(format!("\"{}\"", "a".repeat(bytes)))).unwrap();
        Publish { priority: Priority::Critical, ..Publish::new(channel, Policy::inbox(), data) }
    }

    fn servers<'a>(name: &'a str) -> impl Fn(&Publish) -> Option<&'a str> {
        move |_| Some(name)
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_replaced_server_acknowledged_is_taken_once() {
        let recent = Recent::default();
        recent.vouch(&alert("ann", 1), "first");
        assert!(recent.take_orphans(servers("first")).is_empty());
        assert!(recent.take_orphans(|_| None).is_empty());
        assert_eq!(recent.take_orphans(servers("second")).len(), 1);
        assert!(recent.take_orphans(servers("third")).is_empty());
        assert_eq!(recent.bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_acknowledgement_is_forgotten_unless_nobody_can_be_asked() {
        let recent = Recent::default();
        recent.vouch(&alert("ann", 1), "first");
        tokio::time::advance(WINDOW * 2).await;
        assert!(recent.take_orphans(|_| None).is_empty());
        assert_eq!(recent.take_orphans(servers("second")).len(), 1);
        recent.vouch(&alert("ann", 1), "second");
        tokio::time::advance(WINDOW * 2).await;
        assert!(recent.take_orphans(servers("second")).is_empty());
        assert!(recent.take_orphans(servers("third")).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn number_and_bytes_are_bounded_and_the_newest_stay() {
        let recent = Recent::default();
        for _ in 0..MESSAGES_MAX + 10 {
            recent.vouch(&alert("ann", 1), "first");
        }
        assert_eq!(recent.lock().len(), MESSAGES_MAX);
        recent.vouch(&alert("bob", BYTES_MAX - 100), "first");
        assert!(recent.lock().len() < 100);
        assert_eq!(recent.lock().back().unwrap().publish.channel.as_str(), "user:bob");
    }
}
