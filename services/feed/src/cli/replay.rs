//! `tickwire-feed replay FILE… [--exchange NAME] [--events | --messages] [--summary]`.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use anyhow::Context;
use tickwire_feed::{model::Exchange, replay::Replay};

/// Which recordings, and what is printed of them. With neither `--events` nor `--summary`, the summary.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Recordings, `.jsonl` or `.jsonl.gz`; `-` is standard input, unpacked.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Whose they are, if neither their path nor their addresses say so.
    #[arg(long)]
    exchange: Option<Exchange>,
    /// Prints one normalised event a line.
    #[arg(long)]
    events: bool,
    /// Prints what subscribers of the channels would get, one message a line: a recording for `tickwire-algorithm backtest`.
    #[arg(long, conflicts_with_all = ["events", "summary"])]
    messages: bool,
    /// Levels a side of the books of `--messages`.
    #[arg(long, default_value_t = 100, requires = "messages")]
    depth: usize,
    /// Prints one JSON object a file: counts, sums, checkpoints, final books, anomalies.
    #[arg(long)]
    summary: bool,
}

/// Replays each file by itself.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut output = BufWriter::new(io::stdout().lock());
    for file in &arguments.files {
        if arguments.messages {
            Replay::messages(file, arguments.exchange, arguments.depth, &mut output)?;
            continue;
        }
        let events = arguments.events.then_some(&mut output as &mut dyn Write);
        let summary = Replay::run(file, arguments.exchange, events)?;
        if arguments.summary || !arguments.events {
            writeln!(output, "{}", summary.to_json()).context("cannot print")?;
        }
    }
    output.flush().context("cannot print")
}
