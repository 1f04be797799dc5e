//! A node's counters as its reports carry them.

use tickwire_backplane::{DeliveryFigures, NodeFigures};
use tickwire_protocol::CloseCode;
use tickwire_telemetry::metrics::BOUNDS_US;

use crate::metrics::{ClassLabels, CloseLabels, DeliveryTimes, Metrics, REFUSALS, reason};

impl Metrics {
    /// What was counted until now. Reads only: a series that nothing has counted in does not begin by it.
    pub(crate) fn figures(&self) -> NodeFigures {
        let closed = |code: CloseCode| {
            let count = self.closes.get(&CloseLabels { code: u32::from(code.as_u16()) })?.get();
            (count > 0).then_some((code.as_u16(), count))
        };
        let refused = |name: &&'static str| {
            let count = self.refusals.get(&reason(name))?.get();
            (count > 0).then(|| ((*name).to_owned(), count))
        };
        NodeFigures {
            publications_in: self.publications_in.get(),
            messages_out: self.messages_out.get(),
            bytes_out: self.bytes_out.get(),
            commands: self.commands.get(),
            outbox_bytes: u64::try_from(self.outbox_bytes.get()).unwrap_or_default(),
            dropped: self.dropped.get(&ClassLabels { class: "volatile" }).map_or(0, |count| count.get()),
            conflated: self.conflated.get(),
            gaps: self.gaps.get(),
            resets: self.resets.get(),
            rate_limited: self.rate_limited.get(&reason("commands")).map_or(0, |count| count.get()),
            closes: CloseCode::ALL.into_iter().filter_map(closed).collect(),
            refusals: REFUSALS.iter().filter_map(refused).collect(),
            delivery: self.delivery.figures(),
        }
    }
}

impl DeliveryTimes {
    fn figures(&self) -> DeliveryFigures {
        DeliveryFigures {
            bounds_us: BOUNDS_US[..BOUNDS_US.len() - 1].to_vec(),
            backplane: self.backplane.counts().to_vec(),
            edge: self.edge.counts().to_vec(),
            socket: self.socket.counts().to_vec(),
            total: self.total.counts().to_vec(),
        }
    }
}
