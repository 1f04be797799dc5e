//! Leaving: clients are asked to go elsewhere, spread over time, before anything is closed.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use rand::RngExt;
use tickwire_protocol::{CloseCode, Event};

use super::Shard;
use crate::connection::ConnectionId;

/// One step of a drain.
const STEP: Duration = Duration::from_millis(50);
/// How much later than asked a client's own `afterMs` may lie.
const JITTER_MS_MAX: u64 = 2_000;

impl Shard {
    /// Sends `reconnect` to all over the first half of the drain time, closes each a while after it was to go, and
    /// returns when nobody is left or the time is up.
    pub(crate) async fn drain(self: &Rc<Self>) {
        let time = self.node.config.edge.drain();
        let begun = Instant::now();
        let asking = time / 2;
        let jitter_ms = JITTER_MS_MAX.min(u64::try_from(time.as_millis() / 4).unwrap_or(JITTER_MS_MAX));
        let mut waiting = Self::connections_where(&self.hub.borrow(), |_| true);
        let total = waiting.len();
        let mut asked: Vec<(ConnectionId, Instant)> = Vec::new();
        while begun.elapsed() < time {
            let elapsed = begun.elapsed();
            let due = if asking.is_zero() || elapsed >= asking { total } else { share(total, elapsed, asking) };
            while total - waiting.len() < due {
                let Some(id) = waiting.pop() else { break };
                let after_ms = rand::rng().random_range(0..=jitter_ms);
                self.reply(id, &Event::Reconnect { reason: "draining", after_ms });
                self.node.metrics.drain_asked.inc();
                asked.push((id, Instant::now() + Duration::from_millis(after_ms + jitter_ms)));
            }
            asked.retain(|&(id, close_at)| {
                if Instant::now() < close_at {
                    return true;
                }
                self.close(id, CloseCode::GoingAway, "the node drains", None);
                false
            });
            self.flush_urgent();
            if self.hub.borrow().connections.is_empty() {
                return;
            }
            tokio::time::sleep(STEP.min(time / 20)).await;
        }
        // The time is up for all that are left, also for those that came during the drain.
        let left = Self::connections_where(&self.hub.borrow(), |_| true);
        self.node.metrics.drain_cut.inc_by(left.len() as u64);
        for id in left {
            self.close(id, CloseCode::GoingAway, "the node drains", None);
        }
        self.flush_urgent();
    }
}

fn share(total: usize, elapsed: Duration, of: Duration) -> usize {
    let share = (total as u128 * elapsed.as_millis()) / of.as_millis().max(1);
    usize::try_from(share).unwrap_or(total) + 1
}
