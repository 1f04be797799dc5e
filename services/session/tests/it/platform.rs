//! What the service needs around it: an emitter that notes what it is told, and an account service.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use serde_json::{Value, json};
use tickwire_auth::{
    Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_backplane::Backplane;
use tickwire_protocol::UserId;
use tickwire_session::{Config, SessionConfig};
use tickwire_trading::TradingConfig;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) const SECRET: &str = "a secret of thirty-two bytes or more";
pub(crate) const KEY: &str = "a service key of thirty-two bytes";
/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Notes every message once by its idempotency key, as an emitter publishes it once.
#[derive(Clone, Default)]
pub(crate) struct Noted(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    told: Vec<(String, Value)>,
    keys: HashSet<String>,
    accounts: Vec<Value>,
    refusals: u32,
    is_full: bool,
}

impl Noted {
    pub(crate) async fn start() -> (Self, SocketAddr) {
        let noted = Self::default();
        let router = Router::new()
            .route("/v1/publish", post(publish))
            .route("/v1/events/{kind}", post(event))
            .route("/v1/accounts", get(accounts))
            .with_state(noted.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (noted, address)
    }

    /// Bodies of `kind` that were told, in order.
    pub(crate) fn told(&self, kind: &str) -> Vec<Value> {
        let notes = self.0.lock().unwrap();
        notes.told.iter().filter(|(known, _)| known == kind).map(|(_, body)| body.clone()).collect()
    }

    /// The next `count` calls are refused for now.
    pub(crate) fn refuse(&self, count: u32) {
        self.0.lock().unwrap().refusals = count;
    }

    /// No record of a session fits into its channel any more.
    pub(crate) fn fill(&self) {
        self.0.lock().unwrap().is_full = true;
    }

    pub(crate) fn set_accounts(&self, accounts: Vec<Value>) {
        self.0.lock().unwrap().accounts = accounts;
    }

    fn note(&self, kind: &str, body: Value) -> Result<bool, StatusCode> {
        let mut notes = self.0.lock().unwrap();
        if notes.refusals > 0 {
            notes.refusals -= 1;
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let key = body["idempotencyKey"].as_str().expect("everything is told under a key").to_owned();
        let is_new = notes.keys.insert(format!("{kind} {key}"));
        if is_new {
            notes.told.push((kind.to_owned(), body));
        }
        Ok(!is_new)
    }
}

async fn publish(
    State(noted): State<Noted>,
    Json(body): Json<Value>,
) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    if noted.0.lock().unwrap().is_full {
        let error = json!({"error": {"code": "limit_exceeded", "message": "too many keys", "retryable": true}});
        return Err((StatusCode::TOO_MANY_REQUESTS, Json(error)));
    }
    let duplicate = noted.note("publish", body).map_err(|status| (status, Json(Value::Null)))?;
    Ok(Json(json!({"channel": "trading:sessions", "position": "1-1", "duplicate": duplicate})))
}

async fn event(
    State(noted): State<Noted>,
    Path(kind): Path<String>,
    Json(body): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    noted.note(&kind, body)?;
    Ok(Json(json!({"results": []})))
}

async fn accounts(State(noted): State<Noted>) -> Json<Value> {
    Json(json!({"items": noted.0.lock().unwrap().accounts}))
}

/// One instance of the service.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Service {
    pub(crate) async fn start(backplane: Arc<dyn Backplane>, platform: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Config {
            auth: tickwire_auth::AuthConfig { hs256_secret: Some(SECRET.into()), ..Default::default() },
            session: SessionConfig { drain_ms: 2_000, ..SessionConfig::default() },
            trading: TradingConfig {
                edges: vec!["ws://127.0.0.1:1/ws".into()],
                emitter: format!("http://{platform}"),
                algorithm: format!("http://{platform}"),
                service_key: Some(KEY.into()),
                api_keys: vec![KEY.into()],
                ..TradingConfig::default()
            },
            ..Config::default()
        };
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { tickwire_session::run(config, listener, backplane, stop).await.unwrap() });
        Self { address, shutdown, task }
    }
}

pub(crate) fn token(user: &str) -> String {
    let claims = TokenClaims::new(UserId::new(user).unwrap());
    Signer::new(&Secret::from(SECRET)).unwrap().sign(&claims).unwrap()
}

/// A caller with a token or a key.
#[derive(Clone)]
pub(crate) struct Caller {
    http: reqwest::Client,
    base: String,
    bearer: String,
}

impl Caller {
    pub(crate) fn new(address: SocketAddr, bearer: impl Into<String>) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        Self { http, base: format!("http://{address}"), bearer: bearer.into() }
    }

    pub(crate) fn user(address: SocketAddr, user: &str) -> Self {
        Self::new(address, token(user))
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.bearer).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// `None`: no answer at all.
    pub(crate) async fn try_post(&self, path: &str, key: Option<&str>, body: &Value) -> Option<(u16, Value)> {
        let mut request = self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.bearer).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = request.send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.ok()?))
    }

    pub(crate) async fn post(&self, path: &str, key: Option<&str>, body: &Value) -> (u16, Value) {
        self.try_post(path, key, body).await.expect("an answer")
    }

    /// The id of a session of this caller's.
    pub(crate) async fn create(&self) -> String {
        let (status, session) = self.post("/v1/sessions", None, &new_session()).await;
        assert_eq!(status, 201, "{session}");
        session["sessionId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn command(&self, id: &str, verb: &str) -> (u16, Value) {
        self.post(&format!("/v1/sessions/{id}/{verb}"), None, &json!({})).await
    }
}

pub(crate) fn new_session() -> Value {
    json!({
        "algorithmId": "sma-crossover", "parameters": {"fast": 5, "slow": 0.50}, "symbols": ["binance:BTC/USDT"],
        "capital": "10000.00", "limits": {"lossLimit": "100"},
    })
}

pub(crate) fn figures(id: &str, version: u64, pnl: &str) -> Value {
    json!({
        "sessionId": id, "userId": "ann", "version": version, "cash": "10000", "realizedPnL": pnl, "unrealizedPnL": "0",
        "fees": "0", "equity": "10000", "exposure": "0", "trades": 3, "openOrders": 0, "positions": [], "markedAt": 1, "sessionVersion": 5,
    })
}

pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}
