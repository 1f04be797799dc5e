//! What the tests need on the machine, installed where it is missing and may be.

use anyhow::bail;

use crate::shell::{cargo, output, run, run_with, works};

/// The release of nextest that the tests are known to run under.
const NEXTEST: &str = "0.9.151";

/// A program that tests start, and the Debian package that brings it, with others that it needs to be of use.
pub(crate) struct Needed {
    pub(crate) program: &'static str,
    pub(crate) version: &'static [&'static str],
    pub(crate) package: &'static str,
}

const NEEDED: &[Needed] = &[
    Needed { program: "redis-server", version: &["--version"], package: "redis-server" },
    Needed { program: "haproxy", version: &["-v"], package: "haproxy" },
    Needed { program: "openssl", version: &["version"], package: "openssl" },
    Needed { program: "cc", version: &["--version"], package: "build-essential" },
];

/// Makes everything ready that `cargo xtask test` uses.
pub(crate) fn prepare() -> anyhow::Result<()> {
    packages()?;
    component("rustfmt", &["fmt", "--version"])?;
    component("clippy", &["clippy", "--version"])?;
    if !works("cargo", &["nextest", "--version"]) {
        // Unoptimised: built in three minutes instead of ten, and it only starts processes.
        run_with(
            "cargo",
            &["install", "cargo-nextest", "--locked", "--version", NEXTEST, "--profile", "dev"],
            &[("CARGO_PROFILE_DEV_DEBUG", "0")],
        )?;
    }
    Ok(())
}

/// Installs the programs that tests and chaos runs start.
pub(crate) fn packages() -> anyhow::Result<()> {
    install(NEEDED)
}

/// Installs what of `needed` is missing.
pub(crate) fn install(needed: &[Needed]) -> anyhow::Result<()> {
    let missing: Vec<&str> =
        needed.iter().filter(|needed| !works(needed.program, needed.version)).map(|needed| needed.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get install -y --no-install-recommends {}", missing.join(" "));
    if !is_debian_root()? {
        bail!(
            "the tests start real servers and find no {}; as root on Debian or Ubuntu run: {install}",
            missing.join(", ")
        );
    }
    let quiet = [("DEBIAN_FRONTEND", "noninteractive")];
    run_with("apt-get", &["update", "-qq"], &quiet)?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(missing.iter().flat_map(|packages| packages.split_whitespace()));
    run_with("apt-get", &arguments, &quiet)
}

/// Whether programs can be installed here.
pub(crate) fn is_debian_root() -> anyhow::Result<bool> {
    Ok(output("id", &["-u"])?.trim() == "0" && works("apt-get", &["--version"]))
}

fn component(name: &str, version: &[&str]) -> anyhow::Result<()> {
    if works("cargo", version) { Ok(()) } else { run("rustup", &["component", "add", name]) }
}

/// Runs nextest over the workspace.
pub(crate) fn nextest(filter: Option<&str>) -> anyhow::Result<()> {
    let mut arguments = vec!["nextest", "run", "--workspace", "--locked"];
    arguments.extend(filter);
    cargo(&arguments)
}
