//! Order books as they travel: the messages of `book:{exchange}:{symbol}`, and a book put together from them.
//!
//! A message's `data` is a [`BookUpdate`]. A `snapshot` replaces everything, a `delta` sets absolute quantities (zero deletes a
//! level), a `state` says that the book can or cannot be believed. Who publishes repeats a snapshot after at most
//! [`DELTAS_MAX`] deltas, and begins with one after a takeover, a failed publish or a new epoch: so the channel's history always
//! holds one, and a delta whose snapshot is not known is skipped, never guessed. A live book of which nothing new is to be said is vouched
//! for by an empty delta every [`HEARTBEAT_MS`]: one that is silent for [`SILENT_MS`] has lost its publisher, and nobody should take it for
//! live any more.
//!
//! A subscription with `"params":{"depth":10}` gets the same messages of the best levels alone: [`Depth`].
//!
//! Prices and quantities are decimals from text to text; equal numbers are one level however many zeros they have.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeTuple};

/// The namespace of books.
pub const NAMESPACE: &str = "book";
/// Deltas between two snapshots at most. Histories of books are longer than twice this.
pub const DELTAS_MAX: u32 = 100;
/// How often a publisher vouches for a live book that does not change, milliseconds.
pub const HEARTBEAT_MS: u64 = 5_000;
/// The silence after which a book that was live is no longer to be believed, milliseconds.
pub const SILENT_MS: u64 = 3 * HEARTBEAT_MS;
/// Levels that one side of a [`Book`] holds at most.
pub const LEVELS_MAX: usize = 10_000;

/// A price and the quantity there; `["61837.63","3.7"]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// The price.
    pub price: Decimal,
    /// What is offered or wanted there. Zero in a delta: nothing any more.
    pub qty: Decimal,
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Text<'a>(&'a Decimal);
        impl Serialize for Text<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self.0)
            }
        }
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&Text(&self.price))?;
        pair.serialize_element(&Text(&self.qty))?;
        pair.end()
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (price, qty) = <(std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)>::deserialize(deserializer)?;
        let exact = |text: &str| Decimal::from_str_exact(text).map_err(serde::de::Error::custom);
        let level = Self { price: exact(&price)?, qty: exact(&qty)? };
        if level.qty.is_sign_negative() && !level.qty.is_zero() {
            return Err(serde::de::Error::custom("a quantity below zero"));
        }
        Ok(level)
    }
}

/// What a message does to the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Replaces everything.
    Snapshot,
    /// Sets what changed.
    Delta,
    /// Changes the state alone.
    State,
}

/// Whether a book can be believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is what the venue has.
    Live,
    /// Something is missing or wrong: nothing of it may be shown as live.
    Suspect,
    /// Any other that is not live (`idle`, `subscribing`, `buffering`, `syncing`, `resyncing`, and what a later version adds).
    #[serde(untagged)]
    Other(Box<str>),
}

/// The data of a book's message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BookUpdate {
    /// Always `book`.
    pub r#type: Box<str>,
    /// Which of the three.
    pub kind: Kind,
    /// As of this message.
    pub state: State,
    /// Why the state is not live, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// The venue.
    #[serde(default)]
    pub exchange: Box<str>,
    /// What is traded there.
    #[serde(default)]
    pub symbol: Box<str>,
    /// Levels a side of a view; absent where the whole book travels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<Depth>,
    /// Best first in a snapshot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bids: Vec<Level>,
    /// Best first in a snapshot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<Level>,
    /// The venue's own numbering, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The venue's clock, milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub venue_time: Option<i64>,
    /// When the feed received it, milliseconds since the Unix epoch.
    #[serde(default)]
    pub received_at: i64,
    /// When the feed published it, milliseconds since the Unix epoch.
    #[serde(default)]
    pub published_at: u64,
    /// It comes from a recording.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

/// Levels a side that a view shows: one of a closed set, so that few views serve all subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Depth(u16);

impl Depth {
    /// All there are.
    pub const ALL: [Self; 6] = [Self(1), Self(5), Self(10), Self(20), Self(50), Self(100)];

    /// That many levels a side.
    pub fn levels(self) -> usize {
        usize::from(self.0)
    }
}

/// A depth that no view has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("depth is one of 1, 5, 10, 20, 50 and 100")]
pub struct BadDepth;

impl TryFrom<u16> for Depth {
    type Error = BadDepth;

