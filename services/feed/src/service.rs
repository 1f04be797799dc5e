//! The service: venues, publishers and elections together, demand, and what operators see.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tickwire_backplane::Backplane;
use tickwire_protocol::{ChannelName, Origin, namespace::Namespaces, time::now_ms};
use tickwire_telemetry::{health::Readiness, metrics as telemetry_metrics};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{
    config::{Config, InvalidConfig},
    metrics::Metrics,
    model::Exchange,
    publish::{Election, NAMESPACES, Publisher, QUEUE, VenueWants, Wanted},
    status::{Board, VenueStatus},
    supervise::{Budgets, Clock, Shared, Venue},
};

/// How often the store is asked which channels have subscribers.
const DEMAND_PERIOD: Duration = Duration::from_millis(500);

/// Why a feed cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// No HTTP client can be made.
    #[error("no HTTP client")]
    Http(#[source] reqwest::Error),
    /// The listener failed.
    #[error("the listener failed")]
    Listen(#[source] std::io::Error),
}

struct App {
    backplane: Arc<dyn Backplane>,
    board: Arc<Board>,
    readiness: Readiness,
    registry: telemetry_metrics::Registry,
    node: String,
}

/// Feeds until `shutdown`, then says that its books are no longer live, and gives its leases back.
pub async fn run(
    config: Config,
    listener: TcpListener,
    backplane: Arc<dyn Backplane>,
    shutdown: CancellationToken,
) -> Result<(), FeedError> {
    config.feed.validate()?;
    let address = listener.local_addr().map_err(FeedError::Listen)?;
    let http = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .user_agent(concat!("tickwire-feed/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(FeedError::Http)?;
    let (board, metrics) = (Arc::new(Board::default()), Arc::new(Metrics::default()));
    let mut registry = telemetry_metrics::Registry::default();
    telemetry_metrics::build_info(&mut registry, "feed", env!("CARGO_PKG_VERSION"));
    tickwire_backplane::metrics::register(&mut registry, Arc::clone(&backplane));
    metrics.register(&mut registry);
    let app = Arc::new(App {
        backplane: Arc::clone(&backplane),
        board: Arc::clone(&board),
        readiness: Readiness::new(),
        registry,
        node: config.feed.node.clone(),
    });
    tracing::info!(addr = %address, "listening");
    let routes = router(Arc::clone(&app), &config.feed.allowed_origins);
    let serving = tokio::spawn(serve(listener, routes, shutdown.clone()));
    let shared = Shared { clock: Clock::new(), budgets: Arc::new(Budgets::new()), http };
    feed(&config, backplane, shared, board, metrics, &shutdown).await;
    app.readiness.set("draining", true);
    match tokio::time::timeout(config.feed.drain(), serving).await {
        Ok(Ok(result)) => result.map_err(FeedError::Listen),
        Ok(Err(_)) | Err(_) => Ok(()),
    }
}

/// Venues and publishers end first, elections after them: what is said last is said under the leases.
async fn feed(
    config: &Config,
    backplane: Arc<dyn Backplane>,
    shared: Shared,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    shutdown: &CancellationToken,
) {
    let namespaces = Arc::new(Namespaces::with(&config.namespaces));
    let exchanges = config.feed.exchanges();
    let holder = format!("{}-{:08x}", config.feed.node, rand::random::<u32>());
    let (mut feeding, mut electing) = (JoinSet::new(), JoinSet::new());
    let elections = CancellationToken::new();
    let mut wants = BTreeMap::new();
    for exchange in exchanges.iter().copied() {
        let (sender, wanted) = watch::channel(Arc::new(VenueWants::new()));
        wants.insert(exchange, sender);
        let (inputs, queue) = mpsc::channel(QUEUE);
        let publisher = Publisher::new(
            exchange,
            config.feed.node.clone(),
            Arc::clone(&backplane),
            Arc::clone(&namespaces),
            wanted.clone(),
            shared.clock.clone(),
            Arc::clone(&metrics),
        );
        feeding.spawn(publisher.run(queue, shutdown.clone()));
        let election = Election {
            exchange,
            holder: holder.clone(),
            backplane: Arc::clone(&backplane),
            namespaces: Arc::clone(&namespaces),
            wanted: wanted.clone(),
            publisher: inputs.clone(),
            metrics: Arc::clone(&metrics),
        };
        electing.spawn(election.run(elections.clone()));
        let venue = Venue {
            exchange,
            config: config.feed.venue(exchange),
            book_depth: config.feed.book_depth,
            wanted,
            publisher: inputs,
            shared: shared.clone(),
            board: Arc::clone(&board),
            metrics: Arc::clone(&metrics),
        };
        feeding.spawn(venue.run(shutdown.clone()));
    }
    demand(config, &exchanges, &*backplane, &wants, &metrics, shutdown).await;
    while feeding.join_next().await.is_some() {}
    elections.cancel();
    while electing.join_next().await.is_some() {}
}

/// Follows what subscribers want, until `shutdown`.
async fn demand(
    config: &Config,
    exchanges: &[Exchange],
    backplane: &dyn Backplane,
    wants: &BTreeMap<Exchange, watch::Sender<Arc<VenueWants>>>,
    metrics: &Metrics,
    shutdown: &CancellationToken,
) {
    let pinned = config.feed.pinned.iter().filter_map(|name| ChannelName::new(name).ok()).collect();
    let mut wanted = Wanted::new(pinned, config.feed.grace(), config.feed.channels_max);
    let mut rounds = interval(DEMAND_PERIOD);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = rounds.tick() => {}
        }
        match backplane.demand(&NAMESPACES).await {
            Ok(demand) => wanted.demanded(demand.channels, demand.complete, Instant::now()),
            Err(error) => {
                metrics.demand_failures.inc();
                tracing::debug!(%error, "demand is unknown; what is fed is fed on");
                wanted.demanded([], false, Instant::now());
            }
        }
        metrics.channels_refused.set(wanted.refused.cast_signed());
        for (exchange, now) in wanted.by_venue(exchanges) {
            if let Some(sender) = wants.get(&exchange) {
                sender.send_if_modified(|before| {
                    let is_new = **before != now;
                    if is_new {
                        *before = Arc::new(now);
                    }
                    is_new
                });
            }
        }
    }
}

fn router(app: Arc<App>, origins: &[Origin]) -> Router {
    let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok());
    // The dashboard sends its token to every service; here nothing reads it.
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET])
        .allow_headers([header::AUTHORIZATION])
        .max_age(Duration::from_secs(600));
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .route("/v1/feeds", get(feeds))
        .layer(cors)
        .with_state(app)
}

