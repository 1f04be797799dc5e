//! OKX's rule for books: an update's `prevSeqId` is the last `seqId`. The numbers may jump, stand still (a keep-alive) and, after
//! maintenance, go back, as long as the chain holds. The checksum, where it is not 0, is a
//! CRC32 over the best 25 levels, signed.

use std::fmt::Write;

use crate::{
    book::{Anomaly, Book, Levels},
    venue::{desk::Desk, okx::messages::BookChange},
};

/// Levels a side under the checksum.
const CHECKED: usize = 25;

/// A change arrived.
pub(super) fn book(id: usize, is_snapshot: bool, read: BookChange, text: &str, desk: &mut Desk) {
    let BookChange { change, seq, previous } = read;
    let checksum = change.checksum;
    if is_snapshot {
        return desk.install(id, change, |book| verify(book, checksum));
    }
    if !desk.is_live(id) {
        return;
    }
    let last = desk.book(id).last_seq.and_then(|last| i64::try_from(last).ok());
    let (Some(seq), Some(last)) = (seq, last) else {
        // From before there were numbers: the checksum is the only evidence.
        if desk.is_repeated(id, text) {
            desk.book(id).counts.stale += 1;
            return desk.anomaly(Some(id), Anomaly::Duplicate);
        }
        return desk.change(id, change, |book| verify(book, checksum));
    };
    if previous != Some(last) && seq == last {
        desk.book(id).counts.stale += 1;
        return desk.anomaly(Some(id), Anomaly::Duplicate);
    }
    let kind = if seq < last { Anomaly::OutOfOrder } else { Anomaly::Gap };
    if let Err(anomaly) = desk.book(id).check(previous == Some(last), kind) {
        return desk.suspect(id, anomaly);
    }
    desk.change(id, change, |book| verify(book, checksum));
}

fn verify(book: &mut Book, checksum: Option<i64>) -> Result<(), Anomaly> {
    let Some(checksum) = checksum else { return Ok(()) };
    let crc = crc32fast::hash(digits(&book.levels).as_bytes());
    book.check(i64::from(crc.cast_signed()) == checksum, Anomaly::Checksum)
}

/// `bid1p:bid1q:ask1p:ask1q:bid2p…` in the digits as sent; when one side ends, the other goes on.
fn digits(levels: &Levels) -> String {
    let mut text = String::with_capacity(2_048);
    let (mut bids, mut asks) = (levels.bids().take(CHECKED), levels.asks().take(CHECKED));
    for _ in 0..CHECKED {
        for level in [bids.next(), asks.next()].into_iter().flatten() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}:{}:", level.price, level.qty);
        }
    }
    text.pop();
    text
}
