//! All five exchanges from recordings inside the program, for a first look without a network.

use std::{collections::BTreeMap, io};

use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Simulator, SimulatorOptions, Speed};
use crate::{config::VenueConfig, model::Exchange};

/// Where each recording comes from and what was done to it: `recordings/README.md`.
pub fn recording(exchange: Exchange) -> &'static [u8] {
    match exchange {
        Exchange::Binance => include_bytes!("../../recordings/binance.jsonl.gz"),
        Exchange::Coinbase => include_bytes!("../../recordings/coinbase.jsonl.gz"),
        Exchange::Kraken => include_bytes!("../../recordings/kraken.jsonl.gz"),
        Exchange::Bybit => include_bytes!("../../recordings/bybit.jsonl.gz"),
        Exchange::Okx => include_bytes!("../../recordings/okx.jsonl.gz"),
    }
}

/// Simulated exchanges on free ports of the loopback interface. They run while this is held.
#[derive(Debug)]
pub struct Demo {
    /// Where each is, for [`crate::FeedConfig::venues`].
    pub venues: BTreeMap<String, VenueConfig>,
    _running: JoinSet<()>,
}

impl Demo {
    /// Starts all five, their recordings looped.
    pub async fn start() -> io::Result<Self> {
        let (mut venues, mut running) = (BTreeMap::new(), JoinSet::new());
        for exchange in Exchange::ALL {
            let options = SimulatorOptions {
                exchange,
                name: format!("recorded {exchange}"),
                speed: Speed::Recorded,
                is_looped: true,
                faults: Vec::new(),
            };
            let simulator = Simulator::new(options, recording(exchange)).map_err(io::Error::other)?;
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let (origin, http) = (Some(format!("ws://{address}")), Some(format!("http://{address}")));
            let venue = VenueConfig { origin, http, ..VenueConfig::default() };
            venues.insert(exchange.to_string(), venue);
            running.spawn(async move { simulator.serve(listener, CancellationToken::new()).await });
        }
        Ok(Self { venues, _running: running })
    }
}