async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

#[derive(Debug, Serialize)]
struct StatusBody {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
}

async fn alive() -> Json<StatusBody> {
    Json(StatusBody { status: "ok", reasons: Vec::new() })
}

/// A venue that is away does not make the service unready: nothing would be better elsewhere, and alerts tell of it.
async fn ready(State(app): State<Arc<App>>) -> Response {
    app.readiness.set("backplane", !app.backplane.is_healthy());
    let reasons = app.readiness.reasons();
    if reasons.is_empty() {
        return Json(StatusBody { status: "ready", reasons }).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, Json(StatusBody { status: "not ready", reasons })).into_response()
}

async fn scrape(State(app): State<Arc<App>>) -> Response {
    let content_type = (header::CONTENT_TYPE, telemetry_metrics::CONTENT_TYPE);
    ([content_type], telemetry_metrics::render(&app.registry)).into_response()
}

/// `GET /v1/feeds`.
#[derive(Debug, Serialize)]
struct FeedsBody {
    node: String,
    time: u64,
    venues: BTreeMap<Exchange, VenueStatus>,
}

async fn feeds(State(app): State<Arc<App>>) -> Json<FeedsBody> {
    Json(FeedsBody { node: app.node.clone(), time: now_ms(), venues: app.board.snapshot() })
}
