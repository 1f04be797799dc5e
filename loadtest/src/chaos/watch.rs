//! Where clients write down what they see, while the run goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use tickwire_protocol::{ChannelName, RawJson, time::now_ms};

use super::ledger::{ChannelLedger, InboxLog, LatestLog, ReaderLog};
use crate::record::Distribution;

/// Locks that are held for a line; a panic elsewhere does not make their data wrong.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What every message of a run says.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Payload {
    /// Its number in its channel, inbox or key.
    pub(crate) n: u64,
    /// When its publisher first tried, Unix ms.
    pub(crate) t: u64,
}

impl Payload {
    /// Of a message's data; an inbox wraps what was sent.
    pub(crate) fn of(data: &RawJson) -> Option<Self> {
        #[derive(Deserialize)]
        struct Wrapped {
            data: Payload,
        }
        data.to::<Self>().or_else(|_| data.to::<Wrapped>().map(|wrapped| wrapped.data)).ok()
    }
}

/// A `reliable` channel under observation.
#[derive(Debug, Clone)]
pub(crate) struct WatchedChannel {
    pub(crate) name: ChannelName,
    pub(crate) index: usize,
    pub(crate) ledger: Arc<Mutex<ChannelLedger>>,
}

/// What a client does with what a channel brings.
#[derive(Debug, Clone)]
pub(crate) enum Sink {
    Reliable {
        log: Arc<Mutex<ReaderLog>>,
        channel: WatchedChannel,
    },
    Latest {
        log: Arc<Mutex<LatestLog>>,
        name: ChannelName,
    },
    Inbox {
        log: Arc<Mutex<InboxLog>>,
        name: ChannelName,
    },
    /// Only to be present.
    Room {
        name: ChannelName,
    },
}

impl Sink {
    pub(crate) fn channel(&self) -> &ChannelName {
        match self {
            Self::Reliable { channel, .. } => &channel.name,
            Self::Latest { name, .. } | Self::Inbox { name, .. } | Self::Room { name } => name,
        }
    }
}

/// Time from publish to delivery, while all is quiet and at any time.
#[derive(Debug, Default)]
pub(crate) struct Delays {
    pub(crate) quiet: Distribution,
    pub(crate) all: Distribution,
}

/// Shared by all clients of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    delays: Arc<Mutex<Delays>>,
    is_quiet: Arc<std::sync::atomic::AtomicBool>,
}

impl Clock {
    /// A quiet phase begins or ends.
    pub(crate) fn set_quiet(&self, is_quiet: bool) {
        self.is_quiet.store(is_quiet, std::sync::atomic::Ordering::Relaxed);
    }

    /// A live message came.
    pub(crate) fn delivered(&self, payload: Payload) {
        let us = now_ms().saturating_sub(payload.t) * 1_000;
        let mut delays = lock(&self.delays);
        delays.all.record_us(us);
        if self.is_quiet.load(std::sync::atomic::Ordering::Relaxed) {
            delays.quiet.record_us(us);
        }
    }

    /// Reads them.
    pub(crate) fn delays(&self) -> MutexGuard<'_, Delays> {
        lock(&self.delays)
    }
}

/// Where a client is connected now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Whereabouts {
    /// The edge, while the connection stands.
    pub(crate) edge: Option<usize>,
    /// The edge asked it to go.
    pub(crate) asked_to_go: bool,
    /// The room has answered.
    pub(crate) in_room: bool,
    /// Connections lost without a word: edge and Unix ms, the newest [`LOSSES_MAX`].
    pub(crate) losses: Vec<(usize, u64)>,
    pub(crate) connects: u64,
}

/// Losses that a client remembers: a drain looks at the last seconds only.
const LOSSES_MAX: usize = 16;

impl Whereabouts {
    /// `edge-1` is edge 1.
    pub(crate) fn connected(&mut self, node: &str) {
        self.edge = node.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
        (self.asked_to_go, self.in_room) = (false, false);
        self.connects += 1;
    }

    /// The connection ended; `said` if the server said why.
    pub(crate) fn lost(&mut self, said: bool) {
        if let Some(edge) = self.edge.take()
            && !said
            && !self.asked_to_go
        {
            if self.losses.len() >= LOSSES_MAX {
                self.losses.remove(0);
            }
            self.losses.push((edge, now_ms()));
        }
        self.in_room = false;
    }
}
