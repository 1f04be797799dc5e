//! What the socket has begun to take: slices of whole frames, in order, never changed again.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use super::{Item, Packing, Tag};
use crate::framing::{
    deflate::Joined,
    outgoing::{self, DataKind, FrameHeader},
};

/// Slices that one `writev` takes.
const SLICES_MAX: usize = 64;
/// Messages of one packed frame.
pub(super) const PACKED_ITEMS_MAX: usize = 512;
/// A body up to this size is copied into its packed frame: cheaper than three more slices.
const COPIED_BYTES_MAX: usize = 1_024;

#[derive(Debug)]
struct Segment {
    bytes: Bytes,
    /// Written when this segment is.
    tag: Option<Box<Tag>>,
    /// The last of its frame.
    ends_frame: bool,
}

#[derive(Debug, Default)]
pub(super) struct Wire {
    segments: VecDeque<Segment>,
    /// Bytes of the first segment that are written.
    written: usize,
    bytes: usize,
    /// The first segment's frame is begun: at least one byte of it is written.
    begun: bool,
}

impl Wire {
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn capacity(&self) -> usize {
        self.segments.capacity()
    }

    pub(super) fn has_room(&self) -> bool {
        self.segments.len() < SLICES_MAX
    }

    pub(super) fn push(&mut self, bytes: Bytes, tag: Option<Box<Tag>>) {
        self.bytes += bytes.len();
        self.segments.push_back(Segment { bytes, tag, ends_frame: false });
    }

    /// Pushes the rest of a frame of which the socket has taken the beginning.
    pub(super) fn resume(&mut self, rest: impl IntoIterator<Item = Bytes>) {
        for bytes in rest {
            self.push(bytes, None);
            self.begun = true;
        }
        self.end_frame();
    }

    /// What was pushed last completes a frame.
    pub(super) fn end_frame(&mut self) {
        if let Some(last) = self.segments.back_mut() {
            last.ends_frame = true;
        }
    }

    /// Drops every frame of which nothing is written yet.
    pub(super) fn keep_begun_frame(&mut self) {
        let kept = if self.begun {
            self.segments.iter().position(|segment| segment.ends_frame).map_or(self.segments.len(), |end| end + 1)
        } else {
            0
        };
        self.segments.truncate(kept);
        self.bytes = self.segments.iter().map(|segment| segment.bytes.len()).sum::<usize>() - self.written;
    }

    /// One frame for all `items`, or just the frame of a single one.
    pub(super) fn pack(&mut self, items: SmallVec<[Item; 16]>, packing: Packing) {
        let json = packing == Packing::JsonArray;
        if items.len() == 1 {
            for item in items {
                self.push(item.frame, item.tag);
                self.end_frame();
            }
            return;
        }
        if items.iter().any(|item| outgoing::is_deflated(&item.frame)) {
            self.pack_deflated(items, json);
            return;
        }
        let bodies: usize = items.iter().map(|item| item.frame.len() - super::header_len(&item.frame)).sum();
        let separators = if json { items.len() + 1 } else { 0 };
        let kind = if json { DataKind::Text } else { DataKind::Binary };
        let header = FrameHeader::new(kind, bodies + separators);
        let mut copied = BytesMut::with_capacity(bodies.min(8 * COPIED_BYTES_MAX) + separators + 10);
        copied.put_slice(header.as_slice());
        let mut separator = b'[';
        for item in items {
            if json {
                copied.put_u8(separator);
                separator = b',';
            }
            let body = item.body();
            if body.len() <= COPIED_BYTES_MAX && item.tag.is_none() {
                copied.put_slice(&body);
            } else {
                self.push(copied.split().freeze(), None);
                self.push(body, item.tag);
            }
        }
        if json {
            copied.put_u8(b']');
        }
        if !copied.is_empty() {
            self.push(copied.freeze(), None);
        }
        self.end_frame();
    }

    /// The same, as one compressed frame made of the items' compressed and plain bodies.
    fn pack_deflated(&mut self, items: SmallVec<[Item; 16]>, json: bool) {
        let room: usize = items.iter().map(|item| item.frame.len() + 8).sum();
        let mut joined = Joined::with_capacity(room + 8);
        let mut tags = SmallVec::<[Box<Tag>; 4]>::new();
        let mut separator = b"[";
        for item in items {
            if json {
                joined.push_stored(separator);
                separator = b",";
            }
            if outgoing::is_deflated(&item.frame) {
                joined.push_deflated(&item.body());
            } else {
                joined.push_stored(&item.body());
            }
            tags.extend(item.tag);
        }
        if json {
            joined.push_stored(b"]");
        }
        let body = Bytes::from(joined.finish());
        let kind = if json { DataKind::Text } else { DataKind::Binary };
        let header = FrameHeader::new(kind, body.len()).deflated();
        self.push(Bytes::copy_from_slice(header.as_slice()), None);
        let mut tags = tags.into_iter();
        self.push(body, tags.next());
        // Further ones are due with it.
        for tag in tags {
            self.push(Bytes::new(), Some(tag));
        }
        self.end_frame();
    }

    pub(super) fn slices(&self) -> SmallVec<[IoSlice<'_>; 16]> {
        let mut from = self.written;
        let slices = self.segments.iter().take(SLICES_MAX);
        slices.map(|segment| IoSlice::new(&segment.bytes[std::mem::take(&mut from)..])).collect()
    }

    pub(super) fn advance(&mut self, mut written: usize, on_written: &mut impl FnMut(Tag)) {
        self.bytes -= written.min(self.bytes);
        self.begun |= written > 0;
        while let Some(first) = self.segments.front() {
            let left = first.bytes.len() - self.written;
            if written < left {
                self.written += written;
                return;
            }
            written -= left;
            self.written = 0;
            let Some(segment) = self.segments.pop_front() else { return };
            self.begun = !segment.ends_frame || written > 0;
            if let Some(tag) = segment.tag {
                on_written(*tag);
            }
        }
        self.begun = false;
    }
}
