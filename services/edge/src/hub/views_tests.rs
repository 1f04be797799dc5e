use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const FIVE: usize = 1;

fn publication(data: &Value) -> Arc<Publication> {
    let channel = ChannelName::new("book:okx:BTC/USDT").unwrap();
    let mut publication = Arc::into_inner(message(&channel, &Views::of(&[]).newest, 0).unwrap()).unwrap();
    publication.data = RawJson::of(data).unwrap();
    Arc::new(publication)
}

fn book(kind: &str, state: &str, bids: &[(u8, u8)], asks: &[(u8, u8)]) -> Value {
    let side = |levels: &[(u8, u8)]| -> Vec<[String; 2]> {
        levels.iter().map(|(price, qty)| [format!("{price}.5"), qty.to_string()]).collect()
    };
    json!({"type": "book", "kind": kind, "state": state, "exchange": "okx", "symbol": "BTC/USDT",
        "bids": side(bids), "asks": side(asks), "receivedAt": 1, "publishedAt": 2})
}

fn live(kind: &str, bids: &[(u8, u8)]) -> Arc<Publication> {
    publication(&book(kind, "live", bids, &[]))
}

fn kinds(changes: &[Change]) -> Vec<(Kind, usize)> {
    changes.iter().map(|change| (change.update.kind, change.update.bids.len())).collect()
}

#[test]
fn a_view_is_told_of_its_own_levels_alone() {
    let mut views = Views::of(&[live("snapshot", &[(9, 1), (8, 1), (7, 1)])]);
    let (first, is_new) = views.show(Depth::ALL[0]);
    assert!(is_new && first.kind == Kind::Snapshot && first.bids.len() == 1);
    assert!(!views.show(Depth::ALL[0]).1);
    let (changes, taken) = views.apply(&live("delta", &[(7, 5)]));
    assert!(changes.is_empty() && taken.is_ok(), "the third level is not shown");
    let (changes, _) = views.apply(&live("delta", &[(9, 0)]));
    assert_eq!(kinds(&changes), [(Kind::Delta, 2)], "one level leaves, the next comes");
    let depths: Vec<u16> = changes.iter().map(|change| change.depth.into()).collect();
    assert_eq!(depths, [1]);
    assert_eq!(views.retain(|_| false), 1);
    assert!(views.is_empty());
}

#[test]
fn doubt_is_told_at_once_and_its_end_is_a_snapshot() {
    let mut views = Views::of(&[live("snapshot", &[(9, 1)])]);
    views.show(Depth::ALL[FIVE]);
    let suspect = views.suspend(Doubt::Gap);
    assert_eq!(suspect[0].update.state, State::Suspect);
    assert_eq!(suspect[0].update.reason.as_deref(), Some("gap"));
    assert!(suspect[0].whole().bids.is_empty(), "nothing is shown as live");
    assert!(views.suspend(Doubt::Outage).is_empty(), "it is known");
    assert!(views.apply(&live("delta", &[(8, 1)])).0.is_empty());
    assert!(views.resume(Doubt::Outage).is_empty(), "the hole is still there");
    assert_eq!(kinds(&views.resume(Doubt::Gap)), [(Kind::Snapshot, 2)]);
    views.suspend(Doubt::Outage);
    let (changes, _) = views.apply(&live("delta", &[(7, 1)]));
    assert_eq!(kinds(&changes), [(Kind::Snapshot, 3)], "what comes without a hole ends an outage");
}

#[test]
fn what_its_feed_doubts_or_damages_is_never_live() {
    let mut views = Views::of(&[live("delta", &[(9, 1)])]);
    assert_eq!(views.show(Depth::ALL[FIVE]).0.reason.as_deref(), Some("no_snapshot"));
    let (changes, _) = views.apply(&live("snapshot", &[(9, 1)]));
    assert_eq!(kinds(&changes), [(Kind::Snapshot, 1)]);
    let (changes, _) = views.apply(&publication(&json!({"type": "book", "kind": "state", "state": "resyncing"})));
    assert_eq!(changes[0].update.state, State::Other("resyncing".into()));
    views.apply(&live("snapshot", &[(9, 1)])).1.unwrap();
    let (changes, taken) = views.apply(&publication(&json!({"kind": "delta", "bids": [[1.5, 2]]})));
    assert_eq!((taken, changes[0].update.reason.as_deref()), (Err(Damaged), Some("malformed")));
    assert!(views.apply(&live("delta", &[(9, 2)])).0.is_empty());
    assert_eq!(kinds(&views.apply(&live("snapshot", &[(9, 2)])).0), [(Kind::Snapshot, 1)]);
    views.lose("history_lost");
    assert_eq!(kinds(&views.suspend(Doubt::Gap)), [(Kind::State, 0)]);
    assert!(views.resume(Doubt::Gap).iter().all(|change| change.update.state == State::Suspect));
}

#[test]
fn a_book_whose_publishers_fell_silent_is_not_live() {
    let mut views = Views::of(&[live("snapshot", &[(9, 1)])]);
    views.show(Depth::ALL[FIVE]);
    let seconds = |views: &mut Views, count: u64| -> Vec<Change> {
        (0..count).flat_map(|_| views.on_time(Duration::from_secs(1))).collect()
    };
    let patience_s = SILENT_MS / 1_000;
    assert!(seconds(&mut views, patience_s - 1).is_empty());
    assert!(views.apply(&live("delta", &[])).0.is_empty(), "an empty delta vouches for it");
    assert!(seconds(&mut views, patience_s - 1).is_empty());
    let suspect = seconds(&mut views, 5);
    assert_eq!(kinds(&suspect), [(Kind::State, 0)], "said once");
    assert_eq!((&suspect[0].update.state, suspect[0].update.reason.as_deref()), (&State::Suspect, Some("silent")));
    assert_eq!(kinds(&views.apply(&live("delta", &[])).0), [(Kind::Snapshot, 1)]);
    views.suspend(Doubt::Gap);
    assert!(seconds(&mut views, 2 * patience_s).is_empty(), "it is not live anyway");
}

