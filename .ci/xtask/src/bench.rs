//! `cargo xtask bench`: release builds of everything measured, then the load generator's own benchmark.

use std::{os::unix::process::CommandExt, process::Command};

use crate::shell::{cargo, root, run, works};

/// Builds the servers and the load generator, and becomes `tickwire-loadtest bench`.
pub(crate) fn bench(args: &[String]) -> anyhow::Result<()> {
    if !works("redis-server", &["--version"]) {
        run("apt-get", &["install", "-y", "-qq", "--no-install-recommends", "redis-server"])?;
    }
    let mut build = vec!["build", "--release", "--locked"];
    for package in ["tickwire-edge", "tickwire-emitter", "tickwire-loadtest"] {
        build.extend(["--package", package]);
    }
    cargo(&build)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let error = Command::new(target.join("release").join("tickwire-loadtest"))
        .arg("bench")
        .arg("--out")
        .arg(target.join("bench"))
        .args(args)
        .exec();
    Err(anyhow::Error::new(error).context("tickwire-loadtest could not be started"))
}