    fn try_from(levels: u16) -> Result<Self, BadDepth> {
        Self::ALL.into_iter().find(|depth| depth.0 == levels).ok_or(BadDepth)
    }
}

impl From<Depth> for u16 {
    fn from(depth: Depth) -> Self {
        depth.0
    }
}

/// A message that cannot be part of a book; the book is not to be believed until the next snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a book has more than 10000 levels a side")]
pub struct TooDeep;

/// A book put together from its messages. Believe its levels only while [`Book::is_live`].
#[derive(Debug, Clone, Default)]
pub struct Book {
    bids: BTreeMap<Decimal, Decimal>,
    asks: BTreeMap<Decimal, Decimal>,
    is_whole: bool,
    is_live: bool,
}

impl Book {
    /// Takes the next message. Deltas before the first snapshot, and after [`Book::lose`], are skipped.
    pub fn apply(&mut self, update: &BookUpdate) -> Result<(), TooDeep> {
        let is_live = update.state == State::Live;
        match update.kind {
            Kind::Snapshot => {
                self.lose();
                self.is_whole = is_live;
                self.set(update)?;
            }
            Kind::Delta if self.is_whole => self.set(update)?,
            Kind::Delta | Kind::State => {}
        }
        self.is_live = is_live && self.is_whole;
        if !is_live {
            self.lose();
        }
        Ok(())
    }

    fn set(&mut self, update: &BookUpdate) -> Result<(), TooDeep> {
        for (side, levels) in [(&mut self.bids, &update.bids), (&mut self.asks, &update.asks)] {
            for level in levels {
                if level.qty.is_zero() {
                    side.remove(&level.price);
                } else {
                    side.insert(level.price, level.qty);
                }
            }
        }
        if self.bids.len().max(self.asks.len()) > LEVELS_MAX {
            self.lose();
            return Err(TooDeep);
        }
        Ok(())
    }

    /// Something is missing: nothing is believed until the next snapshot.
    pub fn lose(&mut self) {
        *self = Self::default();
    }

    /// Whether its levels may be shown as what the venue has.
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// Highest first.
    pub fn bids(&self) -> impl Iterator<Item = Level> + '_ {
        self.bids.iter().rev().map(|(&price, &qty)| Level { price, qty })
    }

    /// Lowest first.
    pub fn asks(&self) -> impl Iterator<Item = Level> + '_ {
        self.asks.iter().map(|(&price, &qty)| Level { price, qty })
    }

    /// The best levels.
    pub fn top(&self, depth: Depth) -> Top {
        let levels = depth.levels();
        Top { bids: self.bids().take(levels).collect(), asks: self.asks().take(levels).collect() }
    }
}

/// The best levels of a book, each side best first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Top {
    /// Highest first.
    pub bids: Vec<Level>,
    /// Lowest first.
    pub asks: Vec<Level>,
}

impl Top {
    /// What turns this into `next`, as a delta says it.
    #[must_use]
    pub fn changes(&self, next: &Self) -> Self {
        Self {
            bids: changes(&self.bids, &next.bids, |before, after| before > after),
            asks: changes(&self.asks, &next.asks, |before, after| before < after),
        }
    }

    /// There are no levels.
    pub fn is_empty(&self) -> bool {
        self.bids.is_empty() && self.asks.is_empty()
    }
}

