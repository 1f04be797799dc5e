//! `tickwire-algorithm backtest --recording FILE --strategy NAME`.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use rust_decimal::Decimal;
use tickwire_algorithm::backtest::{Backtest, instruments, page};
use tickwire_protocol::RawJson;
use tickwire_trading::{
    Instrument, Limits,
    session::{Name, NewSession},
};

/// Which recording, and what trades over it. The JSON report goes to standard output.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Messages of channels, one a line, as `tickwire-feed replay RAW --messages` writes them; `.jsonl`, `.jsonl.gz`, or `-`.
    #[arg(long)]
    recording: PathBuf,
    /// `sma-crossover`, `mean-reversion`, `book-imbalance` or `momentum`.
    #[arg(long)]
    strategy: String,
    /// What to trade, `exchange:BASE/QUOTE`; once or more [default: every book of the recording].
    #[arg(long = "symbol", value_name = "INSTRUMENT")]
    symbols: Vec<String>,
    /// The bot's parameters, a JSON object, as in a session.
    #[arg(long, default_value = "{}")]
    parameters: String,
    /// Money at the start.
    #[arg(long, default_value = "10000")]
    capital: Decimal,
    /// Writes the report as a page with plots, too.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Prints the report.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut symbols = Vec::new();
    for symbol in &arguments.symbols {
        symbols.push(Instrument::new(symbol).with_context(|| symbol.clone())?);
    }
    if symbols.is_empty() {
        if arguments.recording == Path::new("-") {
            bail!("standard input is read once: name what to trade with --symbol");
        }
        symbols = instruments(&arguments.recording)?;
    }
    let new = NewSession {
        algorithm_id: Name::new(&arguments.strategy).with_context(|| arguments.strategy.clone())?,
        parameters: RawJson::parse(arguments.parameters.clone()).context("--parameters is no JSON")?,
        symbols,
        capital: arguments.capital,
        limits: Limits { loss_limit: arguments.capital, time_limit_ms: None, exposure_limit: None },
    };
    let report = Backtest::run(new, &arguments.recording)?;
    if let Some(path) = &arguments.html {
        fs::write(path, page(&report)).with_context(|| path.display().to_string())?;
    }
    let mut output = io::stdout().lock();
    serde_json::to_writer_pretty(&mut output, &report).context("cannot print")?;
    writeln!(output).context("cannot print")
}
