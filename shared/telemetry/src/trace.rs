//! Trace context across processes, as a W3C `traceparent`.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The `traceparent` (55 bytes) of the current span, if there is one and it is sampled: what is not sampled costs its
/// messages nothing.
pub fn current_traceparent() -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let ids = span.span_context();
    (ids.is_valid() && ids.is_sampled()).then(|| format!("00-{}-{}-01", ids.trace_id(), ids.span_id()))
}

/// Makes `span` a child of the sender's span. For a request that is answered; what fans out is linked. A text that is
/// no `traceparent` is passed over, as the W3C wants.
pub fn set_parent(span: &Span, traceparent: &str) {
    if let Some(ids) = parse(traceparent) {
        let parent = opentelemetry::Context::new().with_remote_span_context(ids);
        if let Err(error) = span.set_parent(parent) {
            tracing::trace!(%error, "no parent set");
        }
    }
}

/// Records the id of `span`'s trace in its field `trace_id`, if it is sampled: log lines inside then name their trace. After
/// [`set_parent`], as the id is settled by asking for it.
pub fn note_id(span: &Span) {
    let context = span.context();
    let ids = context.span().span_context().clone();
    if ids.is_valid() && ids.is_sampled() {
        span.record("trace_id", ids.trace_id().to_string());
    }
}

/// Links `span` to the sender's span. A text that is no `traceparent` is passed over.
pub fn link(span: &Span, traceparent: &str) {
    if let Some(ids) = parse(traceparent) {
        span.add_link(ids);
    }
}

/// Version 00, and the first four fields of later versions (W3C Trace Context §3.2.2).
fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut fields = traceparent.splitn(5, '-');
    let (version, trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let is_lower_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let lengths = (version.len(), trace.len(), span.len(), flags.len());
    if lengths != (2, 32, 16, 2) || ![version, trace, span, flags].into_iter().all(is_lower_hex) {
        return None;
    }
    if version == "ff" || (version == "00" && fields.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let ids = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        flags,
        true,
        TraceState::default(),
    );
    ids.is_valid().then_some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_strictly() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(parse(good).unwrap().is_sampled());
        assert!(parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_json_line_names_its_trace() {
        use std::{
            io,
            sync::{Arc, Mutex},
        };

        use opentelemetry::trace::TracerProvider;
        use tracing_subscriber::layer::SubscriberExt;

        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let lines = Lines::default();
        let writer = lines.clone();
        let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
        let subscriber = tracing_subscriber::registry()
            .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")))
            .with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("request", trace_id = tracing::field::Empty);
            set_parent(&span, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
            note_id(&span);
            span.in_scope(|| tracing::info!("inside"));
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["span"]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736", "{text}");
    }

    #[test]
    fn without_a_tracer_there_is_no_traceparent() {
        assert_eq!(current_traceparent(), None);
        let span = tracing::info_span!("x");
        link(&span, "junk");
        set_parent(&span, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    }
}
