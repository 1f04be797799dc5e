//! The best levels of a book, computed once for all subscribers of a shard who asked for as many. No I/O.
//!
//! A book's channel has [`Views`] while somebody on the shard has a depth of it. They are built from the channel's history and then
//! follow the stream, which is dense: what it cannot vouch for (a hole that is being read, a new epoch, a store that is away)
//! makes every view suspect at once, and a snapshot of the view follows when it can be believed again. Each shard has its own:
//! sharing them over a node's threads would put a lock on the way of every message, to save some microseconds for each
//! core that has such subscribers.

use std::{rc::Rc, sync::Arc, time::Duration};

use smallvec::SmallVec;
use tickwire_protocol::{
    ChannelName, DeliveryClass, Priority, Publication, RawJson,
    book::{Book, BookUpdate, Depth, Kind, SILENT_MS, State, Top},
    publication::{FrameCache, Tags},
};

/// Why the stream is not to be believed at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Messages are missing and are being read.
    Gap,
    /// The store is away: what is new is not heard of.
    Outage,
    /// Its publishers say nothing any more.
    Silence,
}

/// What a view's subscribers are to be told.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) depth: Depth,
    pub(crate) update: BookUpdate,
    /// All that the view shows after it; `None`: nothing that may be believed.
    top: Option<Rc<Top>>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Views {
    book: Book,
    /// The newest message without its levels.
    newest: BookUpdate,
    /// Why the book is not whole although its feed calls it live.
    loss: &'static str,
    doubt: Option<Doubt>,
    /// Time since its channel's newest message.
    silent: Duration,
    shown: SmallVec<[Shown; 2]>,
}

#[derive(Debug)]
struct Shown {
    depth: Depth,
    top: Option<Rc<Top>>,
    /// What was said last of the state.
    state: State,
}

/// What a message could not be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged;

impl Views {
    /// From a channel's messages up to the stream's tail. Only the newest snapshot and what follows it are looked at.
    pub(crate) fn of(messages: &[Arc<Publication>]) -> Self {
        let mut views = Self {
            book: Book::default(),
            newest: BookUpdate {
                r#type: "book".into(),
                kind: Kind::State,
                state: State::Suspect,
                reason: None,
                exchange: "".into(),
                symbol: "".into(),
                depth: None,
                bids: Vec::new(),
                asks: Vec::new(),
                sequence: None,
                venue_time: None,
                received_at: 0,
                published_at: 0,
                replayed: false,
            },
            loss: "no_snapshot",
            doubt: None,
            silent: Duration::ZERO,
            shown: SmallVec::new(),
        };
        let is_snapshot = |update: &BookUpdate| update.kind == Kind::Snapshot;
        let mut updates: Vec<Option<BookUpdate>> = Vec::new();
        for message in messages.iter().rev() {
            let update = message.data.to::<BookUpdate>().ok();
            let is_last = update.as_ref().is_some_and(is_snapshot);
            updates.push(update);
            if is_last {
                break;
            }
        }
        for update in updates.into_iter().rev() {
            // What is damaged is said by the state; there is nobody yet to tell it to.
            let _ = views.take(update);
        }
        views
    }

    /// Takes the stream's next message.
    pub(crate) fn apply(&mut self, publication: &Publication) -> (SmallVec<[Change; 2]>, Result<(), Damaged>) {
        let taken = self.take(publication.data.to::<BookUpdate>().ok());
        self.silent = Duration::ZERO;
        // The store is there again, and nothing is missing.
        self.doubt = self.doubt.filter(|&doubt| doubt == Doubt::Gap);
        (self.changes(), taken)
    }

    fn take(&mut self, update: Option<BookUpdate>) -> Result<(), Damaged> {
        let Some(mut update) = update else {
            self.lose("malformed");
            return Err(Damaged);
        };
        let applied = self.book.apply(&update);
        (update.bids, update.asks) = (Vec::new(), Vec::new());
        self.newest = update;
        applied.map_err(|_| {
            self.lose("too_deep");
            Damaged
        })
    }

    /// What was found in the history was published long ago: only what comes next shows that its publishers live.
    pub(crate) fn note_age(&mut self, published_ms: u64, now_ms: u64) {
        if now_ms.saturating_sub(published_ms) >= SILENT_MS {
            self.doubt.get_or_insert(Doubt::Silence);
        }
    }

    /// So much time has passed: a live book is vouched for every few seconds even if nothing changes.
    pub(crate) fn on_time(&mut self, passed: Duration) -> SmallVec<[Change; 2]> {
        self.silent = self.silent.saturating_add(passed);
        if self.silent < Duration::from_millis(SILENT_MS) || self.doubt.is_some() || !self.is_live() {
            return SmallVec::new();
        }
        self.suspend(Doubt::Silence)
    }

    /// The history was lost or trimmed: nothing is known until the next snapshot.
    pub(crate) fn lose(&mut self, why: &'static str) {
        self.book.lose();
        self.loss = why;
    }

