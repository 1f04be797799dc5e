//! The chart: linted, rendered for every values file, held against Kubernetes' schemas, its templates tested.

use std::{fmt::Write, fs, process::Command};

use anyhow::{Context, bail, ensure};

use super::{
    documents,
    tools::{built, directory, wheel},
};
use crate::shell::{root, run};

/// Releases of Kubernetes that manifests are held against: the oldest that the chart takes, and a new one.
const KUBERNETES: &[&str] = &["1.27", "1.34"];
/// Kinds that the schemas of Kubernetes itself do not have.
const OTHERS: &[&str] = &["HTTPRoute", "PrometheusRule", "ServiceMonitor"];

/// Everything that needs no cluster.
pub(crate) fn check(writes: bool) -> anyhow::Result<()> {
    let values = fs::read_to_string(root().join("helm/values.yaml"))?;
    documents::keep("helm/README.md", &readme(&values)?, writes)?;
    routes()?;
    run(&built("helm")?, &["lint", "--strict", "--quiet", "helm"])?;
    run(&built("helm-unittest")?, &["--strict", "helm"])?;
    for release in KUBERNETES {
        render(release, None)?;
        for entry in fs::read_dir(root().join("helm/values"))? {
            render(release, Some(&entry?.path().display().to_string()))?;
        }
    }
    Ok(())
}

/// Every route and file of the page is one of the chart's.
fn routes() -> anyhow::Result<()> {
    let read = |path: &str| fs::read_to_string(root().join(path)).with_context(|| path.to_owned());
    let (page, chart) = (read("services/dashboard/src/app.tsx")?, read("helm/templates/routes.yaml")?);
    let routes = page.split("<Route path=\"").skip(1).filter_map(|rest| rest.split(['"', '/']).next());
    let mut paths: Vec<String> = routes.filter(|route| *route != "*").map(str::to_owned).collect();
    for file in fs::read_dir(root().join("services/dashboard/public"))? {
        paths.push(file?.file_name().to_string_lossy().into_owned());
    }
    for path in &paths {
        ensure!(
            chart.contains(&format!("\"/{path}\"")),
            "helm/templates/routes.yaml leads nobody to the page's /{path}"
        );
    }
    ensure!(!paths.is_empty(), "the page has no routes: where did they go?");
    Ok(())
}

/// Renders with a values file and validates what comes out.
fn render(release: &str, values: Option<&str>) -> anyhow::Result<()> {
    let version = format!("{release}.0");
    let mut arguments = vec!["template", "tickwire", "helm", "--kube-version", &version];
    arguments.extend(values.iter().flat_map(|values| ["--values", values]));
    let rendered = Command::new(built("helm")?).args(&arguments).current_dir(root()).output()?;
    if !rendered.status.success() {
        bail!("helm {}: {}", arguments.join(" "), String::from_utf8_lossy(&rendered.stderr));
    }
    let path = directory()?.join("rendered.yaml");
    fs::write(&path, rendered.stdout)?;
    let judged = Command::new(wheel("kubernetes-validate")?)
        .args(["--strict", "-k", release])
        .arg(&path)
        .output()
        .context("kubernetes-validate could not be started")?;
    let report = String::from_utf8_lossy(&judged.stdout).into_owned() + &String::from_utf8_lossy(&judged.stderr);
    let what = format!("{} for Kubernetes {release}", values.unwrap_or("the default values"));
    let unknown = report.lines().find(|line| line.contains("WARN") && !OTHERS.iter().any(|kind| line.contains(kind)));
    if !judged.status.success() || unknown.is_some() {
        bail!("{what}:\n{report}");
    }
    eprintln!("✔ {what}: {} manifests", report.matches(" passed ").count());
    Ok(())
}

/// The chart's README: each key of values.yaml with its default and the comment above it.
fn readme(values: &str) -> anyhow::Result<String> {
    let mut text = String::from(
        "# Values of the Tickwire chart\n\n\
         Made from values.yaml by `cargo xtask test-deploy --write`. Runbooks are in RUNBOOKS.md, metrics in METRICS.md, sizes in\n\
         CAPACITY.md; `values/` holds examples that are rendered and validated in tests.\n\n\
         ```sh\nhelm install tickwire helm --namespace tickwire --create-namespace --values helm/values/trial.yaml\n\
         helm test tickwire --namespace tickwire\n```\n\n| key | default | what it is |\n| --- | --- | --- |\n",
    );
    let (mut path, mut comment) = (Vec::<(usize, &str)>::new(), String::new());
    // The first comment is the file's.
    for line in values.lines().skip_while(|line| line.starts_with('#')) {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if let Some(more) = content.strip_prefix("# ") {
            comment = if comment.is_empty() { more.to_owned() } else { format!("{comment} {more}") };
            continue;
        }
        let Some((key, value)) = content.split_once(':') else { continue };
        path.retain(|(depth, _)| *depth < indent);
        path.push((indent, key));
        let name = path.iter().map(|(_, key)| *key).collect::<Vec<_>>().join(".");
        let value = value.trim();
        if !value.is_empty() {
            writeln!(text, "| `{name}` | `{value}` | {comment} |")?;
        } else if !comment.is_empty() {
            writeln!(text, "| `{name}` | | {comment} |")?;
        }
        comment.clear();
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::readme;

    #[test]
    fn a_key_is_described_by_the_comment_above_it() {
        let text = readme("# The file's.\n\n# Of a,\n# in two lines.\na:\n  # Of b.\n  b: 1\nc: []\n").unwrap();
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows, ["| `a` | | Of a, in two lines. |", "| `a.b` | `1` | Of b. |", "| `c` | `[]` |  |"]);
    }
}
