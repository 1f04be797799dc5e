//! What others than the edge count, read at each scrape.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::counter::ConstCounter,
};
use tickwire_auth::Verifier;
use tickwire_backplane::Count;

/// The verifier's counters.
pub(crate) struct Counted {
    pub(crate) verifier: Arc<Verifier>,
}

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut write = |count: Count| {
            let metric = ConstCounter::new(count.value);
            let name = format!("tickwire_auth_{}", count.name);
            metric.encode(encoder.encode_descriptor(&name, count.help, None, metric.metric_type())?)
        };
        let fetches = self.verifier.key_fetches();
        let help = "Fetches of the key set that brought keys";
        write(Count { name: "key_fetches", help, class: None, value: fetches.succeeded })?;
        let help = "Fetches of the key set without a usable key; growing, a rotation will not be noticed";
        write(Count { name: "key_fetch_failures", help, class: None, value: fetches.failed })
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").finish_non_exhaustive()
    }
}
