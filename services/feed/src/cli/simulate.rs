//! `tickwire-feed simulate --exchange NAME --recording FILE --listen ADDR [--speed 1|10|max] [--loop] [--fault …]`.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context;
use tickwire_feed::{
    model::Exchange,
    simulate::{Fault, Simulator, SimulatorOptions, Speed},
};
use tickwire_telemetry::shutdown;
use tokio::net::TcpListener;

/// Serves a recording as its exchange would, over WebSocket and (Binance's depth) HTTP.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Whose language: binance, coinbase, kraken, bybit, okx.
    #[arg(long)]
    exchange: Exchange,
    /// The recording, `.jsonl` or `.jsonl.gz`.
    #[arg(long)]
    recording: PathBuf,
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// As recorded (1), so many times as fast, or as fast as clients read (max).
    #[arg(long, default_value = "1")]
    speed: Speed,
    /// Begin again at the end, with fresh times and sequence numbers.
    #[arg(long = "loop")]
    is_looped: bool,
    /// Something that goes wrong, such as `drop@12`, `close:1008`, `refuse:429x3`; may be given again.
    #[arg(long = "fault")]
    faults: Vec<Fault>,
}

/// Until a signal.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { exchange, recording, listen, speed, is_looped, faults } = arguments;
    let bytes = std::fs::read(&recording).with_context(|| format!("cannot read {}", recording.display()))?;
    let name = recording.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    runtime.block_on(async {
        let simulator = Simulator::new(SimulatorOptions { exchange, name, speed, is_looped, faults }, &bytes)?;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        say(listener.local_addr().context("no address")?);
        simulator.serve(listener, shutdown::on_signals()).await;
        Ok(())
    })
}

/// Where it is: a port of 0 is any that is free.
#[allow(clippy::print_stdout, reason = "the command's own output")]
fn say(address: SocketAddr) {
    println!("listening on {address}");
}