/// Both lists are best first by `is_better`.
fn changes(before: &[Level], after: &[Level], is_better: impl Fn(Decimal, Decimal) -> bool) -> Vec<Level> {
    let mut changes = Vec::new();
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    loop {
        match (old.peek(), new.peek()) {
            (None, None) => return changes,
            (Some(gone), next) if next.is_none_or(|next| is_better(gone.price, next.price)) => {
                changes.push(Level { qty: Decimal::ZERO, ..**gone });
                old.next();
            }
            (Some(same), Some(next)) if same.price == next.price => {
                if same.qty != next.qty {
                    changes.push(**next);
                }
                old.next();
                new.next();
            }
            (_, Some(next)) => {
                changes.push(**next);
                new.next();
            }
            (Some(_), None) => {
                old.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn update(kind: Kind, state: State, bids: &[(i64, i64)], asks: &[(i64, i64)]) -> BookUpdate {
        let levels = |side: &[(i64, i64)]| {
            side.iter()
                .map(|&(price, qty)| Level { price: Decimal::new(price, 1), qty: Decimal::new(qty, 2) })
                .collect()
        };
        BookUpdate {
            r#type: "book".into(),
            kind,
            state,
            reason: None,
            exchange: "okx".into(),
            symbol: "BTC/USDT".into(),
            depth: None,
            bids: levels(bids),
            asks: levels(asks),
            sequence: None,
            venue_time: None,
            received_at: 0,
            published_at: 0,
            replayed: false,
        }
    }

    fn prices(levels: impl Iterator<Item = Level>) -> Vec<String> {
        levels.map(|level| format!("{} x {}", level.price, level.qty)).collect()
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        let text = r#"{"type":"book","kind":"delta","state":"live","exchange":"okx","symbol":"BTC/USDT","bids":[["61837.630","0.10"]],"receivedAt":1,"publishedAt":2}"#;
        let update: BookUpdate = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&update).unwrap(), text);
        let state = r#"{"type":"book","kind":"state","state":"resyncing","reason":"gap","later":1}"#;
        let update: BookUpdate = serde_json::from_str(state).unwrap();
        assert_eq!(update.state, State::Other("resyncing".into()));
        assert!(serde_json::from_str::<BookUpdate>(&text.replace("\"0.10\"", "0.10")).is_err(), "no number is a float");
        assert!(serde_json::from_str::<BookUpdate>(&text.replace("0.10", "-0.10")).is_err());
    }

    #[test]
    fn nothing_is_believed_before_a_snapshot_and_after_anything_but_live() {
        let mut book = Book::default();
        book.apply(&update(Kind::Delta, State::Live, &[(10, 1)], &[])).unwrap();
        assert!(!book.is_live() && book.top(Depth(10)).is_empty());
        book.apply(&update(Kind::Snapshot, State::Live, &[(10, 1), (9, 2)], &[(11, 1)])).unwrap();
        book.apply(&update(Kind::Delta, State::Live, &[(10, 0), (8, 5)], &[])).unwrap();
        assert!(book.is_live());
        assert_eq!(prices(book.bids()), ["0.9 x 0.02", "0.8 x 0.05"]);
        book.apply(&update(Kind::State, State::Suspect, &[], &[])).unwrap();
        assert!(!book.is_live());
        book.apply(&update(Kind::Delta, State::Live, &[(10, 1)], &[])).unwrap();
        assert!(!book.is_live(), "a delta does not make it whole again");
    }

    #[test]
    fn equal_prices_are_one_level_whatever_their_zeros() {
        let mut book = Book::default();
        book.apply(&update(Kind::Snapshot, State::Live, &[(10, 1)], &[])).unwrap();
        let level = Level { price: Decimal::new(1_000, 3), qty: Decimal::ZERO };
        book.apply(&BookUpdate { bids: vec![level], ..update(Kind::Delta, State::Live, &[], &[]) }).unwrap();
        assert_eq!(prices(book.bids()), Vec::<String>::new());
    }

    #[test]
    fn a_book_is_bounded() {
        let mut book = Book::default();
        let many: Vec<(i64, i64)> = (0..=10_000).map(|price| (price, 1)).collect();
        assert_eq!(book.apply(&update(Kind::Snapshot, State::Live, &many, &[])), Err(TooDeep));
        assert!(!book.is_live() && book.bids().next().is_none());
    }

    proptest! {
        /// Who has a view and applies its changes has the best levels of the book, whatever happens to the book.
        #[test]
        fn a_view_that_follows_the_changes_is_the_top_of_the_book(
            depth in prop::sample::select(Depth::ALL.to_vec()),
            steps in prop::collection::vec(
                (prop::collection::vec((0_i64..60, 0_i64..4), 0..8), prop::collection::vec((0_i64..60, 0_i64..4), 0..8)),
                1..60
            )
        ) {
            let mut book = Book::default();
            book.apply(&update(Kind::Snapshot, State::Live, &[], &[])).unwrap();
            let mut view = Book::default();
            view.apply(&update(Kind::Snapshot, State::Live, &[], &[])).unwrap();
            let mut shown = book.top(depth);
            for (bids, asks) in steps {
                book.apply(&update(Kind::Delta, State::Live, &bids, &asks)).unwrap();
                let next = book.top(depth);
                let Top { bids, asks } = shown.changes(&next);
                view.apply(&BookUpdate { bids, asks, ..update(Kind::Delta, State::Live, &[], &[]) }).unwrap();
                prop_assert_eq!(view.bids().collect::<Vec<_>>(), next.bids.clone());
                prop_assert_eq!(view.asks().collect::<Vec<_>>(), next.asks.clone());
                shown = next;
            }
        }
    }
}
