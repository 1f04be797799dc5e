//! The times that adapters are given.

use std::sync::Arc;

use tickwire_protocol::time::now_ms;
use tokio::time::{Duration, Instant};

use crate::venue::Moment;

/// A clock that never goes back, tied to the wall's once: reception times have nanoseconds, and steps of the wall clock do not
/// reorder events. Tied anew each [`RETIE`], so that it does not drift away from the wall's.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    tie: Arc<std::sync::Mutex<Tie>>,
    began: Instant,
}

#[derive(Debug)]
struct Tie {
    at: Instant,
    wall_ns: i64,
}

const RETIE: Duration = Duration::from_secs(60);

impl Clock {
    pub(crate) fn new() -> Self {
        let began = Instant::now();
        Self { tie: Arc::new(std::sync::Mutex::new(Tie { at: began, wall_ns: wall_ns() })), began }
    }

    pub(crate) fn now(&self) -> Moment {
        let now = Instant::now();
        let mut tie = self.tie.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if now.duration_since(tie.at) >= RETIE {
            *tie = Tie { at: now, wall_ns: wall_ns() };
        }
        let since = i64::try_from(now.duration_since(tie.at).as_nanos()).unwrap_or(i64::MAX);
        let mono_ms = u64::try_from(now.duration_since(self.began).as_millis()).unwrap_or(u64::MAX);
        Moment { mono_ms, wall_ns: tie.wall_ns.saturating_add(since) }
    }

    /// When `mono_ms` is. A little later, so that a timer for it never fires before.
    pub(crate) fn instant(&self, mono_ms: u64) -> Instant {
        self.began + Duration::from_millis(mono_ms) + Duration::from_micros(100)
    }
}

fn wall_ns() -> i64 {
    i64::try_from(now_ms()).unwrap_or(i64::MAX / 1_000_000).saturating_mul(1_000_000)
}
