//! Every path, with its description beside it.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    handler::Handler,
    middleware,
    response::IntoResponse,
    routing::{MethodRouter, get, post},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use tickwire_protocol::Origin;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};
use utoipa::openapi::{HttpMethod, schema::Type};

use super::{
    App, Refusal, access, alerts, bans, channels, docs, events, inbox, nodes, observe,
    openapi::{Described, Document, describe},
    platform, probes, publishing,
};
use crate::{
    events::{
        AlgorithmDecision, EmergencyStop, Event, LossLimitWarning, MarketData, OrderUpdate, PositionUpdate, RiskAlert,
        SessionCompleted, SessionStarted, SessionStatus, StrategyUpdate, SystemNotification, TradeExecuted,
        VolatilityAlert,
        platform::{
            AgentMetrics, Article, BalanceUpdate, OrderCancelled, OrderFilled, PlatformBody, PositionOpened, Sentiment,
            TradingSignal, TransactionConfirmed,
        },
    },
    publish::{MessageBody, Receipt},
};

const DESCRIPTION: &str = "\
Publishes to Tickwire. A 2xx means that the backplane has the message.

**Callers** send `Authorization: Bearer` with a token whose roles hold `service`, or with an API key.

**Bodies** are JSON or MessagePack, as `Content-Type` says; answers have the same form. Unknown fields are refused. Prices and \
quantities are decimal strings (numbers are accepted) and are published as strings with the digits that were sent.

**Idempotency.** The same `Idempotency-Key` header (or `idempotencyKey` field, which goes first) within 5 minutes gets the first \
answer again, with `duplicate: true`, and publishes nothing. A key belongs to its channel and, for typed events, to their kind. After a \
503 repeat the request under the same key.

**Age.** A `timestamp` more than 60 s from now is refused (`stale_message`).

**Signatures.** `signature` is HMAC-SHA256, in hex, under the shared secret, over these bytes: the channel, a line feed, the \
`timestamp` in decimal digits, a line feed, and the text of `data` exactly as it stands in the body (of a MessagePack body: its rendering as compact \
JSON, keys in the order sent). A signature that does not verify is refused (`bad_signature`).

An event of the wider platform is signed likewise, with its key `service.topic.type` in the channel's place.

**Escalation.** `escalateAfterMs` sets an alert's deadline. Unacknowledged after it, its status is `escalated` and the webhook of `escalation.url` is \
called with an `EscalationBody`, again and again until it answers 2xx or `escalation.attempts_max` or `age_max_s` is reached. It is called at least \
once for each alert: `Idempotency-Key` is the alert's id, so that a receiver can tell repetitions. `Tickwire-Signature` is HMAC-SHA256, in hex, under \
`escalation.secret`, over these bytes: the `Idempotency-Key`, a line feed, the `Tickwire-Timestamp` (milliseconds, decimal digits), a line feed, and the body. \
A receiver refuses timestamps that are minutes old. Redirects are not followed.

**Preferences.** A notification, also one that a typed event makes, passes its user's preferences when it is made. What they mute is neither stored nor \
delivered; what is to be silent or without a toast carries `\"presentation\":{\"sound\",\"toast\"}`. Level `emergency` (`alertLevel`, beside `type` \
or in `data`; an emergency stop) is always shown, `critical` never muted. Without `alertLevel` the level follows from the priority: critical is `critical`, \
high `warning`, else `info`.

**Errors** are `{\"error\":{\"code\",\"message\",\"retryable\"}}`; 429 and 503 carry `Retry-After`.";

type AppRouter = Router<Arc<App>>;

struct Routes {
    router: AppRouter,
    document: Document,
}

impl Routes {
    fn get<H: Handler<T, Arc<App>>, T: 'static>(self, path: &str, handler: H, described: Described) -> Self {
        self.add(HttpMethod::Get, path, get(handler), described)
    }

    fn post<H: Handler<T, Arc<App>>, T: 'static>(self, path: &str, handler: H, described: Described) -> Self {
        self.add(HttpMethod::Post, path, post(handler), described)
    }

    fn event<E: Event>(self) -> Self {
        let described = describe("events", E::SUMMARY).guarded().body::<E>().answers::<events::EventBody>();
        self.post(&format!("/v1/events/{}", E::KIND), events::publish::<E>, described)
    }

    fn add(mut self, method: HttpMethod, path: &str, route: MethodRouter<Arc<App>>, described: Described) -> Self {
        self.document.add(method, path, described);
        Self { router: self.router.route(path, route), ..self }
    }

    /// Describes what another route serves.
    fn described(mut self, path: &str, described: Described) -> Self {
        self.document.add(HttpMethod::Get, path, described);
        self
    }
}

