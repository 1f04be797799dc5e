//! What must not be forgotten, and who may write it.

use bytes::Bytes;

use super::{Nodes, unique};
use crate::{
    Append, BackplaneError, Fence, JournalName,
    journal::{APPEND_RECORDS_MAX, JOURNAL_PAGE_MAX, RECORD_BYTES_MAX},
};

const OLD: Fence = Fence(1_763_683_200_001);
const NEW: Fence = Fence(1_763_683_200_002);

fn name() -> JournalName {
    JournalName::new("session", &unique("s")).expect("a journal's name")
}

fn records(texts: &[&str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect()
}

fn append(journal: &JournalName, fence: Fence, expected: u64, texts: &[&str]) -> Append {
    Append { journal: journal.clone(), fence, expected, records: records(texts) }
}

/// In order, on any node, from any record on, by pages; and none where there is no such journal.
pub async fn records_are_read_in_order_by_pages(nodes: &Nodes) {
    let journal = name();
    let empty = nodes.one.read_journal(&journal, 0, 10).await.expect("an answer");
    assert_eq!((empty.length, empty.records.len()), (0, 0));
    let binary = Bytes::from_static(b"\0\xff\r\n");
    let first = Append { records: vec![binary.clone()], ..append(&journal, OLD, 0, &[]) };
    assert_eq!(nodes.one.append(first).await.expect("appended"), 1);
    assert_eq!(nodes.one.append(append(&journal, OLD, 1, &["two", "three", ""])).await.expect("appended"), 4);
    let all = nodes.two.read_journal(&journal, 0, 10).await.expect("records");
    assert_eq!(all.length, 4);
    assert_eq!(all.records, [vec![binary], records(&["two", "three", ""])].concat());
    let page = nodes.two.read_journal(&journal, 1, 2).await.expect("records");
    assert_eq!((page.length, page.records), (4, records(&["two", "three"])));
    let none = nodes.two.read_journal(&journal, 1, 0).await.expect("the length");
    assert_eq!((none.length, none.records.len()), (4, 0));
    let beyond = nodes.two.read_journal(&journal, 9, 10).await.expect("nothing");
    assert_eq!((beyond.length, beyond.records.len()), (4, 0));
}

/// One who does not know of every record cannot add to them.
pub async fn another_length_than_expected_is_refused(nodes: &Nodes) {
    let journal = name();
    let early = nodes.one.append(append(&journal, OLD, 1, &["x"])).await;
    assert!(matches!(early, Err(BackplaneError::JournalMoved { length: 0 })), "{early:?}");
    nodes.one.append(append(&journal, OLD, 0, &["one", "two"])).await.expect("appended");
    for expected in [0, 1, 3] {
        let refused = nodes.two.append(append(&journal, OLD, expected, &["x"])).await;
        assert!(matches!(refused, Err(BackplaneError::JournalMoved { length: 2 })), "{expected}: {refused:?}");
    }
    assert_eq!(nodes.one.read_journal(&journal, 0, 10).await.expect("records").records, records(&["one", "two"]));
}

/// An answer that was lost is asked for again, however far the journal has grown since; half of an append is another one.
pub async fn a_repeated_append_answers_as_before(nodes: &Nodes) {
    let journal = name();
    let first = append(&journal, OLD, 0, &["one", "two"]);
    assert_eq!(nodes.one.append(first.clone()).await.expect("appended"), 2);
    assert_eq!(nodes.two.append(first.clone()).await.expect("appended"), 2);
    nodes.one.append(append(&journal, NEW, 2, &["three"])).await.expect("appended");
    assert_eq!(nodes.two.append(first).await.expect("as before, under a newer fence too"), 2);
    for other in [append(&journal, NEW, 0, &["one", "two"]), append(&journal, NEW, 0, &["one", "other"])] {
        let refused = nodes.one.append(other).await;
        assert!(matches!(refused, Err(BackplaneError::JournalMoved { length: 3 })), "{refused:?}");
    }
    let longer = nodes.one.append(append(&journal, NEW, 2, &["three", "four"])).await;
    assert!(matches!(longer, Err(BackplaneError::JournalMoved { length: 3 })), "{longer:?}");
}

/// From the answer of a fence on, and from a newer writer's append on, the older writer is refused.
pub async fn an_older_writer_is_refused(nodes: &Nodes) {
    let journal = name();
    nodes.one.append(append(&journal, OLD, 0, &["one"])).await.expect("appended");
    assert_eq!(nodes.two.fence_journal(&journal, NEW).await.expect("fenced"), 1);
    let late = nodes.one.append(append(&journal, OLD, 1, &["late"])).await;
    assert!(matches!(late, Err(BackplaneError::Fenced { newest }) if newest == NEW), "{late:?}");
    let late = nodes.one.fence_journal(&journal, OLD).await;
    assert!(matches!(late, Err(BackplaneError::Fenced { newest }) if newest == NEW), "{late:?}");
    assert_eq!(nodes.two.append(append(&journal, NEW, 1, &["two"])).await.expect("appended"), 2);
    let unborn = name();
    assert_eq!(nodes.two.fence_journal(&unborn, NEW).await.expect("fenced"), 0);
    let late = nodes.one.append(append(&unborn, OLD, 0, &["late"])).await;
    assert!(matches!(late, Err(BackplaneError::Fenced { .. })), "{late:?}");
}

/// Of many that append to the same length, one does.
pub async fn of_concurrent_appends_one_wins(nodes: &Nodes) {
    let journal = name();
    let texts: Vec<String> = (0..16).map(|number| number.to_string()).collect();
    let attempts = texts.iter().enumerate().map(|(at, text)| {
        let node = if at % 2 == 0 { &nodes.one } else { &nodes.two };
        node.append(append(&journal, OLD, 0, &[text]))
    });
    let won = futures_util::future::join_all(attempts).await.into_iter().flatten().count();
    assert_eq!(won, 1);
    assert_eq!(nodes.one.read_journal(&journal, 0, 10).await.expect("records").length, 1);
}

/// What is too big is refused whole.
pub async fn records_and_pages_are_bounded(nodes: &Nodes) {
    let journal = name();
    let of = |count: usize, bytes: usize| Append {
        records: vec![Bytes::from(vec![b'x'; bytes]); count],
        ..append(&journal, OLD, 0, &[])
    };
    for big in [of(1, RECORD_BYTES_MAX + 1), of(APPEND_RECORDS_MAX + 1, 1), of(17, RECORD_BYTES_MAX), of(0, 0)] {
        let refused = nodes.one.append(big).await;
        assert!(matches!(refused, Err(BackplaneError::RecordTooLarge)), "{refused:?}");
    }
    let mut length = nodes.one.append(of(1, RECORD_BYTES_MAX)).await.expect("the biggest fits");
    while length <= JOURNAL_PAGE_MAX as u64 {
        let more = Append { expected: length, ..of(APPEND_RECORDS_MAX, 1) };
        length = nodes.one.append(more).await.expect("appended");
    }
    let page = nodes.two.read_journal(&journal, 1, usize::MAX).await.expect("records");
    assert_eq!((page.length, page.records.len()), (length, JOURNAL_PAGE_MAX));
}

/// By id, by pages, with their lengths; one that was only fenced is none.
pub async fn journals_of_a_kind_are_listed_in_order(nodes: &Nodes) {
    use rand::distr::{Alphanumeric, SampleString};
    let kind =
        Alphanumeric.sample_string(&mut rand::rng(), 20).to_ascii_lowercase().replace(|c: char| c.is_numeric(), "-");
    let of_kind = |id: &str| JournalName::new(&kind, id).expect("a journal's name");
    assert_eq!(nodes.one.journals(&kind, None, 10).await.expect("none"), []);
    for (id, texts) in [("b", &["1", "2"][..]), ("c:2", &["1"]), ("a", &["1"]), ("B", &["1"])] {
        nodes.one.append(append(&of_kind(id), OLD, 0, texts)).await.expect("appended");
    }
    nodes.one.fence_journal(&of_kind("fenced"), OLD).await.expect("fenced");
    let list = async |after, limit| {
        let entries = nodes.two.journals(&kind, after, limit).await.expect("journals");
        entries.into_iter().map(|entry| (entry.name.id().to_owned(), entry.length)).collect::<Vec<_>>()
    };
    let all = [("B", 1), ("a", 1), ("b", 2), ("c:2", 1)].map(|(id, length)| (id.to_owned(), length));
    assert_eq!(list(None, 10).await, all);
    assert_eq!(list(None, 2).await, all[..2]);
    assert_eq!(list(Some("a"), 10).await, all[2..]);
    assert_eq!(list(Some("aa"), 1).await, all[2..3]);
    assert_eq!(list(Some("d"), 10).await, []);
    assert_eq!(list(None, 0).await, []);
}
