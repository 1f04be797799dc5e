//! `tickwire-standalone`: an edge, an emitter and a feed in one process.

use std::{collections::BTreeMap, io::Write, net::SocketAddr, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use serde::Deserialize;
use tickwire_algorithm::AlgorithmConfig;
use tickwire_auth::AuthConfig;
use tickwire_edge::config::{EdgeConfig, LimitsConfig};
use tickwire_emitter::{EmitterConfig, EscalationConfig};
use tickwire_feed::FeedConfig;
use tickwire_protocol::namespace::Policy;
use tickwire_risk::RiskConfig;
use tickwire_session::SessionConfig;
use tickwire_standalone::{
    Config, Market, Trading,
    development::{self, Welcome},
};
use tickwire_telemetry::{TelemetryConfig, config, fail, fail_init, shutdown};
use tickwire_trading::TradingConfig;

/// As in the edge: after a storm of connections mimalloc keeps the least.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Everything of Tickwire in one process, on memory. Needs no configuration on loopback addresses; settings come from
/// `TICKWIRE_CONFIG` (a TOML file) and from `TICKWIRE_<SECTION>__<KEY>`.
#[derive(Debug, Parser)]
#[command(version)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
struct Arguments {
    /// Where clients connect [default: 127.0.0.1:8000].
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where backends publish [default: 127.0.0.1:8001].
    #[arg(long)]
    emitter_listen: Option<SocketAddr>,
    /// Where the feed tells how it stands [default: 127.0.0.1:8002].
    #[arg(long)]
    feed_listen: Option<SocketAddr>,
    /// Market data from the exchanges instead of from recordings.
    #[arg(long, conflicts_with = "no_feed")]
    live: bool,
    /// No market data at all.
    #[arg(long)]
    no_feed: bool,
    /// Where the session service listens [default: 127.0.0.1:8010].
    #[arg(long)]
    session_listen: Option<SocketAddr>,
    /// Where the algorithm service listens [default: 127.0.0.1:8011].
    #[arg(long)]
    algorithm_listen: Option<SocketAddr>,
    /// Where the risk service listens [default: 127.0.0.1:8012].
    #[arg(long)]
    risk_listen: Option<SocketAddr>,
    /// No sessions that begin by themselves; otherwise some do where markets are replayed and no key is configured.
    #[arg(long)]
    no_demo: bool,
    /// No trading services.
    #[arg(long)]
    no_trading: bool,
}

/// The sections of all services.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    auth: AuthConfig,
    limits: LimitsConfig,
    edge: EdgeConfig,
    emitter: EmitterConfig,
    escalation: EscalationConfig,
    feed: FeedConfig,
    session: SessionConfig,
    algorithm: AlgorithmConfig,
    risk: RiskConfig,
    trading: TradingConfig,
    namespaces: BTreeMap<String, Policy>,
    telemetry: TelemetryConfig,
}

/// The sections' names.
const SECTIONS: [&str; 12] = [
    "auth",
    "limits",
    "edge",
    "emitter",
    "escalation",
    "feed",
    "session",
    "algorithm",
    "risk",
    "trading",
    "namespaces",
    "telemetry",
];

/// Where standalone's defaults differ from the services' own: on one machine all clients are one address, often one user, and
/// whoever stops the process wants it to end.
const DEFAULTS: &str = r#"
[limits]
connections_per_ip = 0
connections_per_user = 0
auth_failures_per_minute = 0
floods_per_minute = 0

[emitter]
auth_failures_per_minute = 0

[edge]
drain_ms = 1000
node = "standalone"
"#;

fn main() -> ExitCode {
    let config = match settings(&Arguments::parse()) {
        Ok(config) => config,
        Err(error) => return fail(&format!("{error:#}")),
    };
    let _guard = match tickwire_telemetry::init(&config.edge.telemetry, "tickwire-standalone") {
        Ok(guard) => guard,
        Err(error) => return fail_init(&error),
    };
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "standalone cannot run");
            ExitCode::FAILURE
        }
    }
}

