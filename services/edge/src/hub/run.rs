//! Consecutive messages of one channel, and what is written of them.

use std::{cell::OnceCell, io::IoSlice, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;
use tickwire_protocol::{DeliveryClass, Publication};

use super::encode::{Encoder, Form};
use crate::{
    connection::{ConnectionId, frame_kind},
    framing::{
        deflate::Joined,
        outgoing::{DataKind, FrameHeader, is_deflated},
    },
    outbox::{ChannelId, PACKED_BYTES_MAX, Packing, header_len},
};

/// Messages of one run at most: a newer value looks for an older one of its key among them.
const MESSAGES_MAX: usize = 64;
/// Bytes of one run at most: it is written, or waits, as a whole.
const BYTES_MAX: usize = 16 * 1024;
/// What a message's frame has beside its data, roughly.
const ENVELOPE_BYTES: usize = 96;
/// Slices in one write.
const SLICES_MAX: usize = 60;

/// See the module.
#[derive(Debug)]
pub(crate) struct Run {
    channel: ChannelId,
    class: DeliveryClass,
    messages: SmallVec<[Arc<Publication>; 2]>,
    bytes: usize,
    is_sealed: bool,
    /// Connections that have it in their list.
    pub(crate) listed: u64,
    /// Subscribers that got the messages so far in their outbox, and get further ones there.
    pub(crate) others: Vec<ConnectionId>,
    frames: [OnceCell<Frames>; Form::COUNT],
    packed: [OnceCell<Bytes>; Form::COUNT],
    parts: [OnceCell<Bytes>; Form::COUNT],
}

/// A frame for each message, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Bytes,
    /// Where each message's frame ends; where the one before does if the dialect has no such message.
    ends: SmallVec<[u32; 2]>,
}

impl Frames {
    fn each(&self) -> impl Iterator<Item = Bytes> {
        let mut from = 0;
        self.ends.iter().map(move |&end| self.bytes.slice(std::mem::replace(&mut from, end as usize)..end as usize))
    }
}

impl Run {
    pub(super) fn new(channel: ChannelId, class: DeliveryClass) -> Self {
        Self {
            channel,
            class,
            messages: SmallVec::new(),
            bytes: 0,
            is_sealed: false,
            listed: 0,
            others: Vec::new(),
            frames: [const { OnceCell::new() }; Form::COUNT],
            packed: [const { OnceCell::new() }; Form::COUNT],
            parts: [const { OnceCell::new() }; Form::COUNT],
        }
    }

    pub(super) fn channel(&self) -> ChannelId {
        self.channel
    }

    pub(super) fn class(&self) -> DeliveryClass {
        self.class
    }

