//! `tickwire-feed record --exchange NAME --channel ticker --symbol BTC/USDT… --out FILE`.

use std::{fs::File, io::BufWriter, path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use tickwire_feed::{
    VenueConfig,
    model::{Channel, Exchange, Interval, Symbol, Topic},
    record::{RecordOptions, record},
};
use tickwire_telemetry::shutdown;

/// Records one live connection, byte for byte.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Whose messages: binance, coinbase, kraken, bybit, okx.
    #[arg(long)]
    exchange: Exchange,
    /// What of each symbol: orderbook, trades, ticker, candles:1m; may be given again.
    #[arg(long = "channel", required = true)]
    channels: Vec<String>,
    /// Canonical symbols, such as BTC/USDT; may be given again.
    #[arg(long = "symbol", required = true)]
    symbols: Vec<String>,
    /// Where to write; lines are added.
    #[arg(long)]
    out: PathBuf,
    /// Seconds to record; without it, until a signal.
    #[arg(long)]
    seconds: Option<u64>,
    /// Another address than the exchange's, such as `ws://127.0.0.1:9001`.
    #[arg(long)]
    origin: Option<String>,
    /// Another address of its HTTP interface.
    #[arg(long)]
    http: Option<String>,
}

fn channel(name: &str) -> anyhow::Result<Channel> {
    Ok(match name.split_once(':') {
        None if name == "orderbook" => Channel::Orderbook,
        None if name == "trades" => Channel::Trades,
        None if name == "ticker" => Channel::Ticker,
        Some(("candles", interval)) => match Interval::parse(interval) {
            Some(interval) => Channel::Candles(interval),
            None => bail!("`{interval}` is no interval"),
        },
        _ => bail!("`{name}` is no channel; there are orderbook, trades, ticker and candles:INTERVAL"),
    })
}

/// Until a signal or the end of the time.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut topics = Vec::new();
    for name in &arguments.channels {
        let channel = channel(name)?;
        topics.extend(arguments.symbols.iter().map(|symbol| Topic { symbol: Symbol::new(symbol), channel }));
    }
    let file = File::options().create(true).append(true).open(&arguments.out);
    let file = file.with_context(|| format!("cannot write {}", arguments.out.display()))?;
    let venue = VenueConfig { origin: arguments.origin, http: arguments.http, ..VenueConfig::default() };
    let options = RecordOptions { exchange: arguments.exchange, topics, venue };
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signals();
        if let Some(seconds) = arguments.seconds {
            let stop = shutdown.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                stop.cancel();
            });
        }
        Ok(record(options, Box::new(BufWriter::new(file)), shutdown).await?)
    })
}
