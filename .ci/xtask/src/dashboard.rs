//! The web app's files: built when they are missing or older than what they are made from.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context;

use crate::{
    shell::{root, run_in},
    web,
};

/// What the app is made from, beside its own directory's files.
const SOURCES: &[&str] = &["services/dashboard", "shared/sdk/src"];
/// What is made, or brought by npm.
const MADE: &[&str] = &["dist", "node_modules", "screenshots"];
/// What only its tests read.
const TESTS: &[&str] = &["test", "browser"];

/// Builds `services/dashboard/dist` if it is missing or stale. Without Node the product starts all the same, and says at `/`
/// what is missing.
pub(crate) fn build_if_stale() -> anyhow::Result<()> {
    let home = home();
    let built = modified(&home.join("dist/index.html"));
    let newest = SOURCES.iter().filter_map(|source| newest_in(&root().join(source))).max();
    if built.is_some() && built >= newest {
        return Ok(());
    }
    if !web::is_new_enough()? {
        let without = if built.is_some() { "with an older build of" } else { "without" };
        eprintln!(
            "The dashboard needs Node.js {} or newer to be built, and there is none: starting {without} it.",
            web::NODE_MAJOR
        );
        return Ok(());
    }
    eprintln!("Building the dashboard (some twenty seconds the first time).");
    install()?;
    run_in(&home, "npm", &["run", "--silent", "build"])
}

/// Brings the packages that the lock names, where they are not there already.
fn install() -> anyhow::Result<()> {
    let home = home();
    let lock = fs::read(home.join("package-lock.json")).context("services/dashboard/package-lock.json")?;
    // What was installed last: npm's own record has another form.
    let installed = home.join("node_modules/.installed-lock.json");
    if fs::read(&installed).is_ok_and(|last| last == lock) {
        return Ok(());
    }
    run_in(&home, "npm", &["ci", "--no-audit", "--no-fund"])?;
    fs::write(&installed, lock).context("node_modules")
}

fn home() -> PathBuf {
    root().join("services/dashboard")
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|found| found.modified()).ok()
}

fn newest_in(directory: &Path) -> Option<SystemTime> {
    let mut newest = None;
    for entry in fs::read_dir(directory).ok()?.flatten() {
        let path = entry.path();
        let is_made = entry.file_name().to_str().is_some_and(|name| MADE.contains(&name) || TESTS.contains(&name));
        if !is_made {
            newest = newest.max(if path.is_dir() { newest_in(&path) } else { modified(&path) });
        }
    }
    newest
}
