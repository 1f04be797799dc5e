//! Bots as a process runs them, on memory and on Redis. Emitter and session service are played by a server that writes down.

mod agents;
mod api;
mod herald;
mod killed;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tickwire_auth::{
    AuthConfig, Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_backplane::{
    Backplane,
    memory::MemoryBackplane,
    redis::{RedisBackplane, RedisConfig},
    testing::RedisServer,
};
use tickwire_protocol::{
    UserId,
    book::{Level, Top},
    time::now_ms,
};
use tickwire_trading::{Account, Instrument, Session, SessionId, config::TradingConfig, directory::Directory};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_util::sync::CancellationToken;

use super::{Config, ledger, markets::Markets};
use crate::{entry::Entry, market::Quote};

const SECRET: &str = "a secret of at least thirty-two bytes";
const KEY: &str = "a-key-of-the-services";
const PATIENCE: Duration = Duration::from_secs(60);

/// What the emitter was told, by idempotency key; the newest figures; what the session service lists.
#[derive(Default)]
struct Book {
    events: BTreeMap<String, (String, Value)>,
    positions: Vec<Value>,
    figures: Option<Value>,
    calls: u64,
    sessions: Vec<Value>,
}

type Written = Arc<Mutex<Book>>;

fn lock(written: &Written) -> MutexGuard<'_, Book> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn event(
    State(written): State<Written>,
    Path(kind): Path<String>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let mut book = lock(&written);
    book.calls += 1;
    if kind == "position-update" {
        book.positions.push(body.clone());
    }
    if let Some(key) = body["idempotencyKey"].as_str().map(str::to_owned) {
        let before = book.events.insert(key.clone(), (kind.clone(), body.clone()));
        assert!(before.is_none_or(|before| before == (kind, body)), "{key} says two things");
    }
    // Now and then the answer is lost.
    if book.calls.is_multiple_of(20) {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({})));
    }
    (StatusCode::OK, Json(json!({"results": []})))
}

async fn publish(State(written): State<Written>, Json(body): Json<Value>) -> Json<Value> {
    let mut book = lock(&written);
    let is_newer = |before: &Value| before["version"].as_u64() < body["data"]["version"].as_u64();
    if book.figures.as_ref().is_none_or(is_newer) {
        book.figures = Some(body["data"].clone());
    }
    Json(json!({"channel": body["channel"], "position": null, "duplicate": false}))
}

async fn sessions(State(written): State<Written>) -> Json<Value> {
    Json(json!({"items": lock(&written).sessions}))
}

async fn others() -> (String, Written) {
    let written = Written::default();
    let router = Router::new()
        .route("/v1/events/{kind}", post(event))
        .route("/v1/publish", post(publish))
        .route("/v1/sessions", get(sessions))
        .with_state(Arc::clone(&written));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, written)
}

/// Ann's session `s1`.
fn session(parameters: &Value, status: &str, version: u64) -> Session {
    let mut record = json!({
        "sessionId": "s1", "userId": "ann", "algorithmId": "book-imbalance", "parameters": parameters,
        "symbols": ["okx:BTC/USDT"], "capital": "10000", "limits": {"lossLimit": "9000"}, "status": status,
        "createdAt": 1, "startedAt": 1, "updatedAt": 1, "version": version,
    });
    if status == "completed" {
        record["ending"] = json!({"at": 2, "reason": "done"});
    }
    serde_json::from_value(record).unwrap()
}

fn config(url: &str) -> Config {
    let trading = TradingConfig {
        // Nobody listens there: quotes come from the test.
        edges: vec!["ws://127.0.0.1:9/ws".into()],
        emitter: url.into(),
        session: url.into(),
        service_key: Some(Secret::from(KEY)),
        api_keys: vec![Secret::from(KEY)],
        ..TradingConfig::default()
    };
    let auth = AuthConfig { hs256_secret: Some(Secret::from(SECRET)), ..AuthConfig::default() };
    Config { auth, trading, ..Config::default() }
}

/// The `n`th book: its price and its weights wander.
fn quote(n: u64) -> Arc<Quote> {
    let mid = Decimal::new(6_000_000 + i64::try_from(n * 7_919 % 2_003).unwrap(), 2);
    let level = |away: u64, weight: u64| Level {
        price: if away.is_multiple_of(2) { mid - Decimal::from(away + 1) } else { mid + Decimal::from(away + 1) },
        qty: Decimal::new(i64::try_from(weight % 97 + 1).unwrap(), 4),
    };
    let top = Top {
        bids: (0..5).map(|at| level(at * 2, n * 31 + at)).collect(),
        asks: (0..5).map(|at| level(at * 2 + 1, n * 17 + at)).collect(),
    };
    let instrument = Instrument::new("okx:BTC/USDT").unwrap();
    Arc::new(Quote { instrument, at: now_ms(), is_live: true, top, last: None, volume: None })
}