/// Everything that can be found wrong before a port is bound.
fn settings(arguments: &Arguments) -> anyhow::Result<Config> {
    let settings: Settings = config::load_over(DEFAULTS, &SECTIONS)?;
    let Settings {
        auth,
        limits,
        mut edge,
        mut emitter,
        escalation,
        mut feed,
        mut session,
        mut algorithm,
        mut risk,
        trading,
        namespaces,
        telemetry,
    } = settings;
    edge.listen = arguments.listen.unwrap_or(edge.listen);
    emitter.listen = arguments.emitter_listen.unwrap_or(emitter.listen);
    feed.listen = arguments.feed_listen.unwrap_or(feed.listen);
    session.listen = arguments.session_listen.unwrap_or(session.listen);
    algorithm.listen = arguments.algorithm_listen.unwrap_or(algorithm.listen);
    risk.listen = arguments.risk_listen.unwrap_or(risk.listen);
    feed.validate()?;
    let mut config = Config {
        feed: tickwire_feed::Config { feed, namespaces: namespaces.clone(), telemetry: telemetry.clone() },
        market: match (arguments.live, arguments.no_feed) {
            (true, _) => Market::Live,
            (_, true) => Market::None,
            _ => Market::Replayed,
        },
        trading: (!arguments.no_trading).then_some(Trading { session, algorithm, risk, trading }),
        demo: !arguments.no_demo,
        is_development: false,
        emitter: tickwire_emitter::Config {
            auth: auth.clone(),
            emitter,
            escalation,
            namespaces: namespaces.clone(),
            telemetry: telemetry.clone(),
        },
        edge: tickwire_edge::Config { auth, limits, edge, namespaces, telemetry, site: None },
    };
    development::complete(&mut config)?;
    if !can_trade(&config) {
        config.trading = None;
    }
    config.edge.auth.validate()?;
    config.edge.edge.validate()?;
    tickwire_emitter::check(&config.emitter)?;
    Ok(config)
}

/// The trading services sign tokens for the edge with its secret, and call it without TLS.
fn can_trade(config: &Config) -> bool {
    let has_token = config.trading.as_ref().is_some_and(|trading| trading.trading.cluster_token.is_some());
    (has_token || config.edge.auth.hs256_secret.is_some()) && config.edge.edge.tls_cert_file.is_none()
}

fn serve(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signals();
        let (edge, emitter) = (config.edge.edge.listen, config.emitter.emitter.listen);
        let edge = tickwire_edge::listen(edge).with_context(|| format!("cannot listen on {edge}"))?;
        let emitter =
            tokio::net::TcpListener::bind(emitter).await.with_context(|| format!("cannot listen on {emitter}"))?;
        let edge_address = edge.local_addr()?;
        if let Some(welcome) = Welcome::new(&config, edge_address, emitter.local_addr()?)? {
            // Whoever started this without a terminal may have closed stdout; that is no reason to stop.
            let _closed = writeln!(std::io::stdout(), "{welcome}");
        }
        tracing::info!(addr = %edge_address, node = config.edge.edge.node, "listening");
        tickwire_standalone::run(config, edge, emitter, shutdown).await?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Settings {
        config::load_from(DEFAULTS, &SECTIONS, variables.iter().map(|&(name, value)| (name.into(), value.into())))
            .unwrap()
    }

    #[test]
    fn a_laptop_has_no_limits_by_address_and_user() {
        let Settings { limits, edge, emitter, .. } = load(&[]);
        assert_eq!((limits.connections_per_ip, limits.connections_per_user), (0, 0));
        assert_eq!((limits.auth_failures_per_minute, emitter.auth_failures_per_minute), (0, 0));
        assert_eq!((edge.drain_ms, edge.node.as_str()), (1_000, "standalone"));
        assert_eq!(limits.channels_per_connection, LimitsConfig::default().channels_per_connection);
    }

    #[test]
    fn what_is_configured_goes_first_key_by_key() {
        let variables = [("TICKWIRE_LIMITS__CONNECTIONS_PER_IP", "7"), ("TICKWIRE_EDGE__NODE", "mine")];
        let Settings { limits, edge, .. } = load(&variables);
        assert_eq!((limits.connections_per_ip, limits.connections_per_user), (7, 0));
        assert_eq!((edge.drain_ms, edge.node.as_str()), (1_000, "mine"));
    }
}
