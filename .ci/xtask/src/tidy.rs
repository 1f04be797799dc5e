//! `cargo xtask tidy`: what a reviewer would otherwise have to watch for.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, bail};
use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::shell::{output, root};

/// Names that may stand at the top level beside dotfiles.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "docker-compose.yml",
    "helm",
    "loadtest",
    "services",
    "shared",
];

/// Lines a source file may have.
const FILE_LINES_MAX: usize = 600;

/// Permissive licences; a dependency must offer at least one of them for each part of its expression.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Which crates of the workspace each crate may depend on; whoever is missing here may depend on all shared crates. Tests may
/// use more: the load generator's start real services.
const ALLOWED: &[(&str, &[&str])] = &[
    ("tickwire-protocol", &[]),
    ("tickwire-auth", &["tickwire-protocol"]),
    ("tickwire-backplane", &["tickwire-protocol"]),
    ("tickwire-client", &["tickwire-protocol"]),
    ("tickwire-http", &["tickwire-auth", "tickwire-backplane", "tickwire-protocol"]),
    (
        "tickwire-loadtest",
        &["tickwire-auth", "tickwire-backplane", "tickwire-client", "tickwire-protocol", "tickwire-telemetry"],
    ),
    ("tickwire-telemetry", &["tickwire-protocol"]),
    ("xtask", &[]),
];

/// Runs every check and reports all that fail.
pub(crate) fn tidy() -> anyhow::Result<()> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(vec!["--locked".into()])
        .exec()
        .context("cargo metadata")?;
    let files = tracked_files()?;
    let mut faults = Vec::new();
    top_level(&files, &mut faults);
    file_texts(&files, &mut faults)?;
    dependency_direction(&metadata, &mut faults);
    licences(&metadata, &mut faults);
    lints_inherited(&metadata, &mut faults)?;
    unused_dependencies(&metadata, &mut faults)?;
    if faults.is_empty() {
        eprintln!("✔ tidy: {} files, {} packages", files.len(), metadata.packages.len());
        return Ok(());
    }
    bail!("tidy found {} faults:\n  {}", faults.len(), faults.join("\n  "));
}

/// Files git knows or would add.
fn tracked_files() -> anyhow::Result<Vec<String>> {
    let listed = output("git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    Ok(listed.lines().map(str::to_owned).filter(|file| root().join(file).exists()).collect())
}

fn top_level(files: &[String], faults: &mut Vec<String>) {
    let names: BTreeSet<&str> = files.iter().filter_map(|file| file.split('/').next()).collect();
    for name in names {
        if !name.starts_with('.') && !TOP_LEVEL.contains(&name) {
            faults.push(format!("{name}: does not belong at the top level"));
        }
    }
}

fn file_texts(files: &[String], faults: &mut Vec<String>) -> anyhow::Result<()> {
    // Put together here so that this file does not find itself.
    let unfinished =
        [["todo", "!("].concat(), ["unimplemented", "!("].concat(), ["#[", "ignore"].concat(), ["FIX", "ME"].concat()];
    for file in files {
        let source = Path::new(file).extension().is_some_and(|extension| {
            extension == "rs" || extension == "ts" || extension == "tsx" || extension == "lua"
        });
        if !source {
            continue;
        }
        let text = fs::read_to_string(root().join(file)).with_context(|| file.clone())?;
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX && !file.contains(".gen.") {
            faults.push(format!("{file}: {lines} lines; over {FILE_LINES_MAX} it is two ideas"));
        }
        for mark in &unfinished {
            if text.contains(mark.as_str()) {
                faults.push(format!("{file}: unfinished: {mark}"));
            }
        }
    }
    Ok(())
}

fn members(metadata: &Metadata) -> Vec<&Package> {
    metadata.workspace_packages()
}

/// `protocol` ← `auth`, `backplane`, `client` ← services; no service on another, standalone apart.
fn dependency_direction(metadata: &Metadata, faults: &mut Vec<String>) {
    let packages = members(metadata);
    let services: Vec<&str> = packages
        .iter()
        .filter(|package| package.manifest_path.as_str().contains("/services/"))
        .map(|package| package.name.as_str())
        .collect();
    for package in &packages {
        let name = package.name.as_str();
        let allowed = ALLOWED.iter().find(|(who, _)| *who == name).map(|(_, whom)| *whom);
        let inside = package.dependencies.iter().filter(|dependency| dependency.path.is_some());
        for dependency in inside.filter(|dependency| dependency.name != name) {
            let wrong = match allowed {
                Some(allowed) => {
                    !allowed.contains(&dependency.name.as_str())
                        && dependency.kind == cargo_metadata::DependencyKind::Normal
                }
                None => {
                    name != "tickwire-standalone"
                        && services.contains(&dependency.name.as_str())
                        && dependency.kind == cargo_metadata::DependencyKind::Normal
                }
            };
            if wrong {
                faults.push(format!("{name} must not depend on {}", dependency.name));
            }
        }
    }
}

fn licences(metadata: &Metadata, faults: &mut Vec<String>) {
    for package in &metadata.packages {
        let Some(expression) = package.license.as_deref() else {
            faults.push(format!("{} {}: names no licence", package.name, package.version));
            continue;
        };
        if !is_permissive(expression) {
            faults.push(format!("{} {}: licence {expression}", package.name, package.version));
        }
    }
}

/// Whether each `AND` part of an SPDX expression offers a licence of [`LICENCES`].
fn is_permissive(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    flat.split(" AND ").all(|part| part.split(" OR ").any(|licence| LICENCES.contains(&licence.trim())))
}

fn lints_inherited(metadata: &Metadata, faults: &mut Vec<String>) -> anyhow::Result<()> {
    for package in members(metadata) {
        let manifest = fs::read_to_string(&package.manifest_path)?;
        if !manifest.contains("[lints]\nworkspace = true") {
            faults.push(format!("{}: does not take the workspace's lints", package.name));
        }
    }
    Ok(())
}

/// A dependency whose name stands in no source file of the crate, or in the workspace's table for nobody.
fn unused_dependencies(metadata: &Metadata, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let mut used = BTreeSet::new();
    for package in members(metadata) {
        let directory = package.manifest_path.parent().context("a manifest stands in a directory")?;
        let mut text = String::new();
        read_sources(directory.as_std_path(), &mut text)?;
        for dependency in &package.dependencies {
            used.insert(dependency.name.as_str());
            if !text.contains(&dependency.name.replace('-', "_")) {
                faults.push(format!("{}: depends on {} and does not name it", package.name, dependency.name));
            }
        }
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let table =
        manifest.split("[workspace.dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap_or_default();
    for name in table.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name) {
        if !name.starts_with('#') && !used.contains(name) {
            faults.push(format!("Cargo.toml: nobody takes {name} from the table"));
        }
    }
    Ok(())
}

/// Appends every Rust file below `directory`, other packages and build products left out.
fn read_sources(directory: &Path, text: &mut String) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") && !path.join("Cargo.toml").exists() {
            read_sources(&path, text)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_permissive;

    #[test]
    fn a_choice_with_one_permissive_licence_passes() {
        assert!(is_permissive("MIT OR Apache-2.0"));
        assert!(is_permissive("GPL-2.0 OR MIT"));
        assert!(is_permissive("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(is_permissive("MIT/Apache-2.0"));
    }

    #[test]
    fn a_copyleft_part_fails() {
        assert!(!is_permissive("MPL-2.0"));
        assert!(!is_permissive("MIT AND GPL-3.0"));
    }
}
