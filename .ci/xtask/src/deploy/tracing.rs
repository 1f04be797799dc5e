//! The compose file's profile `tracing`, with the collector that it names: one trace from the emitter's call to a socket.

use std::{collections::BTreeSet, fs, process::Command};

use anyhow::{Context, ensure};

use super::{
    compose::{Stack, until},
    engine::Engine,
    tools,
};
use crate::shell::{run, run_in, run_with, works};

/// What builds a collector from its parts.
const BUILDER: &str = "go.opentelemetry.io/collector/cmd/builder@v0.139.0";
/// The parts that `helm/files/otel/collector.yaml` names; the image of that name has these among others.
const PARTS: &str = "\
receivers:
  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v0.139.0
processors:
  - gomod: go.opentelemetry.io/collector/processor/batchprocessor v0.139.0
exporters:
  - gomod: go.opentelemetry.io/collector/exporter/debugexporter v0.139.0
providers:
  - gomod: go.opentelemetry.io/collector/confmap/provider/envprovider v1.45.0
  - gomod: go.opentelemetry.io/collector/confmap/provider/fileprovider v1.45.0
";
const IMAGE: &str = "otel/opentelemetry-collector:0.139.0";

/// Makes the collector's image, from its sources.
pub(crate) fn prepare(engine: &Engine) -> anyhow::Result<()> {
    if engine.ask(&["image", "inspect", "--format", "{{.Id}}", IMAGE]).is_ok() {
        return Ok(());
    }
    let directory = tools::directory()?.join("collector");
    fs::create_dir_all(&directory)?;
    let binary = directory.join("otelcol");
    if !works(&binary.display().to_string(), &["--version"]) {
        let go = tools::go()?;
        let bin = tools::directory()?.join("bin").display().to_string();
        run_with(&go, &["install", BUILDER], &[("GOBIN", &bin)])?;
        let manifest = format!("dist: {{ name: otelcol, output_path: {}, go: {go} }}\n{PARTS}", directory.display());
        fs::write(directory.join("parts.yaml"), manifest)?;
        // CGO is off by the builder's own default: the binary runs in an image without libraries.
        run_in(&directory, &tools::built("builder")?, &["--config", "parts.yaml"])?;
    }
    let archive = directory.join("image.tar").display().to_string();
    run("tar", &["-cf", &archive, "-C", &directory.display().to_string(), "otelcol"])?;
    engine.docker(&["import", "-c", "ENTRYPOINT [\"/otelcol\"]", &archive, IMAGE])
}

/// A span, as the collector prints it.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    trace: String,
    parent: String,
    id: String,
    name: String,
}

/// A message's trace arrives whole: what writes it to a socket has the emitter's call as its parent.
pub(crate) fn check(stack: &Stack<'_>) -> anyhow::Result<()> {
    let collector = stack.containers("collector")?.pop().context("there is no collector")?;
    stack.load(&["--scenario", "fanout", "--connections", "4", "--duration", "3", "--clean"])?.finish()?;
    until("a trace from the emitter's call to a socket", || {
        let spans = spans(&logs(stack.engine(), &collector)?);
        let is_call =
            |span: &Span, write: &Span| span.name == "request" && span.id == write.parent && span.trace == write.trace;
        let is_whole = |write: &Span| spans.iter().any(|span| is_call(span, write));
        Ok(spans.iter().filter(|span| span.name == "write").any(is_whole))
    })
}

fn logs(engine: &Engine, container: &str) -> anyhow::Result<String> {
    let output = Command::new(super::engine::DOCKER).args(["logs", container]).envs(engine.environment()).output()?;
    ensure!(output.status.success(), "no logs of {container}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

/// What the collector's debug exporter printed.
fn spans(log: &str) -> BTreeSet<Span> {
    let mut spans = BTreeSet::new();
    for text in log.split("Span #").skip(1) {
        let mut span = Span::default();
        for (key, value) in text.lines().take(8).filter_map(|line| line.trim().split_once(':')) {
            let value = value.trim().to_owned();
            match key.trim() {
                "Trace ID" => span.trace = value,
                "Parent ID" => span.parent = value,
                "ID" => span.id = value,
                "Name" => span.name = value,
                _ => {}
            }
        }
        spans.insert(span);
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_from_what_the_collector_prints() {
        let log = "ScopeSpans #0\nSpan #0\n    Trace ID       : 4f\n    Parent ID      : 1b\n    ID             : 2c\n    Name           : write\n    Kind           : Internal\n";
        let text = |text: &str| text.to_owned();
        let span = Span { trace: text("4f"), parent: text("1b"), id: text("2c"), name: text("write") };
        assert_eq!(spans(log), BTreeSet::from([span]));
    }
}
