//! Running other programs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, bail};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    // `.ci/xtask` is two levels below it.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Runs `program` in the root, prints what it is and how long it took, and fails if it fails.
pub(crate) fn run(program: &str, args: &[&str]) -> anyhow::Result<()> {
    run_with(program, args, &[])
}

/// [`run`] with environment variables set.
pub(crate) fn run_with(program: &str, args: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<()> {
    run_at(&root(), program, args, environment)
}

/// [`run`] in another directory.
pub(crate) fn run_in(directory: &Path, program: &str, args: &[&str]) -> anyhow::Result<()> {
    run_at(directory, program, args, &[])
}

fn run_at(directory: &Path, program: &str, args: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<()> {
    run_command(Command::new(program).args(args).envs(environment.iter().copied()).current_dir(directory))
}

/// [`run`] for a command that is put together already.
pub(crate) fn run_command(command: &mut Command) -> anyhow::Result<()> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    eprintln!("\n▶ {line}");
    let begun = Instant::now();
    let status = command.status().with_context(|| format!("`{line}` could not be started"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    eprintln!("✔ {line} ({} s)", begun.elapsed().as_secs());
    Ok(())
}

/// Runs cargo.
pub(crate) fn cargo(args: &[&str]) -> anyhow::Result<()> {
    run("cargo", args)
}

/// Whether `program args` starts and succeeds.
pub(crate) fn works(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What `program args` prints.
pub(crate) fn output(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(args)
        .current_dir(root())
        .output()
        .with_context(|| format!("{program} could not be started"))?;
    if !output.status.success() {
        bail!("`{program} {}` failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
