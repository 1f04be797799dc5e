//! Order books that are never silently wrong.
//!
//! A book is in one of seven states. Only `live` may be believed; a rule that fails turns it `suspect` on that very message, and
//! it stays so until a whole new snapshot has replaced it. The venue's sequence rule and checksum are checked by the venue's own
//! module; what is common stands here: levels, states, the audit against quotes, the budget of resyncs.

pub mod audit;
pub mod budget;
pub mod levels;

pub use audit::Audit;
pub use budget::{Budget, Rate};
pub use levels::Levels;

use serde::Serialize;

use crate::model::{Level, Top};

/// How far a book is in step with its venue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BookState {
    /// Nobody asked for it.
    #[default]
    Idle,
    /// Asked for; nothing has come.
    Subscribing,
    /// Deltas are kept until a snapshot fetched by HTTP arrives (Binance).
    Buffering,
    /// Waiting for a snapshot: in the stream, or its first fitting delta after one fetched.
    Syncing,
    /// In step.
    Live,
    /// A rule failed: what it holds must not be believed.
    Suspect,
    /// A new snapshot has been asked for.
    Resyncing,
}

impl BookState {
    /// The name, lowercase.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Subscribing => "subscribing",
            Self::Buffering => "buffering",
            Self::Syncing => "syncing",
            Self::Live => "live",
            Self::Suspect => "suspect",
            Self::Resyncing => "resyncing",
        }
    }
}

/// What was found wrong with a message or a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Anomaly {
    /// Messages are missing before this one.
    Gap,
    /// The venue's checksum does not fit the book.
    Checksum,
    /// The best bid is not below the best ask.
    Crossed,
    /// A second signal of the venue (quote, partial book) contradicts the book at the same update id.
    Audit,
    /// Seen before; ignored.
    Duplicate,
    /// Older than what was applied.
    OutOfOrder,
    /// More levels, or more waiting deltas, than a book may hold.
    Overflow,
    /// The connection's sign of life is missing.
    Silence,
}

impl Anomaly {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Gap,
        Self::Checksum,
        Self::Crossed,
        Self::Audit,
        Self::Duplicate,
        Self::OutOfOrder,
        Self::Overflow,
        Self::Silence,
    ];

    /// The name in summaries and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Checksum => "checksum",
            Self::Crossed => "crossed",
            Self::Audit => "audit",
            Self::Duplicate => "duplicate",
            Self::OutOfOrder => "out_of_order",
            Self::Overflow => "overflow",
            Self::Silence => "silence",
        }
    }
}

/// What happened to a book so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Snapshots applied.
    pub snapshots: u64,
    /// Deltas applied.
    pub updates: u64,
    /// Deltas left out because a snapshot already held them.
    pub stale: u64,
    /// Deltas dropped because there was no book to apply them to.
    pub dropped: u64,
    /// Checks of sequence or checksum.
    pub checked: u64,
    /// Checks passed.
    pub passed: u64,
    /// Comparisons with a second signal.
    pub audited: u64,
    /// Times that it turned suspect.
    pub suspected: u64,
    /// Resyncs begun.
    pub resyncs: u64,
}

/// A book: levels, state, and where in the venue's sequence it stands.
#[derive(Debug, Default)]
pub struct Book {
    /// The levels. Believe them only while `state` is live.
    pub levels: Levels,
    /// The state. Changed through the adapter, which tells of each change.
    pub(crate) state: BookState,
    /// The last native sequence number applied.
    pub(crate) last_seq: Option<u64>,
    /// What happened so far.
    pub counts: Counts,
    /// Comparison with quotes.
    pub(crate) audit: Audit,
    /// Levels kept a side; what falls beyond is cut after each message (Kraken). None: all.
    pub(crate) depth: Option<usize>,
    /// When to resync at the earliest, on the connection's clock (ms).
    pub(crate) resync_at_ms: Option<u64>,
    /// Hash of the last message applied: tells duplicates where the venue numbers nothing.
    pub(crate) last_hash: Option<u64>,
    /// When the venue made the newest change that was applied, nanoseconds since the epoch: tells disorder where nothing is numbered.
    pub(crate) newest_at: Option<i64>,
}

impl Book {
    /// The state.
    pub fn state(&self) -> BookState {
        self.state
    }

    /// The last native sequence number applied.
    pub fn last_seq(&self) -> Option<u64> {
        self.last_seq
    }

    /// The best levels and the sizes.
    pub fn top(&self) -> Top {
        self.levels.top()
    }

    /// Replaces everything: nothing of the old book stays.
    pub(crate) fn replace(&mut self, bids: &[Level], asks: &[Level], seq: Option<u64>) -> Result<(), Anomaly> {
        self.levels.replace(bids, asks)?;
        self.audit.restart();
        self.finish(seq)?;
        self.counts.snapshots += 1;
        Ok(())
    }

    /// Applies a change whose sequence was found right.
    pub(crate) fn apply(&mut self, bids: &[Level], asks: &[Level], seq: Option<u64>) -> Result<(), Anomaly> {
        self.levels.apply(bids, asks)?;
        self.finish(seq)?;
        self.counts.updates += 1;
        Ok(())
    }

    fn finish(&mut self, seq: Option<u64>) -> Result<(), Anomaly> {
        if let Some(depth) = self.depth {
            self.levels.truncate(depth);
        }
        self.last_seq = seq.or(self.last_seq);
        if self.levels.is_crossed() { Err(Anomaly::Crossed) } else { Ok(()) }
    }

    /// Notes a check of the venue's evidence.
    pub(crate) fn check(&mut self, passed: bool, otherwise: Anomaly) -> Result<(), Anomaly> {
        self.counts.checked += 1;
        if !passed {
            return Err(otherwise);
        }
        self.counts.passed += 1;
        Ok(())
    }

    /// Back to nothing, but for the counts and the depth.
    pub(crate) fn reset(&mut self) {
        *self = Self { counts: self.counts, depth: self.depth, ..Self::default() };
    }
}
