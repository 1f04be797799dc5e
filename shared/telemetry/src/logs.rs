//! Logs to stderr, traces by OTLP.

use std::{io::IsTerminal, path::PathBuf};

use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, reload, util::SubscriberInitExt};

use crate::{http_sender::HttpSender, level::Watch};

/// The section `[telemetry]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// `text` for people, `json` (one object a line) for machines.
    pub log_format: LogFormat,
    /// What is logged, as `tracing` filters: `info`, `warn,tickwire_edge=debug`.
    pub log_filter: String,
    /// A file whose text is the filter instead, read again within a second when it changes; while it is empty or absent,
    /// `log_filter` holds.
    pub log_filter_file: Option<PathBuf>,
    /// OTLP endpoint for traces: such as `http://collector:4317` by gRPC, `http://collector:4318/v1/traces` by HTTP. None sends
    /// none.
    pub otlp_endpoint: Option<String>,
    /// How traces are sent there, `grpc` or `http` (protobuf).
    pub otlp_protocol: OtlpProtocol,
    /// Share of traces begun here that are kept, 0 to 1. A trace begun elsewhere is kept if its sender kept it.
    pub sample_ratio: f64,
    /// `service.instance.id` of traces, such as the node's name.
    pub instance: Option<String>,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Text,
            log_filter: "info".to_owned(),
            log_filter_file: None,
            otlp_endpoint: None,
            otlp_protocol: OtlpProtocol::Grpc,
            sample_ratio: 0.01,
            instance: None,
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How traces travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OtlpProtocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP, protobuf.
    Http,
}

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// `log_filter` is no filter.
    #[error("telemetry.log_filter is no filter such as `info,tickwire_edge=debug`")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// `sample_ratio` is outside 0 to 1.
    #[error("telemetry.sample_ratio is between 0 and 1")]
    SampleRatio,
    /// `otlp_endpoint` cannot be used.
    #[error("telemetry.otlp_endpoint is no URL such as http://collector:4317")]
    Endpoint(#[source] opentelemetry_otlp::ExporterBuildError),
    /// The runtime that sends traces cannot be started.
    #[error("the thread that sends traces cannot be started")]
    Runtime(#[source] std::io::Error),
    /// The thread that looks at `log_filter_file` cannot be started.
    #[error("the thread that looks at telemetry.log_filter_file cannot be started")]
    Thread(#[source] std::io::Error),
    /// Logging was set up before in this process.
    #[error("logging is set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

impl InitError {
    /// Whether the configuration is at fault: the service ends with exit code 64.
    pub const fn is_config(&self) -> bool {
        matches!(self, Self::Filter(_) | Self::SampleRatio | Self::Endpoint(_))
    }
}

/// Keeps telemetry alive; dropping it sends what traces are left (for at most five seconds).
#[must_use = "dropping the guard ends the export of traces"]
#[derive(Debug)]
pub struct Guard {
    _export: Option<Export>,
    _watch: Option<Watch>,
}

/// Sets up logging and, with an endpoint, traces for the whole process. Nothing is contacted before the first trace.
pub fn init(config: &TelemetryConfig, service: &'static str) -> Result<Guard, InitError> {
    let filter = EnvFilter::builder().parse(&config.log_filter).map_err(InitError::Filter)?;
    let export = Export::start(config, service)?;
    let traces = export.as_ref().map(|export| tracing_opentelemetry::layer().with_tracer(export.tracer()));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.log_format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let (filter, handle) = reload::Layer::new(filter);
    // The filter stands next to the registry: a handle to it names the layers below.
    tracing_subscriber::registry().with(filter).with(traces).with(lines).try_init().map_err(InitError::Twice)?;
    let watch = config.log_filter_file.clone().map(|path| Watch::start(path, config.log_filter.clone(), handle));
    Ok(Guard { _export: export, _watch: watch.transpose().map_err(InitError::Thread)? })
}

/// The export of traces. It has a runtime of its own: the services' runtimes are one thread each and must not carry
/// the collector's connection, and may be gone when the last traces are sent.
#[derive(Debug)]
pub(crate) struct Export {
    provider: SdkTracerProvider,
    runtime: Option<tokio::runtime::Runtime>,
    service: &'static str,
}

impl Export {
    pub(crate) fn start(config: &TelemetryConfig, service: &'static str) -> Result<Option<Self>, InitError> {
        if !(0.0..=1.0).contains(&config.sample_ratio) {
            return Err(InitError::SampleRatio);
        }
        let Some(endpoint) = &config.otlp_endpoint else { return Ok(None) };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otlp")
            .enable_all()
            .build()
            .map_err(InitError::Runtime)?;
        let inside = runtime.enter();
        let built = match config.otlp_protocol {
            OtlpProtocol::Grpc => SpanExporter::builder().with_tonic().with_endpoint(endpoint).build(),
            OtlpProtocol::Http => {
                let client = HttpSender::new(runtime.handle().clone());
                SpanExporter::builder().with_http().with_http_client(client).with_endpoint(endpoint).build()
            }
        };
        drop(inside);
        let exporter = match built {
            Ok(exporter) => exporter,
            Err(error) => {
                // As below: a plain drop panics inside another runtime.
                runtime.shutdown_background();
                return Err(InitError::Endpoint(error));
            }
        };
        let mut resource = Resource::builder()
            .with_service_name(service)
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        if let Some(instance) = &config.instance {
            resource = resource.with_attribute(KeyValue::new("service.instance.id", instance.clone()));
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio))))
            .with_resource(resource.build())
            .build();
        Ok(Some(Self { provider, runtime: Some(runtime), service }))
    }

    pub(crate) fn tracer(&self) -> SdkTracer {
        self.provider.tracer(self.service)
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last traces were not sent");
        }
        if let Some(runtime) = self.runtime.take() {
            // A plain drop would panic where the guard is dropped inside another runtime.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Span, Tracer};

    use super::*;

    fn start(endpoint: &str, sample_ratio: f64) -> Result<Option<Export>, InitError> {
        let config =
            TelemetryConfig { otlp_endpoint: Some(endpoint.to_owned()), sample_ratio, ..TelemetryConfig::default() };
        Export::start(&config, "test")
    }

    #[tokio::test]
    async fn unusable_settings_are_refused_inside_a_runtime_too() {
        assert!(matches!(start("http://127.0.0.1:1", 1.5), Err(InitError::SampleRatio)));
        assert!(matches!(start("http://127.0.0.1:1", f64::NAN), Err(InitError::SampleRatio)));
        assert!(matches!(start("not a url", 1.0), Err(InitError::Endpoint(_))));
        let by_http = TelemetryConfig {
            otlp_endpoint: Some("not a url".to_owned()),
            otlp_protocol: OtlpProtocol::Http,
            ..TelemetryConfig::default()
        };
        assert!(matches!(Export::start(&by_http, "test"), Err(InitError::Endpoint(_))));
        let config = TelemetryConfig { log_filter: "info,=,=".to_owned(), ..TelemetryConfig::default() };
        assert!(matches!(init(&config, "test"), Err(InitError::Filter(_))));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_span_reaches_the_collector_by_http() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
        let take = move |body: bytes::Bytes| async move {
            sender.send(body).await.unwrap();
        };
        let router = axum::Router::new().route("/v1/traces", axum::routing::post(take));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = TelemetryConfig {
            otlp_endpoint: Some(format!("http://{}/v1/traces", listener.local_addr().unwrap())),
            otlp_protocol: OtlpProtocol::Http,
            sample_ratio: 1.0,
            ..TelemetryConfig::default()
        };
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let export = Export::start(&config, "test").unwrap().unwrap();
        export.tracer().start("by http").end();
        tokio::task::spawn_blocking(move || drop(export)).await.unwrap();
        let body = tokio::time::timeout(std::time::Duration::from_secs(30), receiver.recv()).await.unwrap().unwrap();
        assert!(body.windows(7).any(|window| window == b"by http"));
    }

    #[tokio::test]
    async fn a_collector_that_is_gone_costs_a_bounded_wait_at_the_end() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let export = start(&format!("http://127.0.0.1:{port}"), 1.0).unwrap().unwrap();
        export.tracer().start("lost").end();
        let begun = std::time::Instant::now();
        drop(export);
        assert!(begun.elapsed() < std::time::Duration::from_secs(30));
    }
}
