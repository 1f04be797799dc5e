//! `cargo xtask sim`: the simulated cluster, one process a seed.

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher, Hasher, RandomState},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Context, bail};

use crate::shell::{root, run_in};

/// The promises that the simulation judges.
const PROMISES: [&str; 10] = ["G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "G9", "G10"];
/// Seeds that failed once, a line each, with what they showed.
const KEPT: &str = "seeds.txt";

/// The simulation's own workspace.
fn workspace() -> PathBuf {
    root().join("loadtest/sim")
}

/// Repeats `seed` with its log, or runs the kept seeds and `fresh` new ones.
pub(crate) fn sim(fresh: usize, seed: Option<u64>) -> anyhow::Result<()> {
    let program = build(&workspace())?;
    if let Some(seed) = seed {
        let seed = seed.to_string();
        return run_in(&workspace(), "setarch", &["-R", &program.to_string_lossy(), "--log", "--seed", &seed]);
    }
    let kept = kept_seeds()?;
    let seeds: Vec<u64> = kept.iter().copied().chain((0..fresh).map(|_| random())).collect();
    let begun = Instant::now();
    let failed = run_all(&program, &seeds, None)?;
    report(&failed, seeds.len(), kept.len(), begun);
    if failed.is_empty() {
        return Ok(());
    }
    for run in &failed {
        print!("{}", run.output);
    }
    bail!("{} seeds broke a promise; repeat one with `cargo xtask sim --seed N`", failed.len())
}

/// Every deliberately broken build must be noticed within this many seeds.
const MUTANT_SEEDS: u64 = 100;

/// Runs each mutant until a seed notices it.
pub(crate) fn mutants() -> anyhow::Result<()> {
    let program = build(&workspace())?;
    let names = Command::new(&program).arg("--mutants").output().context("the simulation")?;
    let names = String::from_utf8_lossy(&names.stdout).into_owned();
    let seeds: Vec<u64> = (1..=MUTANT_SEEDS).collect();
    let mut missed = Vec::new();
    for name in names.lines() {
        let failed = run_all(&program, &seeds, Some(name))?;
        if let Some(noticed) = failed.first() {
            println!("{name:<28} noticed by seed {}: {:?}", noticed.seed, noticed.promises());
        } else {
            println!("{name:<28} NOT NOTICED within {MUTANT_SEEDS} seeds");
            missed.push(name);
        }
    }
    if missed.is_empty() { Ok(()) } else { bail!("the oracle does not notice {missed:?}") }
}

/// Builds the simulation in `workspace`.
fn build(workspace: &Path) -> anyhow::Result<PathBuf> {
    run_in(workspace, "cargo", &["build", "--quiet", "--bin", "tickwire-sim"])?;
    Ok(workspace.join("target/debug/tickwire-sim"))
}

fn kept_seeds() -> anyhow::Result<Vec<u64>> {
    let path = workspace().join(KEPT);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| line.split_whitespace().next().unwrap_or_default().parse().context("a seed")).collect()
}

/// A number that nobody chose.
fn random() -> u64 {
    u64::from(u32::try_from(RandomState::new().build_hasher().finish() & u64::from(u32::MAX)).unwrap_or_default())
}

/// Runs `seeds` on all cores; those that broke a promise. Of a mutant, one is enough.
fn run_all(program: &Path, seeds: &[u64], mutant: Option<&str>) -> anyhow::Result<Vec<Failed>> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let work = || -> anyhow::Result<()> {
        while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let output =
                Command::new(program).args(["--seed", &seed.to_string()]).output().context("the simulation")?;
            if !output.status.success() {
                let text = [output.stdout, output.stderr].concat();
                let output = String::from_utf8_lossy(&text).into_owned();
                failed.lock().unwrap_or_else(PoisonError::into_inner).push(Failed { seed, output });
                if mutant.is_some() {
                    next.store(seeds.len(), Ordering::Relaxed);
                }
            }
        }
        Ok(())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?)
    })?;
    Ok(failed.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// A seed that broke a promise, or crashed the simulation.
struct Failed {
    seed: u64,
    /// What it printed.
    output: String,
}

impl Failed {
    /// The promises that it broke.
    fn promises(&self) -> Vec<&'static str> {
        PROMISES.into_iter().filter(|promise| self.output.contains(&format!(": {promise} broken"))).collect()
    }
}

fn report(failed: &[Failed], seeds: usize, kept: usize, begun: Instant) {
    let mut broken: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for run in failed {
        for promise in run.promises() {
            broken.entry(promise).or_default().push(run.seed);
        }
    }
    println!("{seeds} seeds ({kept} kept) in {} s", begun.elapsed().as_secs());
    for promise in PROMISES {
        match broken.get(promise) {
            None => println!("{promise:>4} kept"),
            Some(seeds) => println!("{promise:>4} BROKEN by {seeds:?}"),
        }
    }
}