    /// What it takes of the gathered bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_open(&self) -> bool {
        !self.is_sealed && self.messages.len() < MESSAGES_MAX && self.bytes < BYTES_MAX
    }

    pub(super) fn seal(&mut self) {
        self.is_sealed = true;
    }

    /// Adds a message. Of a `latest` channel, a newer value takes the place of an older one; whether it did.
    pub(super) fn push(&mut self, publication: &Arc<Publication>) -> bool {
        if self.class == DeliveryClass::Latest
            && let Some(older) = self.messages.iter_mut().find(|older| older.key == publication.key)
        {
            *older = publication.clone();
            return true;
        }
        self.bytes += publication.data.bytes().len() + ENVELOPE_BYTES;
        self.messages.push(publication.clone());
        false
    }

    fn frames(&self, form: Form, encoder: &Encoder) -> &Frames {
        self.frames[form.slot()].get_or_init(|| {
            let end = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
            if let [publication] = &self.messages[..] {
                let bytes = encoder.frame(publication, form).unwrap_or_default();
                return Frames { ends: smallvec::smallvec![end(bytes.len())], bytes };
            }
            let mut joined = BytesMut::with_capacity(self.bytes);
            let mut ends = SmallVec::with_capacity(self.messages.len());
            for publication in &self.messages {
                joined.put_slice(&encoder.frame(publication, form).unwrap_or_default());
                ends.push(end(joined.len()));
            }
            Frames { bytes: joined.freeze(), ends }
        })
    }

    /// Each message from `from` on with its frame, where the dialect has one.
    pub(super) fn messages(
        &self,
        form: Form,
        encoder: &Encoder,
        from: usize,
    ) -> impl Iterator<Item = (&Arc<Publication>, Bytes)> {
        let frames = self.frames(form, encoder).each();
        self.messages.iter().zip(frames).skip(from).filter(|(_, frame)| !frame.is_empty())
    }

    /// The messages as they stand inside a packed frame, in JSON with a comma behind each.
    fn part(&self, form: Form, encoder: &Encoder) -> &Bytes {
        self.parts[form.slot()].get_or_init(|| {
            let frames = self.frames(form, encoder);
            let mut part = BytesMut::with_capacity(frames.bytes.len() + self.messages.len());
            for frame in frames.each().filter(|frame| !frame.is_empty()) {
                part.put_slice(&frame[header_len(&frame)..]);
                if !form.dialect.is_binary() {
                    part.put_u8(b',');
                }
            }
            part.freeze()
        })
    }

    /// The messages as one frame; a single one as it is.
    fn packed(&self, form: Form, encoder: &Encoder) -> &Bytes {
        if self.messages.len() == 1 {
            return &self.frames(form, encoder).bytes;
        }
        self.packed[form.slot()].get_or_init(|| {
            if form.deflates {
                return packed_deflated(&[self], form, encoder);
            }
            let part = self.part(form, encoder);
            if part.is_empty() {
                return Bytes::new();
            }
            let mut packed = BytesMut::with_capacity(part.len() + 12);
            if form.dialect.is_binary() {
                packed.put_slice(FrameHeader::new(DataKind::Binary, part.len()).as_slice());
                packed.put_slice(part);
            } else {
                // The last comma makes room for one bracket.
                packed.put_slice(FrameHeader::new(DataKind::Text, part.len() + 1).as_slice());
                packed.put_u8(b'[');
                packed.put_slice(&part[..part.len() - 1]);
                packed.put_u8(b']');
            }
            packed.freeze()
        })
    }
}

/// The runs' messages as one compressed frame, which is made of the compressed and plain bodies as they are.
fn packed_deflated(runs: &[&Run], form: Form, encoder: &Encoder) -> Bytes {
    let is_json = !form.dialect.is_binary();
    let mut joined = Joined::with_capacity(runs.iter().map(|run| run.bytes).sum());
    let mut separator: &[u8] = b"[";
    for run in runs {
        for frame in run.frames(form, encoder).each().filter(|frame| !frame.is_empty()) {
            if is_json {
                joined.push_stored(std::mem::replace(&mut separator, b","));
            }
            let body = &frame[header_len(&frame)..];
            if is_deflated(&frame) {
                joined.push_deflated(body);
            } else {
                joined.push_stored(body);
            }
        }
    }
    if is_json {
        joined.push_stored(b"]");
    }
    let body = joined.finish();
    let header = FrameHeader::new(frame_kind(form.dialect), body.len()).deflated();
    let mut frame = BytesMut::with_capacity(body.len() + header.as_slice().len());
    frame.put_slice(header.as_slice());
    frame.put_slice(&body);
    frame.freeze()
}

/// How a connection is written to.
#[derive(Clone, Copy)]
pub(super) struct Shape<'e> {
    pub(super) form: Form,
    pub(super) packing: Packing,
    pub(super) encoder: &'e Encoder,
}

