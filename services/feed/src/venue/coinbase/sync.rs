//! Coinbase's rule: `sequence_num` counts all messages of a connection. A jump is a lost message, and it may have been any book's;
//! a number not above the last is ignored. The older Exchange feed numbers nothing in its books.

use crate::{
    book::Anomaly,
    venue::{coinbase::messages::Book, desk::Desk},
};

/// Whether a message of this number may be used.
pub(super) fn number(last: &mut Option<u64>, seq: u64, desk: &mut Desk) -> bool {
    match *last {
        Some(before) if seq == before => desk.anomaly(None, Anomaly::Duplicate),
        Some(before) if seq < before => desk.anomaly(None, Anomaly::OutOfOrder),
        before => {
            if before.is_some_and(|before| seq - before > 1) {
                desk.suspect_all(Anomaly::Gap);
            }
            *last = Some(seq);
            return true;
        }
    }
    false
}

/// A change arrived.
pub(super) fn book(id: usize, book: &Book<'_>, seq: Option<u64>, text: &str, desk: &mut Desk) {
    let mut change = book.change.clone();
    change.last_seq = seq;
    if book.is_snapshot {
        return desk.install(id, change, |_| Ok(()));
    }
    if !desk.is_live(id) {
        return;
    }
    if seq.is_none() && desk.is_repeated(id, text) {
        desk.book(id).counts.stale += 1;
        return desk.anomaly(Some(id), Anomaly::Duplicate);
    }
    change.prev_seq = desk.book(id).last_seq;
    desk.change(id, change, |_| Ok(()));
}
