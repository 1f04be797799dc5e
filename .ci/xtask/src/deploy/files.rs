//! Files that an operator's tools read: each by the tool that reads it, or its schema.

use std::fs;

use anyhow::{Context, ensure};

use super::tools::wheel;
use crate::shell::{root, run};

/// All of them.
pub(crate) fn check() -> anyhow::Result<()> {
    run(&wheel("check-jsonschema")?, &["--builtin-schema", "vendor.compose-spec", "docker-compose.yml"])?;
    run(&wheel("hadolint")?, &["services/Dockerfile"])?;
    rules()
}

/// The rules are rules, and each fires when it should and only then.
fn rules() -> anyhow::Result<()> {
    let directory = "helm/files/prometheus";
    run("promtool", &["check", "config", "--syntax-only", &format!("{directory}/prometheus.yml")])?;
    for entry in fs::read_dir(root().join(directory).join("rules"))? {
        run("promtool", &["check", "rules", &entry?.path().display().to_string()])?;
    }
    run("promtool", &["test", "rules", &format!("{directory}/tests/rules_test.yml")])?;
    runbooks()
}

/// Every alert has a paragraph of its name and a test.
fn runbooks() -> anyhow::Result<()> {
    let read = |path: &str| fs::read_to_string(root().join(path)).with_context(|| path.to_owned());
    let (runbooks, tests) = (read("helm/RUNBOOKS.md")?, read("helm/files/prometheus/tests/rules_test.yml")?);
    let alerts = read("helm/files/prometheus/rules/alerts.yml")?;
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        ensure!(runbooks.contains(&format!("\n### {alert}\n")), "helm/RUNBOOKS.md has no paragraph {alert}");
        ensure!(
            tests.contains(&format!("alertname: {alert}\n        exp_alerts:\n")),
            "nothing shows that {alert} fires"
        );
        let link = format!("runbook: \"RUNBOOKS.md#{}\"", alert.to_lowercase());
        ensure!(alerts.contains(&link), "{alert} names no runbook");
    }
    Ok(())
}
