//! The npm packages: what `cargo xtask test` does with them, and the types made for them.

use anyhow::{Context, bail};

use crate::{
    machine::{self, Needed},
    shell::{cargo, output, root, run, run_in, run_with, works},
};

/// Directories of npm packages, each after those that it depends on. Each has its lock file, and a script `check` that runs
/// all of its checks and tests.
const PACKAGES: &[&str] = &["shared/sdk", "services/dashboard"];
/// The oldest Node.js that they run on.
pub(crate) const NODE_MAJOR: u32 = 20;

/// The browser of the dashboard's tests. Without a font it draws boxes.
const BROWSER: &[Needed] =
    &[Needed { program: "chromium", version: &["--version"], package: "chromium fonts-dejavu-core" }];

/// Installs and checks every package.
pub(crate) fn check() -> anyhow::Result<()> {
    node()?;
    machine::install(BROWSER)?;
    // Their tests run against the real thing.
    cargo(&[
        "build",
        "--locked",
        "-p",
        "tickwire-edge",
        "-p",
        "tickwire-emitter",
        "-p",
        "tickwire-standalone",
        "--bins",
    ])?;
    for package in PACKAGES {
        let directory = root().join(package);
        if directory.join("package-lock.json").exists() {
            run_in(&directory, "npm", &["ci", "--no-audit", "--no-fund"])?;
            run_in(&directory, "npm", &["run", "--silent", "check"])?;
        }
    }
    Ok(())
}

/// Makes the TypeScript types from the vectors.
pub(crate) fn codegen() -> anyhow::Result<()> {
    node()?;
    run_in(&root().join("shared/sdk"), "node", &["scripts/codegen.mjs"])
}

/// Makes sure of a Node.js that is new enough.
pub(crate) fn node() -> anyhow::Result<()> {
    if is_new_enough()? {
        return Ok(());
    }
    if !machine::is_debian_root()? {
        bail!("the npm packages need Node.js {NODE_MAJOR} or newer and npm: https://nodejs.org");
    }
    if !works("npm", &["--version"]) {
        run_with(
            "apt-get",
            &["install", "-y", "-qq", "--no-install-recommends", "nodejs", "npm"],
            &[("DEBIAN_FRONTEND", "noninteractive")],
        )?;
    }
    // Debian 12 has an older one; npm's package of that name brings the binary.
    if !is_new_enough()? {
        run("npm", &["install", "--global", "--no-audit", "--no-fund", &format!("node@{NODE_MAJOR}")])?;
    }
    if is_new_enough()? { Ok(()) } else { bail!("Node.js {NODE_MAJOR} was installed and is not the first on PATH") }
}

/// Whether there is a Node.js that will do.
pub(crate) fn is_new_enough() -> anyhow::Result<bool> {
    if !works("node", &["--version"]) || !works("npm", &["--version"]) {
        return Ok(false);
    }
    let version = output("node", &["--version"])?;
    let major = version.trim().trim_start_matches('v').split('.').next().unwrap_or_default();
    Ok(major.parse::<u32>().with_context(|| format!("node's version `{}`", version.trim()))? >= NODE_MAJOR)
}