fn publishing_routes(routes: Routes) -> Routes {
    routes
        .post(
            "/v1/publish",
            publishing::publish,
            describe("publish", "Publish one message").guarded().body::<MessageBody>().answers::<Receipt>(),
        )
        .post(
            "/v1/publish/batch",
            publishing::batch,
            describe("publish", "Publish up to 256 messages; one result or error each, in order")
                .guarded()
                .body::<publishing::BatchBody>()
                .answers::<publishing::ResultsBody>(),
        )
        .post(
            "/v1/broadcast",
            publishing::broadcast,
            describe("publish", "Publish one message to up to 256 channels")
                .guarded()
                .body::<publishing::BroadcastBody>()
                .answers::<publishing::ResultsBody>(),
        )
}

fn event_routes(routes: Routes) -> Routes {
    routes
        .event::<SessionStarted>()
        .event::<SessionStatus>()
        .event::<SessionCompleted>()
        .event::<AlgorithmDecision>()
        .event::<TradeExecuted>()
        .event::<OrderUpdate>()
        .event::<PositionUpdate>()
        .event::<StrategyUpdate>()
        .event::<RiskAlert>()
        .event::<LossLimitWarning>()
        .event::<EmergencyStop>()
        .event::<MarketData>()
        .event::<VolatilityAlert>()
        .event::<SystemNotification>()
}

fn platform_routes(routes: Routes) -> Routes {
    let described = describe("platform", &platform::summary())
        .guarded()
        .in_path("service")
        .body::<PlatformBody>()
        .with_schema::<BalanceUpdate>()
        .with_schema::<TransactionConfirmed>()
        .with_schema::<OrderFilled>()
        .with_schema::<OrderCancelled>()
        .with_schema::<PositionOpened>()
        .with_schema::<TradingSignal>()
        .with_schema::<AgentMetrics>()
        .with_schema::<Sentiment>()
        .with_schema::<Article>()
        .answers::<events::EventBody>();
    routes.post("/v1/services/{service}/events", platform::publish, described).get(
        "/v1/dead-letters",
        platform::dead_letters,
        describe("platform", "Events with an unknown key, the newest 1,000 (role service or operator)")
            .guarded()
            .in_query("since", Type::String)
            .in_query("limit", Type::Integer)
            .in_query("reverse", Type::Boolean)
            .answers_text(
                "application/json",
                "`{\"type\":\"history\",\"channel\",\"position\",\"messages\",\"complete\"}`",
            ),
    )
}

fn user_routes(routes: Routes) -> Routes {
    routes
        .post(
            "/v1/users/{id}/notify",
            inbox::notify,
            describe("alerts", "Put a notification into a user's inbox")
                .guarded()
                .in_path("id")
                .body::<inbox::NotificationBody>()
                .answers::<inbox::NotifiedBody>(),
        )
        .get(
            "/v1/alerts/{id}",
            alerts::alert,
            describe("alerts", "Where an alert stands").guarded().in_path("id").answers::<alerts::AlertBody>(),
        )
        .get(
            "/v1/users/{id}/alerts",
            alerts::list,
            describe(
                "alerts",
                "A user's alerts and where they stand, the newest first, by pages (role service or operator)",
            )
            .guarded()
            .in_path("id")
            .in_query("before", Type::String)
            .in_query("limit", Type::Integer)
            .in_query("status", Type::String)
            .answers::<alerts::AlertsBody>(),
        )
        .post(
            "/v1/users/{id}/disconnect",
            access::disconnect,
            describe("access", "Close a user's connections everywhere (role service or operator)")
                .guarded()
                .in_path("id")
                .body::<access::DisconnectBody>()
                .answers::<access::OrderedBody>(),
        )
        .post(
            "/v1/tokens/revoke",
            access::revoke,
            describe("access", "Revoke a token, or a user's tokens (role service or operator)")
                .guarded()
                .body::<access::RevokeBody>()
                .answers::<access::OrderedBody>(),
        )
        .get(
            "/v1/bans",
            bans::list,
            describe("access", "Who is kept out at the moment, and why (role service or operator)")
                .guarded()
                .answers::<bans::BansBody>(),
        )
        .post(
            "/v1/bans",
            bans::impose,
            describe("access", "Keep an address or a user out for a while (role service or operator)")
                .guarded()
                .body::<bans::BanBody>()
                .answers::<access::OrderedBody>(),
        )
}

