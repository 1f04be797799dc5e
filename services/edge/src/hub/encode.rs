//! A message as the frame that a connection gets, compressed where it can read that.

use std::{cell::RefCell, sync::Arc};

use bytes::Bytes;
use tickwire_protocol::{Event, Publication, dialect::Dialect, publication::FrameCache};

use crate::{
    connection::{Connection, frame, frame_kind},
    framing::Deflater,
    metrics::Metrics,
};

/// In which form connections get a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) dialect: Dialect,
    /// permessage-deflate was agreed on.
    pub(crate) deflates: bool,
}

impl Form {
    /// How many there are.
    pub(super) const COUNT: usize = 2 * FrameCache::SLOTS;

    /// The connection's.
    pub(crate) fn of(connection: &Connection) -> Self {
        Self { dialect: connection.state.dialect(), deflates: connection.deflates }
    }

    /// Its number, below [`Form::COUNT`].
    pub(super) fn slot(self) -> usize {
        self.dialect.slot() * 2 + usize::from(self.deflates)
    }
}

/// A shard's.
#[derive(Debug)]
pub(crate) struct Encoder {
    deflater: RefCell<Deflater>,
    /// Smaller messages are not compressed.
    deflate_bytes_min: usize,
    metrics: Arc<Metrics>,
}

impl Encoder {
    pub(crate) fn new(deflate_bytes_min: usize, metrics: Arc<Metrics>) -> Self {
        Self { deflater: RefCell::default(), deflate_bytes_min, metrics }
    }

    /// The message's frame with the times of its way, if the dialect has one.
    pub(super) fn traced(publication: &Arc<Publication>, dialect: Dialect, edge_ms: u64) -> Option<Bytes> {
        let event = Event::Traced { publication: publication.clone(), edge_ms };
        dialect.encode(&event).map(|body| frame(dialect, &body))
    }

    /// The message's whole frame, if the dialect has one. It is compressed if that is agreed on and worth it, by the first
    /// shard of the node that needs it, for all.
    pub(crate) fn frame(&self, publication: &Arc<Publication>, form: Form) -> Option<Bytes> {
        let dialect = form.dialect;
        let plain = || dialect.encode(&Event::Message(publication.clone()));
        if form.deflates
            && let Some(deflated) = self.deflated(publication, dialect, plain)
        {
            return Some(deflated);
        }
        plain().map(|body| frame(dialect, &body))
    }

    /// The whole frame of an event that is this shard's own, compressed likewise.
    pub(super) fn event_frame(&self, event: &Event, form: Form) -> Option<Bytes> {
        let body = form.dialect.encode(event)?;
        let is_worth_it = form.deflates && body.len() >= self.deflate_bytes_min;
        let deflated =
            if is_worth_it { self.deflater.borrow_mut().frame(frame_kind(form.dialect), &body) } else { None };
        Some(deflated.unwrap_or_else(|| frame(form.dialect, &body)))
    }

    fn deflated(
        &self,
        publication: &Publication,
        dialect: Dialect,
        plain: impl Fn() -> Option<Bytes>,
    ) -> Option<Bytes> {
        let deflated = publication.frames.get_or_deflate(dialect.slot(), || {
            let body = plain().filter(|body| body.len() >= self.deflate_bytes_min)?;
            let deflated = self.deflater.borrow_mut().frame(frame_kind(dialect), &body);
            let saved = deflated.as_ref().map_or(0, |deflated| body.len().saturating_sub(deflated.len()));
            self.metrics.deflated.inc();
            self.metrics.deflate_saved.inc_by(saved as u64);
            deflated
        });
        deflated.cloned()
    }
}