#[test]
fn a_book_found_in_an_old_history_is_not_live_until_somebody_vouches_for_it() {
    let mut views = Views::of(&[live("snapshot", &[(9, 1)])]);
    views.note_age(2, SILENT_MS + 1);
    assert_eq!(views.show(Depth::ALL[FIVE]).0.kind, Kind::Snapshot);
    let mut views = Views::of(&[live("snapshot", &[(9, 1)])]);
    views.note_age(2, SILENT_MS + 2);
    assert_eq!(views.show(Depth::ALL[FIVE]).0.reason.as_deref(), Some("silent"));
    assert_eq!(kinds(&views.apply(&live("delta", &[(8, 1)])).0), [(Kind::Snapshot, 2)]);
}

#[derive(Debug, Clone)]
enum Step {
    Message(&'static str, &'static str, Vec<(u8, u8)>, Vec<(u8, u8)>),
    Damaged,
    Suspend(bool),
    Resume(bool),
    Lose,
    Join(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let levels = || prop::collection::vec((0_u8..30, 0_u8..4), 0..6);
    let step = prop_oneof![
        8 => (levels(), levels()).prop_map(|(bids, asks)| Step::Message("delta", "live", bids, asks)),
        2 => (levels(), levels()).prop_map(|(bids, asks)| Step::Message("snapshot", "live", bids, asks)),
        1 => Just(Step::Message("state", "suspect", Vec::new(), Vec::new())),
        1 => Just(Step::Damaged),
        1 => any::<bool>().prop_map(Step::Suspend),
        1 => any::<bool>().prop_map(Step::Resume),
        1 => Just(Step::Lose),
        2 => (0_usize..6).prop_map(Step::Join),
    ];
    prop::collection::vec(step, 1..80)
}

/// A client. A slow one has one message waiting, in whose place comes all that is shown.
struct Reader {
    depth: Depth,
    book: Book,
    is_slow: bool,
    missed: Option<BookUpdate>,
}

impl Reader {
    fn take(&mut self, change: &Change) {
        if self.is_slow && self.missed.is_none() {
            self.missed = Some(change.update.clone());
        } else if self.is_slow {
            self.missed = Some(change.whole());
        } else {
            self.book.apply(&change.update).unwrap();
        }
    }
}

proptest! {
    /// G12 for views: whatever happens, who follows a view, fast or conflated, has just the book's best levels while it is shown as
    /// live, and sees no level as live that the stream or the feed does not vouch for.
    #[test]
    fn a_view_is_the_top_of_the_full_book_or_not_live(steps in steps(), slow_turn in 1_usize..7) {
        let mut views = Views::of(&[]);
        let mut readers: Vec<Reader> = Vec::new();
        let mut full = Book::default();
        let mut is_lost = false;
        let mut doubts = (false, false);
        for (turn, step) in steps.into_iter().enumerate() {
            let changes = match step {
                Step::Message(kind, state, bids, asks) => {
                    let message = publication(&book(kind, state, &bids, &asks));
                    full.apply(&message.data.to().unwrap()).unwrap();
                    doubts.1 = false;
                    views.apply(&message).0
                }
                Step::Damaged => {
                    full.lose();
                    doubts.1 = false;
                    views.apply(&publication(&json!("no book"))).0
                }
                Step::Suspend(is_gap) => {
                    if is_gap { doubts = (true, false) } else { doubts.1 = !doubts.0 }
                    views.suspend(if is_gap { Doubt::Gap } else { Doubt::Outage })
                }
                Step::Resume(is_gap) => {
                    if is_gap { doubts.0 = false } else { doubts.1 = false }
                    views.resume(if is_gap { Doubt::Gap } else { Doubt::Outage })
                }
                // As a reset does: the stream is being repaired, and goes on when that is over.
                Step::Lose => {
                    full.lose();
                    views.lose("history_lost");
                    is_lost = true;
                    let mut changes = views.suspend(Doubt::Gap);
                    changes.extend(views.resume(Doubt::Gap));
                    doubts.0 = false;
                    changes
                }
                Step::Join(depth) => {
                    let depth = Depth::ALL[depth];
                    let mut book = Book::default();
                    book.apply(&views.show(depth).0).unwrap();
                    readers.push(Reader { depth, book, is_slow: readers.len() % 2 == 1, missed: None });
                    SmallVec::new()
                }
            };
            for change in &changes {
                readers.iter_mut().filter(|reader| reader.depth == change.depth).for_each(|reader| reader.take(change));
            }
            let is_live = full.is_live() && doubts == (false, false);
            for reader in &mut readers {
                if reader.is_slow && turn % slow_turn != 0 {
                    continue;
                }
                if let Some(missed) = reader.missed.take() {
                    reader.book.apply(&missed).unwrap();
                }
                prop_assert_eq!(reader.book.is_live(), is_live, "lost: {}", is_lost);
                if is_live {
                    prop_assert_eq!(reader.book.top(reader.depth), full.top(reader.depth));
                    prop_assert_eq!(reader.book.bids().count(), full.top(reader.depth).bids.len());
                }
            }
        }
    }
}
