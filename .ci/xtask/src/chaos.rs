//! `cargo xtask chaos`: a cluster of real processes under faults, and a verdict per promise.

use std::path::PathBuf;

use crate::{
    machine,
    shell::{cargo, root, run},
};

/// How a chaos run's programs are built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    Debug,
    Release,
}

/// Both topologies, in this order.
pub(crate) const TOPOLOGIES: [&str; 2] = ["sentinel", "cluster"];
/// What CI runs for each topology: five minutes together, with starting and auditing.
const CI_MINUTES: &str = "1.6";
const CI_CLIENTS: &str = "300";
/// The same faults in each run of CI: what a change broke shows, what luck broke does not.
const CI_SEED: &str = "21";

/// Builds what takes part and runs the load generator's command `chaos` with `arguments`.
pub(crate) fn chaos(build: Build, arguments: &[String]) -> anyhow::Result<()> {
    machine::packages()?;
    let (profile, directory) = match build {
        Build::Debug => ("dev", "debug"),
        Build::Release => ("release", "release"),
    };
    let packages = ["tickwire-edge", "tickwire-emitter", "tickwire-loadtest"].map(|name| ["--package", name]);
    let mut build = vec!["build", "--bins", "--locked", "--profile", profile];
    build.extend(packages.iter().flatten());
    cargo(&build)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let program = target.join(directory).join("tickwire-loadtest").display().to_string();
    let mut command = vec!["chaos"];
    command.extend(arguments.iter().map(String::as_str));
    run(&program, &command)
}

/// The short version of CI: both topologies, 300 clients.
pub(crate) fn short() -> anyhow::Result<()> {
    for topology in TOPOLOGIES {
        let arguments = ["--topology", topology, "--minutes", CI_MINUTES, "--clients", CI_CLIENTS, "--seed", CI_SEED];
        chaos(Build::Debug, &arguments.map(ToOwned::to_owned))?;
    }
    Ok(())
}
