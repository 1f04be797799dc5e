//! What a backplane counts, read at each scrape of a service's `/metrics`.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use crate::{Backplane, Count};

/// Shows [`Backplane::counts`] as `tickwire_backplane_…_total`, and [`Backplane::is_healthy`] as `tickwire_backplane_healthy`.
pub fn register(registry: &mut Registry, backplane: Arc<dyn Backplane>) {
    registry.register_collector(Box::new(Counted(backplane)));
}

struct Counted(Arc<dyn Backplane>);

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        encode_counts(&self.0.counts(), &mut encoder)?;
        let healthy = ConstGauge::new(i64::from(self.0.is_healthy()));
        let help = "1 while a canary came back in time through every pub/sub connection";
        healthy.encode(encoder.encode_descriptor("tickwire_backplane_healthy", help, None, healthy.metric_type())?)
    }
}

/// Counts of one name that follow one another are one metric.
fn encode_counts(counts: &[Count], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for parts in counts.chunk_by(|one, next| one.name == next.name) {
        let name = format!("tickwire_backplane_{}", parts[0].name);
        let mut metric = encoder.encode_descriptor(&name, parts[0].help, None, MetricType::Counter)?;
        if let [Count { class: None, value, .. }] = parts {
            ConstCounter::new(*value).encode(metric)?;
            continue;
        }
        for part in parts {
            let labels = [("class", part.class.unwrap_or_default())];
            ConstCounter::new(part.value).encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed;

    impl Collector for Fixed {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let count = |name, class, value| Count { name, help: "Help", class, value };
            let counts =
                [count("lone", None, 7), count("commands", Some("read"), 2), count("commands", Some("lease"), 3)];
            encode_counts(&counts, &mut encoder)
        }
    }

    #[test]
    fn parts_of_one_name_are_one_metric_with_a_label() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Fixed));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("\ntickwire_backplane_lone_total 7\n"), "{text}");
        let parts = "tickwire_backplane_commands_total{class=\"read\"} 2\ntickwire_backplane_commands_total{class=\"lease\"} 3\n";
        assert!(text.contains(parts) && text.matches("# TYPE tickwire_backplane_commands ").count() == 1, "{text}");
    }
}
