//! What a backplane counts, read at each scrape of a service's `/metrics`.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use crate::Backplane;

/// Shows [`Backplane::counts`] as `tickwire_backplane_…_total`, and [`Backplane::is_healthy`] as `tickwire_backplane_healthy`.
pub fn register(registry: &mut Registry, backplane: Arc<dyn Backplane>) {
    registry.register_collector(Box::new(Counted(backplane)));
}

struct Counted(Arc<dyn Backplane>);

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for count in self.0.counts() {
            let metric = ConstCounter::new(count.value);
            let name = format!("tickwire_backplane_{}", count.name);
            metric.encode(encoder.encode_descriptor(&name, count.help, None, metric.metric_type())?)?;
        }
        let healthy = ConstGauge::new(i64::from(self.0.is_healthy()));
        let help = "1 while a canary came back in time through every pub/sub connection";
        healthy.encode(encoder.encode_descriptor("tickwire_backplane_healthy", help, None, healthy.metric_type())?)
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").finish_non_exhaustive()
    }
}
