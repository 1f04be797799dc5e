//! Metrics: what services show, what the list says, what Prometheus has, and what dashboards and rules ask for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
};

use anyhow::{Context, ensure};

use super::{
    compose::{Stack, until},
    documents,
};
use crate::shell::root;

const LIST: &str = "helm/METRICS.md";
const PROMETHEUS: &str = "http://127.0.0.1:9090";

/// What a service says of one metric.
struct Description {
    kind: String,
    help: String,
    services: BTreeSet<&'static str>,
}

/// The text of `/metrics` of the service in `container`.
fn text_of(stack: &Stack<'_>, container: &str, port: u16) -> anyhow::Result<String> {
    stack.engine().get(&format!("http://{}:{port}/metrics", stack.address(container)?))
}

/// The sum of a metric's series at the edge in `container`.
pub(crate) fn value_of(stack: &Stack<'_>, container: &str, name: &str) -> anyhow::Result<f64> {
    value_at(stack, container, 8000, name)
}

/// The same of the service that listens on `port`.
pub(crate) fn value_at(stack: &Stack<'_>, container: &str, port: u16, name: &str) -> anyhow::Result<f64> {
    let text = text_of(stack, container, port)?;
    let series = text.lines().filter(|line| line.starts_with(name));
    Ok(series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// The list holds exactly what the services show, Prometheus has all of it, and nobody asks for anything else.
pub(crate) fn check(stack: &Stack<'_>, writes: bool) -> anyhow::Result<()> {
    let mut shown = BTreeMap::new();
    for (service, port) in
        [("edge", 8000), ("emitter", 8001), ("feed", 8002), ("session", 8010), ("algorithm", 8011), ("risk", 8012)]
    {
        let container = stack.containers(service)?.pop().with_context(|| format!("there is no {service}"))?;
        describe(service, &text_of(stack, &container, port)?, &mut shown);
    }
    documents::keep(LIST, &list(&shown)?, writes)?;
    let series: BTreeSet<String> = shown.iter().flat_map(|(name, about)| series_of(name, &about.kind)).collect();
    until("every documented metric is in Prometheus", || {
        let text = stack.engine().get(&format!("{PROMETHEUS}/api/v1/label/__name__/values"))?;
        let missing: Vec<&String> = series.iter().filter(|name| !text.contains(&format!("\"{name}\""))).collect();
        ensure!(missing.is_empty(), "Prometheus has no {missing:?}");
        Ok(true)
    })?;
    asked_for(&series)
}

/// Adds what a service shows: `# HELP`, `# TYPE`.
fn describe(service: &'static str, text: &str, into: &mut BTreeMap<String, Description>) {
    let mut helps = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            helps.insert(name, help);
        }
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else { continue };
        let help = helps.get(name).copied().unwrap_or_default().trim_end_matches('.').to_owned();
        let new = || Description { kind: kind.to_owned(), help, services: BTreeSet::new() };
        into.entry(name.to_owned()).or_insert_with(new).services.insert(service);
    }
}

fn list(shown: &BTreeMap<String, Description>) -> anyhow::Result<String> {
    let mut text = String::from(
        "# Metrics\n\nMade from what the services show by `cargo xtask test-deploy --write`, and compared with it in every test. A \
         counter's series\nends in `_total`, a histogram's in `_bucket`, `_sum` and `_count`. Times between machines are by their \
         clocks.\n\n| name | type | of | what it is |\n| --- | --- | --- | --- |\n",
    );
    for (name, about) in shown {
        let services: Vec<&str> = about.services.iter().copied().collect();
        writeln!(text, "| `{name}` | {} | {} | {} |", about.kind, services.join(", "), about.help)?;
    }
    Ok(text)
}

/// The names under which Prometheus keeps a metric.
fn series_of(name: &str, kind: &str) -> Vec<String> {
    match kind {
        "counter" => vec![format!("{name}_total")],
        "histogram" => ["bucket", "sum", "count"].map(|part| format!("{name}_{part}")).into(),
        "info" => vec![format!("{name}_info")],
        _ => vec![name.to_owned()],
    }
}

/// Every metric that a rule or a dashboard names exists, or is recorded by a rule.
fn asked_for(series: &BTreeSet<String>) -> anyhow::Result<()> {
    let mut texts = Vec::new();
    for directory in ["helm/files/prometheus/rules", "helm/files/dashboards"] {
        for entry in fs::read_dir(root().join(directory))? {
            let path = entry?.path();
            texts.push((path.display().to_string(), fs::read_to_string(&path)?));
        }
    }
    let recorded: BTreeSet<&str> = texts
        .iter()
        .flat_map(|(_, text)| text.lines())
        .filter_map(|line| line.trim().strip_prefix("- record: "))
        .collect();
    for (path, text) in &texts {
        for name in names(text) {
            ensure!(series.contains(name) || recorded.contains(name), "{path}: nobody shows {name}");
        }
    }
    eprintln!("✔ {} files ask for metrics that exist", texts.len());
    Ok(())
}

/// Words that are names of metrics: `tickwire_…_…` and `tickwire:…`.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'))
        .filter(|word| word.starts_with("tickwire_") || word.starts_with("tickwire:"))
        .map(|word| word.trim_end_matches(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_expressions() {
        let found: Vec<&str> = names("sum(rate(tickwire_a_total[5m])) / tickwire:b:sum, \"tickwire-c\"").collect();
        assert_eq!(found, ["tickwire_a_total", "tickwire:b:sum"]);
    }
}
