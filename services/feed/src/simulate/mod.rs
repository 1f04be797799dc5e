//! An exchange from a recording: serves it over WebSocket (Binance's depth over HTTP too) as the exchange would, and breaks in
//! every way that an exchange and the network before it break.
//!
//! Invariants:
//! - Without `looped`, what a subscriber gets of the recording is byte for byte what was recorded. Only what a newcomer needs that the
//!   recording has not at that place (acknowledgements, heartbeats, a snapshot in the middle) is made up.
//! - With `looped`, times, sequence numbers and ids go on as if the recording never ended; prices and checksums stay.
//! - Every upgrade is answered with the header [`REPLAYED_HEADER`], so that nobody takes a replay for the market.

mod book;
mod demo;
mod fault;
mod serve;
mod session;
mod tape;
mod text;
#[cfg(test)]
mod truth;
mod wire;
mod world;

use std::{
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;

pub use demo::{Demo, recording};
pub use fault::{Fault, FaultKind, UnknownFault};

use crate::model::Exchange;

/// In the answer to each upgrade: what is replayed.
pub const REPLAYED_HEADER: &str = "tickwire-replayed";

/// How fast a recording is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Speed {
    /// As it was recorded.
    #[default]
    Recorded,
    /// This many times as fast.
    Times(u32),
    /// As fast as the clients read.
    Max,
}

impl Speed {
    fn scale(self, at: Duration) -> Duration {
        match self {
            Self::Recorded => at,
            Self::Times(times) => at / times.max(1),
            Self::Max => Duration::ZERO,
        }
    }
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "max" => Ok(Self::Max),
            "1" => Ok(Self::Recorded),
            _ => match text.parse() {
                Ok(times @ 1..=100_000) => Ok(Self::Times(times)),
                _ => Err("a speed is a number from 1 on, or max".to_owned()),
            },
        }
    }
}

/// Which recording, and how it is played.
#[derive(Debug, Clone)]
pub struct SimulatorOptions {
    /// Whose language.
    pub exchange: Exchange,
    /// What clients are told is replayed.
    pub name: String,
    /// How fast.
    pub speed: Speed,
    /// Begin again at its end, for ever.
    pub is_looped: bool,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// Why a recording cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulateError {
    /// It cannot be read or decompressed.
    #[error("the recording cannot be read")]
    Read(#[source] std::io::Error),
    /// A line is not in the capture format.
    #[error("line {number} of the recording is not in the capture format")]
    Line {
        /// From 1.
        number: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A line's time is no decimal number of seconds.
    #[error("line {number} of the recording has no time")]
    Time {
        /// From 1.
        number: usize,
    },
    /// It holds no market data of this exchange.
    #[error("the recording holds no market data of this exchange")]
    Empty,
}

/// An exchange that replays a recording. Clones share it.
#[derive(Debug, Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    wire: &'static dyn wire::Wire,
    name: String,
    speed: Speed,
    began: Instant,
    state: Mutex<State>,
    /// The recording may begin.
    started: tokio::sync::Notify,
}

#[derive(Debug)]
struct State {
    world: world::World,
    plan: fault::Plan,
    clients: Vec<serve::Client>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every state between two statements is a valid one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Simulator {
    /// Reads `recording`: lines of the capture format, plain or compressed with gzip.
    pub fn new(options: SimulatorOptions, recording: &[u8]) -> Result<Self, SimulateError> {
        let wire = wire::of(options.exchange);
        let tape = Arc::new(tape::Tape::read(wire, recording)?);
        let world = world::World::new(wire, tape, options.speed, options.is_looped);
        let state = State { world, plan: fault::Plan::new(options.faults), clients: Vec::new() };
        let shared = Shared {
            wire,
            name: options.name,
            speed: options.speed,
            began: Instant::now(),
            state: Mutex::new(state),
            started: tokio::sync::Notify::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Lets a further thing go wrong; its place is counted from now.
    pub fn inject(&self, fault: Fault) {
        self.shared.lock().plan.add(fault);
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.shared.lock().clients.len()
    }

    /// Serves until `shutdown`.
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) {
        serve::serve(Arc::clone(&self.shared), listener, shutdown).await;
    }
}
