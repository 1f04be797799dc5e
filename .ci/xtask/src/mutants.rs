//! Builds of the simulation with an invariant of the shipped Rust taken out. The working tree is left alone: a copy of the
//! sources is broken and built. It has the shape of the repository and the target directory of the simulation, so that cargo
//! builds nothing anew but what is broken and what depends on it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context, bail};

use crate::shell::{root, run_with};

/// What the simulation is built of, from the repository's root.
const SOURCES: [&str; 4] = ["Cargo.toml", "shared", "services", "loadtest"];
/// Directories with what others made.
const NO_SOURCES: [&str; 4] = ["target", "node_modules", "dist", ".git"];

/// Builds the mutant `name`; `simulation` is an intact build, which knows what to break. Gives the program.
pub(crate) fn build(simulation: &Path, target: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let directory = target.join("mutants");
    let copy = directory.join("sources");
    fs::create_dir_all(&copy).with_context(|| copy.display().to_string())?;
    for part in SOURCES {
        mirror(&root().join(part), &copy.join(part))?;
    }
    let copied = copy.display().to_string();
    let broken = Command::new(simulation).args(["--mutant", name, "--sources", &copied]).output();
    let broken = broken.context("the simulation")?;
    if !broken.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&broken.stdout));
    }
    let manifest = copy.join("loadtest/sim/Cargo.toml").display().to_string();
    let target_text = target.display().to_string();
    // Its settings stand beside the manifest, where cargo looks only when it is started there.
    let config = copy.join("loadtest/sim/.cargo/config.toml").display().to_string();
    let args = ["build", "--quiet", "--locked", "--bin", "tickwire-sim", "--manifest-path", &manifest];
    run_with("cargo", &[&args[..], &["--config", &config]].concat(), &[("CARGO_TARGET_DIR", &target_text)])?;
    let program = directory.join(name);
    fs::copy(target.join("debug/tickwire-sim"), &program).with_context(|| program.display().to_string())?;
    Ok(program)
}

/// Makes `to` what `from` is. A file that is new keeps its time, so that what was built of its like is still good; one that
/// was broken gets a new one, so that it is built again.
fn mirror(from: &Path, to: &Path) -> anyhow::Result<()> {
    let context = || from.display().to_string();
    if from.is_file() {
        let text = fs::read(from).with_context(context)?;
        match fs::read(to) {
            Ok(same) if same == text => return Ok(()),
            Ok(_) => fs::write(to, text).with_context(context)?,
            Err(_) => {
                fs::write(to, text).with_context(context)?;
                let modified: SystemTime = fs::metadata(from).and_then(|data| data.modified()).with_context(context)?;
                File::options().write(true).open(to)?.set_modified(modified).with_context(context)?;
            }
        }
        return Ok(());
    }
    fs::create_dir_all(to).with_context(context)?;
    for entry in fs::read_dir(from).with_context(context)? {
        let entry = entry?;
        let name = entry.file_name();
        if !entry.file_type()?.is_symlink() && !NO_SOURCES.iter().any(|other| name == *other) {
            mirror(&entry.path(), &to.join(name))?;
        }
    }
    Ok(())
}
