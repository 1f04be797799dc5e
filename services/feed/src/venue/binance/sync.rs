//! Binance's rule for books: open the stream, keep its deltas, fetch a snapshot, drop what the snapshot holds, and from then on
//! let no update id be missing.
//!
//! Spot: `U == last u + 1`; futures: `pu == last u`. The first delta after the snapshot must hold `lastUpdateId + 1` (spot) or
//! `lastUpdateId` (futures) in `[U, u]`. A snapshot older than the first delta kept is fetched again.

use std::collections::VecDeque;

use crate::{
    book::{Anomaly, BookState},
    model::{Level, instant},
    venue::{
        binance::{
            limits::{SNAPSHOT_LEVELS, SNAPSHOT_WEIGHT},
            messages::{Depth, Partial},
        },
        desk::{Change, Desk},
    },
};

/// Deltas kept while a snapshot is fetched: eight minutes of one every 100 ms.
const BUFFER_MAX: usize = 5_000;
/// Levels in all of them.
const BUFFER_LEVELS_MAX: usize = 500_000;
/// Delay before a snapshot that came too early is fetched again; doubled each time.
const REFETCH_MS: u64 = 250;
/// How often it is fetched again before the book starts over.
const REFETCHES_MAX: u32 = 8;
/// How long a snapshot is waited for.
const PATIENCE_MS: u64 = 30_000;

/// The deltas of one book that wait for its snapshot.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    deltas: VecDeque<Pending>,
    levels: usize,
    refetches: u32,
    /// The snapshot is in, and its first delta has not come.
    joining: bool,
}

#[derive(Debug)]
struct Pending {
    first: u64,
    last: u64,
    previous: Option<u64>,
    change: Change,
}

impl Pending {
    fn new(depth: Depth<'_>, desk: &Desk) -> Self {
        let Depth { first, last, previous, .. } = depth;
        let change = Change {
            bids: depth.bids,
            asks: depth.asks,
            first_seq: Some(first),
            last_seq: Some(last),
            prev_seq: previous.or(first.checked_sub(1)),
            checksum: None,
            ts_exchange: instant::epoch(depth.time),
            arrived: Some((desk.now, desk.frame)),
        };
        Self { first, last, previous, change }
    }

    /// Whether a snapshot taken at `seq` holds all of this. Futures keep the delta that ends at it.
    fn is_in_snapshot(&self, seq: u64) -> bool {
        if self.previous.is_some() { self.last < seq } else { self.last <= seq }
    }

    /// Whether this is the first after a snapshot taken at `seq`.
    fn joins(&self, seq: u64) -> bool {
        if self.previous.is_some() {
            (self.first..=self.last).contains(&seq)
        } else {
            seq.checked_add(1).is_some_and(|next| (self.first..=self.last).contains(&next))
        }
    }

    fn follows(&self, seq: u64) -> bool {
        match self.previous {
            Some(previous) => previous == seq,
            None => seq.checked_add(1) == Some(self.first),
        }
    }
}

