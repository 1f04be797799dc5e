//! The metrics registry and its text form.

mod latency;

use prometheus_client::{encoding::text::encode, metrics::info::Info};

pub use latency::{BOUNDS_US, Latency};
pub use prometheus_client::registry::Registry;

/// `Content-Type` of what [`render`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The registry in the `OpenMetrics` text form, the answer of `/metrics`.
pub fn render(registry: &Registry) -> String {
    let mut text = String::with_capacity(8 * 1024);
    if encode(&mut text, registry).is_err() {
        tracing::error!("a metric cannot be encoded");
    }
    text
}

/// Registers `tickwire_build_info{service,version} 1`.
pub fn build_info(registry: &mut Registry, service: &'static str, version: &'static str) {
    let info = Info::new(vec![("service", service), ("version", version)]);
    registry.register("tickwire_build", "Which service this is, and its version", info);
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn metrics_render_with_help_and_build() {
        let mut registry = Registry::default();
        build_info(&mut registry, "edge", "0.1.0");
        let counter: Counter = Counter::default();
        registry.register("tickwire_test_things", "Things", counter.clone());
        counter.inc();
        let text = render(&registry);
        assert!(text.contains("tickwire_build_info{service=\"edge\",version=\"0.1.0\"} 1"), "{text}");
        assert!(text.contains("# HELP tickwire_test_things Things"), "{text}");
        assert!(text.contains("tickwire_test_things_total 1"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
