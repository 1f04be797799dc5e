//! Bybit's rule for books: a snapshot replaces, whenever it comes; a delta's `u` follows the last. `u` of 1 is a restart of the
//! service, and a snapshot whatever its type says.

use crate::{
    book::Anomaly,
    venue::{
        bybit::limits::U_IS_CONSECUTIVE,
        desk::{Change, Desk},
    },
};

/// A change arrived.
pub(super) fn book(id: usize, is_snapshot: bool, change: Change, desk: &mut Desk) {
    let Some(seq) = change.last_seq else { return };
    if is_snapshot || seq == 1 {
        return desk.install(id, change, |_| Ok(()));
    }
    if !desk.is_live(id) {
        return;
    }
    let book = desk.book(id);
    let last = book.last_seq.unwrap_or(0);
    if seq == last {
        book.counts.stale += 1;
        return desk.anomaly(Some(id), Anomaly::Duplicate);
    }
    let kind = if seq < last { Anomaly::OutOfOrder } else { Anomaly::Gap };
    let fits = seq > last && (!U_IS_CONSECUTIVE || last.checked_add(1) == Some(seq));
    if let Err(anomaly) = desk.book(id).check(fits, kind) {
        return desk.suspect(id, anomaly);
    }
    desk.change(id, Change { prev_seq: Some(last), ..change }, |_| Ok(()));
}