impl Buffer {
    /// Nothing kept.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A delta arrived.
pub(super) fn depth(buffer: &mut Buffer, id: usize, depth: Depth<'_>, desk: &mut Desk) {
    if depth.first > depth.last {
        return desk.suspect(id, Anomaly::OutOfOrder);
    }
    let pending = Pending::new(depth, desk);
    match desk.book(id).state {
        BookState::Live => live(buffer, id, pending, desk),
        BookState::Idle | BookState::Subscribing => {
            begin(buffer, id, desk);
            keep(buffer, id, pending, desk);
        }
        _ => keep(buffer, id, pending, desk),
    }
}

/// The stream is open: a snapshot taken from now on can be joined with it.
pub(super) fn begin(buffer: &mut Buffer, id: usize, desk: &mut Desk) {
    buffer.clear();
    desk.wait(id, BookState::Buffering, PATIENCE_MS);
    fetch(id, desk, 0);
}

fn keep(buffer: &mut Buffer, id: usize, pending: Pending, desk: &mut Desk) {
    buffer.levels += pending.change.bids.len() + pending.change.asks.len();
    if buffer.deltas.len() == BUFFER_MAX || buffer.levels > BUFFER_LEVELS_MAX {
        buffer.clear();
        return desk.suspect(id, Anomaly::Overflow);
    }
    buffer.deltas.push_back(pending);
}

/// Asks for a snapshot.
pub(super) fn fetch(id: usize, desk: &mut Desk, delay_ms: u64) {
    let native = desk.entries[id].native.clone();
    let path = match desk.market {
        crate::model::Market::Spot => "/api/v3/depth",
        crate::model::Market::Linear => "/fapi/v1/depth",
    };
    let path = format!("{path}?symbol={}&limit={SNAPSHOT_LEVELS}", super::subscribe::escape(&native));
    desk.fetch(id, &path, SNAPSHOT_WEIGHT, delay_ms);
}

/// The snapshot arrived.
pub(super) fn snapshot(buffer: &mut Buffer, id: usize, snapshot: Partial<'_>, desk: &mut Desk) {
    let state = desk.book(id).state;
    if !matches!(state, BookState::Buffering | BookState::Resyncing | BookState::Suspect) {
        return;
    }
    // Older than the first delta kept: what lies between is in neither.
    if buffer.deltas.front().is_some_and(|first| !first.is_in_snapshot(snapshot.last) && !first.joins(snapshot.last)) {
        return again(buffer, id, desk);
    }
    let change = Change {
        last_seq: Some(snapshot.last),
        bids: snapshot.bids,
        asks: snapshot.asks,
        ts_exchange: snapshot.time.and_then(instant::epoch),
        ..Change::default()
    };
    desk.install(id, change, |_| Ok(()));
    if desk.book(id).state != BookState::Live {
        return buffer.clear();
    }
    buffer.joining = true;
    for pending in std::mem::take(&mut buffer.deltas) {
        if desk.book(id).state == BookState::Live {
            live(buffer, id, pending, desk);
        }
    }
    if desk.book(id).state == BookState::Live {
        buffer.levels = 0;
        buffer.refetches = 0;
    }
}

/// Another snapshot, later each time.
fn again(buffer: &mut Buffer, id: usize, desk: &mut Desk) {
    buffer.refetches += 1;
    if buffer.refetches > REFETCHES_MAX {
        buffer.clear();
        return desk.suspect(id, Anomaly::Gap);
    }
    fetch(id, desk, REFETCH_MS << buffer.refetches.min(6));
}

/// The fetch failed.
pub(super) fn failed(buffer: &mut Buffer, id: usize, desk: &mut Desk) {
    if matches!(desk.book(id).state, BookState::Buffering | BookState::Resyncing) {
        again(buffer, id, desk);
    }
}

/// A resync: the stream goes on, only the snapshot is fetched anew.
pub(super) fn resync(buffer: &mut Buffer, id: usize, desk: &mut Desk) {
    buffer.refetches = 0;
    fetch(id, desk, 0);
}

fn live(buffer: &mut Buffer, id: usize, pending: Pending, desk: &mut Desk) {
    let book = desk.book(id);
    let Some(seq) = book.last_seq else { return };
    if buffer.joining {
        if pending.is_in_snapshot(seq) {
            book.counts.stale += 1;
            return;
        }
        buffer.joining = false;
        let joins = pending.joins(seq);
        return apply(buffer, id, pending, joins, desk);
    }
    if pending.last <= seq {
        let kind = if pending.last == seq { Anomaly::Duplicate } else { Anomaly::OutOfOrder };
        book.counts.stale += 1;
        return desk.anomaly(Some(id), kind);
    }
    let follows = pending.follows(seq);
    apply(buffer, id, pending, follows, desk);
}

fn apply(buffer: &mut Buffer, id: usize, pending: Pending, fits: bool, desk: &mut Desk) {
    if let Err(anomaly) = desk.book(id).check(fits, Anomaly::Gap) {
        buffer.clear();
        desk.suspect(id, anomaly);
        // The first of the deltas that the new snapshot will be joined with.
        return keep(buffer, id, pending, desk);
    }
    let last = pending.last;
    desk.change(id, pending.change, |book| match book.audit.take(last) {
        Some(quote) => {
            book.counts.audited += 1;
            if quote.fits(&book.top()) { Ok(()) } else { Err(Anomaly::Audit) }
        }
        None => Ok(()),
    });
}

/// The best levels of the book at an update id: where the book stands at the same id, it must hold exactly these.
pub(super) fn audit(id: usize, partial: &Partial<'_>, desk: &mut Desk) {
    let book = desk.book(id);
    if book.state != BookState::Live || book.last_seq != Some(partial.last) {
        return;
    }
    book.counts.audited += 1;
    let same =
        |held: &mut dyn Iterator<Item = &Level>, sent: &[Level]| sent.iter().all(|level| held.next() == Some(level));
    let fits = same(&mut book.levels.bids(), &partial.bids) && same(&mut book.levels.asks(), &partial.asks);
    if !fits {
        desk.suspect(id, Anomaly::Audit);
    }
}
