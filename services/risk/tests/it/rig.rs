//! A risk service that can be killed, and a world of stubs around it: session, algorithm and emitter as one HTTP server.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tickwire_auth::{
    Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_backplane::{Backplane, memory::MemoryBackplane};
use tickwire_protocol::UserId;
use tickwire_risk::Config;
use tickwire_trading::{Session, SessionId, session::NewSession};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_util::sync::CancellationToken;

pub(crate) const SECRET: &str = "a secret of at least thirty-two bytes";
pub(crate) const API_KEY: &str = "an-api-key-of-a-service";
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What the stubs know and saw.
#[derive(Default)]
pub(crate) struct World {
    sessions: BTreeMap<String, Session>,
    accounts: BTreeMap<String, Value>,
    /// Calls by name: `stop`, `flatten`, `tell`, `alert`.
    pub(crate) calls: Vec<String>,
    /// Events that the emitter took, by their idempotency keys: kind and body.
    pub(crate) told: BTreeMap<String, (String, Value)>,
    pub(crate) flattened: BTreeSet<String>,
    pub(crate) stopped: BTreeSet<String>,
    /// Calls of this name answer 503.
    pub(crate) away: BTreeSet<&'static str>,
    /// The call of this name is never answered; its effect happens or not.
    pub(crate) trap: Option<Trap>,
}

#[derive(Clone)]
pub(crate) struct Trap {
    pub(crate) call: &'static str,
    pub(crate) has_effect: bool,
    pub(crate) sprung: CancellationToken,
}

type Shared = Arc<Mutex<World>>;

/// One process: killed with everything in it.
pub(crate) struct Process {
    runtime: Option<Runtime>,
    pub(crate) address: SocketAddr,
}

pub(crate) struct Rig {
    pub(crate) world: Shared,
    pub(crate) backplane: Arc<MemoryBackplane>,
    /// Where the service finds the cluster: an edge that nobody is, and the stub of an emitter, unless a test starts real ones.
    pub(crate) edge: String,
    pub(crate) emitter: String,
    stubs: SocketAddr,
    http: reqwest::Client,
}

pub(crate) fn session(id: &str, user: &str, loss_limit: &str) -> Session {
    let new: NewSession = serde_json::from_value(json!({
        "algorithmId": "momentum", "symbols": ["binance:BTC/USDT"], "capital": "10000",
        "limits": {"lossLimit": loss_limit},
    }))
    .unwrap();
    let session = Session::created(SessionId::new(id).unwrap(), UserId::new(user).unwrap(), new, 1);
    session.apply(&tickwire_trading::session::Event::Started, 2)
}

pub(crate) fn token(user: &str) -> String {
    let claims = TokenClaims::new(UserId::new(user).unwrap());
    Signer::new(&Secret::from(SECRET)).unwrap().sign(&claims).unwrap()
}

impl World {
    /// A session that has lost so much and holds a position.
    pub(crate) fn add(&mut self, session: Session, lost: &str) {
        let id = session.session_id.to_string();
        let account = json!({"sessionId": id, "userId": session.user_id, "version": 1, "cash": "10000", "realizedPnL": format!("-{lost}"),
            "unrealizedPnL": "0", "fees": "0", "equity": "9000", "exposure": "100", "trades": 3, "openOrders": 1,
            "positions": [{"symbol": "binance:BTC/USDT", "quantity": "1", "entryPrice": "100", "markPrice": "100",
                "unrealizedPnL": "0", "realizedPnL": "0"}]});
        self.accounts.insert(id.clone(), account);
        self.sessions.insert(id, session);
    }

    /// Bodies of the kind that the emitter took.
    pub(crate) fn told(&self, kind: &str) -> Vec<Value> {
        self.told.values().filter(|(told, _)| told == kind).map(|(_, body)| body.clone()).collect()
    }
}

