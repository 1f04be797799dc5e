//! A simulated exchange, a feed, and a subscriber's view of it.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::Value;
use tickwire_backplane::{Backplane, Signal, Subscriber};
use tickwire_feed::{
    BackoffConfig, Config, FeedConfig, VenueConfig,
    model::Exchange,
    simulate::{Fault, Simulator, SimulatorOptions, Speed, recording},
};
use tickwire_protocol::{ChannelName, Publication, namespace::Namespaces};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a venue is left alone after a refusal for rate.
pub(crate) const BAN_MS: u64 = 2_000;

/// A symbol that its recording has a book of.
pub(crate) fn symbol(exchange: Exchange) -> &'static str {
    match exchange {
        Exchange::Binance | Exchange::Okx => "BTC/USDT",
        Exchange::Coinbase => "SKL/USD",
        Exchange::Kraken => "XMR/USD",
        Exchange::Bybit => "ARB/USDC",
    }
}

/// A simulated exchange that can be killed and brought back at the same address.
pub(crate) struct Exchanges {
    pub(crate) exchange: Exchange,
    pub(crate) address: SocketAddr,
    pub(crate) simulator: Simulator,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Exchanges {
    pub(crate) async fn start(exchange: Exchange, faults: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let simulator = simulator(exchange, faults);
        let mut exchanges = Self { exchange, address, simulator, running: None };
        exchanges.run(listener);
        exchanges
    }

    fn run(&mut self, listener: TcpListener) {
        let (shutdown, simulator) = (CancellationToken::new(), self.simulator.clone());
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { simulator.serve(listener, stop).await });
        self.running = Some((shutdown, task));
    }

    pub(crate) async fn kill(&mut self) {
        if let Some((shutdown, task)) = self.running.take() {
            shutdown.cancel();
            task.await.unwrap();
        }
    }

    /// A restarted one begins its recording anew.
    pub(crate) async fn bring_back(&mut self) {
        self.simulator = simulator(self.exchange, &[]);
        let until = Instant::now() + PATIENCE;
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(error) => assert!(Instant::now() < until, "the port is not free: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        self.run(listener);
    }
}

fn simulator(exchange: Exchange, faults: &[&str]) -> Simulator {
    let options = SimulatorOptions {
        exchange,
        name: "test".to_owned(),
        speed: Speed::Recorded,
        is_looped: true,
        faults: faults.iter().map(|fault| fault.parse::<Fault>().unwrap()).collect(),
    };
    Simulator::new(options, recording(exchange)).unwrap()
}

/// A feed of one simulated exchange.
pub(crate) struct Feed {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    task: JoinHandle<()>,
    _stop: DropGuard,
}

impl Feed {
    pub(crate) async fn start(venues: &[&Exchanges], backplane: Arc<dyn Backplane>, node: &str) -> Self {
        let venues: Vec<_> = venues.iter().map(|venue| (venue.exchange, venue.address)).collect();
        Self::of(&venues, backplane, node).await
    }

    /// Of exchanges at these addresses.
    pub(crate) async fn of(venues: &[(Exchange, SocketAddr)], backplane: Arc<dyn Backplane>, node: &str) -> Self {
        let at = |address: SocketAddr| VenueConfig {
            origin: Some(format!("ws://{address}")),
            http: Some(format!("http://{address}")),
            // A ban of minutes is more than a test can wait for.
            backoff: BackoffConfig { limited_ms: Some(BAN_MS), ..BackoffConfig::default() },
        };
        let venues: BTreeMap<String, VenueConfig> =
            venues.iter().map(|(exchange, address)| (exchange.to_string(), at(*address))).collect();
        let feed = FeedConfig {
            node: node.to_owned(),
            exchanges: venues.keys().cloned().collect(),
            venues,
            book_depth: 10,
            ..FeedConfig::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let config = Config { feed, ..Config::default() };
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { tickwire_feed::run(config, listener, backplane, stop).await.unwrap() });
        Self { address, _stop: shutdown.clone().drop_guard(), shutdown, task }
    }

    /// The sum of a metric's series that have all of `labels`.
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.get("/metrics").await.1;
        let series =
            text.lines().filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits until a metric is at least `least`.
    pub(crate) async fn reaches(&self, name: &str, labels: &[&str], least: f64) {
        let until = Instant::now() + PATIENCE;
        while self.metric(name, labels).await < least {
            assert!(Instant::now() < until, "{name}{labels:?} stays below {least}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends at once, without a word, as a process that is killed.
    pub(crate) fn kill(self) {
        self.task.abort();
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = reqwest::get(format!("http://{}{path}", self.address)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

/// Somebody who listens to channels.
pub(crate) struct Listener {
    subscriber: Subscriber,
}

impl Listener {
    pub(crate) async fn to(backplane: &dyn Backplane, channels: &[String]) -> Self {
        let namespaces = Namespaces::default();
        let subscriber = backplane.subscriber(65_536);
        let wanted: Vec<_> = channels
            .iter()
            .map(|name| {
                let channel = ChannelName::new(name).unwrap();
                let policy = namespaces.policy(&channel).unwrap().clone();
                (channel, policy)
            })
            .collect();
        backplane.subscribe(subscriber.id, &wanted).await.unwrap();
        Self { subscriber }
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> (Arc<Publication>, Value) {
        let until = Instant::now() + PATIENCE;
        loop {
            let signal = tokio::time::timeout_at(until, self.subscriber.signals.recv()).await;
            match signal.expect("nothing was published").unwrap() {
                Signal::Publication(publication) => {
                    let data = publication.data.to().unwrap();
                    return (publication, data);
                }
                Signal::Lagged => panic!("the test did not keep up"),
                _ => {}
            }
        }
    }

    /// Messages up to and with the first for which `wanted` holds.
    pub(crate) async fn until(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Vec<Value> {
        let mut seen = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let (_, data) = self.next().await;
            let found = wanted(&data);
            seen.push(data);
            if found {
                return seen;
            }
        }
        let last: Vec<String> = seen.iter().rev().take(5).map(ToString::to_string).collect();
        panic!("it did not come; the last of {} messages: {last:#?}", seen.len());
    }
}

pub(crate) fn book(exchange: Exchange) -> String {
    format!("book:{exchange}:{}", symbol(exchange))
}

pub(crate) fn is_live(data: &Value) -> bool {
    data["state"] == "live"
}

pub(crate) fn is_suspect(data: &Value) -> bool {
    data["state"] == "suspect"
}
