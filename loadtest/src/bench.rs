//! `tickwire-loadtest bench`: the table of numbers that the design sets as goals, on one machine, beside a raw loop.
//!
//! It starts Redis, two edges and an emitter as processes of their own, in release builds. Absolute times are the
//! machine's, so what is compared stands in one run, floor and edge in turn, and medians of several rounds are taken.

mod bytes;
mod connects;
mod fanout;
mod flock;
mod growth;
mod page;
mod raw;
mod redis;
mod scenarios;
mod servers;
mod table;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context;
use clap::Args;
use tickwire_protocol::time::now_ms;

pub use raw::serve as raw_loop;
use servers::Places;
use table::Findings;

use crate::{machine, processes::raise_file_limit};

/// Open files that the greatest flock needs on one end.
const FILES_MIN: u64 = 10_000;

/// What to measure.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Fewer rounds and smaller sizes: shows that everything works, its figures are rough.
    #[arg(long)]
    pub quick: bool,
    /// Only parts whose name contains this: fanout, batches, connects, latency, storm, slow, redis, bytes, growth.
    #[arg(long)]
    pub only: Option<String>,
    /// Where `bench.json`, `bench.html` and the servers' logs go.
    #[arg(long, default_value = "target/bench")]
    pub out: PathBuf,
}

/// A part of the benchmark.
struct Part {
    name: &'static str,
    measure: fn(&Bench, &mut Findings) -> anyhow::Result<()>,
}

const PARTS: &[Part] = &[
    Part { name: "fanout", measure: fanout::fanout },
    Part { name: "batches", measure: fanout::batches },
    Part { name: "latency", measure: scenarios::latency },
    Part { name: "connects", measure: connects::connects },
    Part { name: "storm", measure: scenarios::storm },
    Part { name: "slow", measure: scenarios::slow },
    Part { name: "redis", measure: redis::redis },
    Part { name: "bytes", measure: bytes::bytes },
    Part { name: "growth", measure: growth::growth },
];

/// What every part uses.
struct Bench {
    places: Places,
    is_quick: bool,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    /// How often to repeat, or how large to be.
    fn size(&self, whole: usize, quick: usize) -> usize {
        if self.is_quick { quick } else { whole }
    }
}

/// Measures, prints the table, and writes it as JSON and HTML. A goal that is missed is no error; a part that could not be
/// measured is one, after the others.
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark talks to its terminal")]
pub fn run(args: &BenchArgs, command: Vec<String>) -> anyhow::Result<()> {
    let files = raise_file_limit()?;
    anyhow::ensure!(files >= FILES_MIN, "{files} open files are allowed, {FILES_MIN} are needed: raise `ulimit -Hn`");
    let programs =
        std::env::current_exe()?.parent().map(Path::to_path_buf).context("this program is in a directory")?;
    let logs = args.out.join("logs");
    fs::create_dir_all(&logs)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let bench = Bench { places: Places { programs, logs }, is_quick: args.quick, runtime };
    let mut findings = Findings::new(machine::describe(), now_ms(), command, args.quick);
    let begun = Instant::now();
    let mut failed = Vec::new();
    let wanted = |part: &&Part| args.only.as_deref().is_none_or(|only| part.name.contains(only));
    for part in PARTS.iter().filter(wanted) {
        eprintln!("{:>4} s  measuring: {}", begun.elapsed().as_secs(), part.name);
        if let Err(error) = (part.measure)(&bench, &mut findings) {
            eprintln!("        failed: {error:#}");
            findings.notes.push(format!("The part `{}` could not be measured: {error:#}", part.name));
            failed.push(part.name);
        }
    }
    findings.took_s = begun.elapsed().as_secs();
    println!("{}", findings.text());
    fs::write(args.out.join("bench.json"), serde_json::to_vec_pretty(&findings)?)?;
    fs::write(args.out.join("bench.html"), page::render(&findings)?)?;
    eprintln!("{}", args.out.join("bench.html").display());
    anyhow::ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

/// The middle one of `values`, or the mean of the two middle ones; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count.is_multiple_of(2) => f64::midpoint(values[count / 2 - 1], values[count / 2]),
        count => values[count / 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_taken() {
        let close = |values: &[f64], expected: f64| (median(values.to_vec()) - expected).abs() < 1e-9;
        assert!(close(&[], 0.0) && close(&[3.0, 1.0, 9.0], 3.0) && close(&[1.0, 2.0, 4.0, 9.0], 3.0));
    }
}
