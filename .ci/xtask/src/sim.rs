//! `cargo xtask sim`: the simulated cluster, one process a seed.

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Read},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};

use crate::{
    mutants,
    shell::{root, run_in, works},
};

/// The promises that the simulation judges.
const PROMISES: [&str; 10] = ["G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "G9", "G10"];
/// Seeds that failed once, a line each, with what they showed.
const KEPT: &str = "seeds.txt";

/// The simulation's own workspace.
fn workspace() -> PathBuf {
    root().join("loadtest/sim")
}

/// Where it is built.
fn target() -> PathBuf {
    workspace().join("target")
}

/// What `cargo xtask test` runs of it: the model against the suite of real Redis, determinism, seeds.
pub(crate) fn check() -> anyhow::Result<()> {
    run_in(&workspace(), "cargo", &["nextest", "run", "--locked"])?;
    seeds(FRESH, Some(CHECK_TIME))
}

/// Repeats `seed` with its log, or runs the kept seeds and `fresh` new ones.
pub(crate) fn sim(fresh: usize, seed: Option<u64>) -> anyhow::Result<()> {
    let Some(seed) = seed else { return seeds(fresh, None) };
    let simulation = Simulation::build()?;
    let status = simulation.run(seed).arg("--log").status().context("the simulation")?;
    if status.success() { Ok(()) } else { bail!("seed {seed}: {status}") }
}

/// Fresh seeds of a run that names no number.
pub(crate) const FRESH: usize = 100;
/// How long a run of all checks begins new seeds.
const CHECK_TIME: Duration = Duration::from_secs(90);
/// How long one seed may run; it takes some seconds, so one that takes this long stands still.
const SEED_TIME: Duration = Duration::from_secs(120);
/// How often a running seed is looked at.
const SEED_POLL: Duration = Duration::from_millis(20);
/// Every deliberately broken build must be noticed within this many seeds.
const MUTANT_SEEDS: u64 = 100;

/// Runs the kept seeds and `fresh` new ones; begins none any more after `time`.
fn seeds(fresh: usize, time: Option<Duration>) -> anyhow::Result<()> {
    let simulation = Simulation::build()?;
    let kept = kept_seeds()?;
    let seeds: Vec<u64> = kept.iter().copied().chain((0..fresh).map(|_| random())).collect();
    println!("seeds {seeds:?}");
    let begun = Instant::now();
    let is_late = || time.is_some_and(|time| begun.elapsed() > time);
    let runs = simulation.run_all(&seeds, None, |_| is_late())?;
    let failed: Vec<&Run> = runs.iter().filter(|run| !run.is_kept).collect();
    report(&failed, runs.len(), kept.len(), begun);
    if runs.len() < seeds.len() {
        println!("{} of {} seeds were begun before the time was up", runs.len(), seeds.len());
    }
    if failed.is_empty() {
        return Ok(());
    }
    for run in &failed {
        print!("{}", run.output);
    }
    bail!("{} seeds broke a promise; repeat one with `cargo xtask sim --seed N`", failed.len())
}

/// Runs each mutant until a seed notices the promise that it breaks.
pub(crate) fn mutants(only: Option<&str>) -> anyhow::Result<()> {
    let simulation = Simulation::build()?.set_aside()?;
    let names = Command::new(&simulation.program).arg("--mutants").output().context("the simulation")?;
    let names = String::from_utf8_lossy(&names.stdout).into_owned();
    // Far apart: a seed's remainder decides when a user is revoked, and small ones would all revoke before the first fault.
    let seeds: Vec<u64> = (1..=MUTANT_SEEDS).map(|number| number * 104_729).collect();
    let mut missed = Vec::new();
    for line in names.lines() {
        let [name, promise, language] = line.split(' ').collect::<Vec<_>>()[..] else { bail!("`{line}` is no mutant") };
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let built = match language {
            "rust" => Some(simulation.broken(name)?),
            _ => None,
        };
        let begun = Instant::now();
        let notices = |run: &Run| run.promises().any(|broken| broken == promise);
        let in_lua = built.is_none().then_some(name);
        let runs = built.as_ref().unwrap_or(&simulation).run_all(&seeds, in_lua, |runs| runs.iter().any(notices))?;
        if let Some(run) = runs.iter().find(|run| notices(run)) {
            let (seed, tried, seconds) = (run.seed, runs.len(), begun.elapsed().as_secs());
            println!("{name:<28} {promise} broken by seed {seed}, of {tried} tried in {seconds} s");
        } else {
            println!("{name:<28} {promise} NOT BROKEN within {MUTANT_SEEDS} seeds");
            missed.push(name);
        }
    }
    if missed.is_empty() { Ok(()) } else { bail!("the oracle does not notice {missed:?}") }
}

/// The program that simulates one seed.
struct Simulation {
    program: PathBuf,
    /// Whether it may run at fixed addresses. Some hashers are seeded by them, so without that a seed that failed may not fail
    /// again.
    is_fixed: bool,
}

impl Simulation {
    fn build() -> anyhow::Result<Self> {
        run_in(&workspace(), "cargo", &["build", "--quiet", "--locked", "--bin", "tickwire-sim"])?;
        let is_fixed = works("setarch", &["-R", "true"]);
        if !is_fixed {
            println!("`setarch -R` is refused here: addresses are random, and a seed may not repeat to the byte");
        }
        Ok(Self { program: target().join("debug/tickwire-sim"), is_fixed })
    }

    /// The same from a copy: builds of mutants take the program's place.
    fn set_aside(self) -> anyhow::Result<Self> {
        let directory = target().join("mutants");
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        let program = directory.join("intact");
        fs::copy(&self.program, &program).with_context(|| program.display().to_string())?;
        Ok(Self { program, ..self })
    }

    /// One with an invariant of the shipped Rust taken out.
    fn broken(&self, name: &str) -> anyhow::Result<Self> {
        let program = mutants::build(&self.program, &target(), name)?;
        Ok(Self { program, is_fixed: self.is_fixed })
    }

    fn run(&self, seed: u64) -> Command {
        let mut command = if self.is_fixed {
            let mut command = Command::new("setarch");
            command.arg("-R").arg(&self.program);
            command
        } else {
            Command::new(&self.program)
        };
        command.arg("--seed").arg(seed.to_string());
        command
    }

    /// Runs `seeds` on all cores, each in a process, and begins none any more once `is_enough`.
    fn run_all(
        &self,
        seeds: &[u64],
        mutant: Option<&str>,
        is_enough: impl Fn(&[Run]) -> bool + Sync,
    ) -> anyhow::Result<Vec<Run>> {
        let next = AtomicUsize::new(0);
        let runs = Mutex::new(Vec::new());
        let work = || -> anyhow::Result<()> {
            loop {
                if is_enough(&runs.lock().unwrap_or_else(PoisonError::into_inner)) {
                    return Ok(());
                }
                let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) else { return Ok(()) };
                let mut command = self.run(seed);
                if let Some(mutant) = mutant {
                    command.args(["--mutant", mutant]);
                }
                let (is_kept, output) = finished(command).context("the simulation")?;
                let run = Run { seed, is_kept, output };
                runs.lock().unwrap_or_else(PoisonError::into_inner).push(run);
            }
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
        })?;
        Ok(runs.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs `command`, but not for ever: whether it succeeded, and what it printed.
fn finished(mut command: Command) -> io::Result<(bool, String)> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        // Read while it runs: a full pipe would hold it up.
        let printed = scope.spawn(move || all_of(stdout));
        let said = scope.spawn(move || all_of(stderr));
        let begun = Instant::now();
        let mut late = "";
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if begun.elapsed() > SEED_TIME && late.is_empty() {
                late = "it stood still and was ended\n";
                child.kill()?;
            }
            std::thread::sleep(SEED_POLL);
        };
        let texts = [printed.join(), said.join()].map(|text| text.unwrap_or_else(|_| Ok(Vec::new())));
        let output = texts.into_iter().collect::<io::Result<Vec<_>>>()?.concat();
        let output = String::from_utf8_lossy(&output).into_owned() + late;
        Ok((status.success(), output))
    })
}

fn all_of(pipe: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut bytes))?;
    Ok(bytes)
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

/// A seed that ran.
struct Run {
    seed: u64,
    /// Every promise was kept, and nothing crashed.
    is_kept: bool,
    /// What it printed.
    output: String,
}

impl Run {
    /// The promises that it broke.
    fn promises(&self) -> impl Iterator<Item = &'static str> {
        PROMISES.into_iter().filter(|promise| self.output.contains(&format!(": {promise} broken")))
    }
}

fn report(failed: &[&Run], seeds: usize, kept: usize, begun: Instant) {
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