impl Rig {
    pub(crate) async fn start() -> Self {
        let world = Shared::default();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let stubs = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, stubs_of(Arc::clone(&world))).into_future());
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        let (edge, emitter) = ("ws://127.0.0.1:9/ws".to_owned(), format!("http://{stubs}"));
        Self { world, backplane: MemoryBackplane::new(), edge, emitter, stubs, http }
    }

    /// Starts a process of the service.
    pub(crate) fn process(&self) -> Process {
        let mut config = Config::default();
        config.auth.hs256_secret = Some(SECRET.into());
        let url = format!("http://{}", self.stubs);
        config.trading.edges = vec![self.edge.clone()];
        config.trading.emitter.clone_from(&self.emitter);
        (config.trading.session, config.trading.algorithm) = (url.clone(), url);
        config.trading.service_key = Some(API_KEY.into());
        config.trading.api_keys = vec![API_KEY.into()];
        config.risk.lease_ms = 600;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let bus: Arc<dyn Backplane> = Arc::<MemoryBackplane>::clone(&self.backplane);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            tickwire_risk::run(config, listener, bus, CancellationToken::new()).await.unwrap();
        });
        Process { runtime: Some(runtime), address }
    }

    pub(crate) async fn get(&self, process: &Process, bearer: &str, path: &str) -> (u16, Value) {
        answer(self.http.get(format!("http://{}{path}", process.address)).bearer_auth(bearer)).await
    }

    pub(crate) async fn put(&self, process: &Process, bearer: &str, path: &str, body: &Value) -> (u16, Value) {
        answer(self.http.put(format!("http://{}{path}", process.address)).bearer_auth(bearer).json(body)).await
    }

    /// Waits until the world is so.
    pub(crate) async fn until(&self, what: &str, mut is_so: impl FnMut(&World) -> bool) {
        let waiting = async {
            while !is_so(&self.world.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(in_time.is_ok(), "not in time: {what}; calls: {:?}", self.world.lock().unwrap().calls);
    }

    /// Waits until a question is answered so.
    pub(crate) async fn until_answer(&self, process: &Process, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let (_, body) = self.get(process, API_KEY, path).await;
                if is_so(&body) {
                    return body;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("not in time: {path}"))
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    // A process that is just starting does not listen yet; one that is gone never will.
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or_default())
}

impl Process {
    /// As by `kill -9`: nothing in it gets to say a word.
    pub(crate) fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Notes a call; answers 503 if its service is away, and never if there is a trap for it.
async fn called(world: &Shared, call: &str, effect: impl FnOnce(&mut World)) -> Result<(), StatusCode> {
    let trap = {
        let mut world = world.lock().unwrap();
        world.calls.push(call.to_owned());
        if world.away.contains(call) {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let trap = world.trap.take_if(|trap| trap.call == call);
        if trap.as_ref().is_none_or(|trap| trap.has_effect) {
            effect(&mut world);
        }
        trap
    };
    if let Some(trap) = trap {
        trap.sprung.cancel();
        std::future::pending::<()>().await;
    }
    Ok(())
}

fn list(values: &[Value]) -> std::future::Ready<Json<Value>> {
    std::future::ready(Json(json!({ "items": values })))
}

async fn stop(State(world): State<Shared>, Path(id): Path<String>) -> Response {
    let effect = |world: &mut World| {
        world.stopped.insert(id.clone());
        if let Some(session) = world.sessions.get_mut(&id) {
            session.status = tickwire_trading::Status::EmergencyStopped;
            session.version += 1;
        }
    };
    match called(&world, "stop", effect).await {
        Ok(()) => Json(world.lock().unwrap().sessions.get(&id).cloned()).into_response(),
        Err(status) => status.into_response(),
    }
}

async fn flatten(State(world): State<Shared>, Path(id): Path<String>) -> Response {
    let effect = |world: &mut World| {
        world.flattened.insert(id.clone());
        if let Some(account) = world.accounts.get_mut(&id) {
            (account["positions"], account["openOrders"]) = (json!([]), json!(0));
        }
    };
    match called(&world, "flatten", effect).await {
        Ok(()) => Json(world.lock().unwrap().accounts.get(&id).cloned()).into_response(),
        Err(status) => status.into_response(),
    }
}

async fn event(State(world): State<Shared>, Path(kind): Path<String>, Json(body): Json<Value>) -> Response {
    let call = if kind == "emergency-stop" { "tell" } else { "alert" };
    let key = body["idempotencyKey"].as_str().unwrap().to_owned();
    let effect = |world: &mut World| {
        world.told.entry(key).or_insert((kind, body));
    };
    match called(&world, call, effect).await {
        Ok(()) => {
            let result = json!({"channel": "user:7", "position": "1-1", "duplicate": false});
            Json(json!({"channel": "user:7", "position": "1-1", "results": [result], "alertId": "a.1"})).into_response()
        }
        Err(status) => status.into_response(),
    }
}

async fn notify(State(world): State<Shared>, Path(_): Path<String>, Json(body): Json<Value>) -> Response {
    let key = body["idempotencyKey"].as_str().unwrap().to_owned();
    let effect = |world: &mut World| {
        world.told.entry(key).or_insert(("notify".into(), body));
    };
    match called(&world, "alert", effect).await {
        Ok(()) => {
            Json(json!({"channel": "user:7", "position": "1-1", "duplicate": false, "alertId": "a.2"})).into_response()
        }
        Err(status) => status.into_response(),
    }
}

fn stubs_of(world: Shared) -> Router {
    Router::new()
        .route(
            "/v1/sessions",
            get(|State(world): State<Shared>| {
                let all = world
                    .lock()
                    .unwrap()
                    .sessions
                    .values()
                    .map(|session| serde_json::to_value(session).unwrap())
                    .collect::<Vec<_>>();
                list(&all)
            }),
        )
        .route(
            "/v1/accounts",
            get(|State(world): State<Shared>| {
                let all = world.lock().unwrap().accounts.values().cloned().collect::<Vec<_>>();
                list(&all)
            }),
        )
        .route("/v1/sessions/{id}/emergency-stop", post(stop))
        .route("/v1/accounts/{id}/flatten", post(flatten))
        .route("/v1/events/{kind}", post(event))
        .route("/v1/users/{id}/notify", post(notify))
        .with_state(world)
}