/// What goes out in one write.
pub(super) enum Batch<'a> {
    /// Whole frames, those of each run together.
    Frames(SmallVec<[&'a Frames; 16]>),
    /// One frame ready made, of so many runs.
    Packed(Bytes, usize),
    /// One frame put together from shared parts.
    Parts { header: SmallVec<[u8; 12]>, parts: SmallVec<[&'a Bytes; 16]>, is_json: bool, count: usize },
}

/// What a write left over.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Of the frame that is begun.
    pub(super) begun: SmallVec<[Bytes; 2]>,
    /// The run of the batch and the message in it that come next; `None`: those behind the batch.
    pub(super) next: Option<(usize, usize)>,
}

impl Shape<'_> {
    /// The most that can go out at once of the listed runs.
    pub(super) fn batch<'a>(self, runs: &'a [Run], listed: &[u32]) -> Batch<'a> {
        let run = |&index: &u32| &runs[index as usize];
        let Self { form, packing, encoder } = self;
        if packing == Packing::No {
            let frames = listed.iter().take(SLICES_MAX).map(|index| run(index).frames(form, encoder));
            return Batch::Frames(frames.collect());
        }
        if let [only] = listed {
            return Batch::Packed(run(only).packed(form, encoder).clone(), 1);
        }
        if form.deflates {
            let mut bytes = 0;
            let mut runs = SmallVec::<[&Run; 16]>::new();
            for run in listed.iter().map(run) {
                bytes += run.bytes;
                if !runs.is_empty() && bytes > PACKED_BYTES_MAX {
                    break;
                }
                runs.push(run);
            }
            return Batch::Packed(packed_deflated(&runs, form, encoder), runs.len());
        }
        let mut parts = SmallVec::<[&Bytes; 16]>::new();
        let (mut bytes, mut count) = (0, 0);
        for run in listed.iter().map(run).take(SLICES_MAX) {
            let part = run.part(form, encoder);
            if count > 0 && bytes + part.len() > PACKED_BYTES_MAX {
                break;
            }
            count += 1;
            bytes += part.len();
            if !part.is_empty() {
                parts.push(part);
            }
        }
        let is_json = packing == Packing::JsonArray;
        let mut header = SmallVec::new();
        if !parts.is_empty() {
            let kind = frame_kind(form.dialect);
            // Brackets, but no comma behind the last.
            header.extend_from_slice(FrameHeader::new(kind, bytes + usize::from(is_json)).as_slice());
            header.extend(is_json.then_some(b'['));
        }
        Batch::Parts { header, parts, is_json, count }
    }
}

impl Batch<'_> {
    /// How many of the listed runs are in it.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Frames(frames) => frames.len(),
            Self::Packed(_, count) | Self::Parts { count, .. } => *count,
        }
    }

    pub(super) fn slices(&self) -> SmallVec<[IoSlice<'_>; 18]> {
        match self {
            Self::Frames(frames) => frames.iter().map(|frames| IoSlice::new(&frames.bytes)).collect(),
            Self::Packed(frame, _) => smallvec::smallvec![IoSlice::new(frame)],
            Self::Parts { header, parts, is_json, .. } => {
                let (commas, bracket) = ends(*is_json);
                let mut slices: SmallVec<[IoSlice<'_>; 18]> = smallvec::smallvec![IoSlice::new(header)];
                slices.extend(parts.iter().map(|part| IoSlice::new(part)));
                if let ([_, .., last], [.., part]) = (&mut slices[..], &parts[..]) {
                    *last = IoSlice::new(&part[..part.len() - commas]);
                }
                if !parts.is_empty() {
                    slices.extend((!bracket.is_empty()).then(|| IoSlice::new(bracket)));
                }
                slices
            }
        }
    }

    /// What is left once `taken` bytes, some but not all, are written.
    pub(super) fn rest(&self, mut taken: usize) -> Rest {
        let mut rest = Rest::default();
        match self {
            Self::Frames(runs) => {
                for (run_index, frames) in runs.iter().enumerate() {
                    if taken >= frames.bytes.len() {
                        taken -= frames.bytes.len();
                        continue;
                    }
                    // The message that the last byte taken belongs to, or the next where it was a frame's last.
                    let message = frames.ends.iter().position(|&end| taken < end as usize).unwrap_or_default();
                    let start = message.checked_sub(1).map_or(0, |before| frames.ends[before] as usize);
                    if taken == start {
                        rest.next = Some((run_index, message));
                    } else {
                        rest.begun.push(frames.bytes.slice(taken..frames.ends[message] as usize));
                        rest.next = Some((run_index, message + 1));
                    }
                    break;
                }
            }
            Self::Packed(frame, _) => rest.begun.push(frame.slice(taken..)),
            Self::Parts { header, parts, is_json, .. } => {
                let (commas, bracket) = ends(*is_json);
                let mut owned = SmallVec::<[Bytes; 18]>::new();
                owned.push(Bytes::copy_from_slice(header));
                owned.extend(parts.iter().map(|&part| part.clone()));
                if let Some(last) = owned.last_mut() {
                    last.truncate(last.len() - commas);
                }
                owned.push(Bytes::from_static(bracket));
                for mut bytes in owned {
                    let now = taken.min(bytes.len());
                    taken -= now;
                    if now < bytes.len() {
                        rest.begun.push(bytes.split_off(now));
                    }
                }
            }
        }
        rest
    }
}

/// Of a packed frame: how many commas its last part has too many, and what ends it.
fn ends(is_json: bool) -> (usize, &'static [u8]) {
    if is_json { (1, b"]") } else { (0, b"") }
}
