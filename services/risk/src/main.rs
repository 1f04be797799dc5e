//! Process entry: settings, the backplane, the listener, signals.

use std::{collections::BTreeMap, net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Parser;
use serde::Deserialize;
use tickwire_auth::AuthConfig;
use tickwire_backplane::{
    Backplane,
    redis::{RedisBackplane, RedisConfig},
};
use tickwire_protocol::namespace::Policy;
use tickwire_risk::{Config, RiskConfig};
use tickwire_telemetry::{TelemetryConfig, config, fail, probe, shutdown};
use tickwire_trading::config::TradingConfig;
use tokio::net::TcpListener;

/// The sections that risk reads.
const SECTIONS: &[&str] = &["auth", "trading", "risk", "namespaces", "telemetry", "backplane"];

/// Watches trading sessions, warns their users and stops what reaches its limit.
///
/// Settings come from the file that `TICKWIRE_CONFIG` names and from `TICKWIRE_<SECTION>__<KEY>`; options here go first.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Where to listen, address:port.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where Redis is: redis://, rediss://, redis+sentinel:// or redis+cluster://.
    #[arg(long)]
    redis: Option<String>,
    /// This instance's name.
    #[arg(long)]
    node: Option<String>,
    /// Instead of serving, ask the service that listens here whether it is ready; the exit status tells.
    #[arg(long)]
    probe: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    auth: AuthConfig,
    trading: TradingConfig,
    risk: RiskConfig,
    namespaces: BTreeMap<String, Policy>,
    telemetry: TelemetryConfig,
    backplane: RedisConfig,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let settings: Settings = match config::load(SECTIONS) {
        Ok(settings) => settings,
        Err(error) => return fail(&error),
    };
    let Settings { auth, trading, mut risk, namespaces, telemetry, mut backplane } = settings;
    risk.listen = options.listen.unwrap_or(risk.listen);
    if options.probe {
        return probe(risk.listen);
    }
    risk.node = options.node.unwrap_or(risk.node);
    backplane.url = options.redis.unwrap_or(backplane.url);
    let config = Config { auth, trading, risk, namespaces, telemetry };
    let checked = tickwire_risk::check(&config).map_err(anyhow::Error::from).and_then(|()| Ok(backplane.validate()?));
    if let Err(error) = checked {
        return fail(&format!("{error:#}"));
    }
    let telemetry = config.telemetry.clone();
    tickwire_telemetry::run(&telemetry, "tickwire-risk", serve(config, backplane))
}

async fn serve(config: Config, redis: RedisConfig) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signals();
    let place = redis.display_url();
    let backplane = RedisBackplane::connect(redis).await.with_context(|| format!("no backplane at {place}"))?;
    let listen = config.risk.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    tickwire_risk::run(config, listener, backplane as Arc<dyn Backplane>, shutdown).await?;
    Ok(())
}
