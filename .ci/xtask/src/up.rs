//! `cargo xtask up`: the whole product in one process.

use std::{os::unix::process::CommandExt, process::Command};

use crate::{
    dashboard,
    shell::{cargo, root},
};

/// Builds standalone and becomes it, so that signals reach it directly.
pub(crate) fn up(debug: bool, args: &[String]) -> anyhow::Result<()> {
    dashboard::build_if_stale()?;
    let (profile, directory) = if debug { ("dev", "debug") } else { ("release", "release") };
    eprintln!("Building standalone ({directory}); the first time takes some minutes.");
    cargo(&["build", "--profile", profile, "--package", "tickwire-standalone", "--locked"])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let error = Command::new(target.join(directory).join("tickwire-standalone")).args(args).exec();
    Err(anyhow::Error::new(error).context("tickwire-standalone could not be started"))
}