    /// The stream is not to be believed.
    pub(crate) fn suspend(&mut self, doubt: Doubt) -> SmallVec<[Change; 2]> {
        if self.doubt != Some(Doubt::Gap) {
            self.doubt = Some(doubt);
        }
        self.changes()
    }

    /// That doubt is gone.
    pub(crate) fn resume(&mut self, doubt: Doubt) -> SmallVec<[Change; 2]> {
        self.doubt = self.doubt.filter(|&held| held != doubt);
        self.changes()
    }

    /// What somebody new to a depth gets, who is told of every change from here on. Also whether it is a new view.
    pub(crate) fn show(&mut self, depth: Depth) -> (BookUpdate, bool) {
        let known = self.shown.iter().position(|shown| shown.depth == depth);
        let at = known.unwrap_or_else(|| {
            let top = self.is_live().then(|| Rc::new(self.book.top(depth)));
            self.shown.push(Shown { depth, top, state: self.state().0 });
            self.shown.len() - 1
        });
        let top = self.shown[at].top.clone();
        (whole(&self.said(depth), top.as_deref()), known.is_none())
    }

    /// Forgets views that nobody has; how many.
    pub(crate) fn retain(&mut self, is_wanted: impl Fn(Depth) -> bool) -> usize {
        let before = self.shown.len();
        self.shown.retain(|shown| is_wanted(shown.depth));
        before - self.shown.len()
    }

    /// Nobody has any.
    pub(crate) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    fn is_live(&self) -> bool {
        self.doubt.is_none() && self.book.is_live()
    }

    /// As it is said to subscribers.
    fn state(&self) -> (State, Option<Box<str>>) {
        match self.doubt {
            Some(Doubt::Gap) => (State::Suspect, Some("gap".into())),
            Some(Doubt::Outage) => (State::Suspect, Some("backplane_unavailable".into())),
            Some(Doubt::Silence) => (State::Suspect, Some("silent".into())),
            None if self.newest.state == State::Live && !self.book.is_live() => {
                (State::Suspect, Some(self.loss.into()))
            }
            None => (self.newest.state.clone(), self.newest.reason.clone()),
        }
    }

    /// A message about the state, of which levels make another.
    fn said(&self, depth: Depth) -> BookUpdate {
        let (state, reason) = self.state();
        BookUpdate { kind: Kind::State, state, reason, depth: Some(depth), ..self.newest.clone() }
    }

    fn changes(&mut self) -> SmallVec<[Change; 2]> {
        let mut changes = SmallVec::new();
        for at in 0..self.shown.len() {
            let depth = self.shown[at].depth;
            let top = self.is_live().then(|| self.book.top(depth));
            let said = self.said(depth);
            let shown = &mut self.shown[at];
            let update = match (&shown.top, &top) {
                (Some(before), Some(after)) => {
                    let Top { bids, asks } = before.changes(after);
                    if bids.is_empty() && asks.is_empty() {
                        continue;
                    }
                    BookUpdate { kind: Kind::Delta, bids, asks, ..said }
                }
                (None, None) if shown.state == said.state => continue,
                (None, Some(_)) | (_, None) => whole(&said, top.as_ref()),
            };
            shown.state = update.state.clone();
            shown.top = top.map(Rc::new);
            changes.push(Change { depth, update, top: shown.top.clone() });
        }
        changes
    }
}

impl Change {
    /// What says as much to somebody who missed what came before.
    pub(crate) fn whole(&self) -> BookUpdate {
        let said = BookUpdate { kind: Kind::State, bids: Vec::new(), asks: Vec::new(), ..self.update.clone() };
        whole(&said, self.top.as_deref())
    }
}

fn whole(said: &BookUpdate, top: Option<&Top>) -> BookUpdate {
    match top {
        Some(top) => {
            BookUpdate { kind: Kind::Snapshot, bids: top.bids.clone(), asks: top.asks.clone(), ..said.clone() }
        }
        None => said.clone(),
    }
}

/// A view's message. It has no position: a client that lost it gets the whole view when it subscribes again.
pub(crate) fn message(channel: &ChannelName, update: &BookUpdate, time_ms: u64) -> Option<Arc<Publication>> {
    let data = RawJson::of(update)
        .inspect_err(|error| tracing::error!(%error, %channel, "a book's view cannot be rendered"))
        .ok()?;
    let priority = if update.kind == Kind::State { Priority::High } else { Priority::Medium };
    Some(Arc::new(Publication {
        channel: channel.clone(),
        position: None,
        class: DeliveryClass::Volatile,
        time_ms,
        stored_ms: None,
        priority,
        key: None,
        tags: Tags::new(),
        data,
        publisher: None,
        signature: None,
        expires_at_ms: None,
        traceparent: None,
        frames: FrameCache::default(),
    }))
}

#[cfg(test)]
#[path = "views_tests.rs"]
mod tests;