fn token(user: &str) -> String {
    let claims = TokenClaims::new(UserId::new(user).unwrap()).valid_for(Duration::from_secs(600));
    Signer::new(&Secret::from(SECRET)).unwrap().sign(&claims).unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Where journals and leases are.
enum Store {
    Memory(Arc<MemoryBackplane>),
    Redis(RedisServer),
}

/// All that outlives a process.
struct World {
    runtime: Runtime,
    store: Store,
    url: String,
    written: Written,
    http: reqwest::Client,
    /// The newest quote.
    quotes: std::cell::Cell<u64>,
}

impl World {
    fn on(store: impl FnOnce() -> Store) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (url, written) = runtime.block_on(others());
        let guard = runtime.enter();
        let store = store();
        drop(guard);
        Self { runtime, store, url, written, http: reqwest::Client::new(), quotes: std::cell::Cell::new(0) }
    }

    fn memory() -> Self {
        Self::on(|| Store::Memory(MemoryBackplane::new()))
    }

    fn redis() -> Self {
        Self::on(|| Store::Redis(RedisServer::start()))
    }

    async fn backplane(&self) -> Arc<dyn Backplane> {
        match &self.store {
            Store::Memory(backplane) => Arc::clone(backplane) as Arc<dyn Backplane>,
            Store::Redis(server) => {
                let config = RedisConfig { url: server.url(), ..RedisConfig::default() };
                RedisBackplane::connect(config).await.unwrap()
            }
        }
    }

    /// What the journal of `s1` has.
    fn entries(&self) -> Vec<Entry> {
        let journal = ledger::journal_of(&SessionId::new("s1").unwrap()).unwrap();
        self.runtime.block_on(async {
            let mut entries = Vec::new();
            let take = |_, entry| {
                entries.push(entry);
                Ok(())
            };
            ledger::read(&*self.backplane().await, &journal, take).await.unwrap();
            entries
        })
    }

    fn told(&self, kind: &str) -> Vec<Value> {
        let book = lock(&self.written);
        book.events.values().filter(|(known, _)| known == kind).map(|(_, body)| body.clone()).collect()
    }

    /// The next quote comes.
    fn offer(&self, life: &Life) {
        self.quotes.set(self.quotes.get() + 1);
        life.markets.offer(&quote(self.quotes.get()));
    }

    fn ask(&self, life: &Life, caller: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.runtime.block_on(ask(&self.http, &life.url, caller, path, body))
    }
}

async fn ask(http: &reqwest::Client, base: &str, caller: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let url = format!("{base}{path}");
    let request = match body {
        Some(body) => http.post(url).json(body),
        None => http.get(url),
    };
    let response = request.bearer_auth(caller).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

/// A process's worth of the service, which ends when its runtime is dropped: in the middle of whatever it does.
struct Life {
    runtime: Option<Runtime>,
    sessions: Arc<Directory<Session>>,
    markets: Arc<Markets>,
    url: String,
}

impl Life {
    fn start(world: &World) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (sessions, markets, url) = runtime.block_on(async {
            let config = config(&world.url);
            let cluster = config.trading.cluster(&config.auth, "algorithm").unwrap();
            let shutdown = CancellationToken::new();
            let parts = super::parts(&config, world.backplane().await, &cluster, &shutdown).unwrap();
            let (sessions, markets) = (Arc::clone(&parts.floor.sessions), Arc::clone(&parts.floor.markets));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            tokio::spawn(Arc::clone(&parts.floor).run(shutdown));
            tokio::spawn(async move { axum::serve(listener, parts.router).await });
            (sessions, markets, url)
        });
        Self { runtime: Some(runtime), sessions, markets, url }
    }

    fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What the journal says, applied in order: an entry that does not follow would panic here. And how far it was told.
fn replayed(entries: &[Entry]) -> (Account, u64) {
    let Some(Entry::Opened { session, user, capital, .. }) = entries.first() else { panic!("no account") };
    let mut account = Account::new(session.clone(), user.clone(), *capital);
    let mut told = 0;
    for entry in entries {
        match entry {
            Entry::Account { event } => drop(account.apply(event).unwrap()),
            Entry::Told { next } => told = *next,
            _ => {}
        }
    }
    (account, told)
}
