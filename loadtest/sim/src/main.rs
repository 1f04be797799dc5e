//! `tickwire-sim run --seed N`: one seed in this process. Many seeds are `cargo xtask sim`.
#![allow(clippy::print_stdout, reason = "what it is for")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use tickwire_sim::{
    mutations::{MUTATIONS, Mutation},
    scenario,
};

/// Simulates the cluster for one seed.
#[derive(Parser)]
struct Options {
    /// The seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Breaks an invariant of the shipped code on purpose: a Lua one in this run, a Rust one where `--sources` says.
    #[arg(long)]
    mutant: Option<String>,
    /// Breaks the mutant's Rust in this copy of the repository, and does nothing else.
    #[arg(long, requires = "mutant")]
    sources: Option<PathBuf>,
    /// Prints each mutant's name, the promise that it breaks, and its language, a line each, and does nothing else.
    #[arg(long)]
    mutants: bool,
    /// Prints every event.
    #[arg(long)]
    log: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt()
            .without_time()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .init();
    }
    if options.mutants {
        for mutation in &MUTATIONS {
            let language = if mutation.is_rust() { "rust" } else { "lua" };
            println!("{} {} {language}", mutation.name, mutation.promise);
        }
        return ExitCode::SUCCESS;
    }
    let mutation = options.mutant.as_deref().and_then(Mutation::named);
    if mutation.is_none() && options.mutant.is_some() {
        println!("no such mutant");
        return ExitCode::FAILURE;
    }
    if let (Some(sources), Some(mutation)) = (&options.sources, mutation) {
        return break_sources(sources, mutation);
    }
    let outcome = scenario::run(options.seed, mutation);
    if options.log {
        print!("{}", outcome.log);
    }
    for violation in &outcome.violations {
        println!("seed {}: {violation}", options.seed);
    }
    let verdict = if outcome.violations.is_empty() { "kept" } else { "BROKEN" };
    println!("seed {}: {verdict}, {}", options.seed, outcome.summary);
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn break_sources(sources: &Path, mutation: &Mutation) -> ExitCode {
    let broken = match mutation.files(|path| fs::read_to_string(sources.join(path)).ok()) {
        Ok(broken) => broken,
        Err(path) => {
            println!("{path} does not say any more what {} breaks", mutation.name);
            return ExitCode::FAILURE;
        }
    };
    for (path, text) in broken {
        if let Err(error) = fs::write(sources.join(path), text) {
            println!("{path}: {error}");
            return ExitCode::FAILURE;
        }
        println!("{path}");
    }
    ExitCode::SUCCESS
}