fn channel_routes(routes: Routes) -> Routes {
    let mut routes = routes
        .get(
            "/v1/channels",
            channels::list,
            describe("channels", "Channels with subscribers, the busiest first (role service or operator)")
                .guarded()
                .in_query("prefix", Type::String)
                .in_query("limit", Type::Integer)
                .answers::<channels::ChannelsBody>(),
        )
        .get(
            "/v1/nodes",
            nodes::list,
            describe("channels", "The cluster's edges (role service or operator)")
                .guarded()
                .answers::<nodes::NodesBody>(),
        )
        .described(
            "/v1/channels/{channel}/history",
            describe("channels", "Stored messages; the channel percent-encoded or not")
                .guarded()
                .in_path("channel")
                .in_query("since", Type::String)
                .in_query("limit", Type::Integer)
                .in_query("reverse", Type::Boolean)
                .answers_text(
                    "application/json",
                    "`{\"type\":\"history\",\"channel\",\"position\",\"messages\",\"complete\"}`",
                ),
        )
        .described(
            "/v1/channels/{channel}/presence",
            describe("channels", "Who is in a channel")
                .guarded()
                .in_path("channel")
                .answers_text("application/json", "`{\"type\":\"presence\",\"channel\",\"users\",\"count\"}`"),
        );
    routes.router = routes.router.route("/v1/channels/{*rest}", get(channels::of_channel));
    routes
}

fn probe_routes(routes: Routes) -> Routes {
    routes
        .get("/healthz", probes::alive, describe("service", "Alive").answers::<probes::StatusBody>())
        .get(
            "/readyz",
            probes::ready,
            describe("service", "Ready: with a healthy backplane, and not draining").answers::<probes::StatusBody>(),
        )
        .get(
            "/metrics",
            probes::scrape,
            describe("service", "Metrics for Prometheus").answers_text("application/openmetrics-text", "OpenMetrics"),
        )
        .get(
            "/docs",
            async || docs::page("emitter"),
            describe("service", "A page to try this API").answers_text("text/html", "HTML"),
        )
}

/// Lets pages of these origins call, with a token in a header: there are no cookies here that a browser would add by itself.
fn cors(origins: &[Origin]) -> CorsLayer {
    let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, HeaderName::from_static("idempotency-key")])
        .expose_headers([header::RETRY_AFTER])
        .max_age(Duration::from_secs(600))
}

/// The whole service.
pub(crate) fn router(app: Arc<App>) -> Router {
    let routes = Routes { router: Router::new(), document: Document::new() };
    let routes = channel_routes(user_routes(platform_routes(event_routes(publishing_routes(routes)))));
    let described = describe("service", "This document").answers_text("application/json", "OpenAPI 3.1");
    let Routes { router: api, document } = routes;
    let api = api.route("/v1/events/{kind}", post(events::unknown));
    let api = api.layer(middleware::from_fn_with_state(Arc::clone(&app), observe::admit));

    let mut probes = probe_routes(Routes { router: Router::new(), document });
    probes.document.add(HttpMethod::Get, "/openapi.json", described);
    let document =
        probes.document.finish("Tickwire emitter", DESCRIPTION).to_json().unwrap_or_else(|_| "{}".to_owned());
    let serve = move || async move { ([(header::CONTENT_TYPE, "application/json")], document).into_response() };
    let nothing = || async { Refusal::not_found("there is nothing at this path; /openapi.json lists what there is") };
    let method = || async {
        Refusal::bad_request("this path has another method; /openapi.json lists it")
            .status(StatusCode::METHOD_NOT_ALLOWED)
    };
    probes
        .router
        .route("/openapi.json", get(serve))
        .merge(api)
        .fallback(nothing)
        .method_not_allowed_fallback(method)
        .layer(CatchPanicLayer::custom(observe::panicked))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), observe::observe))
        .layer(cors(&app.config.emitter.allowed_origins))
        .with_state(app)
}
