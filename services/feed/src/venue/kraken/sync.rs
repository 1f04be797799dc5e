//! Kraken's rule for books: nothing is numbered; after each message both sides are cut to the depth subscribed, and a CRC32 over
//! the best ten of each must fit. Of two changes of one level that changed places, the checksum fits after each, and leaves the older
//! quantity: the time of a change shows that.

use std::fmt::Write;

use crate::{
    book::{Anomaly, Book},
    venue::{desk::Desk, kraken::messages},
};

/// Levels a side under the checksum.
const CHECKED: usize = 10;

/// A change arrived.
pub(super) fn book(id: usize, read: messages::Book<'_>, text: &str, desk: &mut Desk) {
    let messages::Book { is_snapshot, depth, made_at, change, .. } = read;
    let checksum = change.checksum;
    let book = desk.book(id);
    book.depth = depth.or(book.depth);
    if is_snapshot {
        // What is older than the snapshot may still be on its way.
        book.newest_at = made_at;
        desk.is_repeated(id, text);
        return desk.install(id, change, |book| verify(book, checksum));
    }
    if !desk.is_live(id) {
        return;
    }
    if desk.is_repeated(id, text) {
        desk.book(id).counts.stale += 1;
        return desk.anomaly(Some(id), Anomaly::Duplicate);
    }
    let newest_at = &mut desk.book(id).newest_at;
    if made_at.is_some() && made_at < *newest_at {
        return desk.suspect(id, Anomaly::OutOfOrder);
    }
    *newest_at = made_at.or(*newest_at);
    desk.change(id, change, |book| verify(book, checksum));
}

/// Asks from the lowest, then bids from the highest: price and quantity without point and leading zeros, which is the mantissa
/// of a decimal that keeps its scale. CRC32, unsigned. A first, thin snapshot may come without.
fn verify(book: &mut Book, checksum: Option<i64>) -> Result<(), Anomaly> {
    let Some(checksum) = checksum else { return Ok(()) };
    let mut text = String::with_capacity(512);
    for level in book.levels.asks().take(CHECKED).chain(book.levels.bids().take(CHECKED)) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{}", level.price.mantissa(), level.qty.mantissa());
    }
    let crc = crc32fast::hash(text.as_bytes());
    book.check(i64::from(crc) == checksum, Anomaly::Checksum)
}
